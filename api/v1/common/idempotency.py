"""``Idempotency-Key``: a request repeated within a day gets the response of the first one, and does nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse, Response

from api.common.dependencies import AppContext, Context
from api.v1.common.errors import ApiError
from mailer.flows.operations import idempotency


@dataclass(frozen=True)
class IdempotentRequest:
    """Does a request's work at most once for its idempotency key, or simply does it when there is no key."""

    context: AppContext
    key_id: int
    name: str | None
    digest: bytes

    def run(self, work: Callable[[], JSONResponse]) -> Response:
        """Return the work's response, or the first one's. Raises ApiError 409 when the key belongs to another request."""
        if self.name is None:
            return work()
        try:
            before = idempotency.begin_request(self.context.database, self.key_id, self.name, self.digest)
        except idempotency.IdempotencyConflict as error:
            raise ApiError(409, "conflict", str(error), retry=2) from error
        if before:
            return JSONResponse(json.loads(before.body), before.status or 500, {"Idempotency-Replayed": "true"})
        try:
            response = work()
        except ApiError as error:
            if error.status_code >= 500:
                idempotency.forget_request(self.context.database, self.key_id, self.name)
            else:
                body = json.dumps({"code": error.code, "detail": error.detail, "metadata": error.facts})
                idempotency.save_response(self.context.database, self.key_id, self.name, error.status_code, body)
            raise
        except Exception:
            idempotency.forget_request(self.context.database, self.key_id, self.name)
            raise
        idempotency.save_response(
            self.context.database, self.key_id, self.name, response.status_code, bytes(response.body).decode()
        )
        return response


async def _wrapper(
    context: Context, request: Request, name: Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)] = None
) -> IdempotentRequest:
    if name is None:
        return IdempotentRequest(context, request.state.key.id, None, b"")
    headers = request.headers.get("X-Buttondown-Collision-Behavior", "")
    whole = f"{request.method} {request.url.path} {headers}\n".encode() + await request.body()
    return IdempotentRequest(context, request.state.key.id, name, hashlib.sha256(whole).digest())


Idempotent = Annotated[IdempotentRequest, Depends(_wrapper)]
