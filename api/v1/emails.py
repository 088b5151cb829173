"""``/v1/emails`` and ``/v1/public/emails``: issues and how their sends went. Read only: the truth is in git."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import Desk, Here
from api.v1 import paging, schemas
from api.v1.account import check_username
from api.v1.errors import ApiError, not_found
from mailer.core import public_ids
from mailer.flows.sending import issue_overview
from mailer.flows.sending.issue_overview import Analytics, Mail
from mailer.store.sending.issue_overview import Row

router = APIRouter(tags=["Emails"])

Words = list[Annotated[str, Field(max_length=300)]]
Status = Literal[
    "draft", "managed_by_rss", "about_to_send", "scheduled", "in_flight", "paused", "deleted", "errored", "sent", "imported",
    "throttled", "resending", "transactional", "suppressed",
]  # fmt: skip
Source = Literal["api", "import", "app", "external_feed", "smtp"]
Archival = Literal["archive_only", "disabled", "enabled", "enabled_for_paid_subscribers", "enabled_for_subscribers"]
EmailType = Literal["public", "private", "premium", "free", "churned", "archival"]
_ORDERS = {"creation_date": "dated", "publish_date": "dated", "modification_date": "last_seen_at", "subject": "subject"}
# What is not counted here is the same for all: they stay in the order of their dates.
_ALIKE = (
    "email_type", "clicks", "opens", "click_rate", "open_rate", "page_views_lifetime", "page_views_30", "page_views_7",
    "webmentions", "subscriptions", "paid_subscriptions", "replies", "comments", "social_mentions",
)  # fmt: skip
_COUNTED = ("unsubscriptions", "permanent_failure_rate", "complaint_rate")
_FIELDS = ("body", "subject", "description")


class Filters(BaseModel):
    """The query of ``GET /v1/emails``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    page: int = Field(1, ge=1, le=1_000_000)
    ordering: str = "creation_date"
    status: list[Status] = []
    not_status: list[Status] = Field([], alias="-status")
    ids: Words = []
    subject: str | None = Field(None, max_length=300)
    source: list[Source] = []
    archival_mode: list[Archival] = []
    email_type: list[EmailType] = []
    attachments: Words = []
    snippet_id: Words = []
    excluded_fields: Words = []
    creation_date__start: date | None = None
    creation_date__end: date | None = None
    publish_date__start: date | None = None
    publish_date__end: date | None = None
    deliveries__start: int | None = None
    deliveries__end: int | None = None
    click_rate__start: float | None = None
    click_rate__end: float | None = None
    open_rate__start: float | None = None
    open_rate__end: float | None = None


@router.get("/emails", responses=schemas.answer("EmailPage"))
def list_emails(desk: Here, request: Request, asked: Annotated[Filters, Query()]) -> JSONResponse:
    """Issues, 100 a page, the oldest first as in the contract; `ordering=-creation_date` turns it."""
    rows = _ordered(desk, [row for row in issue_overview.every(desk.database) if _fits(row, asked)], asked.ordering)
    if asked.deliveries__start is not None or asked.deliveries__end is not None:
        rows = _by_deliveries(desk, rows, asked)
    shown = issue_overview.whole(desk.database, paging.cut(rows, asked.page))
    results = as_emails(desk, shown)
    for result in results:
        for name in asked.excluded_fields:
            if name in ("analytics", "attachments"):
                result.pop(name, None)
            elif name in result and isinstance(result[name], str) and name == "body":
                result[name] = ""
    return paging.page(desk, request, results, len(rows), asked.page)


@router.get("/emails/{id}", responses=schemas.answer("Email") | schemas.errors(404))
def get_email(desk: Here, id: str) -> JSONResponse:
    """One issue."""
    return JSONResponse(as_emails(desk, [_mail(desk, id)])[0])


@router.get("/emails/{id}/analytics", responses=schemas.answer("Analytics") | schemas.errors(404))
def email_analytics(desk: Here, id: str) -> JSONResponse:
    """How its send went, from the ledger. Opens and clicks are not measured: 0."""
    return JSONResponse(_analytics(issue_overview.analytics(desk.database, [_mail(desk, id)])[0]))


