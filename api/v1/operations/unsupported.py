"""What this program does not have, or holds in git: empty lists, a clear 404, and where to edit instead."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError

router = APIRouter()

# Lists that are always empty: path and the contract's shape.
EMPTY = {
    "/advertising_units": "AdvertisingUnitPage",
    "/advertising_units/slots": "AdvertisingSlotPage",
    "/automations": "AutomationPage",
    "/books": "BookPage",
    "/comments": "CommentPage",
    "/coupons": "StripeCouponPage",
    "/external_feeds": "ExternalFeedPage",
    "/prices": "PricePage",
    "/snippets": "SnippetPage",
    "/survey_responses": "ResponsePage",
    "/surveys": "SurveyPage",
}

_ADS = "Advertising is not part of this program."
_BOOKS = "Books are not part of this program."
_COMMENTS = "Comments are not part of this program."
_FEEDS = "External feeds are not part of this program: an issue is a file in git."
_PRICES = "Prices are not made here: plans stand in plans.toml, and Stripe holds the rest."
_SURVEYS = "Surveys are not part of this program."
_DOMAINS = "Domains are set up at SES and at your web server, not here."

# Answered with 404: methods, path, sentence.
MISSING = (
    ("POST", "/advertising_units", _ADS),
    ("PATCH DELETE", "/advertising_units/{id}", _ADS),
    ("PATCH", "/advertising_units/slots/{id}", _ADS),
    ("POST", "/books", _BOOKS),
    ("GET PATCH DELETE", "/books/{id}", _BOOKS),
    ("POST", "/comments", _COMMENTS),
    ("GET PATCH DELETE", "/comments/{id}", _COMMENTS),
    ("POST", "/external_feeds", _FEEDS),
    ("GET PATCH DELETE", "/external_feeds/{id}", _FEEDS),
    ("GET POST", "/external_feeds/{id}/items", _FEEDS),
    ("POST", "/prices", _PRICES),
    ("DELETE", "/prices/{id}", _PRICES),
    ("POST", "/surveys", _SURVEYS),
    ("GET PATCH DELETE", "/surveys/{id}", _SURVEYS),
    ("POST", "/survey_responses", _SURVEYS),
    ("PATCH", "/survey_responses/{id}", _SURVEYS),
    ("GET", "/newsletters/{id}/sending-domain", _DOMAINS),
    ("GET", "/newsletters/{id}/hosting-domain", _DOMAINS),
    ("GET", "/automations/{id}", "There is no such automation."),
    ("GET", "/automations/{id}/analytics", "There is no such automation."),
    ("GET", "/snippets/{id}", "There is no such snippet."),
    ("PATCH", "/subscribers/{id}/automations/{second}", "Nobody is in an automation."),
)

_ISSUES = "Mails are issues in git: edit content/issues/ and merge; `postmerge publish` does the rest."
_DRAFTS = "Drafts are mailed to nobody: `postmerge write` shows one, `postmerge rehearse` tries a send."
_IMAGES = "Pictures lie in git: put them into content/images/ and merge."
_FILES = "Files lie in git: put them into content/files/ and merge."
_SNIPPETS = "Snippets are templates in git: edit theme/templates/ and merge."
_AUTOMATIONS = "Automations are not set up by programs: what is mailed stands in git, under content/issues/."
_FORM = "The form is a page in git: edit api/templates/subscribe.html and deploy."
_CONFIG = "The newsletter's settings stand in git and in the environment: edit pelicanconf.py or .env."

# Answered with 403, because the truth is a file in git: methods, path, sentence.
HELD = (
    ("POST", "/emails", _ISSUES),
    ("PATCH DELETE", "/emails/{id}", _ISSUES),
    ("POST", "/emails/{id}/send-draft", _DRAFTS),
    ("POST", "/emails/{id}/publish", _ISSUES),
    ("POST", "/images", _IMAGES),
    ("PATCH DELETE", "/images/{id}", _IMAGES),
    ("POST", "/attachments", _FILES),
    ("DELETE", "/attachments/{id}", _FILES),
    ("POST", "/snippets", _SNIPPETS),
    ("PATCH DELETE", "/snippets/{id}", _SNIPPETS),
    ("POST", "/automations", _AUTOMATIONS),
    ("PATCH DELETE", "/automations/{id}", _AUTOMATIONS),
    ("POST", "/automations/{id}/invoke", _AUTOMATIONS),
    ("POST", "/forms", _FORM),
    ("PATCH DELETE", "/forms/{id}", _FORM),
    ("POST", "/newsletters", _CONFIG),
    ("PATCH DELETE", "/newsletters/{id}", _CONFIG),
)  # fmt: skip


def _empty() -> Callable[..., Response]:
    def nothing_here(context: Context, request: Request, page: paging.PageNumber = 1) -> JSONResponse:
        """Always empty: this program has none of these."""
        return paging.page_response(context, request, [], 0, page)

    return nothing_here


def _refusal(path: str, status: int, code: str, sentence: str) -> Callable[..., Response]:
    def refused() -> Response:
        raise ApiError(status, code, sentence)

    def refused_one(id: str) -> Response:
        raise ApiError(status, code, sentence)

    def refused_pair(id: str, second: str) -> Response:
        raise ApiError(status, code, sentence)

    return (refused, refused_one, refused_pair)[path.count("{")]


def _install() -> None:
    for path, shape in EMPTY.items():
        router.add_api_route(
            path, _empty(), methods=["GET"], responses=schemas.response(shape), tags=["Not here"], name=f"no{path}"
        )
    for rows, status, code, tag in ((MISSING, 404, "not_found", "Not here"), (HELD, 403, "held_in_git", "Held in git")):
        for methods, path, sentence in rows:
            for method in methods.split():
                router.add_api_route(
                    path,
                    _refusal(path, status, code, sentence),
                    methods=[method],
                    status_code=status,
                    responses=schemas.error_responses(status),
                    tags=[tag],
                    name=f"{method} {path}",
                    description=sentence,
                )


_install()
