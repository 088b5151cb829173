"""``/v1/emails`` and ``/v1/public/emails``: issues, their sends, and drafts (written by ``drafts``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError, raise_not_found
from api.v1.common.request_validation import Day
from api.v1.operations.account import check_username
from mailer.core import public_ids
from mailer.flows.publishing import drafts
from mailer.flows.sending import issue_overview
from mailer.flows.sending.issue_overview import NO_TEXT, Analytics, IssueOverview
from mailer.store.publishing.drafts import Draft
from mailer.store.sending.issue_overview import IssueRow

router = APIRouter(tags=["Emails"])

HELD_IN_GIT = "Emails are issues in git: edit content/issues/ and merge; `postmerge publish` does the rest."

Words = list[Annotated[str, Field(min_length=1, max_length=300)]]
Status = Literal[
    "draft", "managed_by_rss", "about_to_send", "scheduled", "in_flight", "paused", "deleted", "errored", "sent", "imported",
    "throttled", "resending", "transactional", "suppressed",
]  # fmt: skip
Source = Literal["api", "import", "app", "external_feed", "smtp"]
Archival = Literal["archive_only", "disabled", "enabled", "enabled_for_paid_subscribers", "enabled_for_subscribers"]
EmailType = Literal["public", "private", "premium", "free", "churned", "archival"]
_SORT_COLUMNS = {"creation_date": "dated", "publish_date": "dated", "modification_date": "last_seen_at", "subject": "subject"}
# Not tracked here, so equal for all emails: they stay in the order of their dates.
_EQUAL_FOR_ALL = (
    "email_type", "clicks", "opens", "click_rate", "open_rate", "page_views_lifetime", "page_views_30", "page_views_7",
    "webmentions", "subscriptions", "paid_subscriptions", "replies", "comments", "social_mentions",
)  # fmt: skip
_SORTED_BY_RATE = ("unsubscriptions", "permanent_failure_rate", "complaint_rate")
_PUBLIC = ("sent",)  # what strangers may know of: a scheduled issue may not be in the archive yet
_HISTORY_FIELDS = ("body", "subject", "description")


class EmailFilters(BaseModel):
    """The query of ``GET /v1/emails``. ``not_status`` and ``-status``, the contract's word, mean the same."""

    ordering: str = "creation_date"
    status: list[Status] = []
    not_status: list[Status] = []
    minus_status: list[Status] = Field([], alias="-status")
    ids: Words = []
    subject: str | None = Field(None, min_length=1, max_length=300)
    source: list[Source] = []
    archival_mode: list[Archival] = []
    email_type: list[EmailType] = []
    attachments: Words = []
    snippet_id: Words = []
    excluded_fields: Words = []
    creation_date__start: Day | None = None
    creation_date__end: Day | None = None
    publish_date__start: Day | None = None
    publish_date__end: Day | None = None
    deliveries__start: int | None = None
    deliveries__end: int | None = None
    click_rate__start: float | None = None
    click_rate__end: float | None = None
    open_rate__start: float | None = None
    open_rate__end: float | None = None


@router.get("/emails", responses=schemas.response("EmailPage"))
def list_emails(
    context: Context, request: Request, page: paging.PageQuery, filters: Annotated[EmailFilters, Query()]
) -> JSONResponse:
    """List emails.

    Issues and their sends, 100 per page, oldest first; `ordering=-creation_date` reverses the order.
    """
    rows = [row for row in issue_overview.list_issues(context.database) if _matches(row, filters)]
    if filters.deliveries__start is not None or filters.deliveries__end is not None:
        rows = _filter_by_deliveries(context, rows, filters)
    key, down = _make_sort_key(context, rows, filters.ordering), filters.ordering.startswith("-")
    shown = paging.cut_sorted(page, sorted(rows, key=key, reverse=down), key, down)
    results = as_emails(context, issue_overview.load_overviews(context.database, shown.rows))
    for result in results:
        for name in filters.excluded_fields:
            if name in ("analytics", "attachments"):
                result.pop(name, None)
            elif name in result and isinstance(result[name], str) and name == "body":
                result[name] = ""
    return paging.page_response(context, request, page, results, len(rows), shown.after)


