"""``/v1/subscribers``: readers, found, listed, added, changed, reminded, erased."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api.common.dependencies import Desk, Here
from api.v1 import paging, schemas
from api.v1.errors import ApiError, not_found, rejected
from api.v1.idempotency import Once
from api.v1.subscriber_filters import PARAMETERS, SOURCES, Asked, Expand, conditions, only_tag
from api.v1.subscriptions import as_subscription
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


@router.get("", responses=schemas.answer("SubscriberPage"), openapi_extra={"parameters": PARAMETERS})
def list_subscribers(desk: Here, request: Request, asked: Asked) -> JSONResponse:
    """Readers, 100 a page, the newest first. `next` leads on at the same speed however deep it is."""
    where = conditions(desk.database, asked)
    try:
        found = subscriber_query.page(desk.database, where, asked.ordering, asked.page, asked.after, only_tag(asked), asked.tag)
    except Rejected as error:
        raise rejected(error) from error
    results = [{**as_subscriber(one), **_expanded(desk, one, asked.expand)} for one in found.members]
    return paging.page(desk, request, results, found.count, asked.page, subscriber_query.PAGE, found.after)


@router.post("", status_code=201, responses=schemas.answer("Subscriber", 201) | schemas.errors(409))
def create_subscriber(
    desk: Here,
    wish: SubscriberInput,
    once: Once,
    collision: Annotated[
        Literal["no_op", "add", "overwrite", "fail"], Header(alias="X-Buttondown-Collision-Behavior")
    ] = "no_op",
    bypass: Annotated[bool, Header(alias="X-Buttondown-Bypass-Firewall")] = False,
) -> Response:
    """Add a reader. One who left, bounced or complained is not brought back by a program."""

    def work() -> JSONResponse:
        given = Wish(
            wish.email_address, wish.tags, wish.metadata, wish.notes, wish.referrer_url,
            {"campaign": wish.utm_campaign, "medium": wish.utm_medium, "source": wish.utm_source},
            wish.type, None, _ip(wish.ip_address),
        )  # fmt: skip
        try:
            added, queued = subscriber_admin.add(desk.database, desk.settings, given, collision)
        except Rejected as error:
            raise rejected(error) from error
        return paging.Quick(as_subscriber(added), 201, background=BackgroundTask(desk.ring) if queued else None)

    return once.answer(work)


@router.get("/{id_or_email}", responses=schemas.answer("Subscriber") | schemas.errors(404))
async def get_subscriber(desk: Here, id_or_email: str, expand: Expand = []) -> JSONResponse:  # noqa: B006
    """One reader, by id or address."""
    found = await subscriber_admin.find_soon(desk.asker, id_or_email)
    if found is None:
        not_found("subscriber")
    more = await run_in_threadpool(_expanded, desk, found, expand) if expand else {}
    return paging.Quick({**as_subscriber(found), **more})


@router.patch("/{id_or_email}", responses=schemas.answer("Subscriber") | schemas.errors(404))
def update_subscriber(desk: Here, id_or_email: str, change: SubscriberUpdateInput) -> JSONResponse:
    """Change a reader; what is left out stays."""
    wish = Wish(
        email=change.email_address,
        tags=change.tags,
        metadata=change.metadata,
        notes=change.notes,
        referrer_url=change.referrer_url,
        kind=change.type,
        reason=change.unsubscription_reason,
    )
    try:
        found = subscriber_admin.change(desk.database, id_or_email, wish)
    except Rejected as error:
        raise rejected(error) from error
    return paging.Quick(as_subscriber(found)) if found else not_found("subscriber")


@router.delete("/{id_or_email}", status_code=204, response_class=Response, responses=schemas.errors(404))
def delete_subscriber(desk: Here, id_or_email: str) -> Response:
    """Erase a reader: a number in the ledger and a keyed hash of the address stay, nothing else."""
    if not subscriber_admin.remove(desk.database, desk.settings, id_or_email):
        not_found("subscriber")
    return Response(status_code=204)


@router.post("/{id_or_email}/send-reminder", responses=schemas.errors(404, 409))
def send_reminder(desk: Here, id_or_email: str) -> JSONResponse:
    """Mail the question for confirmation once more, within the limits that hold for everybody."""
    try:
        queued = subscriber_admin.remind(desk.database, desk.settings, id_or_email)
    except Rejected as error:
        raise ApiError(409, error.code, str(error)) from error
    if queued is None:
        not_found("subscriber")
    if not queued:
        raise ApiError(429, "rate_limited", "This reader was asked just now: try again later.", retry=600)
    return JSONResponse({}, background=BackgroundTask(desk.ring))


@router.post("/{id_or_email}/send-magic-link", responses=schemas.errors(404))
def send_magic_link(desk: Here, id_or_email: str) -> JSONResponse:
    """Mail a reader the link to their own page, within the limits that hold for everybody."""
    queued = subscriber_admin.send_link(desk.database, id_or_email)
    if queued is None:
        not_found("subscriber")
    if not queued:
        raise ApiError(429, "rate_limited", "This reader got a link just now, or is not mailed: try again later.", retry=600)
    return JSONResponse({}, background=BackgroundTask(desk.ring))


@router.get("/{id_or_email}/referrals", responses=schemas.answer("SubscriberPage") | schemas.errors(404))
def get_referrals(desk: Here, request: Request, id_or_email: str, page: paging.PageNumber = 1) -> JSONResponse:
    """Referrals are not counted: always empty."""
    return _nothing(desk, request, id_or_email, page)


@router.get("/{id_or_email}/automations", responses=schemas.answer("AutomationForSubscriberPage") | schemas.errors(404))
def get_automations(desk: Here, request: Request, id_or_email: str, page: paging.PageNumber = 1) -> JSONResponse:
    """Nobody is in an automation: always empty."""
    return _nothing(desk, request, id_or_email, page)


@router.post("/{id_or_email}/emails/{email_id}", status_code=400, responses=schemas.errors(404))
def send_email_to(desk: Here, id_or_email: str, email_id: str) -> Response:
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


def _expanded(desk: Desk, member: Member, expand: list[Any]) -> dict[str, Any]:
    """What is known of the reader at Stripe, from the ledger: the customer's id, and the newest subscription."""
    more: dict[str, Any] = {}
    if "stripe_customer" in expand:
        more["stripe_customer"] = {"id": member.customer} if member.customer else None
    if "stripe_subscription" in expand:
        held = subscription_views.of_reader(desk.database, str(member.id)) if member.customer else None
        more["stripe_subscription"] = as_subscription(held[-1]) if held else None
    return more


def _nothing(desk: Desk, request: Request, id_or_email: str, page: int) -> JSONResponse:
    if subscriber_admin.find(desk.database, id_or_email) is None:
        not_found("subscriber")
    return paging.page(desk, request, [], 0, page)


def _ip(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return str(ipaddress.ip_address(given.partition("%")[0]))
    except ValueError as error:
        raise ApiError(400, "invalid_input", "ip_address is not an IP address.") from error
