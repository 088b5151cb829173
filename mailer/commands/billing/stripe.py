"""Commands about Stripe: ``postmerge stripe setup``, ``reconcile``, ``take-over`` and ``play``."""

from __future__ import annotations

import signal
import sys
import threading

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, assume_yes, err, has_terminal, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.errors import BadInput
from mailer.fakes.fake_stripe import SECRET
from mailer.fakes.play_stripe import PlayStripe
from mailer.flows.billing import stripe_reconcile, stripe_setup, subscription_takeover
from mailer.flows.billing.subscription_takeover import Takeover
from mailer.payments.currencies import format_money


@click.group(cls=Group)
def stripe() -> None:
    """Set up and check paid subscriptions through Stripe."""


@stripe.command()
@click.option("--dry-run", is_flag=True, help="Only show differences; change nothing.")
@as_json
def reconcile(dry_run: bool, json: bool) -> None:
    """Compare all subscriptions with Stripe and correct differences. The scheduler does this daily.

    Exits with 1 if a difference was not corrected.

    Example: postmerge stripe reconcile --dry-run
    """
    settings = load_settings()
    database = open_database(settings)
    if json or not err.is_terminal:
        found = stripe_reconcile.reconcile(database, settings, mend=not dry_run)
    else:
        with err.status("Comparing with Stripe…") as line:
            found = stripe_reconcile.reconcile(
                database, settings, not dry_run, lambda number: line.update(f"Comparing with Stripe: {number}")
            )
    if json:
        print_json({**vars(found), "differences": [vars(one) for one in found.differences]})
    else:
        _show(found)
    if any(not one.mended for one in found.differences):
        sys.exit(1)


@stripe.command()
@assume_yes
@as_json
def setup(yes: bool, json: bool) -> None:
    """Create or update products, prices, portal and webhook at Stripe from plans.toml. Asks before it changes anything.

    Running it again changes nothing. A test key uses Stripe's test mode; a live key charges real money.

    Example: postmerge stripe setup
    """
    settings = load_settings()
    database = open_database(settings)
    found = stripe_setup.plan_setup(database, settings)
    if json:
        facts = [{"action": one.action, "what": one.what, "detail": one.detail} for one in found.changes]
        print_json({"account": found.account, "live": found.live, "changes": facts})
    else:
        _show_set_up(found)
    if found.open and not yes and (json or not has_terminal()):
        err.print("Nothing was changed. To apply the changes, run this again with --yes.")
        return
    if found.open and not yes:
        click.confirm(
            f"Apply these changes in the {'LIVE' if found.live else 'test'} mode of {found.account}?", abort=True, err=True
        )
    for said in stripe_setup.apply_setup(database, settings, found):
        err.print(Text(f"Add this to the environment (it is shown only once): {said}"))


@stripe.command("take-over")
@click.option("--plan", "plans", multiple=True, metavar="PRICE=PLAN", help="Your plan for another tool's price (repeatable).")
@click.option("--apply", is_flag=True, help="Take them over; without it, only show what would happen.")
@as_json
def take_over(plans: tuple[str, ...], apply: bool, json: bool) -> None:
    """Take over subscriptions that another tool sold in your Stripe account. Nobody is charged or emailed by it.

    They keep their price, card and dates; their subscribers get access. Without --plan it lists the prices.

    Example: postmerge stripe take-over --plan price_1AbC=monthly --apply
    """
    settings = load_settings()
    pairs = [one.partition("=") for one in plans]
    if wrong := next((one for one, pair in zip(plans, pairs, strict=True) if not all(pair)), None):
        raise BadInput(f"--plan {wrong!r} is not PRICE=PLAN: write it as --plan price_1AbC=monthly.")
    wanted = {price: plan for price, _, plan in pairs}
    done = subscription_takeover.take_over(open_database(settings), settings, wanted, apply)
    if json:
        return print_json({**vars(done), "prices": [vars(one) for one in done.prices.values()]})
    _show_takeover(done, apply)


@stripe.command()
@click.option("--port", default=8027, show_default=True, type=click.IntRange(1, 65535))
def play(port: int) -> None:
    """Run a local fake Stripe with checkout pages and webhook events, without a network, until Ctrl+C.

    All its data is lost when it stops, so use a database that you can delete.

    Example: postmerge stripe play
    """
    settings = load_settings()
    fake = PlayStripe(port, f"{settings.api_url}/webhooks/stripe")
    out.print("Add these lines to .env, then restart all processes:", soft_wrap=True)
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
        raise BadInput(f"Port {port} is not available ({error.strerror}): choose another with `--port`.") from error


def _show_set_up(found: stripe_setup.SetupPlan) -> None:
    mode = (("LIVE", "bold red"), " mode: real money") if found.live else ("test mode",)
    out.print(Text.assemble(f"Stripe account {found.account}, ", *mode))
    table = FoldedTable(show_header=False)
    for one in found.changes:
        table.add_row(Text(one.action), Text(one.what), Text(one.detail))
    out.print(table)
    if not found.open:
        out.print("Stripe matches plans.toml.")


def _show_takeover(done: Takeover, applied: bool) -> None:
    table = FoldedTable("price", "amount", "every", "running", "subscriber known", "your plan")
    for one in done.prices.values():
        every = count(one.months, "month")
        table.add_row(
            one.price_id, format_money(one.amount, one.currency), every, str(one.running), str(one.known), one.plan or "-"
        )
    if not done.prices:
        return out.print("Stripe has no running subscription of another tool.")
    out.print(table)
    for address in done.unknown:
        out.print(Text(f"Not on your list: {address}. Import them, then run this again."), soft_wrap=True)
    for double in done.doubles:
        out.print(Text(f"Pays twice: {double}. End one of the two in the Stripe dashboard."), soft_wrap=True)
    if applied:
        out.print(f"Took over {count(done.taken, 'subscription')}. Nobody was charged or emailed.")
    elif done.taken:
        out.print(f"Would take over {count(done.taken, 'subscription')}. Add --apply to do it.")


def _show(found: stripe_reconcile.Reconciled) -> None:
    foreign = f" ({found.foreign} not sold by Postmerge)" if found.foreign else ""
    if not found.differences:
        return out.print(f"Compared {count(found.compared, 'subscription')}{foreign}: no differences.")
    table = FoldedTable("object", "field", "Postmerge", "Stripe", "result")
    for one in found.differences:
        row = (one.what, one.field, one.ours, one.theirs, "corrected" if one.mended else "differs")
        table.add_row(*map(Text, row))
    out.print(table)
    out.print(f"Compared {count(found.compared, 'subscription')}{foreign}: {count(len(found.differences), 'difference')}.")
