"""What a restored backup must learn, until processes have copied it to the journal outside the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each
from mailer.store.subscribers.erasure import IS_STRONGER


@dataclass(frozen=True)
class JournalRow:
    """A change. ``email_normal`` is the subscriber's address before it; ``detail`` is the new state, address or reason."""

    id: int
    xid: int
    at: datetime
    kind: str
    subscriber_id: int | None
    email_normal: str
    hash: bytes | None
    detail: str


def oldest_open_transaction(tx: Tx) -> int:
    """Return the number below which all transactions have ended."""
    return int(tx.value("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))


def list_rows(tx: Tx, start: int, after_id: int, limit: int) -> list[JournalRow]:
    """Return the committed changes of the transactions from ``start`` on, oldest first, those after ``after_id``."""
    rows = tx.all(
        """
        SELECT id, xid::text::bigint AS xid, at, kind, subscriber_id, email_normal, hash, detail
        FROM restore_journal
        WHERE xid >= %(start)s::text::xid8 AND id > %(after_id)s
        ORDER BY id
        LIMIT %(limit)s
        """,
        start=str(start),
        after_id=after_id,
        limit=limit,
    )
    return each([{**row, "hash": row["hash"] and bytes(row["hash"])} for row in rows], JournalRow)


def delete_all(tx: Tx) -> None:
    """Delete all rows: they belong to another ledger."""
    tx.run("DELETE FROM restore_journal")


def restore_erased_hashes(tx: Tx, reasons_by_hash: Mapping[bytes, str]) -> int:
    """Remember erased addresses again, each with the reason for its suppression; return how many are new."""
    return tx.run(
        f"""
        INSERT INTO erased (hash, reason)
        SELECT hash, reason FROM unnest(%(hashes)s::bytea [], %(reasons)s::text []) AS known (hash, reason)
        ON CONFLICT (hash) DO UPDATE SET reason = excluded.reason WHERE {IS_STRONGER}
        """,
        hashes=list(reasons_by_hash),
        reasons=list(reasons_by_hash.values()),
    )


def has_started_send(tx: Tx, issue_key: str, edition_number: int) -> bool:
    """Return whether this edition of an issue has a send."""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT FROM sends WHERE issue_key = %(key)s AND edition_number = %(number)s)",
            key=issue_key,
            number=edition_number,
        )
    )


def settle_open_transactional(tx: Tx, reason: str) -> int:
    """Mark pending transactional emails as uncertain: a backup doesn't know whether they were sent. Return how many."""
    return tx.run(
        """
        UPDATE transactional_emails SET state = 'uncertain', detail = %(reason)s, settled_at = now()
        WHERE state IN ('pending', 'claimed')
        """,
        reason=reason,
    )


def accept_deliveries(tx: Tx, send_id: int, subscriber_ids: Sequence[int], reason: str) -> int:
    """Record that these emails of a restored send were sent; return how many deliveries changed."""
    return tx.run(
        """
        UPDATE deliveries SET state = 'accepted', detail = %(reason)s, settled_at = now(), claimed_by = NULL
        WHERE send_id = %(send_id)s AND subscriber_id = ANY(%(ids)s::bigint []) AND state IN ('pending', 'claimed', 'uncertain')
        """,
        send_id=send_id,
        ids=list(subscriber_ids),
        reason=reason,
    )


def settle_pending(tx: Tx, send_id: int, reason: str) -> int:
    """Set all pending deliveries of a restored send aside as uncertain; return how many."""
    return tx.run(
        """
        UPDATE deliveries SET state = 'uncertain', detail = %(reason)s, settled_at = now()
        WHERE send_id = %(send_id)s AND state = 'pending'
        """,
        send_id=send_id,
        reason=reason,
    )


def find_by_address(tx: Tx, email_normals: Sequence[str]) -> dict[str, int]:
    """Return the subscribers with these addresses."""
    rows = tx.all(
        "SELECT id, email_normal FROM subscribers WHERE email_normal = ANY(%(emails)s::text [])", emails=list(email_normals)
    )
    return {row["email_normal"]: row["id"] for row in rows}
