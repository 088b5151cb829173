"""Error responses: one sentence, as JSON under ``/v1``, as a page elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext
from api.common.language import CHECK, get_language, names_command
from api.common.render import render_message
from mailer.core.errors import BadInput, PostmergeError, Refused, ServiceUnavailable, TooManyRequests, Unavailable
from mailer.core.i18n import N_
from mailer.flows.subscribers.subscriber_admin import Rejected

DATABASE_UNAVAILABLE = N_("Something went wrong on our side. Please try again in a minute.")
UNKNOWN_HOST = N_(
    "If this is your server, add the host name to POSTMERGE_HOSTS, or open the site at the address in POSTMERGE_API_URL."
)
_RENAMED = {"email": "email_address"}  # fields of a subscriber that had another name in the contract once
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
    404: (N_("Page not found"), N_("Check the address for a typo.")),
    405: (N_("Page not found"), N_("Check the address for a typo.")),
    421: (N_("Unknown host name"), UNKNOWN_HOST),
    413: (N_("That didn’t work"), N_("What you sent is too large. The limit is 64 KB.")),
    422: (N_("That didn’t work"), CHECK),
    429: (N_("That didn’t work"), N_("Too many requests. Please try again in a few minutes.")),
    500: (N_("That didn’t work"), DATABASE_UNAVAILABLE),
    503: (N_("That didn’t work"), DATABASE_UNAVAILABLE),
}
OTHER_PAGE = (N_("That didn’t work"), N_("Please go back and try again."))


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
        facts = {**(facts or {}), "documentation_url": f"{context.settings.api_url}/docs{_find_operation(request)}"}
        body: dict[str, object] = {"code": code, "detail": sentence, "metadata": facts}
        if status == 422:
            del body["metadata"]
            body["detail"] = [{"type": code, "loc": ["body", *field.split(".")] if field else ["body"], "msg": sentence}]
        response: Response = JSONResponse(body, status, {"Cache-Control": "no-store"})
    else:
        language = get_language(request)
        title, usual = PAGES.get(status, OTHER_PAGE)
        exactly = sentence or ("" if status in PAGES else _SENTENCES.get(status, ""))  # in English only
        for_visitors = exactly and language.lang == "en" and not names_command(exactly)
        said = exactly if for_visitors else language.say(usual)
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
        if not own and request.url.path.startswith("/v1") and (unreadable := _describe_unreadable(error.__cause__)):
            return error_response(context, request, 422, unreadable)
        code, facts = getattr(error, "code", ""), getattr(error, "facts", None)
        response = error_response(context, request, error.status_code, own, code, facts)
        response.headers.update(error.headers or {})
        return response

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if request.url.path.startswith("/v1"):
            if renamed := _find_renamed(request, error):
                sentence = f"The field {renamed} was renamed: send {_RENAMED[renamed]} instead."
                return error_response(context, request, 400, sentence, "field_renamed", {"field": renamed})
            body = {"code": "invalid_input", "detail": [_make_entry(one, error.body) for one in error.errors()[:20]]}
            return JSONResponse(body, 422, {"Cache-Control": "no-store"})
        return error_response(context, request, 422, _describe_first(error), "invalid_input")

    async def on_rejected(request: Request, error: Exception) -> Response:
        assert isinstance(error, Rejected)
        if error.code != "rate_limited":
            return error_response(context, request, 400, str(error), error.code, error.facts)
        response = error_response(context, request, 429, str(error), error.code, error.facts)
        response.headers["Retry-After"] = "3600"
        return response

    async def on_own(request: Request, error: Exception) -> Response:
        status, sentence = _make_own(error)
        return error_response(context, request, status, sentence, field=getattr(error, "field", ""))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Rejected, on_rejected)
    app.add_exception_handler(PostmergeError, on_own)


def _make_own(error: Exception) -> tuple[int, str]:
    if isinstance(error, Unavailable):
        return 503, str(error) if isinstance(error, ServiceUnavailable) else DATABASE_UNAVAILABLE
    if isinstance(error, TooManyRequests):
        return 429, str(error)
    if isinstance(error, BadInput | Refused):
        return (422 if isinstance(error, BadInput) else 409), str(error)
    return 500, ""


def _find_operation(request: Request) -> str:
    """The part of the reference's address that shows the operation, '' when there is none.

    A middleware refuses before the app looks for the route, so the route is looked for here.
    """
    route = request.scope.get("route") or request.app.state.find_route(request.method, request.url.path)
    operation, tags = getattr(route, "operation_id", None) or getattr(route, "name", ""), getattr(route, "tags", None)
    return f"#/{quote(str(tags[0]))}/{operation}" if tags and getattr(route, "include_in_schema", False) else ""


def _find_renamed(request: Request, error: RequestValidationError) -> str:
    """The former name of a field that a body has, '' for none."""
    if not request.url.path.startswith("/v1/subscribers"):
        return ""
    names = [str(one["loc"][1]) for one in error.errors() if one["type"] == "extra_forbidden" and one["loc"][0] == "body"]
    return next((name for name in names if name in _RENAMED), "")


def _make_entry(one: Any, body: Any) -> dict[str, object]:
    """One invalid field in the contract's shape, without its value."""
    if one["type"] == "json_invalid":
        said = str(one.get("ctx", {}).get("error", "it cannot be read")).rstrip(".").lower()
        before = str(body)[: one["loc"][1]]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        sentence = f"The JSON is broken at line {line}, column {column}: {said}."
        return {"type": one["type"], "loc": list(one["loc"]), "msg": sentence}
    place = ".".join(str(part) for part in one["loc"][1:]) or "The request"
    return {"type": one["type"], "loc": list(one["loc"]), "msg": f"{place} cannot be used: {one['msg'].rstrip('.').lower()}."}


def _describe_unreadable(cause: BaseException | None) -> str:
    """What is wrong with JSON that cannot be decoded, '' for anything else."""
    if isinstance(cause, UnicodeDecodeError):
        before = cause.object[: cause.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        return f"The JSON is broken at line {line}, byte {column}: this is not UTF-8."
    if isinstance(cause, RecursionError):
        return "The JSON has too many objects or lists inside each other."
    return "A number in the JSON has too many digits." if isinstance(cause, ValueError) else ""


def _describe_first(error: RequestValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place or 'The request'} cannot be used: {first['msg'].rstrip('.').lower()}."
