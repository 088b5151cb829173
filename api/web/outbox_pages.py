"""Development pages: the sent emails, and the ledger."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext, Context
from api.common.render import HEADERS, render_page
from mailer.core.errors import BadInput
from mailer.flows.sending import ledger_view
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers import subscriber_search
from mailer.transports.outbox import OutboxEmail, list_emails, read_email

router = APIRouter(include_in_schema=False)

PAGE = 50  # emails
MAX_SENDS = 100
_SHOWS = {"desktop": "HTML", "phone": "HTML on a phone", "text": "Text", "headers": "Headers"}
# The email may load images and open links in a new tab; it cannot run scripts or submit forms.
_MAIL_POLICY = (
    "default-src 'none'; img-src * data:; style-src 'unsafe-inline'; font-src * data:; media-src *; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
Number = Annotated[int, Query(ge=1, le=1_000_000)]


@router.get("/outbox")
def show_outbox(context: Context, page_number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1) -> Response:
    """List the emails, newest first."""
    assert context.outbox
    mails, count = list_emails(context.outbox, PAGE, PAGE * (page_number - 1))
    rows = [{"mail": mail, "when": _when(mail), "size": _size(len(mail.raw))} for mail in mails]
    return render_page(context, "outbox.html", rows=rows, count=count, number=page_number, pages=_pages(count, PAGE))


@router.get("/outbox/{mail_id}")
def show_email(context: Context, mail_id: str, show: str = "desktop") -> Response:
    """Show an email: as HTML, as text, or its headers."""
    found = _read(context, mail_id)
    leave_path = _unsubscribe_path(found)
    chosen = show if show in _SHOWS else "desktop"
    response = render_page(
        context, "mail.html", mail=found, when=_when(found), show=chosen, shows=_SHOWS, leave_path=leave_path
    )
    response.headers["Content-Security-Policy"] += "; frame-src 'self'"
    return response


@router.get("/outbox/{mail_id}/html")
def show_email_html(context: Context, mail_id: str) -> Response:
    """Return the email's HTML for the frame: sandboxed, links open in a new tab."""
    html = _read(context, mail_id).html or "<p>This email has no HTML part."
    base = '<base target="_blank">'
    framed, heads = re.subn(r"(<head\b[^<>]*>)", rf"\1{base}", html, count=1, flags=re.IGNORECASE)
    return HTMLResponse(framed if heads else base + html, headers={**HEADERS, "Content-Security-Policy": _MAIL_POLICY})


@router.get("/outbox/{mail_id}/raw")
def download_email(context: Context, mail_id: str) -> Response:
    """Return the email's source, to save or open in an email program."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{mail_id}.eml"'}
    return Response(_read(context, mail_id).raw, media_type="message/rfc822", headers=headers)


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
        line_pages=_pages(sum(chosen.deliveries.values()) if chosen else 0, ledger_view.PAGE_SIZE),
        readers=shown.subscribers,
        reader_count=shown.count,
        reader_number=people,
        reader_pages=_pages(shown.count, subscriber_search.PAGE_SIZE),
    )


def _read(context: AppContext, mail_id: str) -> OutboxEmail:
    assert context.outbox
    try:
        return read_email(context.outbox, mail_id)
    except BadInput as error:
        raise HTTPException(404, str(error)) from error


def _unsubscribe_path(mail: OutboxEmail) -> str:
    """The path of our URL in the List-Unsubscribe header, or ''."""
    header = dict(mail.headers).get("List-Unsubscribe", "")
    match = re.search(r"<(https?://[^<>\s]+)>", header)
    path = urlsplit(match[1]).path if match else ""
    return path[path.find("/leave/") :] if re.search(r"/leave/[\w-]+$", path) else ""


def _when(mail: OutboxEmail) -> str:
    try:
        return f"{parsedate_to_datetime(mail.date):%d %b %Y, %H:%M:%S}"
    except (ValueError, TypeError):
        return mail.date


def _size(number: int) -> str:
    return f"{number / 1024:.1f} KB"


def _pages(count: int, size: int) -> int:
    return max(1, -(-count // size))
