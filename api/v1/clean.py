"""Signs that Postgres cannot keep are refused at the door: NUL, and halves of a pair that stand alone."""

from __future__ import annotations

import contextlib
import json

from fastapi import Request

from api.v1.errors import ApiError

_SENTENCE = "The request holds a sign that cannot be kept (NUL, or half of a surrogate pair): leave it out."


async def need_signs(request: Request) -> None:
    """Raise ApiError 400 when the request holds what cannot be kept."""
    if any("\0" in text for pair in request.query_params.multi_items() for text in pair):
        raise ApiError(400, "invalid_input", _SENTENCE)
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        return  # a file, which is looked at line by line
    body = (await request.body()).lower()
    if b"\\u0000" in body or (b"\\ud" in body and _has_half(body)):
        raise ApiError(400, "invalid_input", _SENTENCE)


def _has_half(body: bytes) -> bool:
    with contextlib.suppress(ValueError, UnicodeDecodeError, RecursionError):
        json.dumps(json.loads(body), ensure_ascii=False).encode()
        return False
    return True
