"""``postmerge money``, and what a writer does for single readers: ``postmerge paid``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.billing import gifts, plan_changes, revenue
from mailer.flows.billing.billing_text import Voice
from mailer.flows.billing.entitlements import Standing
from mailer.flows.subscribers.subscriber_search import find
from mailer.payments import plans


@click.command()
@click.option("--months", default=12, show_default=True, type=click.IntRange(1, 120))
@as_json
def money(months: int, json: bool) -> None:
    """Show who pays: readers, MRR, ARR, churn, trials, failing cards, by plan and month. From our tables.

    `postmerge stripe reconcile` checks them against Stripe's.

    Example: postmerge money --json
    """
    settings = load_settings()
    found = revenue.money(open_database(settings), settings, months)
    if json:
        facts = {
            "at": found.at, "readers": found.readers, "mrr": found.mrr, "arr": found.arr,
            "plans": [vars(one) for one in found.plans],
            "months": [{**vars(one), "churn": round(one.churn, 4)} for one in found.months],
        }  # fmt: skip
        return print_json(facts)
    _show(found)


def _show(found: revenue.Money) -> None:
    if not found.plans and not any(found.readers.values()):
        return out.print("Nobody pays yet. `postmerge stripe setup` makes the plans at Stripe.")
    for currency, amount in found.mrr.items():
        year = plans.money(found.arr[currency], currency)
        out.print(Text.assemble((plans.money(amount, currency), "bold"), f" a month, {year} a year"))
    out.print(", ".join(f"{number} {state.replace('_', ' ')}" for state, number in found.readers.items() if number))
    table = Table("plan", "paying", "trial", "card fails", "paused", "ending", "a month", box=None, header_style="bold")
    for one in found.plans:
        numbers = (one.paying, one.trialing, one.failing, one.paused, one.ending)
        table.add_row(Text(one.plan), *map(str, numbers), plans.money(one.mrr, one.currency))
    out.print(table)
    table = Table("month", "paying at its start", "began", "ended", "churn", box=None, header_style="bold")
    for month in found.months:
        table.add_row(month.month, str(month.paying_at_start), str(month.began), str(month.ended), f"{month.churn:.1%}")
    out.print(table)


@click.group()
def paid() -> None:
    """Look at and help single paying readers; pause the whole newsletter."""


@paid.command()
@click.argument("email")
@as_json
def show(email: str, json: bool) -> None:
    """Show a reader's standing and subscriptions.

    Example: postmerge paid show ada@example.org
    """
    settings = load_settings()
    database = open_database(settings)
    found = plan_changes.look(database, settings, _reader(database, email))
    assert found
    held: list[dict[str, Any]] = [
        {"id": one.stripe_id, "plan": one.plan, "status": one.status, "until": one.period_end} for one in found.held
    ]
    if json:
        standing = found.standing
        facts = {"email": found.email, "state": standing.state, "premium": standing.premium, "until": standing.until}
        return print_json({**facts, "subscriptions": held})
    access = (
        f"reads everything until {Voice('en').day(found.standing.until)}" if found.standing.premium else "reads the free issues"
    )
    out.print(Text(f"{found.email} is {found.standing.state} and {access}."))
    for one in held:
        out.print(Text(f"  {one['id']}  {one['plan']}  {one['status']} at Stripe, paid to {Voice('en').day(one['until'])}"))


@paid.command()
@click.argument("email")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day; without it there is no end.")
@click.option("--reason", default="", help="For yourself: why.")
def give(email: str, until: datetime | None, reason: str) -> None:
    """Give a reader complimentary access.

    Example: postmerge paid give ada@example.org --until 2027-12-31 --reason "wrote a guest issue"
    """
    settings = load_settings()
    end = until.replace(hour=23, minute=59, second=59, tzinfo=UTC) if until else None
    out.print(Text(gifts.complimentary(open_database(settings), settings, email, end, reason)))


@paid.command("take-back")
@click.argument("email")
def take_back(email: str) -> None:
    """End a reader's complimentary access; what was paid for stays.

    Example: postmerge paid take-back ada@example.org
    """
    settings = load_settings()
    out.print(Text(gifts.take_back(open_database(settings), settings, email)))


@paid.command()
@click.argument("email")
@click.option("--amount", help="A part, such as 2.50; without it all of the latest payment.")
@click.option("--end", is_flag=True, help="End the subscription at once as well.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def refund(email: str, amount: str | None, end: bool, yes: bool) -> None:
    """Give a reader's latest payment back. The same refund twice is made once.

    Example: postmerge paid refund ada@example.org --amount 2.50
    """
    settings = load_settings()
    database = open_database(settings)
    minor = _minor(amount)
    reader = _reader(database, email)
    if not yes:
        click.confirm(f"Give {amount or 'all of the latest payment'} back to {email}?", abort=True, err=True)
    back = plan_changes.refund(database, settings, reader, minor, end)
    out.print(f"{back / 100:.2f} went back." if back else "Nothing was left to give back.")


@paid.command("pause-all")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), required=True, help="When charges go on by themselves.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def pause_all(until: datetime, yes: bool) -> None:
    """Pause the whole newsletter: no paying reader is charged until the day. Running it again does the rest.

    Example: postmerge paid pause-all --until 2027-02-01
    """
    settings = load_settings()
    database = open_database(settings)
    if not yes:
        click.confirm(f"Stop the charges of all paying readers until {until:%Y-%m-%d}?", abort=True, err=True)
    end = until.replace(tzinfo=UTC)

    def pause(database: Database, settings: Settings, reader: int) -> Standing:
        return plan_changes.pause(database, settings, reader, until=end)

    _said("paused", *plan_changes.every(database, settings, pause, paused=False))


@paid.command("resume-all")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def resume_all(yes: bool) -> None:
    """Let all paused readers' subscriptions go on now.

    Example: postmerge paid resume-all
    """
    settings = load_settings()
    database = open_database(settings)
    if not yes:
        click.confirm("Let all paused subscriptions go on now?", abort=True, err=True)
    _said("going on", *plan_changes.every(database, settings, plan_changes.resume, paused=True))


def _said(what: str, done: int, wrong: list[str]) -> None:
    out.print(f"{done} subscriptions are {what}.")
    for sentence in wrong:
        out.print(Text(sentence))
    if wrong:
        sys.exit(1)


def _reader(database: Database, email: str) -> int:
    found = find(database, email)
    if found is None:
        raise BadInput(f"Nobody has the address {email}: `postmerge subscribers list` shows all.")
    return found.id


def _minor(amount: str | None) -> int | None:
    if amount is None:
        return None
    try:
        minor = round(float(amount.replace(",", ".")) * 100)
    except ValueError:
        minor = 0
    if minor <= 0:
        raise BadInput(f"--amount {amount!r} is not an amount: write it as 2.50.")
    return minor
