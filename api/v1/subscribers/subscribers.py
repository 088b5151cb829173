"""``/v1/subscribers``: list, add, change, remind and erase subscribers."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api.common.dependencies import AppContext, Context, client_ip
from api.v1.common import openapi, paging, schemas
from api.v1.common.errors import ApiError, check_declared_fields, raise_not_found
from api.v1.common.request_validation import JsonObject
from api.v1.subscribers.stripe_subscriptions import as_subscription
from api.v1.subscribers.subscriber_filters import (
    PARAMETERS,
    SOURCES,
    Expand,
    FilterQuery,
    build_conditions,
    get_order,
    has_only_tags,
)
from mailer.core import public_ids
from mailer.core.errors import Refused
from mailer.flows.billing import subscription_views
from mailer.flows.subscribers import subscriber_admin, subscriber_query, suppression_lifting
from mailer.flows.subscribers.subscriber_admin import Rejected, SubscriberChanges
from mailer.flows.subscribers.suppression_lifting import MAX_REASON_CHARS, UnsuppressRequest
from mailer.store.subscribers.subscriber_records import SubscriberRecord

router = APIRouter(prefix="/subscribers", tags=["Subscribers"])

Text = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, Field(max_length=300, pattern=r"^[^\x00]*$")]
Url = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=100)]
Kind = Literal[
    "blocked", "complained", "churning", "churned", "gifted", "unactivated", "unpaid", "undeliverable", "premium",
    "past_due", "paused", "regular", "removed", "trialed", "unsubscribed", "upcoming",
]  # fmt: skip
_SOURCE = {ours: theirs for theirs, words in SOURCES.items() for ours in words}
_TRANSITIONS = {
    "requested": "unactivated",
    "confirmed": "regular",
    "added": "regular",
    "imported": "regular",
    "unsubscribed": "unsubscribed",
    "paused": "paused",
    "resumed": "regular",
}
_UNDELIVERABLE = {"hard bounce": "hard_bounce", "soft bounces": "transient"}


class SubscriberInput(BaseModel):
    """A new subscriber. `type` `regular` states that you have evidence of consent; otherwise a confirmation email is sent."""

    model_config = ConfigDict(extra="forbid")

    email_address: str = Field(max_length=254)
    notes: Text = ""
    metadata: JsonObject = {}
    tags: Tags = []
    referrer_url: Url = ""
    utm_campaign: Short = ""
    utm_medium: Short = ""
    utm_source: Short = ""
    referring_subscriber_id: str | None = Field(None, max_length=50)
    type: Kind | None = None
    ip_address: str | None = Field(None, max_length=45)


class SubscriberUpdateInput(BaseModel):
    """The fields to change."""

    model_config = ConfigDict(extra="forbid")

    commenting_disabled: bool | None = None
    email_address: str | None = Field(None, max_length=254)
    notes: Text | None = None
    metadata: JsonObject | None = None
    tags: Tags | None = None
    referrer_url: Url | None = None
    type: Kind | None = None
    unsubscription_reason: Text | None = None
    email_which_prompted_unsubscription_id: str | None = Field(None, max_length=50)


class UnsuppressionInput(BaseModel):
    """Why a subscriber may be emailed again: `reason` is kept as evidence."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON_CHARS, pattern=r"^[^\x00]*\S[^\x00]*$")]


@router.get("", responses=schemas.response("SubscriberPage"), openapi_extra={"parameters": PARAMETERS})
def list_subscribers(context: Context, request: Request, filters: FilterQuery, page: paging.PageQuery) -> JSONResponse:
    """List subscribers.

    100 per page, newest first. Follow `next`: it shows everybody once, and later pages are as fast as the first.
    """
    order = get_order(filters)
    where = build_conditions(context.database, filters)
    paging.check_key(page, list if order.place else int if order.is_by_id else str)
    tags = subscriber_query.WantedTags(filters.tag, has_only_tags(filters))
    found = subscriber_query.list_page(context.database, where, order, page.range, tags)
    shown = paging.cut(page, found.subscribers, order.get_key)
    results = [{**as_subscriber(one), **_expanded(context, one, filters.expand)} for one in shown.rows]
    return paging.page_response(context, request, page, results, found.count, shown.after)


