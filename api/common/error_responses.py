"""What a client is told when something goes wrong: one sentence, as JSON under ``/v1``, as a page elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext
from api.common.render import render_message
from mailer.core.errors import BadInput, PostmergeError, Refused, Unavailable

DATABASE_UNAVAILABLE = "Our database does not answer just now. Nothing was lost: please try again in a minute."
_SENTENCES = {
    400: "The request could not be read: go back and try again.",
    401: "A key is needed here: send it as `Authorization: Token KEY`.",
    404: "There is nothing at this address: check it for a typing error.",
    405: "This address does not take that kind of request.",
    408: "The request took too long to arrive: please try again.",
    413: "That is too much for one request: at most 64 KB are taken, and 32 MB of a list.",
    500: "Something broke on our side and was written down: please try again in a minute.",
}


def error_response(
    context: AppContext,
    path: str,
    status: int,
    sentence: str = "",
    code: str = "",
    facts: Mapping[str, str] | None = None,
    field: str = "",
) -> Response:
    """An answer that says what is wrong, in the form that fits the path. ``facts`` and ``field`` are for programs."""
    sentence = sentence or _SENTENCES.get(status, HTTPStatus(status).phrase + ".")
    if path.startswith("/v1"):
        code = code or ("invalid_input" if status == 422 else HTTPStatus(status).phrase.lower().replace(" ", "_"))
        body: dict[str, object] = {"code": code, "detail": sentence, **({"metadata": dict(facts)} if facts else {})}
        if status == 422:
            body["detail"] = [{"type": code, "loc": ["body", *field.split(".")] if field else ["body"], "msg": sentence}]
        response: Response = JSONResponse(body, status, {"Cache-Control": "no-store"})
    else:
        response = render_message(context, HTTPStatus(status).phrase, [sentence], status)
    if status == 503:
        response.headers["Retry-After"] = "60"
    return response


def install_handlers(app: FastAPI, context: AppContext) -> None:
    """Answer every known error of the app with ``problem``."""

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        own = str(error.detail) if str(error.detail).endswith((".", "?")) else ""  # the framework's own are no sentences
        code, facts = getattr(error, "code", ""), getattr(error, "facts", None)
        response = error_response(context, request.url.path, error.status_code, own, code, facts)
        response.headers.update(error.headers or {})
        return response

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if request.url.path.startswith("/v1"):
            body = {"code": "invalid_input", "detail": [_entry(one) for one in error.errors()[:20]]}
            return JSONResponse(body, 422, {"Cache-Control": "no-store"})
        return error_response(context, request.url.path, 422, _first(error), "invalid_input")

    async def on_own(request: Request, error: Exception) -> Response:
        status, sentence = _own(error)
        return error_response(context, request.url.path, status, sentence, field=getattr(error, "field", ""))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(PostmergeError, on_own)


def _own(error: Exception) -> tuple[int, str]:
    if isinstance(error, Unavailable):
        return 503, DATABASE_UNAVAILABLE
    if isinstance(error, BadInput | Refused):
        return (422 if isinstance(error, BadInput) else 409), str(error)
    return 500, ""


def _entry(one: Any) -> dict[str, object]:
    """One field that cannot be used, in the contract's shape, without the value."""
    place = ".".join(str(part) for part in one["loc"][1:]) or "The request"
    return {"type": one["type"], "loc": list(one["loc"]), "msg": f"{place} cannot be used: {one['msg'].rstrip('.').lower()}."}


def _first(error: RequestValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place or 'The request'} cannot be used: {first['msg'].rstrip('.').lower()}."
