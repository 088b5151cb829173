"""Editions uploaded through the API, by digest."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx


def list_known(tx: Tx, digests: Sequence[str]) -> set[str]:
    """Return which of the digests are stored, and mark these as in use."""
    rows = tx.all(
        "UPDATE uploaded_editions SET used_at = now() WHERE digest = ANY(%(digests)s::text []) RETURNING digest",
        digests=list(digests),
    )
    return {row["digest"] for row in rows}


def save(tx: Tx, digest: str, edition: bytes) -> None:
    """Store an edition. Safe to repeat."""
    tx.run(
        """
        INSERT INTO uploaded_editions (digest, edition) VALUES (%(digest)s, %(edition)s)
        ON CONFLICT (digest) DO UPDATE SET used_at = now()
        """,
        digest=digest,
        edition=edition,
    )


def get(tx: Tx, digests: Sequence[str]) -> dict[str, bytes]:
    """Return the editions with these digests."""
    rows = tx.all(
        "SELECT digest, edition FROM uploaded_editions WHERE digest = ANY(%(digests)s::text [])", digests=list(digests)
    )
    return {row["digest"]: bytes(row["edition"]) for row in rows}


def drop_unused(tx: Tx) -> int:
    """Delete editions that no publish has used for 90 days; return how many."""
    return tx.run("DELETE FROM uploaded_editions WHERE used_at < now() - interval '90 days'")
