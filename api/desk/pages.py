"""The desk's pages: each shows what a flow returns and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from api.common.content_policy import allow
from api.common.dependencies import AppContext, Context
from api.common.render import HEADERS, render_page
from api.desk.authentication import Session
from mailer.core.db import PageRange
from mailer.core.i18n.local_time import format_after
from mailer.flows.operations import api_keys, growth, webhooks
from mailer.flows.operations.desk import desk_access, desk_overview, desk_settings
from mailer.flows.operations.desk.desk_access import DeskSession
from mailer.flows.operations.desk.slow_figures import Figures, read_figures
from mailer.flows.sending import send_report, send_report_page, sequence_control
from mailer.flows.sending.send_report import SendReport
from mailer.flows.sending.send_status import SendStatus, count_deliveries, get_send, list_latest_sends
from mailer.flows.sending.sequence_control import SequenceOverview
from mailer.flows.subscribers import signup_limits
from mailer.store.sending.sends import Send

router = APIRouter(include_in_schema=False)
REFRESH_SECONDS = 3  # of a page whose figures are counted for the first time
DAYS = {7: "7 days", 30: "30 days", 90: "90 days", 365: "a year"}
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
Days = Annotated[int, Query(ge=1, le=3660)]
Number = Annotated[int, Query(ge=1, le=20_000)]


def render_desk(context: AppContext, session: DeskSession, template: str, status: int = 200, **facts: object) -> Response:
    """Render a page of the desk; ``note`` and ``error`` are sentences about what was just done."""
    shown: dict[str, Any] = {"note": "", "error": "", **facts}
    response = render_page(context, f"desk/{template}.html", status, session=session, here=template, **shown)
    allow(response, script_src="'self'", connect_src="'self'")
    return response


@router.get("/desk")
def show_overview(context: Context, session: Session) -> Response:
    """Show whether the newsletter is all right."""
    return render_desk(context, session, "overview", overview=desk_overview.read_overview(context.database, context.settings))


@router.get("/desk/live")
def show_progress(context: Context, session: Session) -> Response:
    """Return the part of the first page that changes while something is sent."""
    return render_desk(context, session, "live", sends=desk_overview.read_progress(context.database))


@router.get("/desk/sends")
def show_sends(context: Context, session: Session) -> Response:
    """List all sends."""
    return show_send_list(context, session)


def show_send_list(context: AppContext, session: DeskSession) -> Response:
    """List the sends, newest first."""
    latest = list_latest_sends(context.database, desk_overview.PAGE_SIZE)
    ids = [send.id for send in latest]
    count = partial(count_deliveries, context.database, ids)
    figures = read_figures(context.database, "sends", dict[int, dict[str, int]], count)
    missing = [send_id for send_id in ids if send_id not in figures.value]
    counts = {**figures.value, **count_deliveries(context.database, missing)}
    rows = [SendStatus(send, counts[send.id]) for send in latest]
    return _with_recount(render_desk(context, session, "sends", sends=rows, figures=figures), figures)


def _with_recount(response: Response, figures: Figures[Any]) -> Response:
    """Count old figures again behind the response."""
    if figures.recount:
        response.background = BackgroundTask(figures.recount)
    if figures.pending:
        response.headers["Refresh"] = str(REFRESH_SECONDS)
    return response


@router.get("/desk/sends/{send_id}")
def show_send(context: Context, session: Session, send_id: int) -> Response:
    """Show a send with its controls and outcomes."""
    return render_send(context, session, send_id)


def render_send(
    context: AppContext, session: DeskSession, send_id: int, status: int = 200, note: str = "", error: str = ""
) -> Response:
    """Render the page of a send."""
    figures = _read_report(context, send_id, wait=False)
    report = replace(figures.value, send=_find_send(context, send_id))
    states = [state for state in send_report_page.STATES_SHOWN if report.outcomes.get(state)]
    meaning = send_report_page.MEANING
    response = render_desk(
        context, session, "send", status, report=report, states=states, meaning=meaning, figures=figures, note=note, error=error
    )
    return _with_recount(response, figures)


@router.get("/desk/sends/{send_id}/report")
def show_report(context: Context, session: Session, send_id: int) -> Response:
    """Show the report as `postmerge report --html` writes it."""
    figures = _read_report(context, send_id)
    page = send_report_page.render_report(figures.value)
    response = HTMLResponse(page, headers={**HEADERS, "Content-Security-Policy": _REPORT_POLICY})
    return _with_recount(response, figures)


def _read_report(context: AppContext, send_id: int, wait: bool = True) -> Figures[SendReport]:
    send = _find_send(context, send_id)
    make = partial(send_report.make_report, context.database, f"send:{send_id}")
    empty = None if wait else partial(send_report.make_empty, send)
    return read_figures(context.database, f"send {send_id}", SendReport, make, send.audience_size or 0, empty)


def _find_send(context: AppContext, send_id: int) -> Send:
    found = get_send(context.database, send_id)
    if found is None:
        raise HTTPException(404)
    return found


@router.get("/desk/sequences")
def show_sequences(context: Context, session: Session) -> Response:
    """Show who is in which sequence, and at which step."""
    return render_sequences(context, session)


def render_sequences(context: AppContext, session: DeskSession, status: int = 200, note: str = "", error: str = "") -> Response:
    """Render the sequences with their controls; their states are exact, whatever the age of the figures."""
    count = partial(sequence_control.list_sequences, context.database)
    shape, rows = list[SequenceOverview], growth.count_all(context.database)
    figures: Figures[list[SequenceOverview]] = read_figures(context.database, "sequences", shape, count, rows, list)
    states = sequence_control.list_states(context.database)
    found = [replace(one, state=states.get(one.name, one.state)) for one in figures.value]
    response = render_desk(
        context, session, "sequences", status, sequences=found, figures=figures, note=note, error=error,
        after=lambda time: format_after(round(time.total_seconds())),
    )  # fmt: skip
    return _with_recount(response, figures)


@router.get("/desk/growth")
def show_growth(context: Context, session: Session, days: Days = 30) -> Response:
    """Show growth and churn."""
    measure = partial(growth.measure_growth, context.database, context.settings, days)
    figures = read_figures(
        context.database, f"growth {days}", growth.Growth, measure, growth.count_all(context.database),
        partial(growth.make_empty, context.database, days),
    )  # fmt: skip
    response = render_desk(
        context, session, "growth", found=figures.value, days=days, choices=DAYS, counted=growth.COUNTED,
        after=growth.COHORT_MONTHS, figures=figures,
    )  # fmt: skip
    return _with_recount(response, figures)


@router.get("/desk/bounces")
def show_bounces(context: Context, session: Session, days: Days = 30) -> Response:
    """Show bounces and complaints by domain."""
    domains = desk_overview.list_bouncing_domains(context.database, days)
    return render_desk(context, session, "bounces", domains=domains, days=days, choices=DAYS)


@router.get("/desk/suppressions")
def show_suppressions(context: Context, session: Session, q: str = "", page: Number = 1) -> Response:
    """List suppressed addresses."""
    return render_suppressions(context, session, q, page)


def render_suppressions(
    context: AppContext, session: DeskSession, q: str = "", page: int = 1, status: int = 200, note: str = "", error: str = ""
) -> Response:
    """Render the list of suppressed addresses."""
    rows, number = desk_overview.list_suppressions(context.database, q, page)
    pages = max(1, -(-number // desk_overview.PAGE_SIZE))
    return render_desk(
        context, session, "suppressions", status, rows=rows, number=number, q=q, page=page, pages=pages, note=note, error=error
    )


@router.get("/desk/held")
def show_held(context: Context, session: Session) -> Response:
    """List sign-ups held for review."""
    return render_held(context, session)


def render_held(context: AppContext, session: DeskSession, status: int = 200, note: str = "", error: str = "") -> Response:
    """Render the list of held sign-ups."""
    firewall, held, number = signup_limits.get_held_overview(context.database)
    return render_desk(context, session, "held", status, firewall=firewall, held=held, number=number, note=note, error=error)


@router.get("/desk/webhooks")
def show_webhooks(context: Context, session: Session) -> Response:
    """List webhooks and their latest messages."""
    return render_webhooks(context, session)


def render_webhooks(context: AppContext, session: DeskSession, status: int = 200, note: str = "", error: str = "") -> Response:
    """Render webhooks with their latest messages."""
    found = webhooks.list_webhooks(context.database)
    states = ("pending", "claimed", "delivered", "failed")
    latest = {one["id"]: webhooks.list_messages(context.database, one["id"], states, PageRange(10))[0] for one in found}
    return render_desk(context, session, "webhooks", status, webhooks=found, latest=latest, note=note, error=error)


@router.get("/desk/keys")
def show_keys(context: Context, session: Session) -> Response:
    """List the keys of the API."""
    return render_keys(context, session)


def render_keys(context: AppContext, session: DeskSession, status: int = 200, note: str = "", error: str = "") -> Response:
    """Render the keys of the API."""
    keys = api_keys.list_keys(context.database)
    return render_desk(context, session, "keys", status, keys=keys, note=note, error=error)


@router.get("/desk/imports")
def show_imports(context: Context, session: Session) -> Response:
    """List imports."""
    return render_desk(context, session, "imports", imports=desk_overview.list_imports(context.database))


@router.get("/desk/settings")
def show_settings(context: Context, session: Session) -> Response:
    """Show the settings in force, with secrets hidden."""
    return render_desk(context, session, "settings", settings=desk_settings.list_settings(context.settings))


@router.get("/desk/log")
def show_log(context: Context, session: Session) -> Response:
    """Show what operators did."""
    return render_desk(context, session, "log", acts=desk_access.list_acts(context.database))
