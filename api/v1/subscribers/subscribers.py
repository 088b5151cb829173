"""``/v1/subscribers``: readers, found, listed, added, changed, reminded, erased."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError, make_rejection_error, raise_not_found
from api.v1.common.idempotency import Idempotent
from api.v1.subscribers.stripe_subscriptions import as_subscription
from api.v1.subscribers.subscriber_filters import PARAMETERS, SOURCES, Expand, FilterQuery, build_conditions, get_only_tag
from mailer.core import public_ids
from mailer.flows.billing import subscription_views
from mailer.flows.subscribers import subscriber_admin, subscriber_query
from mailer.flows.subscribers.subscriber_admin import Rejected, Wish
from mailer.store.subscribers.subscriber_admin import Member

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
    "left": "unsubscribed",
    "paused": "paused",
    "resumed": "regular",
}
_UNDELIVERABLE = {"hard bounce": "hard_bounce", "soft bounces": "transient"}


class SubscriberInput(BaseModel):
    """A reader to add. ``regular`` says that you have evidence that they asked; otherwise a confirmation mail asks them."""

    model_config = ConfigDict(extra="forbid")

    email_address: str = Field(max_length=254)
    notes: Text = ""
    metadata: dict[str, Any] = {}
    tags: Tags = []
    referrer_url: Url = ""
    utm_campaign: Short = ""
    utm_medium: Short = ""
    utm_source: Short = ""
    referring_subscriber_id: str | None = Field(None, max_length=50)
    type: Kind | None = None
    ip_address: str | None = Field(None, max_length=45)


class SubscriberUpdateInput(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    commenting_disabled: bool | None = None
    email_address: str | None = Field(None, max_length=254)
    notes: Text | None = None
    metadata: dict[str, Any] | None = None
    tags: Tags | None = None
    referrer_url: Url | None = None
    type: Kind | None = None
    unsubscription_reason: Text | None = None
    email_which_prompted_unsubscription_id: str | None = Field(None, max_length=50)


@router.get("", responses=schemas.response("SubscriberPage"), openapi_extra={"parameters": PARAMETERS})
def list_subscribers(context: Context, request: Request, filters: FilterQuery) -> JSONResponse:
    """Readers, 100 a page, the newest first. `next` leads on at the same speed however deep it is."""
    where = build_conditions(context.database, filters)
    try:
        found = subscriber_query.page(
            context.database, where, filters.ordering, filters.page, filters.after, get_only_tag(filters), filters.tag
        )
    except Rejected as error:
        raise make_rejection_error(error) from error
    results = [{**as_subscriber(one), **_expanded(context, one, filters.expand)} for one in found.members]
    return paging.page_response(context, request, results, found.count, filters.page, subscriber_query.PAGE, found.after)


@router.post("", status_code=201, responses=schemas.response("Subscriber", 201) | schemas.error_responses(409))
def create_subscriber(
    context: Context,
    payload: SubscriberInput,
    idempotent: Idempotent,
    collision: Annotated[
        Literal["no_op", "add", "overwrite", "fail"], Header(alias="X-Buttondown-Collision-Behavior")
    ] = "no_op",
    bypass: Annotated[bool, Header(alias="X-Buttondown-Bypass-Firewall")] = False,
) -> Response:
    """Add a reader. One who left, bounced or complained is not brought back by a program."""

    def work() -> JSONResponse:
        given = Wish(
            payload.email_address, payload.tags, payload.metadata, payload.notes, payload.referrer_url,
            {"campaign": payload.utm_campaign, "medium": payload.utm_medium, "source": payload.utm_source},
            payload.type, None, _parse_ip(payload.ip_address),
        )  # fmt: skip
        try:
            added, queued = subscriber_admin.add(context.database, context.settings, given, collision)
        except Rejected as error:
            raise make_rejection_error(error) from error
        return paging.OrjsonResponse(
            as_subscriber(added), 201, background=BackgroundTask(context.wake_transactional) if queued else None
        )

    return idempotent.run(work)


@router.get("/{id_or_email}", responses=schemas.response("Subscriber") | schemas.error_responses(404))
async def retrieve_subscriber(context: Context, id_or_email: str, expand: Expand = []) -> JSONResponse:  # noqa: B006
    """One reader, by id or address."""
    found = await subscriber_admin.find_soon(context.asker, id_or_email)
    if found is None:
        raise_not_found("subscriber")
    more = await run_in_threadpool(_expanded, context, found, expand) if expand else {}
    return paging.OrjsonResponse({**as_subscriber(found), **more})


@router.patch("/{id_or_email}", responses=schemas.response("Subscriber") | schemas.error_responses(404))
def update_subscriber(context: Context, id_or_email: str, change: SubscriberUpdateInput) -> JSONResponse:
    """Change a reader; what is left out stays."""
    payload = Wish(
        email=change.email_address,
        tags=change.tags,
        metadata=change.metadata,
        notes=change.notes,
        referrer_url=change.referrer_url,
        kind=change.type,
        reason=change.unsubscription_reason,
    )
    try:
        found = subscriber_admin.change(context.database, id_or_email, payload)
    except Rejected as error:
        raise make_rejection_error(error) from error
    return paging.OrjsonResponse(as_subscriber(found)) if found else raise_not_found("subscriber")


@router.delete("/{id_or_email}", status_code=204, response_class=Response, responses=schemas.error_responses(404))
def delete_subscriber(context: Context, id_or_email: str) -> Response:
    """Erase a reader: a number in the ledger and a keyed hash of the address stay, nothing else."""
    if not subscriber_admin.remove(context.database, context.settings, id_or_email):
        raise_not_found("subscriber")
    return Response(status_code=204)


@router.post("/{id_or_email}/send-reminder", responses=schemas.error_responses(404, 409))
def send_reminder(context: Context, id_or_email: str) -> JSONResponse:
    """Mail the question for confirmation once more, within the limits that hold for everybody."""
    try:
        queued = subscriber_admin.remind(context.database, context.settings, id_or_email)
    except Rejected as error:
        raise ApiError(409, error.code, str(error)) from error
    if queued is None:
        raise_not_found("subscriber")
    if not queued:
        raise ApiError(429, "rate_limited", "This reader was asked just now: try again later.", retry=600)
    return JSONResponse({}, background=BackgroundTask(context.wake_transactional))


@router.post("/{id_or_email}/send-magic-link", responses=schemas.error_responses(404))
def send_magic_link_to_subscriber(context: Context, id_or_email: str) -> JSONResponse:
    """Mail a reader the link to their own page, within the limits that hold for everybody."""
    queued = subscriber_admin.send_link(context.database, id_or_email)
    if queued is None:
        raise_not_found("subscriber")
    if not queued:
        raise ApiError(429, "rate_limited", "This reader got a link just now, or is not mailed: try again later.", retry=600)
    return JSONResponse({}, background=BackgroundTask(context.wake_transactional))


@router.get("/{id_or_email}/referrals", responses=schemas.response("SubscriberPage") | schemas.error_responses(404))
def get_referrals(context: Context, request: Request, id_or_email: str, page: paging.PageNumber = 1) -> JSONResponse:
    """Referrals are not counted: always empty."""
    return _empty_page(context, request, id_or_email, page)


@router.get(
    "/{id_or_email}/automations", responses=schemas.response("AutomationForSubscriberPage") | schemas.error_responses(404)
)
def get_automations(context: Context, request: Request, id_or_email: str, page: paging.PageNumber = 1) -> JSONResponse:
    """Nobody is in an automation: always empty."""
    return _empty_page(context, request, id_or_email, page)


@router.post("/{id_or_email}/emails/{email_id}", status_code=400, responses=schemas.error_responses(404))
def send_email_to(context: Context, id_or_email: str, email_id: str) -> Response:
    """Refused: an issue goes to its audience, once, when it is published."""
    raise ApiError(400, "not_here", "An issue is mailed to its whole audience by `postmerge publish`, never to one reader.")


def as_subscriber(member: Member) -> dict[str, Any]:
    """A reader in the contract's shape. Opens and clicks are not measured: null."""
    kind = subscriber_admin.kind_of(member)
    bounced = _UNDELIVERABLE.get(member.suppressed)
    suppressed_at = member.suppressed_at.isoformat() if member.suppressed_at and bounced else None
    return {
        "id": public_ids.public("sub", member.id),
        "secondary_id": member.id,
        "creation_date": member.created_at.isoformat(),
        "email_address": member.email,
        "type": kind,
        "tags": member.tags,
        "metadata": member.metadata,
        "notes": member.notes,
        "source": _SOURCE.get(member.source, "organic"),
        "ip_address": member.ip,
        "referral_code": str(member.id),
        "referrer_url": member.referrer_url,
        "utm_campaign": member.utm_campaign,
        "utm_medium": member.utm_medium,
        "utm_source": member.utm_source,
        "bounce_date": suppressed_at,
        "bounce_reason": bounced,
        "undeliverability_date": suppressed_at,
        "undeliverability_reason": bounced,
        "unsubscription_date": member.left_at.isoformat() if member.left_at else None,
        "unsubscription_reason": member.leaving_reason or None,
        "upgrade_date": member.upgraded_at.isoformat() if member.premium and member.upgraded_at else None,
        "transitions": [{"date": at, "type": _TRANSITIONS[what]} for at, what in member.history if what in _TRANSITIONS],
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
        "stripe_customer_id": member.customer,
        "subscriber_import_id": None,
    }


def _expanded(context: AppContext, member: Member, expand: list[Any]) -> dict[str, Any]:
    """What is known of the reader at Stripe, from the ledger: the customer's id, and the newest subscription."""
    more: dict[str, Any] = {}
    if "stripe_customer" in expand:
        more["stripe_customer"] = {"id": member.customer} if member.customer else None
    if "stripe_subscription" in expand:
        held = subscription_views.of_reader(context.database, str(member.id)) if member.customer else None
        more["stripe_subscription"] = as_subscription(held[-1]) if held else None
    return more


def _empty_page(context: AppContext, request: Request, id_or_email: str, page: int) -> JSONResponse:
    if subscriber_admin.find(context.database, id_or_email) is None:
        raise_not_found("subscriber")
    return paging.page_response(context, request, [], 0, page)


def _parse_ip(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return str(ipaddress.ip_address(given.partition("%")[0]))
    except ValueError as error:
        raise ApiError(400, "invalid_input", "ip_address is not an IP address.") from error
