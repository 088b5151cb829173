"""The report as one self-contained HTML page: no script, nothing fetched, light and dark, for a phone and for paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2

from mailer.flows.sending.send_report import DELAYS, Report

# In the order of a mail's life; each has a colour and a sign of its own in the page's style.
SHOWN = ("delivered", "accepted", "pending", "claimed", "skipped", "uncertain", "bounced", "complained", "failed")
MEANING = {
    "delivered": "the reader's server took it",
    "accepted": "SES took it; no word from the reader's server",
    "pending": "waits",
    "claimed": "on the wire now",
    "skipped": "not mailed: left or suppressed after the audience was frozen",
    "uncertain": "the answer was lost: it may or may not have arrived",
    "bounced": "the reader's server sent it back",
    "complained": "the reader called it spam",
    "failed": "refused for good",
}


@dataclass(frozen=True)
class Bar:
    """A bar of a plot, in percent of the plot's size, and what it says when it is pointed at."""

    x: float
    width: float
    height: float
    says: str


@dataclass(frozen=True)
class Segment:
    """A part of a stacked bar, in percent of its length."""

    state: str
    x: float
    width: float
    number: int


def page(found: Report) -> str:
    """The page. It holds no addresses."""
    ceiling = _ceiling(max(found.pace.rates, default=0))
    return _template().render(
        report=found,
        send=found.send,
        bars=_bars(found, ceiling),
        ceiling=ceiling,
        segments=segments(found.outcomes, found.total),
        states=[state for state in SHOWN if found.outcomes.get(state)],
        delays=_delays(found),
        meaning=MEANING,
    )


def segments(states: dict[str, int], total: int) -> list[Segment]:
    """A stacked bar: every state that occurs gets its share, in the order of SHOWN."""
    made: list[Segment] = []
    at = 0.0
    for state in SHOWN:
        if number := states.get(state, 0):
            width = 100 * number / total
            made.append(Segment(state, round(at, 3), round(width, 3), number))
            at += width
    return made


def _bars(found: Report, ceiling: float) -> list[Bar]:
    if not found.pace.mails or not found.span.first:
        return []
    each = 100 / len(found.pace.mails)
    return [
        Bar(
            x=round(each * slot, 3),
            width=round(each * 0.86, 3),
            height=round(100 * rate / ceiling, 3),
            says=f"{_clock(found.span.first, slot * found.pace.width)}: {number:,} mails in {found.pace.width} s",
        )
        for slot, (number, rate) in enumerate(zip(found.pace.mails, found.pace.rates, strict=True))
    ]


def _delays(found: Report) -> list[tuple[str, int, float]]:
    """Rows of the plot of delays: its name, how many, and the bar's length in percent. Empty slots at the end are left out."""
    names = [f"up to {lasted(bound)}" for bound in DELAYS] + [f"over {lasted(DELAYS[-1])}"]
    used = max((slot for slot, number in enumerate(found.delays) if number), default=-1) + 1
    highest = max(found.delays)
    return [(names[slot], found.delays[slot], round(100 * found.delays[slot] / highest, 3)) for slot in range(used)]


def _clock(first: datetime, seconds: int) -> str:
    return f"{first + timedelta(seconds=seconds):%H:%M:%S}"


def _ceiling(highest: float) -> float:
    """The next round number (1, 2, 2.5, 5 or 10 times a power of ten) for the top of an axis."""
    if highest <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(highest))
    return float(next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= highest * 0.999))


def lasted(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 1:
        return "under a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def _share(number: int, total: int) -> str:
    """A percentage that does not round something to nothing, nor a part to the whole."""
    percent = 100 * number / total if total else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    return ">99.9 %" if 99.9 < percent < 100 else f"{percent:.1f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


def _template() -> jinja2.Template:
    filters: dict[str, Any] = {
        "whole": lambda value: f"{value:,}",
        "number": _number,
        "share": _share,
        "lasted": lasted,
        "moment": lambda at: f"{at:%d %b %Y, %H:%M:%S} UTC" if at else "not yet",
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
