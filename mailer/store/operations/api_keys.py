"""API keys: their names and hashes; a key itself is nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailer.core.db import Question, Tx, each


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret; ``revoked_at`` is None while it opens the door. ``per_minute`` 0: as often as it likes."""

    id: int
    name: str
    prefix: str
    scope: str
    per_minute: int
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def is_valid(self) -> bool:
        """Does it open the door just now?"""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


_COLUMNS = "id, name, prefix, scope, per_minute, created_at, expires_at, last_used_at, revoked_at"


def create(tx: Tx, name: str, digest: bytes, prefix: str, scope: str, per_minute: int, expires_at: datetime | None) -> bool:
    """A new key; False when a key of that name holds already."""
    return bool(
        tx.run(
            """
            INSERT INTO api_keys (name, hash, prefix, scope, per_minute, expires_at)
            VALUES (%(name)s, %(digest)s, %(prefix)s, %(scope)s, %(per_minute)s, %(expires_at)s)
            ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
            """,
            name=name,
            digest=digest,
            prefix=prefix,
            scope=scope,
            per_minute=per_minute,
            expires_at=expires_at,
        )
    )


def valid_key_query(digest: bytes) -> Question[ApiKey]:
    """Which key with this hash is neither revoked nor expired?"""
    return Question(
        f"""
        SELECT {_COLUMNS} FROM api_keys
        WHERE hash = %(digest)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        """,
        {"digest": digest},
        ApiKey,
    )


def list_all(tx: Tx) -> list[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id"), ApiKey)


def revoke(tx: Tx, name: str) -> bool:
    """The key of this name holds no more; whether it did."""
    return bool(tx.run("UPDATE api_keys SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL", name=name))


def get(tx: Tx, key_id: int) -> ApiKey | None:
    """One key, whether it holds or not."""
    row = tx.one(f"SELECT {_COLUMNS} FROM api_keys WHERE id = %(id)s", id=key_id)
    return ApiKey(**row) if row else None