@router.get("/emails/{id}/renders", responses=schemas.answer("Render") | schemas.errors(404))
def email_renders(desk: Here, id: str, target: Literal["email", "html"] = "email") -> JSONResponse:
    """The HTML of the mail as it was handed over, placeholders unfilled."""
    editions = issue_overview.history(desk.database, _mail(desk, id))
    if not editions:
        raise ApiError(404, "not_found", "This issue was never handed over for mailing: its page is on the web.")
    return JSONResponse({"content": editions[-1].html})


@router.get("/emails/{id}/history", responses=schemas.answer("HistoryPage") | schemas.errors(404))
def email_history(
    desk: Here,
    request: Request,
    id: str,
    field: Annotated[str, Query(min_length=1, max_length=50)] = "body",
    ordering: Literal["creation_date", "-creation_date"] = "creation_date",
    query: Annotated[str, Query(max_length=300)] = "",
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
    page: paging.PageNumber = 1,
    page_size: paging.PageSize = paging.PAGE,
) -> JSONResponse:
    """Every edition that was handed over; older words are in git."""
    if field not in _FIELDS:
        raise ApiError(400, "invalid_input", f"The history knows the fields {', '.join(_FIELDS)}.")
    found = [_history(one, field) for one in issue_overview.history(desk.database, _mail(desk, id))]
    found = [one for one in found if query.lower() in one["value"].lower()]
    if ordering.startswith("-"):
        found.reverse()
    return paging.page(desk, request, paging.cut(found, page, page_size), len(found), page, page_size)


@router.get("/emails/{id}/history/body/{history_id}", responses=schemas.answer("History") | schemas.errors(404))
def email_history_one(
    desk: Here,
    id: str,
    history_id: int,
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
) -> JSONResponse:
    """One edition's body."""
    for one in issue_overview.history(desk.database, _mail(desk, id)):
        if one.id == history_id:
            return JSONResponse(_history(one, "body"))
    return not_found("edition")


@router.get("/public/emails/{username}", responses=schemas.answer("PublicEmailPage") | schemas.errors(404))
def public_emails(
    desk: Here,
    request: Request,
    username: str,
    q: Annotated[str, Query(max_length=300)] = "",
    page: paging.PageNumber = 1,
) -> JSONResponse:
    """What is public: title and address of each issue."""
    check_username(desk, username)
    rows = [row for row in issue_overview.every(desk.database) if q.lower() in row.subject.lower()]
    results = [_public(desk, row) for row in paging.cut(rows, page)]
    return paging.page(desk, request, results, len(rows), page)


def as_emails(desk: Desk, found: Sequence[Mail]) -> list[dict[str, Any]]:
    """Issues in the contract's shape; the ledger is asked once for all of them."""
    return [_email(desk, mail, went) for mail, went in zip(found, issue_overview.analytics(desk.database, found), strict=True)]


def _email(desk: Desk, mail: Mail, went: Analytics) -> dict[str, Any]:
    row = mail.row
    url = _url(desk, row)
    return {
        "id": public_ids.public("em", mail.number),
        "creation_date": row.dated.isoformat(),
        "publish_date": (row.due_at or row.dated).isoformat(),
        "modification_date": row.last_seen_at.isoformat(),
        "subject": row.subject,
        "description": row.preheader,
        "body": mail.body,
        "status": mail.status,
        "slug": row.key,
        "absolute_url": url,
        "canonical_url": url,
        "image": "",
        "source": "app" if row.send_id else "import",
        "email_type": "public",
        "archival_mode": "enabled",
        "commenting_mode": "disabled",
        "featured": False,
        "filters": {"filters": [], "groups": [], "predicate": "and"},
        "metadata": {"path": row.path, "audience": row.rule},
        "related_email_ids": [],
        "attachments": [],
        "callouts": [],
        "analytics": _analytics(went) if row.send_id else None,
        "secondary_id": None,
        "should_trigger_pay_per_email_billing": False,
        "suppression_reason": None,
        "template": None,
    }


