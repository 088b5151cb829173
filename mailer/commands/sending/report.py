"""``postmerge report``: the outcomes of a send as a table, JSON or a page."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.commands.completion import send_argument
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.errors import BadInput
from mailer.flows.sending.send_report import SendReport, make_report, report_facts
from mailer.flows.sending.send_report_page import MEANING, STATES_SHOWN, format_duration, render_report


@click.command()
@send_argument()
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Write a self-contained HTML page.")
@as_json
def report(send: str, html: Path | None, json: bool) -> None:
    """Report on a send: outcomes, rate, domains, and why deliveries were skipped. SEND is an id or an issue's key.

    Example: postmerge report 12 --html report.html
    """
    found = make_report(open_database(load_settings()), send)
    if html:
        _write_page(html, render_report(found))
    if json:
        print_json(report_facts(found))
    else:
        show(out, found)
        if html:
            out.print(Text(f"Report written to {html}."))


def _write_page(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}): choose a file in a writable folder.") from error


def show(console: Console, found: SendReport) -> None:
    """The report as tables."""
    send = found.send
    console.print(Text(f"Send {send.id} of {send.issue_key}, {send.state}: {send.subject}", style="bold"), soft_wrap=True)
    if send.reason or send.waiting_reason:
        console.print(Text(send.reason or send.waiting_reason, style="yellow"), soft_wrap=True)
    if found.span.first:
        rate = f", {found.rate:,.1f} emails a second" if found.rate else ""
        console.print(f"{count(found.span.emails, 'email')} in {format_duration(found.seconds)}{rate}.")
    console.print(_tabulate_outcomes(found))
    if found.texts:
        console.print(_tabulate_texts(found))
    if found.reasons:
        console.print(_tabulate_reasons(found))
    if found.domains:
        console.print(_tabulate_domains(found))
    console.print(found.sum_sentence(), style="" if found.adds_up or send.audience_size is None else "red", soft_wrap=True)


def _tabulate_outcomes(found: SendReport) -> FoldedTable:
    table = FoldedTable("outcome")
    table.add_column("subscribers", justify="right")
    table.add_column("meaning")
    for state in STATES_SHOWN:
        if number := found.outcomes.get(state):
            table.add_row(state, f"{number:,}", MEANING[state])
    return table


def _tabulate_texts(found: SendReport) -> FoldedTable:
    table = FoldedTable("variant", title="By variant", title_justify="left")
    table.add_column("emails", justify="right")
    for name, number in found.texts.items():
        table.add_row(Text(name), f"{number:,}")
    return table


def _tabulate_reasons(found: SendReport) -> FoldedTable:
    table = FoldedTable("outcome", title="Reasons", title_justify="left")
    table.add_column("subscribers", justify="right")
    table.add_column("reason")
    for reason in found.reasons:
        table.add_row(reason.state, f"{reason.number:,}", Text(reason.detail or "no reason given"))
    return table


def _tabulate_domains(found: SendReport) -> FoldedTable:
    states = [state for state in STATES_SHOWN if found.outcomes.get(state)]
    table = FoldedTable("domain", title="By domain", title_justify="left")
    for name in ("subscribers", *states):
        table.add_column(name, justify="right")
    for one in found.domains:
        name = one.name or f"{found.domain_count - len(found.domains) + 1:,} others"
        table.add_row(Text(name), f"{one.total:,}", *(f"{one.states.get(state, 0):,}" for state in states))
    return table
