"""Operations of the contract that this program does not support, or replaces by files in git.

Lists are empty; the rest is refused with 404 or 403 and a sentence that says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.common.dependencies import Context
from api.v1.common import openapi, paging, schemas
from api.v1.common.errors import ApiError
from api.v1.sending.emails import HELD_IN_GIT
from api.v1.sending.images import IMAGES_IN_GIT

router = APIRouter()


class Operation(NamedTuple):
    """An operation of the contract. ``id`` is the contract's operation id."""

    method: str
    path: str
    id: str
    summary: str


class EmptyList(NamedTuple):
    """A list that has no entries here. ``schema`` and the names of its ``filters`` are the contract's."""

    path: str
    id: str
    summary: str
    schema: str
    filters: tuple[str, ...] = ()


EMPTY_LISTS = (
    EmptyList("/advertising_units", "list_advertising_units", "List advertising units", "AdvertisingUnitPage"),
    EmptyList("/advertising_units/slots", "list_advertising_slots", "List advertising slots", "AdvertisingSlotPage"),
    EmptyList("/automations", "list_automations", "List automations", "AutomationPage"),
    EmptyList("/books", "list_books", "List books", "BookPage"),
    EmptyList(
        "/comments", "list_comments", "List comments", "CommentPage", ("email_id", "parent_id", "status", "subscriber_id")
    ),
    EmptyList("/coupons", "list_coupons", "List coupons", "StripeCouponPage"),
    EmptyList("/external_feeds", "list_external_feed", "List external feeds", "ExternalFeedPage"),
    EmptyList("/prices", "list_prices", "List prices", "PricePage"),
    EmptyList("/snippets", "list_snippets", "List snippets", "SnippetPage"),
    EmptyList(
        "/survey_responses", "retrieve_survey_responses", "List survey responses", "ResponsePage",
        ("automation_id", "creation_date__end", "creation_date__start", "email_id", "source", "subscriber_id", "survey_id"),
    ),
    EmptyList("/surveys", "list_surveys", "List surveys", "SurveyPage", ("not_status", "-status", "status")),
)  # fmt: skip

# Answered with 404: the reason, and the operations that it holds for.
NOT_SUPPORTED: Mapping[str, tuple[Operation, ...]] = {
    "Advertising is not supported.": (
        Operation("POST", "/advertising_units", "create_advertising_unit", "Create an advertising unit"),
        Operation("PATCH", "/advertising_units/{id}", "update_advertising_unit", "Update an advertising unit"),
        Operation("DELETE", "/advertising_units/{id}", "delete_advertising_unit", "Delete an advertising unit"),
        Operation("PATCH", "/advertising_units/slots/{id}", "update_advertising_slot", "Update an advertising slot"),
    ),
    "Books are not supported.": (
        Operation("POST", "/books", "create_book", "Create a book"),
        Operation("GET", "/books/{id}", "retrieve_book", "Retrieve a book"),
        Operation("PATCH", "/books/{id}", "update_book", "Update a book"),
        Operation("DELETE", "/books/{id}", "delete_book", "Delete a book"),
    ),
    "Comments are not supported.": (
        Operation("POST", "/comments", "create_comment", "Create a comment"),
        Operation("GET", "/comments/{id}", "retrieve_comment", "Retrieve a comment"),
        Operation("PATCH", "/comments/{id}", "update_comment", "Update a comment"),
        Operation("DELETE", "/comments/{id}", "delete_comment", "Delete a comment"),
    ),
    "External feeds are not supported: an issue is a file in git.": (
        Operation("POST", "/external_feeds", "create_external_feed", "Create an external feed"),
        Operation("GET", "/external_feeds/{id}", "retrieve_external_feed", "Retrieve an external feed"),
        Operation("PATCH", "/external_feeds/{id}", "update_external_feed", "Update an external feed"),
        Operation("DELETE", "/external_feeds/{id}", "delete_external_feed", "Delete an external feed"),
        Operation("GET", "/external_feeds/{id}/items", "retrieve_items", "List the items of an external feed"),
        Operation("POST", "/external_feeds/{id}/items", "poll_items", "Poll an external feed for new items"),
    ),
    "Prices cannot be changed here: plans are defined in plans.toml, and Stripe keeps their prices.": (
        Operation("POST", "/prices", "create_price", "Create a price"),
        Operation("DELETE", "/prices/{id}", "delete_price", "Delete a price"),
    ),
    "Surveys are not supported.": (
        Operation("POST", "/surveys", "create_survey", "Create a survey"),
        Operation("GET", "/surveys/{id}", "retrieve_survey", "Retrieve a survey"),
        Operation("PATCH", "/surveys/{id}", "update_survey", "Update a survey"),
        Operation("DELETE", "/surveys/{id}", "delete_survey", "Delete a survey"),
        Operation("POST", "/survey_responses", "create_survey_response", "Create a survey response"),
        Operation("PATCH", "/survey_responses/{id}", "update_survey_response", "Update a survey response"),
    ),
    "Domains are set up in SES and on your web server, not here.": (
        Operation("GET", "/newsletters/{id}/sending-domain", "retrieve_sending_domain", "Retrieve the sending domain"),
        Operation("GET", "/newsletters/{id}/hosting-domain", "retrieve_hosting_domain", "Retrieve the hosting domain"),
    ),
    "There is no such automation.": (
        Operation("GET", "/automations/{id}", "retrieve_automation", "Retrieve an automation"),
        Operation("GET", "/automations/{id}/analytics", "retrieve_automation_analytics", "Retrieve an automation's analytics"),
    ),
    "There is no such snippet.": (Operation("GET", "/snippets/{id}", "retrieve_snippet", "Retrieve a snippet"),),
    "Subscribers are not in automations here.": (
        Operation(
            "PATCH", "/subscribers/{id}/automations/{second}", "update_automation_attempt", "Update an automation attempt"
        ),
    ),
}

