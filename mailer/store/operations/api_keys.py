"""API keys: their names and hashes; the keys themselves are not stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailer.core.db import Question, Tx, each


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret; ``revoked_at`` is None while the key is valid. ``per_minute`` 0: no limit."""

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
        """Return whether the key is valid now."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


_COLUMNS = "id, name, prefix, scope, per_minute, created_at, expires_at, last_used_at, revoked_at"
_VALID = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"


def create(tx: Tx, name: str, digest: bytes, prefix: str, scope: str, per_minute: int, expires_at: datetime | None) -> bool:
    """Create a key; return False if a valid key has this name."""
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
    """Build the query for the key with this hash, if neither revoked nor expired."""
    return Question(
        f"""
        SELECT {_COLUMNS} FROM api_keys
        WHERE hash = %(digest)s AND {_VALID}
        """,
        {"digest": digest},
        ApiKey,
    )


def list_all(tx: Tx) -> list[ApiKey]:
    """Return all keys, including revoked ones, oldest first."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id"), ApiKey)


def revoke(tx: Tx, name: str) -> bool:
    """Revoke the key of this name; return whether it was valid."""
    return bool(tx.run("UPDATE api_keys SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL", name=name))


def set_scope(tx: Tx, key_id: int, scope: str) -> None:
    """Change a key's scope from the next request on."""
    tx.run("UPDATE api_keys SET scope = %(scope)s WHERE id = %(id)s", id=key_id, scope=scope)


def lock_admins(tx: Tx) -> list[ApiKey]:
    """Lock and return the valid keys with the scope admin, so that two transactions cannot both take the last one away."""
    return each(
        tx.all(
            f"""
            SELECT {_COLUMNS} FROM api_keys
            WHERE scope = 'admin' AND {_VALID}
            ORDER BY id FOR UPDATE
            """
        ),
        ApiKey,
    )


def get(tx: Tx, key_id: int) -> ApiKey | None:
    """Return a key, valid or not."""
    row = tx.one(f"SELECT {_COLUMNS} FROM api_keys WHERE id = %(id)s", id=key_id)
    return ApiKey(**row) if row else None