@router.get("/emails/{id}", responses=schemas.response("Email") | schemas.error_responses(404))
def retrieve_email(context: Context, id: str) -> JSONResponse:
    """Retrieve an email.

    An issue with its Markdown as `body` and, once sent, its analytics. `html` and `text` are the two parts of its email.
    """
    found = _find_email(context, id)
    rendered = {"html": found.text.html, "text": found.text.text} if found.text.html else {}
    return JSONResponse(as_emails(context, [found])[0] | rendered)


@router.get("/emails/{id}/analytics", responses=schemas.response("Analytics") | schemas.error_responses(404))
def retrieve_email_analytics(context: Context, id: str) -> JSONResponse:
    """Retrieve an email's analytics.

    Counts of the send from the ledger. Opens and clicks are not tracked and always 0.
    """
    return JSONResponse(_as_analytics(issue_overview.load_analytics(context.database, [_find_email(context, id)])[0]))


@router.get("/emails/{id}/renders", responses=schemas.response("Render") | schemas.error_responses(404))
def retrieve_email_renders(context: Context, id: str, target: Literal["email", "html"] = "email") -> JSONResponse:
    """Retrieve an email's HTML.

    The HTML of the latest edition, with placeholders; of an adopted issue, as its email would be.
    """
    found = _find_email(context, id)
    editions = issue_overview.list_editions(context.database, found)
    html = editions[-1].html if editions else found.text.html
    if not html:
        raise ApiError(404, "not_found", "This issue is not rendered yet: publish it, or read it in the web archive.")
    return JSONResponse({"content": html})


@router.get("/emails/{id}/history", responses=schemas.response("HistoryPage") | schemas.error_responses(404))
def retrieve_email_history(
    context: Context,
    request: Request,
    id: str,
    page: paging.PageQuery,
    field: Annotated[str, Query(min_length=1, max_length=50)] = "body",
    ordering: Literal["creation_date", "-creation_date"] = "creation_date",
    query: Annotated[str, Query(max_length=300)] = "",
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
) -> JSONResponse:
    """List an email's history.

    Every edition that was published. Earlier versions of the text are in git.
    """
    if field not in _HISTORY_FIELDS:
        raise ApiError(400, "invalid_input", f"field must be one of {', '.join(_HISTORY_FIELDS)}.")
    found = [_as_history(one, field) for one in issue_overview.list_editions(context.database, _find_email(context, id))]
    found = [one for one in found if query.lower() in one["value"].lower()]
    down = ordering.startswith("-")
    if down:
        found.reverse()
    shown = paging.cut_sorted(page, found, lambda one: int(one["history_id"]), down)
    return paging.page_response(context, request, page, shown.rows, len(found), shown.after)


@router.get("/emails/{id}/history/body/{history_id}", responses=schemas.response("History") | schemas.error_responses(404))
def retrieve_email_history_by_id(
    context: Context,
    id: str,
    history_id: int,
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
) -> JSONResponse:
    """Retrieve an entry of an email's history.

    The body of one edition.
    """
    for one in issue_overview.list_editions(context.database, _find_email(context, id)):
        if one.id == history_id:
            return JSONResponse(_as_history(one, "body"))
    return raise_not_found("edition")


