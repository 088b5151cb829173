"""API keys: their names and hashes; a key itself is nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.db import Tx, each


@dataclass(frozen=True)
class Key:
    """A key without its secret; ``revoked_at`` is None while it opens the door."""

    id: int
    name: str
    created_at: datetime
    revoked_at: datetime | None


_COLUMNS = "id, name, created_at, revoked_at"


def create(tx: Tx, name: str, digest: bytes) -> bool:
    """A new key; False when a key of that name holds already."""
    return bool(
        tx.run(
            """
            INSERT INTO api_keys (name, hash) VALUES (%(name)s, %(digest)s)
            ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
            """,
            name=name,
            digest=digest,
        )
    )


def holds(tx: Tx, digest: bytes) -> Key | None:
    """The key with this hash that is not revoked, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM api_keys WHERE hash = %(digest)s AND revoked_at IS NULL", digest=digest)
    return Key(**row) if row else None


def every(tx: Tx) -> list[Key]:
    """All keys, revoked ones too, oldest first."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id"), Key)


def revoke(tx: Tx, name: str) -> bool:
    """The key of this name holds no more; whether it did."""
    return bool(tx.run("UPDATE api_keys SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL", name=name))
