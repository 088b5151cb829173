"""Refuses what Postgres cannot store: NUL characters, lone surrogates, NaN and infinity."""

from __future__ import annotations

import contextlib
import json
import math
import re
from datetime import date, datetime
from typing import Annotated, Any

from annotated_types import Len
from fastapi import Request
from fastapi.params import Form
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from api.v1.common.errors import ApiError

_UNSTORABLE_TEXT = "The request contains a character that cannot be stored (NUL or a lone surrogate): remove it."
_UNSTORABLE_NUMBER = "The request contains a number that cannot be stored (NaN, Infinity, or one too large): remove it."
_MAYBE_NOT_FINITE = re.compile(
    rb"nan|infinity|\d\.?e\+?\d|(?<!\d)\d{309}"
)  # in lower case; a cheap test before the JSON is parsed


def _accept_empty_list(value: object) -> object:
    return {} if value == [] else value


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


# An object; PHP's clients send an empty one as [].
JsonObject = Annotated[
    dict[str, Any], BeforeValidator(_accept_empty_list, json_schema_input_type=dict[str, Any] | Annotated[list[Any], Len(0, 0)])
]


def _refuse_number(value: object) -> object:
    """Refuse what pydantic would read as seconds since 1970: with `20260101` as a date, a filter would mean August 1970."""
    if isinstance(value, date) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise PydanticCustomError("date_invalid", "write it as 2026-01-31")


Day = Annotated[date, BeforeValidator(_refuse_number)]
Moment = Annotated[datetime, BeforeValidator(_refuse_number)]


async def refuse_unstorable_text(request: Request) -> None:
    """Raise ApiError 400 when the request contains something that cannot be stored."""
    await _refuse_media_type(request)
    if any("\0" in text for pair in request.query_params.multi_items() for text in pair):
        raise ApiError(400, "invalid_input", _UNSTORABLE_TEXT)
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        return  # a file, which is checked line by line
    body = (await request.body()).lower()
    if b"\\u0000" in body or (b"\\ud" in body and _has_lone_surrogate(body)):
        raise ApiError(400, "invalid_input", _UNSTORABLE_TEXT)
    if _MAYBE_NOT_FINITE.search(body) and _has_non_finite(await request.body()):
        raise ApiError(400, "invalid_input", _UNSTORABLE_NUMBER)


async def _refuse_media_type(request: Request) -> None:
    """Raise ApiError 415 when a body has not the media type that the operation takes."""
    field = getattr(request.scope["route"], "body_field", None)
    if field is None:
        return
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if isinstance(field.field_info, Form):
        wanted, fits = "multipart/form-data", given in ("multipart/form-data", "application/x-www-form-urlencoded")
    else:
        wanted, fits = "application/json", re.fullmatch(r"application/(.+\+)?json", given) is not None
    if not fits and await request.body():  # a form that fits was read already
        found = f"is {given[:80]!r}" if given else "is missing"
        raise ApiError(415, "unsupported_media_type", f"The header Content-Type {found}: send `Content-Type: {wanted}`.")


def _has_non_finite(body: bytes) -> bool:
    """Whether JSON contains NaN, infinity or a number that is too large. Invalid JSON is refused elsewhere."""
    found: list[str] = []

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            found.append(text)
        return value

    with contextlib.suppress(ValueError, UnicodeDecodeError, RecursionError):
        json.loads(body, parse_float=number, parse_constant=number)
    return bool(found)


def _has_lone_surrogate(body: bytes) -> bool:
    with contextlib.suppress(ValueError, UnicodeDecodeError, RecursionError):
        json.dumps(json.loads(body), ensure_ascii=False).encode()
        return False
    return True
