"""``postmerge growth``: how the list grows, by day, source, topic, language, month and issue."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence

import click
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.errors import BadInput
from mailer.exchange.own_format import escape_formula
from mailer.flows.operations.growth import COHORT_MONTHS, COUNTED, GROUPS, Growth, growth_facts, measure_growth
from mailer.store.operations.growth import GrowthCounts

_NAME_WIDTH = 24
_HEADS = ("joined", "confirmed", "unsub.", "bounced", "compl.", "net")


@click.command()
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 36_500), help="Days to count, today included.")
@click.option(
    "--by", type=click.Choice(["day", *GROUPS, "cohort", "issue"]), default="day", show_default=True, help="The rows."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@as_json
def growth(days: int, by: str, as_csv: bool, json: bool) -> None:
    """Show how the list grows: who joined, confirmed, unsubscribed, bounced and complained, as counts.

    `--json` prints all views at once. Opens and clicks are not counted: see docs/explanation/numbers.md.

    Example: postmerge growth --days 90 --by source
    """
    if as_csv and json:
        raise BadInput("Choose one of --csv and --json.")
    settings = load_settings()
    found = measure_growth(open_database(settings), settings, days)
    if json:
        return print_json(growth_facts(found))
    head, rows = _list_rows(found, by)
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(head)
        writer.writerows([[escape_formula(str(cell)) if i == 0 else cell for i, cell in enumerate(row)] for row in rows])
        return None
    _print_table(found, by, rows)
    return None


def _list_rows(found: Growth, by: str) -> tuple[list[str], list[list[object]]]:
    """Return the names of the columns and the rows of a view; an empty cell where a number cannot be known yet."""
    if by == "cohort":
        head = ["month", "confirmed", *(f"after {number} months" for number in COHORT_MONTHS), "now"]
        kept = [["" if value is None else value for value in one.kept.values()] for one in found.cohorts]
        return head, [[one.month, one.confirmed, *row, one.now] for one, row in zip(found.cohorts, kept, strict=True)]
    if by == "issue":
        head = ["issue", "send", "emails", "unsubscribed", "bounced", "complained"]
        return head, [
            [one.issue, one.send_id, one.emails, one.unsubscribed, one.bounced, one.complained] for one in found.issues
        ]
    counted: Sequence[GrowthCounts] = found.days if by == "day" else found.groups[by]
    return [by, *COUNTED], [[one.name or "(none)", *(getattr(one, name) for name in COUNTED)] for one in counted]


def _print_table(found: Growth, by: str, rows: list[list[object]]) -> None:
    out.print(f"{count(found.subscribers, 'subscriber')} now. Since {found.since}: {found.total.net:+,}.")
    if not rows:
        return out.print("Nothing changed in this time: try a larger `--days`.")
    heads = {"cohort": ("confirmed", *(f"{n} mo" for n in COHORT_MONTHS), "now")}
    heads["issue"] = ("send", "emails", "unsub.", "bounced", "compl.")
    table = FoldedTable({"cohort": "month"}.get(by, by))
    for name in heads.get(by, _HEADS):
        table.add_column(name, justify="right")
    for first, *cells in rows:
        shown = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells]
        table.add_row(Text(_shorten(str(first))), *shown)
    out.print(table)


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1]}…"