def _fits(row: Row, asked: Filters) -> bool:
    status = Mail(row, "", {}).status
    source = "app" if row.send_id else "import"
    numbers = [public_ids.number("em", one) for one in asked.ids]
    rates = (asked.click_rate__start, asked.click_rate__end, asked.open_rate__start, asked.open_rate__end)
    day = row.dated.date()
    published = (row.due_at or row.dated).date()
    return all(
        (
            not asked.status or status in asked.status,
            status not in asked.not_status,
            not asked.ids or issue_overview.number(row.key) in numbers,
            asked.subject is None or asked.subject.lower() in row.subject.lower(),
            not asked.source or source in asked.source,
            not asked.archival_mode or "enabled" in asked.archival_mode,
            not asked.email_type or "public" in asked.email_type,
            not asked.attachments and not asked.snippet_id and all(rate is None for rate in rates),
            asked.creation_date__start is None or day >= asked.creation_date__start,
            asked.creation_date__end is None or day <= asked.creation_date__end,
            asked.publish_date__start is None or published >= asked.publish_date__start,
            asked.publish_date__end is None or published <= asked.publish_date__end,
        )
    )


def _ordered(desk: Desk, rows: list[Row], ordering: str) -> list[Row]:
    down, name = ordering.startswith("-"), ordering.removeprefix("-")
    known = (*_ORDERS, "status", *_COUNTED, *_ALIKE)
    if name not in known:
        raise ApiError(400, "invalid_ordering", f"The ordering must be one of {', '.join(known)}, with - in front to turn it.")
    dated = sorted(rows, key=lambda row: row.dated, reverse=down)
    if name in _ALIKE:
        return dated
    if name == "status":
        return sorted(dated, key=lambda row: Mail(row, "", {}).status, reverse=down)
    if name in _COUNTED:
        whole = issue_overview.whole(desk.database, dated)
        went = list(zip(whole, issue_overview.analytics(desk.database, whole), strict=True))
        return [mail.row for mail, _ in sorted(went, key=lambda one: _counted(one[1], name), reverse=down)]
    return sorted(rows, key=lambda row: getattr(row, _ORDERS[name]), reverse=down)


def _counted(went: Analytics, name: str) -> float:
    among = max(went.recipients, 1)
    return {
        "unsubscriptions": float(went.unsubscriptions),
        "permanent_failure_rate": went.permanent_failures / among,
        "complaint_rate": went.complaints / among,
    }[name]


def _by_deliveries(desk: Desk, rows: list[Row], asked: Filters) -> list[Row]:
    def fits(mail: Mail) -> bool:
        number = mail.counts.get("delivered", 0) + mail.counts.get("complained", 0)
        return (asked.deliveries__start or 0) <= number and (asked.deliveries__end is None or number <= asked.deliveries__end)

    return [mail.row for mail in issue_overview.whole(desk.database, rows) if fits(mail)]


def _mail(desk: Desk, id: str) -> Mail:
    found = issue_overview.find(desk.database, id)
    return found if found else not_found("email")


def _analytics(found: Analytics) -> dict[str, Any]:
    facts = {name: value for name, value in vars(found).items() if name not in ("bounced", "failed")}
    reasons = [("hard_bounce", found.bounced), ("other", found.failed)]
    none = ("opens", "clicks", "survey_responses", "webmentions", "page_views_lifetime", "page_views_30", "page_views_7",
            "subscriptions", "paid_subscriptions", "replies", "comments", "social_mentions")  # fmt: skip
    return {
        **facts,
        **dict.fromkeys(none, 0),
        "temporary_failure_breakdown": [],
        "permanent_failure_breakdown": [{"code": code, "count": number} for code, number in reasons if number],
    }


def _history(one: Any, field: str) -> dict[str, Any]:
    value = {"body": one.text, "subject": one.subject, "description": one.preheader}[field]
    return {"history_id": one.id, "creation_date": one.created_at.isoformat(), "value": value, "user_id": None}


def _public(desk: Desk, row: Row) -> dict[str, Any]:
    return {
        "id": public_ids.public("em", issue_overview.number(row.key)),
        "creation_date": row.dated.isoformat(),
        "publish_date": row.dated.isoformat(),
        "subject": row.subject,
        "slug": row.key,
        "description": row.preheader,
        "absolute_url": _url(desk, row),
    }


def _url(desk: Desk, row: Row) -> str:
    return row.url or f"{desk.settings.site_url}/"
