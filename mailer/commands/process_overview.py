"""Which processes run and what is due, in lines of at most 80 columns."""

from __future__ import annotations

from datetime import datetime, timedelta

from rich.console import Console
from rich.text import Text

from mailer.core.i18n.local_time import moment
from mailer.flows.operations.heartbeats import Overview
from mailer.store.operations.heartbeats import ProcessGroup

_OPTIONAL = "events"  # events can also come over HTTPS, without this process
_LATE = timedelta(minutes=10)


def show(console: Console, found: Overview) -> None:
    """Print a line for each kind of process, and one about the oldest work that is due."""
    for group in found.running:
        _print_line(console, group.kind, _describe_group(group))
    for kind in found.list_missing():
        seen = found.last_seen.get(kind)
        if kind != _OPTIONAL or seen:
            text = f"not running, last seen {format_age(seen, found.now)} ago" if seen else "not running, never seen"
            _print_line(console, kind, text, "yellow")
    if not found.due_since:
        _print_line(console, "due", "nothing")
    for kind, since in found.due_since.items():
        late = found.now - since > _LATE
        _print_line(console, "due", f"{kind}, the oldest for {format_age(since, found.now)}", "yellow" if late else "")


def _print_line(console: Console, name: str, text: str, style: str = "") -> None:
    console.print(Text(f"{name:<10}", style="bold"), Text(text, style=style), soft_wrap=True)


def _describe_group(group: ProcessGroup) -> str:
    number = f"{group.number} on " if group.number > 1 else "on "
    return f"{number}{group.host}, version {group.version}, since {moment(group.started_at, '%d %b %H:%M')}"


def format_age(since: datetime, now: datetime) -> str:
    """Format how long something has lasted: ``12 s``, ``3 min``, ``5 h``, ``2 days``."""
    seconds = max(0, int((now - since).total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} days"
