"""``postmerge warmup``: let the daily volume of a new domain grow by a plan."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, load_settings, open_database, out, print_json
from mailer.commands.plurals import count
from mailer.flows.sending.warmup import MAX_WARMUP_DAYS, WarmupState, read_warmup, start_warmup, stop_warmup


@click.group(cls=Group)
def warmup() -> None:
    """Let the daily volume of sends grow by a plan, for a new domain or after a large import."""


@warmup.command()
@click.option("--first", default=200, show_default=True, type=click.IntRange(1), help="Emails on the first day.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(2, MAX_WARMUP_DAYS), help="Days to grow.")
def start(first: int, days: int) -> None:
    """Start a warm-up: from so many emails on the first day to all subscribers on the last.

    Subscribers with recent deliveries come first. Running sends follow it within a minute.

    Example: postmerge warmup start --first 200 --days 30
    """
    _show(start_warmup(open_database(load_settings()), first, days))


@warmup.command()
@as_json
def status(json: bool) -> None:
    """Show the warm-up: today, and how many emails each day allows.

    Example: postmerge warmup status
    """
    found = read_warmup(open_database(load_settings()))
    if json:
        return print_json(_facts(found))
    if found is None:
        return out.print("No warm-up runs: sends have no daily limit but the account's quota.")
    return _show(found)


@warmup.command()
def stop() -> None:
    """End the warm-up: sends that wait for it continue at the account's rate.

    Example: postmerge warmup stop
    """
    ended = stop_warmup(open_database(load_settings()))
    out.print("The warm-up is stopped: sends have no daily limit any longer." if ended else "No warm-up runs.")


def _show(found: WarmupState) -> None:
    out.print(Text(found.describe()), soft_wrap=True)
    coming = found.volumes[found.day.place + 1 :]
    if coming:
        shown = ", ".join(f"{volume:,}" for volume in coming)
        out.print(f"The next {count(len(coming), 'day')}: {shown} emails.", soft_wrap=True)
    out.print("The volume grows after a day on which most of it was used and whose bounces and complaints were few.")


def _facts(found: WarmupState | None) -> dict[str, Any]:
    if found is None:
        return {"active": False}
    day = found.day
    return {
        "active": True,
        "day": day.place + 1,
        "days": found.plan.days,
        "volume": day.volume,
        "used": day.used,
        "left": found.left,
        "paused_until": day.paused_until if day.paused else None,
        "reason": day.reason,
        "volumes": list(found.volumes),
    }
