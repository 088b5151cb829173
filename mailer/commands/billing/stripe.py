"""Commands about Stripe: ``postmerge stripe setup``, ``reconcile`` and ``play``."""

from __future__ import annotations

import signal
import sys
import threading

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.core.errors import BadInput
from mailer.fakes.fake_stripe import SECRET
from mailer.fakes.play_stripe import PlayStripe
from mailer.flows.billing import stripe_reconcile, stripe_setup


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
        found = stripe_reconcile.reconcile(database, settings, mend=not look)
    else:
        with err.status("Comparing with Stripe…") as line:
            found = stripe_reconcile.reconcile(
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
    found = stripe_setup.look(database, settings)
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
    for said in stripe_setup.apply(database, settings, found):
        err.print(Text(f"Write this into the environment, it is shown only once: {said}"))


@stripe.command()
@click.option("--port", default=8027, show_default=True, type=click.IntRange(1, 65535))
def play(port: int) -> None:
    """Be a Stripe to play with, on this machine and without the network, until Ctrl+C: pages to pay on, and events that come.

    It forgets everything when it ends: give it a database that you can throw away.

    Example: postmerge stripe play
    """
    settings = load_settings()
    fake = PlayStripe(port, f"{settings.api_url}/webhooks/stripe")
    out.print("Write this into .env, and start everything anew:", soft_wrap=True)
    for line in (
        f"STRIPE_SECRET_KEY={fake.key}",
        f"STRIPE_WEBHOOK_SECRET={SECRET}",
        f"STRIPE_API_BASE=http://127.0.0.1:{port}",
    ):
        out.print(Text(line), soft_wrap=True)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        fake.serve(stopping, lambda text: err.print(Text(text, style="dim")))
    except OSError as error:
        raise BadInput(f"Port {port} cannot be used ({error.strerror}): choose another with `--port`.") from error


def _show_set_up(found: stripe_setup.SetUp) -> None:
    mode = (("LIVE", "bold red"), " mode: real money") if found.live else ("test mode",)
    out.print(Text.assemble(f"Stripe account {found.account}, ", *mode))
    table = Table(box=None, show_header=False)
    for one in found.changes:
        table.add_row(Text(one.action), Text(one.what), Text(one.detail))
    out.print(table)
    if not found.open:
        out.print("Stripe is as plans.toml says.")


def _show(found: stripe_reconcile.Reconciled) -> None:
    foreign = f" ({found.foreign} of them not sold by us)" if found.foreign else ""
    if not found.differences:
        return out.print(f"Compared {found.compared} subscriptions{foreign}: we and Stripe say the same.")
    table = Table("what", "field", "ours", "Stripe's", "", box=None, header_style="bold")
    for one in found.differences:
        row = (one.what, one.field, one.ours, one.theirs, "mended" if one.mended else "differs")
        table.add_row(*map(Text, row))
    out.print(table)
    out.print(f"Compared {found.compared} subscriptions{foreign}: {len(found.differences)} differences.")
