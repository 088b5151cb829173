"""Doing a request's work once, whatever its client repeats: answers are kept under the client's own name for a day."""

from __future__ import annotations

from mailer.core.db import Database
from mailer.core.errors import Refused
from mailer.store.operations import idempotency
from mailer.store.operations.idempotency import SavedResponse


class IdempotencyConflict(Refused):
    """The name is used for another request, or the first one is still at work."""


def begin(database: Database, key_id: int, name: str, digest: bytes) -> SavedResponse | None:
    """The first request's answer, or None when this is the first. Raises Conflict."""
    with database.transaction() as tx:
        if idempotency.claim(tx, key_id, name, digest):
            return None
        kept = idempotency.get(tx, key_id, name)
    if kept is None or kept.digest != digest:
        raise IdempotencyConflict("This Idempotency-Key was used for another request: take a new one.")
    if kept.status is None:
        raise IdempotencyConflict("The first request with this Idempotency-Key is still at work: try again in a moment.")
    return kept


def finish(database: Database, key_id: int, name: str, status: int, body: str) -> None:
    """Keep the answer."""
    with database.transaction() as tx:
        idempotency.finish(tx, key_id, name, status, body)


def forget(database: Database, key_id: int, name: str) -> None:
    """The work failed on our side: the next request with this name is the first again."""
    with database.transaction() as tx:
        idempotency.forget(tx, key_id, name)
