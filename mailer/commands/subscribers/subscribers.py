"""Commands for subscribers: ``postmerge subscribers add``, ``list``, ``import``, ``export``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from mailer.commands import cli_output
from mailer.commands.common import Group, as_json, err, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.addresses import check
from mailer.core.errors import BadInput
from mailer.exchange.dates import DayOrder
from mailer.exchange.formats import FORMAT_NAMES
from mailer.flows.subscribers import exports, imports
from mailer.flows.subscribers.imports import ImportPlan, ImportRequest
from mailer.flows.subscribers.signup import add_subscriber, list_subscribers


@click.group(cls=Group)
def subscribers() -> None:
    """Add, show, import, export and erase subscribers; review held confirmation emails."""


@subscribers.command("add")
@click.argument("email")
@click.option("--tag", "tags", multiple=True, help="Add this tag (repeatable).")
@click.option("--confirmed", is_flag=True, help="Skip the confirmation email because you have evidence of consent.")
@click.option("--evidence", default="", metavar="TEXT", help="With --confirmed: how you know that they consented; recorded.")
@click.option("--lang", default="", metavar="CODE", help="The subscriber's language, such as de or pt-BR.")
def add(email: str, tags: Sequence[str], confirmed: bool, evidence: str, lang: str) -> None:
    """Add a subscriber. Without --confirmed they get a confirmation email, and nothing else until they confirm.

    Example: postmerge subscribers add ada@example.org --tag python --confirmed --evidence "paper form of 3 May"
    """
    settings = load_settings()
    if evidence and not confirmed:
        raise click.UsageError("--evidence goes with --confirmed: without it, they are asked.")
    check(email)
    chosen = [tag.lower() for tag in tags]
    sentence = add_subscriber(open_database(settings), settings, email, chosen, confirmed, lang=lang, why=evidence.strip())
    out.print(sentence)


@subscribers.command("list")
@click.option("--audience", metavar="RULE", default="", help="Only those who match this audience now.")
@as_json
def list_all(audience: str, json: bool) -> None:
    """List subscribers with their state and tags: all, or those who match an audience rule as in `Audience:`.

    Example: postmerge subscribers list --audience 'python and joined within 30d'
    """
    found = list_subscribers(open_database(load_settings()), audience)
    if json:
        print_json([{"email": r.email, "state": r.state, "tags": r.tags} for r in found])
    else:
        cli_output.subscribers(out, found)


@subscribers.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--apply", is_flag=True, help="Apply the import. Without this, only a preview is shown.")
@click.option(
    "--format", "format_", type=click.Choice(FORMAT_NAMES), default=None, help="Format of the list (default: detected)."
)
@click.option("--column", "columns", multiple=True, metavar="NAME=FIELD", help="Map a column to a field (repeatable).")
@click.option(
    "--dates", type=click.Choice(list(DayOrder)), default=None, help="The order of day and month in dates like 3/4/26."
)
@click.option("--tag", "tags", multiple=True, help="Add this tag to every subscriber in the list (repeatable).")
@click.option(
    "--evidence", default="", help="How you know that they consented; recorded for each. Without it, nobody is confirmed."
)
@click.option("--report", type=click.Path(path_type=Path), help="Write the result for every line to this CSV file.")
@click.option(
    "--lines", default=imports.MAX_SHOWN_LINES, show_default=True, type=click.IntRange(0, 100_000), help="Lines to show."
)
@as_json
def import_(
    file: Path,
    apply: bool,
    format_: str | None,
    columns: Sequence[str],
    dates: str | None,
    tags: Sequence[str],
    evidence: str,
    report: Path | None,
    lines: int,
    json: bool,
) -> None:
    """Import a list: CSV, or an export from Postmerge, Buttondown, Mailchimp, Substack, Ghost or listmonk.

    Shows a preview; --apply imports in one transaction. Never reactivates people who unsubscribed, bounced or complained.

    Example: postmerge subscribers import list.csv --evidence "asked on the old site, 2019 to 2026" --apply
    """
    settings = load_settings()
    order = DayOrder(dates) if dates else None
    request = ImportRequest(file, format_ or "", imports.parse_columns(columns), tags, evidence, report, lines, dates=order)
    run = imports.apply_import if apply else imports.plan_import
    found = run(open_database(settings), settings, request)
    if json:
        return print_json(_facts(found))
    _show(found, apply, report)


@subscribers.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def export(file: Path) -> None:
    """Export all subscribers with all their data to a CSV file (- for standard output), for backup or `import`.

    Example: postmerge subscribers export subscribers.csv
    """
    database = open_database(load_settings())
    if str(file) == "-":
        exports.export_subscribers(database, sys.stdout.buffer)
        return
    if file.is_dir():
        raise BadInput(f"{file} is a folder: give a file name.")
    number = exports.export_to_path(database, file)
    err.print(f"Wrote {count(number, 'line')} to {file}. Only you can read the file.")


def _facts(found: ImportPlan) -> dict[str, object]:
    return {
        **vars(found),
        "columns": dict(found.columns),
        "refused": [vars(line) for line in found.refused],
        "changes": [vars(line) for line in found.changes],
    }


def _show(found: ImportPlan, applied: bool, report: Path | None) -> None:
    out.print(f"Format: {found.format}")
    columns = FoldedTable("column", "field", pad_edge=False)
    for name, becomes in found.columns:
        columns.add_row(Text(name), Text(becomes.replace("metadata:", "metadata ")))
    out.print(columns)
    out.print()
    if found.dates:
        out.print(f"Dates: {found.dates}")
    counts = " + ".join(f"{number:,} {verdict}" for verdict, number in found.counts.items())
    out.print(f"{count(found.read, 'line')} read = {counts}", style="bold")
    for reason, number in found.reasons.items():
        out.print(Text(f"  refused, {reason}: {number:,}"))
    _lines(found)
    if found.waiting:
        out.print(
            f"{found.waiting:,} are imported as unconfirmed and get no emails. If they consented, say how with --evidence.",
            style="yellow",
        )
    if report:
        out.print(Text(f"Results for every line: {report}"))
    out.print(
        f"Applied as import {found.applied}." if applied else "Nothing was imported. To import, run this again with --apply.",
        style="bold",
    )


def _lines(found: ImportPlan) -> None:
    for line in (*found.changes, *found.refused):
        out.print(Text(f"  line {line.number}: {line.verdict}: {line.email or '(no address)'}: {line.why}"), soft_wrap=True)
    rest = found.counts["refused"] - len(found.refused) + found.counts["changed"] - len(found.changes)
    if rest > 0:
        out.print(f"  … and {rest:,} more: --report FILE lists them all.")
