"""Take over subscriptions that another tool sold in the same Stripe account, without an email and without a new payment.

Each stays what it is at Stripe: customer, card, price and dates. It gets the plan's name in its metadata, and its subscriber
gets access. A subscriber is found by the customer's id in their metadata (``stripe_customer_id``, as Ghost exports it), else by
the customer's address. Nobody is added or brought back: who is not on the list is named, to be imported first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Unavailable
from mailer.core.settings import Settings
from mailer.flows.billing import entitlements, stripe_sync
from mailer.flows.billing.stripe_client import get_client
from mailer.payments.client import Stripe
from mailer.payments.models import PLAN, RUNNING_STATUSES, Subscription
from mailer.payments.plans import Plans, load_plans
from mailer.store.billing import customers, subscriptions
from mailer.store.subscribers import erasure, subscribers
from mailer.store.subscribers.subscribers import Subscriber

logger = log.get("stripe")

_MAX_REFETCHES = 20


@dataclass
class ForeignPrice:
    """A price of another tool: what it costs, how many run, of how many the subscriber is known; ``plan`` is ours for it."""

    price_id: str
    amount: int
    currency: str
    months: int
    plan: str = ""
    running: int = 0
    known: int = 0


@dataclass
class Takeover:
    """What a takeover did or would do. ``unknown`` are customers' addresses, ``doubles`` subscriptions of who pays here too."""

    prices: dict[str, ForeignPrice] = field(default_factory=dict)
    taken: int = 0
    unknown: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)


def take_over(database: Database, settings: Settings, plans: Mapping[str, str], apply: bool) -> Takeover:
    """Compare with Stripe and, if ``apply``, take over the running subscriptions of the prices in ``plans`` (plan by price).

    Safe to run again: what was taken over is left alone. Raises BadInput for an unknown price or an unfit plan.
    """
    client, done = get_client(database, settings), Takeover()
    sold = load_plans(settings.plans)
    with database.transaction() as tx:
        imported = customers.list_imported(tx)
    found = list(_iterate_foreign(client))
    for one in found:
        price = done.prices.setdefault(
            one.price_id, ForeignPrice(one.price_id, one.amount, one.currency, one.months, plans.get(one.price_id, ""))
        )
        price.running += 1
    _check_plans(sold, plans, done.prices)
    taken: set[int] = set()
    for one in found:
        price = done.prices[one.price_id]
        with database.transaction() as tx:
            subscriber = _find_subscriber(tx, one, imported)
            double = subscriber is not None and (subscriber.id in taken or subscriptions.is_charged(tx, subscriber.id))
        price.known += subscriber is not None
        if not price.plan:
            continue
        if subscriber is None:
            done.unknown.append(one.email or one.customer_id)
        elif double:
            done.doubles.append(f"{one.stripe_id} ({subscriber.email})")
        else:
            taken.add(subscriber.id)
            done.taken += 1
            if apply:
                _take(database, settings, client, one, subscriber.id, price.plan)
    return done


def _iterate_foreign(client: Stripe) -> Iterator[Subscription]:
    return (one for one in client.iterate_subscriptions() if not one.plan and one.status in RUNNING_STATUSES)


def _check_plans(sold: Plans | None, plans: Mapping[str, str], prices: Mapping[str, ForeignPrice]) -> None:
    if plans and sold is None:
        raise BadInput("There is no plans.toml: write what you sell there; docs/how-to/paid.md shows one to copy.")
    for price_id, name in plans.items():
        if price_id not in prices:
            raise BadInput(f"No running subscription of another tool has the price {price_id!r}: run it without --plan first.")
        if sold and sold.find(name).months != prices[price_id].months:
            raise BadInput(f"{price_id} and the plan {name!r} are paid in different intervals: choose another plan.")


def _find_subscriber(tx: Tx, one: Subscription, imported: Mapping[str, int]) -> Subscriber | None:
    known = customers.get_subscriber_id(tx, one.customer_id) or imported.get(one.customer_id)
    found = subscribers.get(tx, known) if known else subscribers.find(tx, addresses.normal(one.email))
    return None if found is None or erasure.get_erased_at(tx, found.id) else found


def _take(database: Database, settings: Settings, client: Stripe, one: Subscription, subscriber_id: int, plan: str) -> None:
    """Save first, then mark at Stripe: the event about the mark then finds nothing new, and nobody gets an email."""
    _save(database, settings, client, one.stripe_id, subscriber_id, plan)
    key = f"takeover-{one.stripe_id}-{plan}"
    client.call("post", f"/v1/subscriptions/{one.stripe_id}", {"metadata": {PLAN: plan}}, idempotency_key=key)
    logger.info("stripe.taken_over", subscription=one.stripe_id, subscriber=subscriber_id)


def _save(database: Database, settings: Settings, client: Stripe, stripe_id: str, subscriber_id: int, plan: str) -> None:
    for _ in range(_MAX_REFETCHES):
        with database.transaction() as tx:
            version = subscriptions.get_version(tx, stripe_id)
        fetched = replace(client.get_subscription(stripe_id), plan=plan)
        with database.transaction() as tx:
            subscribers.lock(tx, subscriber_id)
            if not subscriptions.save_fetched(tx, fetched, version):
                continue
            subscriptions.assign(tx, stripe_id, subscriber_id)
            customers.assign(tx, fetched.customer_id, subscriber_id, addresses.normal(fetched.email))
            entitlements.save_entitlement(tx, subscriber_id, settings.grace, stripe_sync.clock())
            return
    raise Unavailable(f"The subscription {stripe_id} changes faster than it can be fetched: run it again.")
