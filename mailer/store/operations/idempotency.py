"""Stored responses to requests with an Idempotency-Key."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx


@dataclass(frozen=True)
class SavedResponse:
    """A request's digest and response; ``status`` is None while the first request is in progress."""

    digest: bytes
    status: int | None
    body: str


def claim(tx: Tx, key_id: int, name: str, digest: bytes) -> bool:
    """Claim a name; return whether it was free. Names older than a day, or whose request was aborted, are free again."""
    return bool(
        tx.run(
            """
            INSERT INTO idempotency (key_id, name, digest) VALUES (%(key_id)s, %(name)s, %(digest)s)
            ON CONFLICT (key_id, name) DO UPDATE
            SET digest = excluded.digest, status = NULL, body = '', at = now()
            WHERE idempotency.at < now() - interval '1 day'
                OR (idempotency.status IS NULL AND idempotency.at < now() - interval '1 minute')
            """,
            key_id=key_id,
            name=name,
            digest=digest,
        )
    )


def get(tx: Tx, key_id: int, name: str) -> SavedResponse | None:
    """Return the saved response of a name, or None."""
    row = tx.one(
        "SELECT digest, status, body FROM idempotency WHERE key_id = %(key_id)s AND name = %(name)s",
        key_id=key_id,
        name=name,
    )
    return SavedResponse(bytes(row["digest"]), row["status"], row["body"]) if row else None


def finish(tx: Tx, key_id: int, name: str, status: int, body: str) -> None:
    """Store the response."""
    tx.run(
        "UPDATE idempotency SET status = %(status)s, body = %(body)s WHERE key_id = %(key_id)s AND name = %(name)s",
        key_id=key_id,
        name=name,
        status=status,
        body=body,
    )


def forget(tx: Tx, key_id: int, name: str) -> None:
    """Free the name."""
    tx.run("DELETE FROM idempotency WHERE key_id = %(key_id)s AND name = %(name)s", key_id=key_id, name=name)


def drop_old(tx: Tx) -> int:
    """Delete responses older than a day; return how many."""
    return tx.run("DELETE FROM idempotency WHERE at < now() - interval '1 day'")
