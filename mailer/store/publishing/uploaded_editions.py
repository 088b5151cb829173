"""Editions that were handed over through the API, by digest."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx


def known(tx: Tx, digests: Sequence[str]) -> set[str]:
    """Those of the digests that are here; they are marked as in use."""
    rows = tx.all(
        "UPDATE handed_over SET used_at = now() WHERE digest = ANY(%(digests)s::text []) RETURNING digest",
        digests=list(digests),
    )
    return {row["digest"] for row in rows}


def put(tx: Tx, digest: str, edition: bytes) -> None:
    """Keep an edition; again does no harm."""
    tx.run(
        """
        INSERT INTO handed_over (digest, edition) VALUES (%(digest)s, %(edition)s)
        ON CONFLICT (digest) DO UPDATE SET used_at = now()
        """,
        digest=digest,
        edition=edition,
    )


def get(tx: Tx, digests: Sequence[str]) -> dict[str, bytes]:
    """The editions with these digests."""
    rows = tx.all("SELECT digest, edition FROM handed_over WHERE digest = ANY(%(digests)s::text [])", digests=list(digests))
    return {row["digest"]: bytes(row["edition"]) for row in rows}


def drop_unused(tx: Tx) -> int:
    """What no publish used for 90 days goes; how many."""
    return tx.run("DELETE FROM handed_over WHERE used_at < now() - interval '90 days'")
