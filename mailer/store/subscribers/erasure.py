"""Erasure: a subscriber's number remains, so that the ledger adds up, and a keyed hash of their address."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailer.core.db import Tx
from mailer.store.subscribers.suppressions import RANKED_REASONS

_RANK = f"coalesce(array_position({RANKED_REASONS}, {{}}.reason), 0)"  # '' has no place in the list: it is the mildest
IS_STRONGER = f"{_RANK.format('excluded')} > {_RANK.format('erased')}"


def remember_hash(tx: Tx, hash_: bytes, email_normal: str) -> None:
    """Store the hash of an address, with the reason for its suppression, if any. A stronger reason of before stays."""
    tx.run(
        f"""
        INSERT INTO erased (hash, reason)
        VALUES (%(hash)s, coalesce((SELECT reason FROM suppressions WHERE email_normal = %(email_normal)s), ''))
        ON CONFLICT (hash) DO UPDATE
        SET reason = CASE WHEN {IS_STRONGER} THEN excluded.reason ELSE erased.reason END, at = now()
        """,
        hash=hash_,
        email_normal=email_normal,
    )


def get_erased_at(tx: Tx, subscriber_id: int) -> datetime | None:
    """Return when the subscriber was erased, or None."""
    found: datetime | None = tx.value("SELECT erased_at FROM subscribers WHERE id = %(id)s", id=subscriber_id)
    return found


def forget_hashes(tx: Tx, hashes: Sequence[bytes]) -> None:
    """Forget an erased address whose owner has subscribed again: a complaint or the operator's block stays."""
    tx.run(
        "DELETE FROM erased WHERE hash = ANY(%(hashes)s::bytea []) AND reason IN ('', 'hard bounce', 'soft bounces')",
        hashes=list(hashes),
    )


def list_reasons(tx: Tx, hashes: Sequence[bytes]) -> list[str]:
    """Return why these erased addresses were suppressed, if they were."""
    rows = tx.all("SELECT reason FROM erased WHERE hash = ANY(%(hashes)s::bytea []) AND reason <> ''", hashes=list(hashes))
    return [row["reason"] for row in rows]


def clear_reasons(tx: Tx, hashes: Sequence[bytes], reasons: Sequence[str]) -> None:
    """Lift the suppression of erased addresses, which stay known as erased."""
    tx.run(
        "UPDATE erased SET reason = '' WHERE hash = ANY(%(hashes)s::bytea []) AND reason = ANY(%(reasons)s::text [])",
        hashes=list(hashes),
        reasons=list(reasons),
    )


def wipe_personal_data(tx: Tx, subscriber_id: int, email_normal: str) -> None:
    """Delete everything that identifies a subscriber."""
    for statement in _WIPE:
        tx.run(statement, id=subscriber_id, email_normal=email_normal)


_WIPE = (
    "DELETE FROM consents WHERE subscriber_id = %(id)s",
    """
    DELETE FROM transactional_email_events
    WHERE email_id IN (SELECT id FROM transactional_emails WHERE subscriber_id = %(id)s)
    """,
    "DELETE FROM transactional_emails WHERE subscriber_id = %(id)s",
    "DELETE FROM suppressions WHERE email_normal = %(email_normal)s",
    "DELETE FROM lifted_suppressions WHERE email_normal = %(email_normal)s",
    "DELETE FROM reviewers WHERE email_normal = %(email_normal)s",
    "UPDATE test_emails SET email_normal = '' WHERE email_normal = %(email_normal)s",
    "DELETE FROM scanner_visits WHERE subscriber_id = %(id)s",
    "DELETE FROM entitlements WHERE subscriber_id = %(id)s",
    "DELETE FROM enrolments WHERE subscriber_id = %(id)s",
    "DELETE FROM sequence_emails WHERE subscriber_id = %(id)s",
    "DELETE FROM grants WHERE subscriber_id = %(id)s",
    "UPDATE customers SET email_normal = '' WHERE subscriber_id = %(id)s OR email_normal = %(email_normal)s",
    """
    UPDATE deliveries
    SET address_hash = NULL, message_id = NULL, detail = CASE WHEN state = 'pending' THEN '' ELSE detail END
    WHERE subscriber_id = %(id)s
    """,
    "DELETE FROM notes WHERE model_type = 'subscriber' AND model_id = %(id)s",
    """
    UPDATE delivery_events SET detail = ''
    WHERE subscriber_id = %(id)s AND detail <> '' AND send_id IN (SELECT send_id FROM deliveries WHERE subscriber_id = %(id)s)
    """,  # its key begins with the send: without naming these, all events would be read
    """
    UPDATE subscribers
    SET email = '',
        email_normal = 'erased:' || id,
        state = 'unsubscribed',
        tags = '{}',
        metadata = '{}',
        notes = '',
        referrer_url = '',
        utm_campaign = '',
        utm_medium = '',
        utm_source = '',
        unsubscribe_reason = '',
        lang = '',
        frequency = 'every',
        flags = '{}',
        created_at = now(),
        confirmed_at = NULL,
        unsubscribed_at = now(),
        paused_until = NULL,
        active_at = NULL,
        erased_at = now()
    WHERE id = %(id)s
    """,
)
