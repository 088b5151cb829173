"""API keys: made, checked, listed, revoked. A key is shown once and kept only as its SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.async_db import Asker
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.store.operations import api_keys
from mailer.store.operations.api_keys import ApiKey

events = log.get("keys")


SCOPES = ("read", "subscribers", "publish", "admin")
DEFAULT_REQUESTS_PER_MINUTE = 1200  # requests of a new key


def create_key(
    database: Database,
    name: str,
    scope: str = "admin",
    per_minute: int = DEFAULT_REQUESTS_PER_MINUTE,
    expires_in: timedelta | None = None,
) -> str:
    """A new key of 256 random bits. Raises BadInput when the name is taken or cannot be one, or the scope is unknown."""
    if scope not in SCOPES:
        raise BadInput(f"{scope!r} is no scope: use one of {', '.join(SCOPES)}.")
    if not re.fullmatch(r"[\w .:/-]{1,60}", name) or name != name.strip():
        raise BadInput(f"{name!r} cannot name a key: use up to 60 letters, digits, spaces and . : / - _")
    key = f"pm_{secrets.token_urlsafe(32)}"
    with database.transaction() as tx:
        expires_at = datetime.now(UTC) + expires_in if expires_in else None
        if not api_keys.create(tx, name, _digest(key), key[:8], scope, per_minute, expires_at):
            raise BadInput(f"There is a key {name!r} already: revoke it first, or take another name.")
    events.info("key.created", name=name)
    return key


async def check_key(asker: Asker, key: str) -> ApiKey | None:
    """The key, when it is one of ours and neither revoked nor expired. Changes nothing."""
    return await asker.ask(api_keys.valid_key_query(_digest(key)))


def list_keys(database: Database) -> list[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    with database.transaction() as tx:
        return api_keys.list_all(tx)


def get_key(database: Database, key_id: int) -> ApiKey | None:
    """One key, whether it holds or not."""
    with database.transaction() as tx:
        return api_keys.get(tx, key_id)


def revoke_key(database: Database, name: str) -> None:
    """The key holds no more, from the next request on. Raises BadInput when there is none of that name."""
    with database.transaction() as tx:
        if not api_keys.revoke(tx, name):
            raise BadInput(f"There is no key {name!r} that holds: `postmerge keys list` shows them.")
    events.info("key.revoked", name=name)


def _digest(key: str) -> bytes:
    """A plain hash is enough: the key is random and long, so nobody can guess it from its hash."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