@router.get("/public/emails/{username}", responses=schemas.response("PublicEmailPage") | schemas.error_responses(404))
def list_public_emails(
    context: Context,
    request: Request,
    username: str,
    page: paging.PageQuery,
    q: Annotated[str, Query(max_length=300)] = "",
) -> JSONResponse:
    """List public emails.

    Title and web address of every issue that was sent or adopted. Needs no key.
    """
    check_username(context, username)
    known = issue_overview.list_issues(context.database)
    rows = [row for row in known if q.lower() in row.subject.lower() and IssueOverview(row, NO_TEXT, {}).status in _PUBLIC]
    shown = paging.cut_sorted(page, sorted(rows, key=_get_place, reverse=True), _get_place, descending=True)
    results = [_as_public_email(context, row) for row in shown.rows]
    return paging.page_response(context, request, page, results, len(rows), shown.after)


def _get_place(row: IssueRow) -> list[str | float]:
    return [row.dated.timestamp(), row.key]


def as_emails(
    context: AppContext, found: Sequence[IssueOverview], known: Mapping[str, Draft] | None = None
) -> list[dict[str, Any]]:
    """Issues and drafts in the contract's shape; one query for all of them. ``known`` has the drafts, if they are known."""
    if known is None:
        known = drafts.list_drafts(context.database) if any(email.status == "draft" for email in found) else {}
    return [
        _as_email(context, email, analytics, known.get(email.row.key))
        for email, analytics in zip(found, issue_overview.load_analytics(context.database, found), strict=True)
    ]


def _as_email(context: AppContext, email: IssueOverview, analytics: Analytics, draft: Draft | None) -> dict[str, Any]:
    row = email.row
    url = _web_url(context, row)
    if draft:
        return _as_email(context, email, analytics, None) | _describe_draft(draft)
    return {
        "id": public_ids.public("em", email.number),
        "creation_date": row.dated.isoformat(),
        "publish_date": (row.due_at or row.dated).isoformat(),
        "modification_date": row.last_seen_at.isoformat(),
        "subject": row.subject,
        "description": row.preheader,
        "body": email.body,
        "status": email.status,
        "slug": row.key,
        "absolute_url": url,
        "canonical_url": url,
        "image": row.image,
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
        "analytics": _as_analytics(analytics) if row.send_id else None,
        "secondary_id": None,
        "should_trigger_pay_per_email_billing": False,
        "suppression_reason": None,
        "template": None,
    }


def _describe_draft(draft: Draft) -> dict[str, Any]:
    """What a draft says in place of what a send does."""
    given = drafts.read_fields(draft.fields)
    place = {
        "branch": draft.branch,
        "path": draft.path,
        "pull_request": draft.pull_request,
        "state": "not pushed" if draft.reason else "pushed",
        "reason": draft.reason,
        "send": given.send if given.is_ready else "no",
        "ignored": list(given.ignored),
    }
    return {
        "body": given.body,
        "source": "api",
        "publish_date": given.send if given.send != "yes" else None,
        "email_type": "premium" if given.premium else "public",
        "metadata": {**given.metadata, **place},
    }


def _matches(row: IssueRow, filters: EmailFilters) -> bool:
    status = IssueOverview(row, NO_TEXT, {}).status
    source = "app" if row.send_id else "import"
    statuses = {status, "imported"} if status == "sent" and not row.send_id else {status}
    numbers = [public_ids.number("em", one) for one in filters.ids]
    rates = (filters.click_rate__start, filters.click_rate__end, filters.open_rate__start, filters.open_rate__end)
    day = row.dated.date()
    published = (row.due_at or row.dated).date()
    return all(
        (
            not filters.status or not statuses.isdisjoint(filters.status),
            statuses.isdisjoint(filters.not_status + filters.minus_status),
            not filters.ids or issue_overview.issue_number(row.key) in numbers,
            filters.subject is None or filters.subject.lower() in row.subject.lower(),
            not filters.source or source in filters.source,
            not filters.archival_mode or "enabled" in filters.archival_mode,
            not filters.email_type or "public" in filters.email_type,
            not filters.attachments and not filters.snippet_id and all(rate is None for rate in rates),
            filters.creation_date__start is None or day >= filters.creation_date__start,
            filters.creation_date__end is None or day <= filters.creation_date__end,
            filters.publish_date__start is None or published >= filters.publish_date__start,
            filters.publish_date__end is None or published <= filters.publish_date__end,
        )
    )