@router.post("", status_code=201, responses=schemas.response("Subscriber", 201) | schemas.error_responses(409))
def create_subscriber(
    context: Context,
    payload: SubscriberInput,
    collision: Annotated[
        Literal["no_op", "add", "overwrite", "fail"], Header(alias="X-Buttondown-Collision-Behavior")
    ] = "no_op",
    bypass: Annotated[bool, Header(alias="X-Buttondown-Bypass-Firewall")] = False,
) -> Response:
    """Create a subscriber.

    Anyone who unsubscribed, bounced or complained is not resubscribed by the API.
    """
    check_declared_fields(context, payload.metadata)
    given = SubscriberChanges(
        payload.email_address, payload.tags, payload.metadata, payload.notes, payload.referrer_url,
        {"campaign": payload.utm_campaign, "medium": payload.utm_medium, "source": payload.utm_source},
        payload.type, None, _parse_ip(payload.ip_address),
    )  # fmt: skip
    added, queued = subscriber_admin.add_subscriber(context.database, context.settings, given, collision)
    return paging.OrjsonResponse(
        as_subscriber(added), 201, background=BackgroundTask(context.wake_transactional) if queued else None
    )


@router.get("/{id_or_email}", responses=schemas.response("Subscriber") | schemas.error_responses(404))
async def retrieve_subscriber(context: Context, id_or_email: str, expand: Expand = []) -> JSONResponse:  # noqa: B006
    """Retrieve a subscriber.

    By id or email address.
    """
    found = await subscriber_admin.find_subscriber_async(context.asker, id_or_email)
    if found is None:
        raise_not_found("subscriber")
    more = await run_in_threadpool(_expanded, context, found, expand) if expand else {}
    return paging.OrjsonResponse({**as_subscriber(found), **more})


@router.patch("/{id_or_email}", responses=schemas.response("Subscriber") | schemas.error_responses(404))
def update_subscriber(context: Context, id_or_email: str, change: SubscriberUpdateInput) -> JSONResponse:
    """Update a subscriber.

    Fields that are left out do not change.
    """
    check_declared_fields(context, change.metadata or {})
    payload = SubscriberChanges(
        email=change.email_address,
        tags=change.tags,
        metadata=change.metadata,
        notes=change.notes,
        referrer_url=change.referrer_url,
        kind=change.type,
        reason=change.unsubscription_reason,
    )
    found = subscriber_admin.change_subscriber(context.database, id_or_email, payload, settings=context.settings)
    return paging.OrjsonResponse(as_subscriber(found)) if found else raise_not_found("subscriber")


@router.delete("/{id_or_email}", status_code=204, response_class=Response, responses=schemas.error_responses(404))
def delete_subscriber(context: Context, id_or_email: str) -> Response:
    """Delete a subscriber.

    Erases all personal data. Only a number in the ledger and a keyed hash of the address are kept.
    """
    if not subscriber_admin.erase_subscriber(context.database, context.settings, id_or_email):
        raise_not_found("subscriber")
    return Response(status_code=204)


@router.post("/{id_or_email}/send-reminder", responses=schemas.response("Empty") | schemas.error_responses(404, 409))
def send_reminder(context: Context, id_or_email: str) -> JSONResponse:
    """Send a reminder.

    Sends the confirmation email again, within the usual rate limits.
    """
    try:
        queued = subscriber_admin.send_reminder(context.database, context.settings, id_or_email)
    except Rejected as error:
        raise ApiError(409, error.code, str(error)) from error
    if queued is None:
        raise_not_found("subscriber")
    if not queued:
        raise ApiError(429, "rate_limited", "This subscriber was reminded recently: try again later.", retry=600)
    return JSONResponse({}, background=BackgroundTask(context.wake_transactional))


@router.post("/{id_or_email}/unsuppress", responses=schemas.response("Subscriber") | schemas.error_responses(404, 409))
def unsuppress_subscriber(context: Context, id_or_email: str, payload: UnsuppressionInput, request: Request) -> JSONResponse:
    """Lift a subscriber's suppression.

    The address can be emailed again after a bounce or a block; a worker removes it from SES's suppression list too. Whoever
    unsubscribed stays unsubscribed. A complaint is not lifted: 409. Not part of Buttondown's API.
    """
    found = subscriber_admin.find_subscriber(context.database, id_or_email)
    if found is None:
        raise_not_found("subscriber")
    lift = UnsuppressRequest(found.email, payload.reason, "api", ip=client_ip(request))
    try:
        suppression_lifting.unsuppress(context.database, context.settings, lift)
    except Refused as error:
        raise ApiError(409, "subscriber_suppressed", str(error)) from error
    after = subscriber_admin.find_subscriber(context.database, str(found.id))
    return paging.OrjsonResponse(as_subscriber(after)) if after else raise_not_found("subscriber")


@router.post("/{id_or_email}/send-magic-link", responses=schemas.response("Empty") | schemas.error_responses(404))
def send_magic_link_to_subscriber(context: Context, id_or_email: str) -> JSONResponse:
    """Send a magic link.

    Sends the subscriber a link to their preferences page, within the usual rate limits.
    """
    queued = subscriber_admin.send_preferences_link(context.database, id_or_email)
    if queued is None:
        raise_not_found("subscriber")
    if not queued:
        raise ApiError(
            429, "rate_limited", "This subscriber received a link recently, or cannot be emailed: try again later.", retry=600
        )
    return JSONResponse({}, background=BackgroundTask(context.wake_transactional))