# Answered with 403: where in git the change is made, and the operations that it replaces.
IN_GIT: Mapping[str, tuple[Operation, ...]] = {
    HELD_IN_GIT: (Operation("POST", "/emails/{id}/publish", "publish_email", "Publish an email"),),
    IMAGES_IN_GIT: (Operation("PATCH", "/images/{id}", "update_image", "Update an image"),),
    "Attachments are files in git: add them to content/files/ and merge.": (
        Operation("POST", "/attachments", "create_attachment", "Upload an attachment"),
        Operation("DELETE", "/attachments/{id}", "delete_attachment", "Delete an attachment"),
    ),
    "Snippets are templates in git: edit theme/templates/ and merge.": (
        Operation("POST", "/snippets", "create_snippet", "Create a snippet"),
        Operation("PATCH", "/snippets/{id}", "update_snippet", "Update a snippet"),
        Operation("DELETE", "/snippets/{id}", "delete_snippet", "Delete a snippet"),
    ),
    "Automations cannot be set up through the API: what is sent is in git, under content/issues/.": (
        Operation("POST", "/automations", "create_automation", "Create an automation"),
        Operation("PATCH", "/automations/{id}", "update_automation", "Update an automation"),
        Operation("DELETE", "/automations/{id}", "delete_automation", "Delete an automation"),
        Operation("POST", "/automations/{id}/invoke", "invoke_automation", "Start an automation"),
    ),
    "The form is a template in git: edit api/templates/subscribe.html and deploy.": (
        Operation("POST", "/forms", "create_form", "Create a form"),
        Operation("PATCH", "/forms/{id}", "update_form", "Update a form"),
        Operation("DELETE", "/forms/{id}", "delete_form", "Delete a form"),
    ),
    "The newsletter's settings are in git and in the environment: edit pelicanconf.py or .env.": (
        Operation("POST", "/newsletters", "create_newsletter", "Create a newsletter"),
        Operation("PATCH", "/newsletters/{id}", "update_newsletter", "Update the newsletter"),
        Operation("DELETE", "/newsletters/{id}", "delete_newsletter", "Delete the newsletter"),
    ),
}


def _make_empty_list() -> Callable[..., Response]:
    def list_nothing(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
        return paging.page_response(context, request, page, [], 0)

    return list_nothing


def _make_refusal(path: str, status: int, code: str, reason: str) -> Callable[..., Response]:
    def refuse() -> Response:
        raise ApiError(status, code, reason)

    def refuse_one(id: str) -> Response:
        raise ApiError(status, code, reason)

    def refuse_pair(id: str, second: str) -> Response:
        raise ApiError(status, code, reason)

    return (refuse, refuse_one, refuse_pair)[path.count("{")]


def _add_empty_list(empty: EmptyList) -> None:
    router.add_api_route(
        empty.path,
        _make_empty_list(),
        methods=["GET"],
        responses=schemas.response(empty.schema, example=openapi.EMPTY_PAGE),
        tags=["Not supported"],
        name=empty.id,
        description=f"{empty.summary}.\nAlways empty: this program has none.",
        openapi_extra={
            "parameters": [
                {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in empty.filters
            ]
        },
    )


def _add_refusals(reasons: Mapping[str, tuple[Operation, ...]], status: int, code: str, tag: str) -> None:
    for reason, operations in reasons.items():
        for operation in operations:
            router.add_api_route(
                operation.path,
                _make_refusal(operation.path, status, code, reason),
                methods=[operation.method],
                status_code=status,
                responses={status: schemas.error_response(status, code, reason)},
                tags=[tag],
                name=operation.id,
                description=f"{operation.summary}.\n{reason}",
            )


def _install() -> None:
    for empty in EMPTY_LISTS:
        _add_empty_list(empty)
    _add_refusals(NOT_SUPPORTED, 404, "not_found", "Not supported")
    _add_refusals(IN_GIT, 403, "held_in_git", "Kept in git")


_install()
