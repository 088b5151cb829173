"""Commands about Stripe: ``postmerge stripe setup`` and ``reconcile``."""

from __future__ import annotations

import sys

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.flows import reconcile as reconciling
from mailer.flows import stripe_setup as setting_up


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


@stripe.command()
@click.option("--yes", is_flag=True, help="Do it without asking.")
@as_json
def setup(yes: bool, json: bool) -> None:
    """Make Stripe agree with plans.toml: products, prices, portal and webhook. Shows what it would do and asks first.

    Running it again changes nothing. With a test key it works in Stripe's test mode, with a live key on real money.

    Example: postmerge stripe setup
    """
    settings = load_settings()
    database = open_database(settings)
    found = setting_up.look(database, settings)
    if json:
        facts = [{"action": one.action, "what": one.what, "detail": one.detail} for one in found.changes]
        print_json({"account": found.account, "live": found.live, "changes": facts})
    else:
        _show_set_up(found)
    if found.open and not yes and (json or not sys.stdin.isatty()):
        err.print("Nothing was changed: run it again with --yes.")
        return
    if found.open and not yes:
        click.confirm(f"Do this in the {'LIVE' if found.live else 'test'} mode of {found.account}?", abort=True, err=True)
    for said in setting_up.apply(database, settings, found):
        err.print(Text(f"Write this into the environment, it is shown only once: {said}"))


def _show_set_up(found: setting_up.SetUp) -> None:
    out.print(f"Stripe account {found.account}, {'[bold red]LIVE[/] mode: real money' if found.live else 'test mode'}")
    table = Table(box=None, show_header=False)
    for one in found.changes:
        table.add_row(Text(one.action), Text(one.what), Text(one.detail))
    out.print(table)
    if not found.open:
        out.print("Stripe is as plans.toml says.")


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
