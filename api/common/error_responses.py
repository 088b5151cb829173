"""Error responses: one sentence, as JSON under ``/v1``, as a page elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext
from api.common.language import CHECK, get_language
from api.common.render import render_message
from mailer.core.errors import BadInput, PostmergeError, Refused, Unavailable

DATABASE_UNAVAILABLE = "Something went wrong on our side. Please try again in a minute."
# For programs, and for people who read English
_SENTENCES = {
    400: "The request could not be read: go back and try again.",
    401: "An API key is required: send `Authorization: Token KEY`.",
    404: "There is no page at this address: check it for typos.",
    405: "This address does not accept that method.",
    408: "The request took too long to arrive: please try again.",
    413: "The request is too large: the limit is 64 KB, and 32 MB for an import.",
    421: "This server does not answer to that host name: use the address of POSTMERGE_API_URL, or set POSTMERGE_HOSTS.",
    500: "Something went wrong on our side and was logged: please try again in a minute.",
}


# The title and the sentence of an error page
PAGES = {
    404: ("Page not found", "Check the address for a typo."),
    422: ("That didn’t work", CHECK),
    500: ("That didn’t work", DATABASE_UNAVAILABLE),
    503: ("That didn’t work", DATABASE_UNAVAILABLE),
}
OTHER_PAGE = ("That didn’t work", "Please go back and try again.")


def error_response(
    context: AppContext,
    request: Request,
    status: int,
    sentence: str = "",
    code: str = "",
    facts: Mapping[str, str] | None = None,
    field: str = "",
) -> Response:
    """A response that says what is wrong, as JSON or as a page. ``facts`` and ``field`` are for programs."""
    if request.url.path.startswith("/v1"):
        sentence = sentence or _SENTENCES.get(status, HTTPStatus(status).phrase + ".")
        code = code or ("invalid_input" if status == 422 else HTTPStatus(status).phrase.lower().replace(" ", "_"))
        body: dict[str, object] = {"code": code, "detail": sentence, **({"metadata": dict(facts)} if facts else {})}
        if status == 422:
            body["detail"] = [{"type": code, "loc": ["body", *field.split(".")] if field else ["body"], "msg": sentence}]
        response: Response = JSONResponse(body, status, {"Cache-Control": "no-store"})
    else:
        language = get_language(request)
        title, usual = PAGES.get(status, OTHER_PAGE)
        exactly = sentence or ("" if status in PAGES else _SENTENCES.get(status, ""))  # in English only
        said = exactly if exactly and language.lang == "en" else language.say(usual)
        response = render_message(context, language.say(title), [said], status, language.lang)
    if status == 503:
        response.headers["Retry-After"] = "60"
    return response


def install_handlers(app: FastAPI, context: AppContext) -> None:
    """Answer every known error of the app with ``error_response``."""

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = str(error.detail)
        own = detail if detail.endswith((".", "?")) else ""  # the framework's details are not sentences
        code, facts = getattr(error, "code", ""), getattr(error, "facts", None)
        response = error_response(context, request, error.status_code, own, code, facts)
        response.headers.update(error.headers or {})
        return response

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if request.url.path.startswith("/v1"):
            body = {"code": "invalid_input", "detail": [_entry(one) for one in error.errors()[:20]]}
            return JSONResponse(body, 422, {"Cache-Control": "no-store"})
        return error_response(context, request, 422, _first(error), "invalid_input")

    async def on_own(request: Request, error: Exception) -> Response:
        status, sentence = _own(error)
        return error_response(context, request, status, sentence, field=getattr(error, "field", ""))

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
    """One invalid field in the contract's shape, without its value."""
    place = ".".join(str(part) for part in one["loc"][1:]) or "The request"
    return {"type": one["type"], "loc": list(one["loc"]), "msg": f"{place} cannot be used: {one['msg'].rstrip('.').lower()}."}


def _first(error: RequestValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place or 'The request'} cannot be used: {first['msg'].rstrip('.').lower()}."