@router.get(
    "/{id_or_email}/referrals",
    responses=schemas.response("SubscriberPage", example=openapi.EMPTY_PAGE) | schemas.error_responses(404),
)
def get_referrals(context: Context, request: Request, id_or_email: str, page: paging.PageQuery) -> JSONResponse:
    """List a subscriber's referrals.

    Referrals are not tracked: always empty.
    """
    return _empty_page(context, request, id_or_email, page)


@router.get(
    "/{id_or_email}/automations",
    responses=schemas.response("AutomationForSubscriberPage", example=openapi.EMPTY_PAGE) | schemas.error_responses(404),
)
def get_automations(context: Context, request: Request, id_or_email: str, page: paging.PageQuery) -> JSONResponse:
    """List a subscriber's automations.

    Subscribers are not in automations here: always empty.
    """
    return _empty_page(context, request, id_or_email, page)


@router.post("/{id_or_email}/emails/{email_id}", status_code=403, responses=schemas.error_responses(404))
def send_email_to(context: Context, id_or_email: str, email_id: str) -> Response:
    """Send an email to a subscriber.

    Always refused: publishing sends an issue to its whole audience, once.
    """
    raise ApiError(403, "not_here", "`postmerge publish` sends an issue to its whole audience, never to one subscriber.")


def as_subscriber(subscriber: SubscriberRecord) -> dict[str, Any]:
    """A subscriber in the contract's shape. Opens and clicks are not tracked: null."""
    kind = subscriber_admin.get_type(subscriber)
    bounced = _UNDELIVERABLE.get(subscriber.suppressed)
    suppressed_at = subscriber.suppressed_at.isoformat() if subscriber.suppressed_at and bounced else None
    return {
        "id": public_ids.public("sub", subscriber.id),
        "secondary_id": subscriber.id,
        "creation_date": subscriber.created_at.isoformat(),
        "email_address": subscriber.email,
        "type": kind,
        "tags": subscriber.labels or [],
        "metadata": subscriber.metadata,
        "notes": subscriber.notes,
        "source": _SOURCE.get(subscriber.source, "organic"),
        "ip_address": subscriber.ip,
        "referral_code": str(subscriber.id),
        "referrer_url": subscriber.referrer_url,
        "utm_campaign": subscriber.utm_campaign,
        "utm_medium": subscriber.utm_medium,
        "utm_source": subscriber.utm_source,
        "bounce_date": suppressed_at,
        "bounce_reason": bounced,
        "undeliverability_date": suppressed_at,
        "undeliverability_reason": bounced,
        "unsubscription_date": subscriber.unsubscribed_at.isoformat() if subscriber.unsubscribed_at else None,
        "unsubscription_reason": subscriber.unsubscribe_reason or None,
        "upgrade_date": subscriber.upgraded_at.isoformat() if subscriber.premium and subscriber.upgraded_at else None,
        "transitions": [{"date": at, "type": _TRANSITIONS[what]} for at, what in subscriber.history if what in _TRANSITIONS],
        "email_transitions": [],
        "firewall_reasons": [],
        "commenting_disabled": False,
        "avatar_url": None,
        "churn_date": None,
        "clicked_count": None,
        "click_rate": None,
        "country": None,
        "delivered_count": None,
        "form_id": None,
        "gift_subscription_end_date": None,
        "gift_subscription_message": None,
        "last_click_date": None,
        "last_open_date": None,
        "open_count": None,
        "open_rate": None,
        "purchased_by": None,
        "purchased_message": None,
        "risk_score": None,
        "stripe_coupon": None,
        "stripe_customer_id": subscriber.customer,
        "subscriber_import_id": None,
    }


def _expanded(context: AppContext, subscriber: SubscriberRecord, expand: list[Any]) -> dict[str, Any]:
    """The subscriber's customer id and newest subscription at Stripe, from the ledger."""
    more: dict[str, Any] = {}
    if "stripe_customer" in expand:
        more["stripe_customer"] = {"id": subscriber.customer} if subscriber.customer else None
    if "stripe_subscription" in expand:
        held = subscription_views.list_by_subscriber(context.database, str(subscriber.id)) if subscriber.customer else None
        more["stripe_subscription"] = as_subscription(held[-1]) if held else None
    return more


def _empty_page(context: AppContext, request: Request, id_or_email: str, page: paging.Page) -> JSONResponse:
    if subscriber_admin.find_subscriber(context.database, id_or_email) is None:
        raise_not_found("subscriber")
    return paging.page_response(context, request, page, [], 0)


def _parse_ip(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return str(ipaddress.ip_address(given.partition("%")[0]))
    except ValueError as error:
        raise ApiError(400, "invalid_input", "ip_address is not an IP address.") from error
