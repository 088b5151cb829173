"""``postmerge doctor``: whether everything around the newsletter is set up, and what to do where it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from rich.text import Text

from mailer.commands.common import as_json, load_settings, out, print_json
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.operations.doctor import ExamineOptions, examine, run_simulation
from mailer.flows.operations.doctor.checkups import Checkup, CheckupState, unknown
from mailer.transports import make_transport

_STYLES = {
    CheckupState.FINE: "green",
    CheckupState.ADVICE: "yellow",
    CheckupState.WRONG: "bold red",
    CheckupState.UNKNOWN: "bold magenta",
}


@click.command()
@click.option("--name-server", default="", metavar="HOST[:PORT]", help="Ask this name server instead of the system's.")
@click.option("--no-emails", is_flag=True, help="Send nothing to SES's mailbox simulator.")
@click.option(
    "--wait", default=60, show_default=True, type=click.IntRange(1, 3600), help="Seconds to wait for the simulator's events."
)
@click.option("--allow-private", is_flag=True, hidden=True)
@as_json
def doctor(name_server: str, no_emails: bool, wait: int, allow_private: bool, json: bool) -> None:
    """Check settings, services, the SES account, DNS, public URLs and events. Exits with 1 if something is wrong.

    With SES, it sends one email to each address of Amazon's mailbox simulator and waits for the events.

    Example: postmerge doctor --name-server 1.1.1.1
    """
    settings = load_settings()
    lines = examine(settings, ExamineOptions(name_server, allow_private))
    found = []
    for one in _add_simulation(settings, lines, 0 if no_emails else wait):
        found.append(one)
        if not json:
            _print_line(one)
    passed = all(one.passed for one in found)
    if json:
        print_json({"passed": passed, "checks": [vars(one) for one in found]})
    else:
        failed = sum(not one.passed for one in found)
        out.print("Everything is fine." if passed else f"{failed} of {len(found)} checks failed.")
    if not passed:
        sys.exit(1)


def _add_simulation(settings: Settings, lines: Iterator[Checkup], wait: int) -> Iterator[Checkup]:
    """Yield the lines and then those of the simulator, if everything that it needs works."""
    works = True
    for one in lines:
        works = works and (one.passed or one.name not in ("database", "sender", "SES account", "SES identity"))
        yield one
    if settings.transport != "ses" or not wait:
        return
    if not works:
        yield unknown("simulator", "Not tried: something above must be corrected first.", "postmerge doctor")
        return
    database = Database(settings.need_database())
    try:
        yield from run_simulation(database, settings, make_transport(settings), wait)
    except PostmergeError as error:
        yield unknown("simulator", str(error), "postmerge doctor")
    finally:
        database.close()


def _print_line(one: Checkup) -> None:
    out.print(Text.assemble((f"{one.state:8}", _STYLES[one.state]), (f"{one.name}: ", "bold"), one.found), soft_wrap=True)
    for line in one.fix.split("\n") if one.fix else ():
        out.print(Text(f"          {line}"), soft_wrap=True)
