"""API keys: create, check, list and revoke them. A key is shown once and stored only as its SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.async_db import Asker
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused
from mailer.store.operations import api_keys
from mailer.store.operations.api_keys import ApiKey

logger = log.get("keys")


SCOPES = ("read", "subscribers", "publish", "review", "admin")
DEFAULT_REQUESTS_PER_MINUTE = 1200  # requests of a new key
# How long a new key is valid unless it is created with another end: a CI pipeline's key ends; a scope not listed never does.
DEFAULT_LIFETIMES = {"publish": timedelta(days=365), "review": timedelta(days=365)}


def create_key(
    database: Database,
    name: str,
    scope: str = "admin",
    per_minute: int = DEFAULT_REQUESTS_PER_MINUTE,
    expires_in: timedelta | None = None,
) -> str:
    """Create and return a key of 256 random bits. Raises BadInput for a name that is taken or invalid, or an unknown scope."""
    if scope not in SCOPES:
        raise BadInput(f"{scope!r} is not a scope: use one of {', '.join(SCOPES)}.")
    if not re.fullmatch(r"[\w .:/-]{1,60}", name) or name != name.strip():
        raise BadInput(
            f"{name!r} is not a valid name for a key: use at most 60 characters out of a-z, A-Z, 0-9, space and . : / - _"
        )
    key = f"pm_{secrets.token_urlsafe(32)}"
    with database.transaction() as tx:
        expires_at = datetime.now(UTC) + expires_in if expires_in else None
        if not api_keys.create(tx, name, _hash_key(key), key[:8], scope, per_minute, expires_at):
            raise BadInput(f"There is already a key {name!r}: revoke it first, or choose another name.")
    logger.info("key.created", name=name)
    return key


async def check_key(asker: Asker, key: str) -> ApiKey | None:
    """Return the key if it exists and is neither revoked nor expired. Read-only."""
    return await asker.ask(api_keys.valid_key_query(_hash_key(key)))


def list_keys(database: Database) -> list[ApiKey]:
    """Return all keys, including revoked ones, oldest first."""
    with database.transaction() as tx:
        return api_keys.list_all(tx)


def get_key(database: Database, key_id: int) -> ApiKey | None:
    """Return a key, valid or not."""
    with database.transaction() as tx:
        return api_keys.get(tx, key_id)


def change_scope(database: Database, key: ApiKey, scope: str) -> None:
    """Change a key's scope from the next request on. Raises Refused for the last valid admin key."""
    with database.transaction() as tx:
        if scope != "admin" and key.is_valid:
            _refuse_last_admin(tx, key.name)
        api_keys.set_scope(tx, key.id, scope)
    logger.info("key.scope_changed", name=key.name, scope=scope)


def revoke_key(database: Database, name: str, even_last: bool = False) -> None:
    """Revoke a key from the next request on. Raises BadInput when there is none of that name.

    Raises Refused for the last valid admin key unless ``even_last``.
    """
    with database.transaction() as tx:
        if not even_last:
            _refuse_last_admin(tx, name)
        if not api_keys.revoke(tx, name):
            raise BadInput(f"There is no valid key {name!r}: `postmerge keys list` shows all keys.")
    logger.info("key.revoked", name=name)


def _refuse_last_admin(tx: Tx, name: str) -> None:
    if [key.name for key in api_keys.lock_admins(tx)] == [name]:
        raise Refused(f"{name} is the last valid admin key: create another one with `postmerge keys create NAME` first.")


def _hash_key(key: str) -> bytes:
    """Hash a key. A plain hash is enough: the key is long and random, so it cannot be guessed from its hash."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
