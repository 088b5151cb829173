"""Editions uploaded through the API, by digest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailer.core.db import Tx


def list_known(tx: Tx, digests: Sequence[str]) -> set[str]:
    """Return which of the digests are stored with their issue's key, and mark these as in use."""
    rows = tx.all(
        """
        UPDATE uploaded_editions SET used_at = now()
        WHERE digest = ANY(%(digests)s::text []) AND issue_key <> ''
        RETURNING digest
        """,
        digests=list(digests),
    )
    return {row["digest"] for row in rows}


def save(tx: Tx, digest: str, issue_key: str, edition: bytes) -> None:
    """Store an edition. Safe to repeat."""
    tx.run(
        """
        INSERT INTO uploaded_editions (digest, issue_key, edition) VALUES (%(digest)s, %(issue_key)s, %(edition)s)
        ON CONFLICT (digest) DO UPDATE SET used_at = now(), issue_key = EXCLUDED.issue_key
        """,
        digest=digest,
        issue_key=issue_key,
        edition=edition,
    )


def get(tx: Tx, digests: Sequence[str]) -> dict[str, bytes]:
    """Return the editions with these digests."""
    rows = tx.all(
        "SELECT digest, edition FROM uploaded_editions WHERE digest = ANY(%(digests)s::text [])", digests=list(digests)
    )
    return {row["digest"]: bytes(row["edition"]) for row in rows}


def find_newest(tx: Tx, issue_key: str, since: datetime) -> bytes | None:
    """Return the edition of an issue that was used last, if it was used at or after a moment."""
    found = tx.value(
        """
        SELECT edition FROM uploaded_editions
        WHERE issue_key = %(issue_key)s AND used_at >= %(since)s
        ORDER BY used_at DESC, digest
        LIMIT 1
        """,
        issue_key=issue_key,
        since=since,
    )
    return None if found is None else bytes(found)


def drop_unused(tx: Tx) -> int:
    """Delete editions that no publish has used for 90 days; return how many."""
    return tx.run("DELETE FROM uploaded_editions WHERE used_at < now() - interval '90 days'")
