"""``postmerge rehearse``: a full-size trial run of a send."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from mailer.commands import cli_output
from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.commands.completion import complete_issue
from mailer.commands.folded_table import FoldedTable
from mailer.commands.publishing.build_steps import editions_of
from mailer.core.edition import texts_said
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.editions.mail.gmail_clipping import MAX_HTML_BYTES
from mailer.flows.operations import send_rehearsal
from mailer.flows.operations.send_rehearsal import RehearsalResult
from mailer.transports import make_transport
from mailer.transports.base import AccountLimits


@click.command()
@click.argument("issue", shell_complete=complete_issue)
@click.option(
    "--subscribers",
    type=int,
    default=0,
    metavar="N",
    help="Number of test subscribers (default: the size of the audience).",
)
@click.option("--faults/--no-faults", default=True, help="Let the fake SES throttle 1% of requests and drop 0.1% of responses.")
@click.option("--built", is_flag=True, help="Use the last build instead of building now.")
@as_json
def rehearse(issue: str, subscribers: int, faults: bool, built: bool, json: bool) -> None:
    """Send an issue to test subscribers through a local fake SES and report the results.

    Uses a temporary database. ISSUE is an issue's key or path.

    Examples: postmerge rehearse 2026-11-24-hello; postmerge rehearse 2026-11-24-hello --subscribers 100000
    """
    settings = load_settings()
    found_editions, _ = editions_of(settings, built, quiet=json)
    edition = send_rehearsal.find_edition(found_editions, issue)
    size = subscribers or send_rehearsal.count_audience(open_database(settings), edition)
    account = _describe_account(settings)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=json or not err.is_terminal) as bar:
        task = bar.add_task(f"Rehearsing {edition.key}", total=size)
        found = send_rehearsal.rehearse_send(
            settings,
            edition,
            size,
            send_rehearsal.FAULTS if faults else (),
            lambda done, of: bar.update(task, completed=done, total=of),
        )
    if json:
        print_json({**asdict(found), "passed": found.passed, "account": asdict(account) if account else None})
    else:
        _print_result(found, account)
    sys.exit(0 if found.passed else 1)


def _describe_account(settings: Settings) -> AccountLimits | None:
    """Read the real account's limits, or return None if SES is not used or not reachable."""
    try:
        return make_transport(settings).account()
    except PostmergeError as error:
        err.print(f"The account's limits are unknown: {error}", style="yellow", soft_wrap=True)
        return None


def _print_result(found: RehearsalResult, account: AccountLimits | None) -> None:
    table = FoldedTable(show_header=False)
    for name, value in _list_facts(found, account):
        table.add_row(name, value)
    out.print(Text.assemble((found.subject, "bold"), f" to {found.subscribers:,} test subscribers"))
    out.print(table)
    for why, number in found.broken.items():
        out.print(Text.assemble(("problem:", "red"), f" {number:,} × {why}"), soft_wrap=True)
    if found.passed:
        said = " everyone got it exactly once. Uncertain deliveries are responses that were dropped on purpose."
        out.print(Text.assemble(("Passed:", "green"), said))


def _list_facts(found: RehearsalResult, account: AccountLimits | None) -> list[tuple[str, Any]]:
    clip = (f", over {MAX_HTML_BYTES:,}: Gmail cuts it" if found.html > MAX_HTML_BYTES else "", "red")
    facts = [
        ("accepted, duplicate, missing", f"{found.accepted:,}, {found.twice:,}, {found.missing:,}"),
        ("uncertain, responses dropped", f"{found.uncertain:,}, {found.responses_lost:,}"),
        ("throttled, then sent", f"{found.throttled:,}"),
        ("duration here", f"{found.seconds:.1f} s ({found.accepted / max(found.seconds, 0.001):,.0f} emails a second)"),
        ("largest message, HTML part", Text.assemble(f"{found.largest:,} bytes, {found.html:,}", clip)),
    ]
    if found.texts:
        facts.append(("emails of each variant", texts_said(found.texts, "")))
    if account:
        enough = "enough" if account.left >= found.subscribers else ("not enough: the send would wait", "red")
        left = Text.assemble(f"{account.left:,.0f} left of {account.quota:,.0f} in 24 hours, ", enough)
        quota = "no limit" if account.quota < 0 else left
        facts.append(
            ("duration at the account's rate", f"{cli_output.lasts(found.subscribers, account)} ({account.rate:,.0f} a second)")
        )
        facts.append(("the account's quota", quota))
    return facts
