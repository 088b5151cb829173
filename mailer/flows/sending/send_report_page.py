"""The report as one self-contained HTML page: no scripts, no external resources, light and dark, for phones and print."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from mailer.core.i18n import local_time
from mailer.flows.sending.send_report import DELAY_BOUNDS_SECONDS, MIN_RATED_EMAILS, SendReport

# In the order of a delivery's life; the page's style gives each a colour and a pattern of its own.
STATES_SHOWN = ("delivered", "accepted", "pending", "claimed", "skipped", "uncertain", "bounced", "complained", "failed")
MEANING = {
    "delivered": "the recipient's server accepted it",
    "accepted": "SES accepted it; no report from the recipient's server yet",
    "pending": "not sent yet",
    "claimed": "being sent now",
    "skipped": "not sent: unsubscribed or suppressed after the audience was frozen",
    "uncertain": "no response from SES: it may or may not have arrived",
    "bounced": "the recipient's server returned it",
    "complained": "the subscriber reported it as spam",
    "failed": "permanently refused",
}


@dataclass(frozen=True)
class Bar:
    """A bar of a chart, in percent of the chart's size, and its tooltip."""

    x: float
    width: float
    height: float
    tooltip: str


@dataclass(frozen=True)
class BarSegment:
    """A segment of a stacked bar, in percent of the bar's length."""

    state: str
    x: float
    width: float
    number: int


def render_report(found: SendReport) -> str:
    """Render the page. It contains no addresses."""
    ceiling = _round_up(max(found.timeline.rates, default=0))
    return _load_template().render(
        report=found,
        send=found.send,
        bars=_make_bars(found, ceiling),
        ceiling=ceiling,
        segments=stack_segments(found.outcomes, found.total),
        states=[state for state in STATES_SHOWN if found.outcomes.get(state)],
        delays=_list_delays(found),
        meaning=MEANING,
    )


def stack_segments(states: dict[str, int], total: int) -> list[BarSegment]:
    """The segments of a stacked bar: one for each state that occurs, in the order of STATES_SHOWN."""
    made: list[BarSegment] = []
    at = 0.0
    for state in STATES_SHOWN:
        if number := states.get(state, 0):
            width = 100 * number / total
            made.append(BarSegment(state, round(at, 3), round(width, 3), number))
            at += width
    return made


def _make_bars(found: SendReport, ceiling: float) -> list[Bar]:
    if not found.timeline.emails or not found.span.first:
        return []
    each = 100 / len(found.timeline.emails)
    return [
        Bar(
            x=round(each * slot, 3),
            width=round(each * 0.86, 3),
            height=round(100 * rate / ceiling, 3),
            tooltip=(
                f"{_format_clock(found.span.first, slot * found.timeline.width)}: {number:,} emails in {found.timeline.width} s"
            ),
        )
        for slot, (number, rate) in enumerate(zip(found.timeline.emails, found.timeline.rates, strict=True))
    ]


def _list_delays(found: SendReport) -> list[tuple[str, int, float]]:
    """Rows of the delay chart: label, number and length of the bar in percent. Empty slots at the end are omitted."""
    names = [f"up to {format_duration(bound)}" for bound in DELAY_BOUNDS_SECONDS] + [
        f"over {format_duration(DELAY_BOUNDS_SECONDS[-1])}"
    ]
    used = max((slot for slot, number in enumerate(found.delays) if number), default=-1) + 1
    highest = max(found.delays)
    return [(names[slot], found.delays[slot], round(100 * found.delays[slot] / highest, 3)) for slot in range(used)]


def _format_clock(first: datetime, seconds: int) -> str:
    return f"{local_time.to_local(first + timedelta(seconds=seconds)):%H:%M:%S}"


def _round_up(highest: float) -> float:
    """The next round number (1, 2, 2.5, 5 or 10 times a power of ten) for the top of an axis."""
    if highest <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(highest))
    return float(next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= highest * 0.999))


def format_duration(seconds: float) -> str:
    """A duration in words."""
    if seconds < 1:
        return "under a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def _format_share(number: int, total: int) -> str:
    """A percentage that never rounds a few to 0 % or a part to 100 %; a dash if the whole is too small for one."""
    if total < MIN_RATED_EMAILS:
        return "–"
    percent = 100 * number / total if total else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    return ">99.9 %" if 99.9 < percent < 100 else f"{percent:.1f} %"


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


@cache
def _load_template() -> jinja2.Template:
    filters: dict[str, Any] = {
        "whole": lambda value: f"{value:,}",
        "number": _format_number,
        "share": _format_share,
        "lasted": format_duration,
        "moment": lambda at: local_time.moment(at, "%d %b %Y, %H:%M:%S") if at else "not yet",
        "local": local_time.to_local,
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent.parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template("report.html")
