"""Development pages: the sent emails, and the ledger. Only `postmerge stack` has them, on loopback."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from api.common.content_policy import allow
from api.common.dependencies import AppContext, Context
from api.common.hosts import LOOPBACK, has_known_host
from api.common.render import HEADERS, render_page
from mailer.core.errors import BadInput
from mailer.core.i18n import local_time
from mailer.flows.sending import ledger_view
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers import subscriber_search
from mailer.transports.outbox import OutboxEmail, list_emails, read_email

_FORWARDED = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})


async def _require_loopback(request: Request) -> None:
    """Answer 404 to other names than this machine's own, even those of POSTMERGE_API_URL, and behind a proxy."""
    if not has_known_host(request.scope, LOOPBACK) or not _FORWARDED.isdisjoint(request.headers):
        raise HTTPException(404)


router = APIRouter(include_in_schema=False, dependencies=[Depends(_require_loopback)])

PAGE = 50  # emails
MAX_SENDS = 100
_SHOWS = {"desktop": "HTML", "phone": "HTML on a phone", "text": "Text", "headers": "Headers"}
# The email may load images and open links in a new tab; it cannot run scripts or submit forms.
_EMAIL_POLICY = (
    "default-src 'none'; img-src * data:; style-src 'unsafe-inline'; font-src * data:; media-src *; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
Number = Annotated[int, Query(ge=1, le=1_000_000)]


@router.get("/outbox")
def show_outbox(context: Context, page_number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1) -> Response:
    """List the emails, newest first."""
    assert context.outbox
    emails, count = list_emails(context.outbox, PAGE, PAGE * (page_number - 1))
    rows = [{"email": email, "when": _format_date(email), "size": _format_size(len(email.raw))} for email in emails]
    return render_page(context, "outbox.html", rows=rows, count=count, number=page_number, pages=_count_pages(count, PAGE))


@router.get("/outbox/{email_id}")
def show_email(context: Context, email_id: str, show: str = "desktop") -> Response:
    """Show an email: as HTML, as text, or its headers."""
    found = _load_email(context, email_id)
    unsubscribe_path = _unsubscribe_path(found)
    chosen = show if show in _SHOWS else "desktop"
    response = render_page(
        context,
        "email.html",
        email=found,
        when=_format_date(found),
        show=chosen,
        shows=_SHOWS,
        unsubscribe_path=unsubscribe_path,
    )
    allow(response, frame_src="'self'")
    return response


@router.get("/outbox/{email_id}/html")
def show_email_html(context: Context, email_id: str) -> Response:
    """Return the email's HTML for the frame: sandboxed, links open in a new tab."""
    html = _load_email(context, email_id).html or "<p>This email has no HTML part."
    base = '<base target="_blank">'
    framed, heads = re.subn(r"(<head\b[^<>]*>)", rf"\1{base}", html, count=1, flags=re.IGNORECASE)
    return HTMLResponse(framed if heads else base + html, headers={**HEADERS, "Content-Security-Policy": _EMAIL_POLICY})


@router.get("/outbox/{email_id}/raw")
def download_email(context: Context, email_id: str) -> Response:
    """Return the email's source, to save or open in an email program."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{email_id}.eml"'}
    return Response(_load_email(context, email_id).raw, media_type="message/rfc822", headers=headers)


@router.get("/ledger")
def show_ledger(
    context: Context, send: Annotated[int, Query(ge=0, lt=2**63)] = 0, lines: Number = 1, people: Number = 1
) -> Response:
    """Show sends with their counts, the deliveries of one (the latest, or ``send``), and the subscribers."""
    sends = list_send_statuses(context.database)[:MAX_SENDS]
    chosen = next((one for one in sends if send in (0, one.send.id)), None)
    shown = subscriber_search.list_page(context.database, people)
    return render_page(
        context,
        "ledger.html",
        sends=sends,
        chosen=chosen,
        lines=ledger_view.list_deliveries(context.database, chosen.send.id, lines) if chosen else [],
        line_number=lines,
        line_pages=_count_pages(sum(chosen.deliveries.values()) if chosen else 0, ledger_view.PAGE_SIZE),
        subscribers=shown.subscribers,
        subscriber_count=shown.count,
        subscriber_number=people,
        subscriber_pages=_count_pages(shown.count, subscriber_search.PAGE_SIZE),
    )


def _load_email(context: AppContext, email_id: str) -> OutboxEmail:
    assert context.outbox
    try:
        return read_email(context.outbox, email_id)
    except BadInput as error:
        raise HTTPException(404, str(error)) from error


def _unsubscribe_path(email: OutboxEmail) -> str:
    """The path of our URL in the List-Unsubscribe header, or ''."""
    header = dict(email.headers).get("List-Unsubscribe", "")
    match = re.search(r"<(https?://[^<>\s]+)>", header)
    path = urlsplit(match[1]).path if match else ""
    return path[path.find("/leave/") :] if re.search(r"/leave/[\w-]+$", path) else ""


def _format_date(email: OutboxEmail) -> str:
    try:
        return local_time.moment(parsedate_to_datetime(email.date), "%d %b %Y, %H:%M:%S")
    except (ValueError, TypeError):
        return email.date


def _format_size(number: int) -> str:
    return f"{number / 1024:.1f} KB"


def _count_pages(count: int, size: int) -> int:
    return max(1, -(-count // size))
