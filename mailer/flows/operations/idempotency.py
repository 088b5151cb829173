"""Idempotency keys: process a repeated request once. Responses are stored under the client's key for a day.

Only a client that has its key can read them: the key is stored as a hash, the response encrypted with it, so that neither an
address nor a new API key can be found in the database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography.fernet import Fernet

from mailer.core.db import Database
from mailer.core.errors import Refused
from mailer.store.operations import idempotency
from mailer.store.operations.idempotency import SavedResponse


class IdempotencyConflict(Refused):
    """The key was used for another request, or the first request is still in progress."""


@dataclass(frozen=True)
class RequestIdentity:
    """A request under an idempotency key. ``name`` is the key's hash, ``digest`` the request's, ``cipher_key`` 32 bytes."""

    api_key_id: int
    name: str
    digest: bytes
    cipher_key: bytes = field(repr=False)


def identify_request(secret: str, api_key_id: int, name: str, whole: bytes) -> RequestIdentity:
    """The identity of a request; ``whole`` is all that makes two requests the same."""
    key = hmac.digest(secret.encode(), b"idempotency " + name.encode(), "sha256")
    return RequestIdentity(api_key_id, hashlib.sha256(key).hexdigest(), hmac.digest(key, whole, "sha256"), key)


def begin_request(database: Database, request: RequestIdentity, former: Sequence[RequestIdentity] = ()) -> SavedResponse | None:
    """Return the first request's response, or None if this is the first. Raises IdempotencyConflict.

    ``former`` are its identities by older secrets: a repetition after a rotation must not be processed again.
    """
    with database.transaction() as tx:
        known = next((one for one in former if idempotency.get(tx, one.api_key_id, one.name)), None)
        if known is None and idempotency.claim(tx, request.api_key_id, request.name, request.digest):
            return None
        request = known or request
        saved = idempotency.get(tx, request.api_key_id, request.name)
    if saved is None or saved.digest != request.digest:
        raise IdempotencyConflict("This Idempotency-Key was used for another request: use a new one.")
    if saved.status is None:
        raise IdempotencyConflict("The first request with this Idempotency-Key is still in progress: try again in a moment.")
    return replace(saved, body=_make_cipher(request).decrypt(saved.body.encode()).decode())


def save_response(database: Database, request: RequestIdentity, status: int, body: str) -> None:
    """Store the response."""
    with database.transaction() as tx:
        idempotency.finish(tx, request.api_key_id, request.name, status, _make_cipher(request).encrypt(body.encode()).decode())


def forget_request(database: Database, request: RequestIdentity) -> None:
    """Free the key after a failure that a retry may not meet, so that the retry is processed."""
    with database.transaction() as tx:
        idempotency.forget(tx, request.api_key_id, request.name)


def _make_cipher(request: RequestIdentity) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(request.cipher_key))
