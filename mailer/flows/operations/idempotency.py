"""Idempotency keys: process a repeated request once. Responses are stored under the client's key for a day."""

from __future__ import annotations

from mailer.core.db import Database
from mailer.core.errors import Refused
from mailer.store.operations import idempotency
from mailer.store.operations.idempotency import SavedResponse


class IdempotencyConflict(Refused):
    """The key was used for another request, or the first request is still in progress."""


def begin_request(database: Database, key_id: int, name: str, digest: bytes) -> SavedResponse | None:
    """Return the first request's response, or None if this is the first. Raises IdempotencyConflict."""
    with database.transaction() as tx:
        if idempotency.claim(tx, key_id, name, digest):
            return None
        saved = idempotency.get(tx, key_id, name)
    if saved is None or saved.digest != digest:
        raise IdempotencyConflict("This Idempotency-Key was used for another request: use a new one.")
    if saved.status is None:
        raise IdempotencyConflict("The first request with this Idempotency-Key is still in progress: try again in a moment.")
    return saved


def save_response(database: Database, key_id: int, name: str, status: int, body: str) -> None:
    """Store the response."""
    with database.transaction() as tx:
        idempotency.finish(tx, key_id, name, status, body)


def forget_request(database: Database, key_id: int, name: str) -> None:
    """Free the key after a failure of ours, so that a retry is processed."""
    with database.transaction() as tx:
        idempotency.forget(tx, key_id, name)
