"""Commands about Stripe: ``postmerge stripe reconcile``."""

from __future__ import annotations

import sys

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.flows import reconcile as reconciling


@click.group()
def stripe() -> None:
    """Set up and check the sale of paid subscriptions through Stripe."""


@stripe.command()
@click.option("--look", is_flag=True, help="Only show what differs; change nothing.")
@as_json
def reconcile(look: bool, json: bool) -> None:
    """Compare every subscription with Stripe, show what differs, and mend it. The scheduler does it daily.

    Exit code 1 when something differs that was not mended.

    Example: postmerge stripe reconcile --look
    """
    settings = load_settings()
    database = open_database(settings)
    if json or not err.is_terminal:
        found = reconciling.reconcile(database, settings, mend=not look)
    else:
        with err.status("Comparing with Stripe…") as line:
            found = reconciling.reconcile(
                database, settings, not look, lambda number: line.update(f"Comparing with Stripe: {number}")
            )
    if json:
        print_json({**vars(found), "differences": [vars(one) for one in found.differences]})
    else:
        _show(found)
    if any(not one.mended for one in found.differences):
        sys.exit(1)


def _show(found: reconciling.Reconciled) -> None:
    foreign = f" ({found.foreign} of them not sold by us)" if found.foreign else ""
    if not found.differences:
        return out.print(f"Compared {found.compared} subscriptions{foreign}: we and Stripe say the same.")
    table = Table("what", "field", "ours", "Stripe's", "", box=None, header_style="bold")
    for one in found.differences:
        row = (one.what, one.field, one.ours, one.theirs, "mended" if one.mended else "differs")
        table.add_row(*map(Text, row))
    out.print(table)
    out.print(f"Compared {found.compared} subscriptions{foreign}: {len(found.differences)} differences.")