def _make_sort_key(context: AppContext, rows: list[IssueRow], ordering: str) -> Callable[[IssueRow], list[str | float]]:
    """What the rows are sorted by: the column, then the date and the key, so that no two are equal."""
    name = ordering.removeprefix("-")
    if name.startswith("metadata:") and name != "metadata:":
        return _make_metadata_key(context, name.removeprefix("metadata:"))
    known = (*_SORT_COLUMNS, "status", *_SORTED_BY_RATE, *_EQUAL_FOR_ALL)
    if name not in known:
        raise ApiError(
            400,
            "invalid_ordering",
            f"The ordering must be one of {', '.join(known)} or metadata:KEY, with a leading - to reverse it.",
        )
    rates: dict[str, float] = {}
    if name in _SORTED_BY_RATE:
        whole = issue_overview.load_overviews(context.database, rows)
        analytics = zip(whole, issue_overview.load_analytics(context.database, whole), strict=True)
        rates = {email.row.key: _rate_of(one, name) for email, one in analytics}

    def key(row: IssueRow) -> list[str | float]:
        if name in _SORT_COLUMNS:
            value = getattr(row, _SORT_COLUMNS[name])
            first = value if isinstance(value, str) else value.timestamp()
        else:
            first = IssueOverview(row, NO_TEXT, {}).status if name == "status" else rates.get(row.key, 0.0)
        return [first, row.dated.timestamp(), row.key]

    return key


def _make_metadata_key(context: AppContext, name: str) -> Callable[[IssueRow], list[str | float]]:
    known = drafts.list_drafts(context.database)

    def key(row: IssueRow) -> list[str | float]:
        given = known[row.key].fields.get("metadata", {}) if row.key in known else {}
        facts = {**given, "path": row.path, "audience": row.rule}
        return [str(facts.get(name, "")), row.dated.timestamp(), row.key]

    return key


def _rate_of(analytics: Analytics, name: str) -> float:
    among = max(analytics.recipients, 1)
    return {
        "unsubscriptions": float(analytics.unsubscriptions),
        "permanent_failure_rate": analytics.permanent_failures / among,
        "complaint_rate": analytics.complaints / among,
    }[name]


def _filter_by_deliveries(context: AppContext, rows: list[IssueRow], filters: EmailFilters) -> list[IssueRow]:
    def fits(email: IssueOverview) -> bool:
        number = email.counts.get("delivered", 0) + email.counts.get("complained", 0)
        return (filters.deliveries__start or 0) <= number and (
            filters.deliveries__end is None or number <= filters.deliveries__end
        )

    return [email.row for email in issue_overview.load_overviews(context.database, rows) if fits(email)]


def _find_email(context: AppContext, id: str) -> IssueOverview:
    found = issue_overview.find_issue(context.database, id)
    return found if found else raise_not_found("email")


def _as_analytics(found: Analytics) -> dict[str, Any]:
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


def _as_history(one: Any, field: str) -> dict[str, Any]:
    value = {"body": one.source or one.text, "subject": one.subject, "description": one.preheader}[field]
    return {"history_id": one.id, "creation_date": one.created_at.isoformat(), "value": value, "user_id": None}


def _as_public_email(context: AppContext, row: IssueRow) -> dict[str, Any]:
    return {
        "id": public_ids.public("em", issue_overview.issue_number(row.key)),
        "creation_date": row.dated.isoformat(),
        "publish_date": row.dated.isoformat(),
        "subject": row.subject,
        "slug": row.key,
        "description": row.preheader,
        "absolute_url": _web_url(context, row),
    }


def _web_url(context: AppContext, row: IssueRow) -> str:
    return row.url or f"{context.settings.site_url}/"
