"""Commands for readers: ``postmerge subscribers add``, ``list``, ``import``, ``export``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from mailer.commands import cli_output
from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.core.addresses import check
from mailer.core.errors import BadInput
from mailer.exchange.formats import NAMES
from mailer.flows.subscribers import exports, imports
from mailer.flows.subscribers.imports import Plan, Request
from mailer.flows.subscribers.signup import add_subscriber, list_subscribers


@click.group()
def subscribers() -> None:
    """Readers: add, show, import, export, hold back, erase."""


@subscribers.command("add")
@click.argument("email")
@click.option("--tag", "tags", multiple=True, help="Give the reader this tag (may be given more than once).")
@click.option("--confirmed", is_flag=True, help="You have evidence that they asked; no confirmation mail is sent.")
@click.option("--lang", default="", metavar="CODE", help="The language they read, such as de or pt-BR.")
def add(email: str, tags: Sequence[str], confirmed: bool, lang: str) -> None:
    """Add a reader; without --confirmed they get a confirmation mail and are not mailed before they say yes.

    Example: postmerge subscribers add ada@example.org --tag python --confirmed
    """
    settings = load_settings()
    check(email)
    chosen = [tag.lower() for tag in tags]
    sentence = add_subscriber(open_database(settings), settings, email, chosen, confirmed, lang=lang)
    out.print(sentence)


@subscribers.command("list")
@click.option("--audience", metavar="RULE", default="", help="Only who would get a mail to this audience now.")
@as_json
def list_all(audience: str, json: bool) -> None:
    """List readers with their state and tags, all or by the same rules that an issue's `Audience:` takes.

    Example: postmerge subscribers list --audience 'python and joined within 30d'
    """
    readers = list_subscribers(open_database(load_settings()), audience)
    if json:
        print_json([{"email": r.email, "state": r.state, "tags": r.tags} for r in readers])
    else:
        cli_output.subscribers(out, readers)


@subscribers.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--apply", is_flag=True, help="Do it. Without this only the plan is shown and nothing is written.")
@click.option("--format", "format_", type=click.Choice(NAMES), default=None, help="The list's program (default: recognised).")
@click.option("--column", "columns", multiple=True, metavar="NAME=FIELD", help="Correct what a column becomes.")
@click.option("--tag", "tags", multiple=True, help="Give every reader of the list this tag.")
@click.option("--evidence", default="", help="How you know that they asked; kept with each. Without it nobody is confirmed.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the verdict on every line to this CSV file.")
@click.option("--lines", default=imports.SHOWN, show_default=True, type=click.IntRange(0, 100_000), help="Lines to show.")
@as_json
def import_(
    file: Path,
    apply: bool,
    format_: str | None,
    columns: Sequence[str],
    tags: Sequence[str],
    evidence: str,
    report: Path | None,
    lines: int,
    json: bool,
) -> None:
    """Import a list: CSV, or an export of Buttondown, Mailchimp, Substack, Ghost, listmonk or our own.

    First shows the plan; with --apply it is done, in one transaction. Who left, bounced or complained is never brought back.

    Example: postmerge subscribers import list.csv --evidence "asked on the old site, 2019 to 2026" --apply
    """
    settings = load_settings()
    request = Request(file, format_ or "", imports.columns(columns), tags, evidence, report, lines)
    run = imports.apply if apply else imports.plan
    found = run(open_database(settings), settings, request)
    if json:
        return print_json(_facts(found))
    _show(found, apply, report)


@subscribers.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def export(file: Path) -> None:
    """Write all readers with all that is kept to a CSV file (- for standard output); `import` reads it back exactly.

    Example: postmerge subscribers export readers.csv
    """
    database = open_database(load_settings())
    if str(file) == "-":
        exports.export(database, sys.stdout.buffer)
        return
    if file.is_dir():
        raise BadInput(f"{file} is a folder: give the name of a file.")
    number = exports.export_to(database, file)
    err.print(f"Wrote {number:,} {'line' if number == 1 else 'lines'} to {file}; only you can read it.")


def _facts(found: Plan) -> dict[str, object]:
    return {
        **vars(found),
        "columns": dict(found.columns),
        "refused": [vars(line) for line in found.refused],
        "changes": [vars(line) for line in found.changes],
    }


def _show(found: Plan, applied: bool, report: Path | None) -> None:
    out.print(f"Format: {found.format}")
    columns = Table("column", "becomes", box=None, header_style="bold", pad_edge=False)
    for name, becomes in found.columns:
        columns.add_row(Text(name), Text(becomes.replace("metadata:", "metadata ")))
    out.print(columns)
    out.print()
    out.print("  ".join(f"{number:,} {verdict}" for verdict, number in found.counts.items()), style="bold")
    for reason, number in found.reasons.items():
        out.print(Text(f"  refused, {reason}: {number:,}"))
    _lines(found)
    if found.waiting:
        out.print(
            f"{found.waiting:,} come as unconfirmed and are not mailed: say with --evidence how you know that they asked.",
            style="yellow",
        )
    if report:
        out.print(Text(f"The verdict on every line is in {report}."))
    out.print(
        f"Applied as import {found.applied}." if applied else "Nothing was written: run it again with --apply.", style="bold"
    )


def _lines(found: Plan) -> None:
    for line in (*found.changes, *found.refused):
        out.print(Text(f"  line {line.number}: {line.verdict}: {line.email or '(no address)'}: {line.why}"), soft_wrap=True)
    rest = found.counts["refused"] - len(found.refused) + found.counts["changed"] - len(found.changes)
    if rest > 0:
        out.print(f"  and {rest:,} more: --report FILE writes them all.")
