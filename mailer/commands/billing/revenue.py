"""``postmerge money``, and changes for single subscribers: ``postmerge paid``."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, assume_yes, confirm, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.i18n import local_time
from mailer.core.settings import Settings
from mailer.flows.billing import gifts, revenue, subscription_changes
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.billing.entitlements import Entitlement
from mailer.flows.subscribers.subscriber_search import find_subscriber
from mailer.payments.currencies import format_money


@click.command()
@click.option("--months", default=12, show_default=True, type=click.IntRange(1, 120), help="Months to show.")
@as_json
def money(months: int, json: bool) -> None:
    """Show revenue: paying subscribers, MRR, ARR, churn, trials and failed payments, by plan and month.

    The numbers come from the database; `postmerge stripe reconcile` compares it with Stripe.

    Example: postmerge money --json
    """
    settings = load_settings()
    found = revenue.measure_revenue(open_database(settings), settings, months)
    if json:
        facts = {
            "at": found.at, "subscribers": found.subscribers, "mrr": found.mrr, "arr": found.arr,
            "plans": [vars(one) for one in found.plans],
            "months": [{**vars(one), "churn": round(one.churn, 4)} for one in found.months],
        }  # fmt: skip
        return print_json(facts)
    _show(found)


def _show(found: revenue.Revenue) -> None:
    if not found.plans and not any(found.subscribers.values()):
        return out.print("No paying subscribers yet. `postmerge stripe setup` creates the plans at Stripe.")
    for currency, amount in found.mrr.items():
        year = format_money(found.arr[currency], currency)
        out.print(Text.assemble((format_money(amount, currency), "bold"), f" a month, {year} a year"))
    out.print(", ".join(f"{number} {state.replace('_', ' ')}" for state, number in found.subscribers.items() if number))
    table = FoldedTable("plan", "paying", "trial", "past due", "paused", "ending", "MRR")
    for one in found.plans:
        numbers = (one.paying, one.trialing, one.failing, one.paused, one.ending)
        table.add_row(Text(one.plan), *map(str, numbers), format_money(one.mrr, one.currency))
    out.print(table)
    table = FoldedTable("month", "paying at start", "started", "ended", "churn")
    for month in found.months:
        table.add_row(month.month, str(month.paying_at_start), str(month.began), str(month.ended), f"{month.churn:.1%}")
    out.print(table)


@click.group(cls=Group)
def paid() -> None:
    """Show and change paid subscriptions; pause billing for everyone."""


@paid.command()
@click.argument("email")
@as_json
def show(email: str, json: bool) -> None:
    """Show a subscriber's access and paid subscriptions.

    Example: postmerge paid show ada@example.org
    """
    settings = load_settings()
    database = open_database(settings)
    found = subscription_changes.get_page(database, settings, _subscriber_id(database, email))
    assert found
    held: list[dict[str, Any]] = [
        {"id": one.stripe_id, "plan": one.plan, "status": one.status, "until": one.period_end} for one in found.held
    ]
    if json:
        entitlement = found.entitlement
        facts = {"email": found.email, "state": entitlement.state, "premium": entitlement.premium, "until": entitlement.until}
        return print_json({**facts, "subscriptions": held})
    access = f"has full access{_until(found.entitlement.until)}" if found.entitlement.premium else "has access to free issues"
    out.print(Text(f"{found.email} is {found.entitlement.state} and {access}."))
    for one in held:
        out.print(Text(f"  {one['id']}  {one['plan']}  {one['status']} at Stripe, paid{_until(one['until'])}"))


def _until(when: datetime | None) -> str:
    return f" until {Localizer('en').day(when)}" if when else ""


@paid.command()
@click.argument("email")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day of access (default: no end).")
@click.option("--reason", default="", help="A note for yourself.")
def give(email: str, until: datetime | None, reason: str) -> None:
    """Give a subscriber complimentary access.

    Example: postmerge paid give ada@example.org --until 2027-12-31 --reason "wrote a guest issue"
    """
    settings = load_settings()
    end = until.replace(hour=23, minute=59, second=59, tzinfo=local_time.zone()) if until else None
    out.print(Text(gifts.grant_complimentary(open_database(settings), settings, email, end, reason)))


@paid.command("take-back")
@click.argument("email")
def take_back(email: str) -> None:
    """End a subscriber's complimentary access. Paid access is not affected.

    Example: postmerge paid take-back ada@example.org
    """
    settings = load_settings()
    out.print(Text(gifts.revoke_complimentary(open_database(settings), settings, email)))


@paid.command()
@click.argument("email")
@click.option("--amount", help="The amount, such as 2.50 (default: the whole latest payment).")
@click.option("--end", is_flag=True, help="Also end the subscription immediately.")
@assume_yes
def refund(email: str, amount: str | None, end: bool, yes: bool) -> None:
    """Refund a subscriber's latest payment. Running the same refund again does nothing.

    Example: postmerge paid refund ada@example.org --amount 2.50
    """
    settings = load_settings()
    database = open_database(settings)
    subscriber_id = _subscriber_id(database, email)
    confirm(f"Refund {amount or 'the whole latest payment'} to {email}?", yes)
    back, currency = subscription_changes.refund_payment(database, settings, subscriber_id, amount, end)
    out.print(f"Refunded {format_money(back, currency)}." if back else "Nothing left to refund.")


@paid.command("pause-all")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The day when billing resumes.")
@assume_yes
def pause_all(until: datetime, yes: bool) -> None:
    """Pause billing for all paying subscribers until a day. If interrupted, run it again to finish.

    Example: postmerge paid pause-all --until 2027-02-01
    """
    settings = load_settings()
    database = open_database(settings)
    confirm(f"Pause billing for all paying subscribers until {until:%Y-%m-%d}?", yes)
    end = until.replace(tzinfo=local_time.zone())

    def pause(database: Database, settings: Settings, subscriber_id: int) -> Entitlement:
        return subscription_changes.pause_subscription(database, settings, subscriber_id, until=end)

    _show_done("paused", *subscription_changes.change_all(database, settings, pause, paused=False))


@paid.command("resume-all")
@assume_yes
def resume_all(yes: bool) -> None:
    """Resume all paused subscriptions now.

    Example: postmerge paid resume-all
    """
    settings = load_settings()
    database = open_database(settings)
    confirm("Resume all paused subscriptions now?", yes)
    _show_done(
        "resumed", *subscription_changes.change_all(database, settings, subscription_changes.resume_subscription, paused=True)
    )


def _show_done(what: str, done: int, wrong: list[str]) -> None:
    out.print(f"{count(done, 'subscription')} {what}.")
    for sentence in wrong:
        out.print(Text(sentence))
    if wrong:
        sys.exit(1)


def _subscriber_id(database: Database, email: str) -> int:
    found = find_subscriber(database, email)
    if found is None:
        raise BadInput(f"No subscriber has the address {email}: `postmerge subscribers list` lists all subscribers.")
    return found.id
