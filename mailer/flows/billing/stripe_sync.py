"""Bringing our tables into line with Stripe: fetch an object, write it if nobody wrote since, compute access anew.

The same whatever event told us to look, and however often: events that come twice, late, shuffled or never end alike.
No transaction is open while Stripe is asked.
"""

from __future__ import annotations

from datetime import UTC, datetime

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Unavailable
from mailer.core.settings import Settings
from mailer.flows.billing import billing_mails, entitlements
from mailer.flows.billing.entitlements import Standing, State
from mailer.payments.client import Gone, Stripe
from mailer.payments.models import Subscription
from mailer.store.billing import customers, gifts, subscriptions
from mailer.store.billing.subscriptions import Kept
from mailer.store.operations import notices
from mailer.store.subscribers import consent_log, erasure, subscribers
from mailer.store.subscribers.subscribers import Subscriber
from mailer.store.transactional import transactional_mails

events = log.get("stripe")

_TRIES = 20
_LIVE = ("active", "trialing", "past_due")


def clock() -> datetime:
    """The moment at which access is computed; a rehearsal has a clock of its own."""
    return datetime.now(UTC)


def refresh(database: Database, settings: Settings, client: Stripe, stripe_id: str) -> Kept | None:
    """Fetch a subscription and write it down. Raises Unavailable when Stripe does not answer: nothing is written then."""
    for _ in range(_TRIES):
        with database.transaction() as tx:
            version = subscriptions.version(tx, stripe_id)
        fetched = _fetched(client, stripe_id)
        with database.transaction() as tx:
            if fetched is None:
                subscriptions.lost(tx, stripe_id)
            elif not subscriptions.put(tx, fetched, version):
                continue
            kept = _settled(tx, settings, stripe_id, fetched)
        for extra in _doubles(database, kept):
            _give_back(database, settings, client, extra)
        return kept
    raise Unavailable(f"The subscription {stripe_id} changes faster than it can be fetched: it is tried again.")


def refresh_charge(database: Database, settings: Settings, client: Stripe, stripe_id: str) -> None:
    """Fetch a charge that was given back or is disputed, then the subscription it paid for."""
    for _ in range(_TRIES):
        with database.transaction() as tx:
            version = subscriptions.charge_version(tx, stripe_id)
        try:
            charge = client.charge(stripe_id)
        except Gone:
            return
        with database.transaction() as tx:
            if not subscriptions.put_charge(tx, charge, version):
                continue
            gift = gifts.of_payment(tx, charge.intent)
            if charge.dispute and (charge.subscription_id or gift):
                billing_mails.dispute(tx, charge)
            if gift and charge.back:
                gifts.give_back(tx, gift.id)
                settle(tx, settings, gift.subscriber_id)
        if charge.subscription_id:
            refresh(database, settings, client, charge.subscription_id)
        return
    raise Unavailable(f"The charge {stripe_id} changes faster than it can be fetched: it is tried again.")


def check_customer(database: Database, client: Stripe, stripe_id: str) -> None:
    """An address that changed at Stripe never moves a subscription to another reader; the operator is told."""
    try:
        email = addresses.normal(client.customer_email(stripe_id))
    except Gone:
        return
    with database.transaction() as tx:
        ours = customers.reader(tx, stripe_id)
        if ours is None or erasure.moment(tx, ours) or customers.address(tx, stripe_id) == email:
            return
        customers.move(tx, stripe_id, email)
        other = subscribers.find(tx, email)
        if other and other.id != ours:
            notices.add(
                tx,
                f"Customer {stripe_id} has the address of another reader (subscriber {other.id}) at Stripe now; the paid"
                f" subscription stays with subscriber {ours}: ask them, and correct the address at Stripe.",
            )


def settle(tx: Tx, settings: Settings, subscriber_id: int) -> Standing:
    """Compute a reader's access anew and tell them what changed. Locks the reader. Who was erased has none."""
    subscribers.lock(tx, subscriber_id)
    if erasure.moment(tx, subscriber_id):
        return Standing(State.ENDED)
    before, after = entitlements.settle(tx, subscriber_id, settings.grace, clock())
    billing_mails.about(tx, subscriber_id, before, after, subscriptions.of_reader(tx, subscriber_id))
    return after


def _fetched(client: Stripe, stripe_id: str) -> Subscription | None:
    try:
        return client.subscription(stripe_id)
    except Gone:
        return None


def _settled(tx: Tx, settings: Settings, stripe_id: str, fetched: Subscription | None) -> Kept | None:
    if fetched and fetched.plan and fetched.status not in ("incomplete", "incomplete_expired"):
        subscriptions.give_to(tx, stripe_id, _reader(tx, fetched))
    kept = subscriptions.get(tx, stripe_id)
    if kept and kept.subscriber_id:
        settle(tx, settings, kept.subscriber_id)
    return kept


def _reader(tx: Tx, fetched: Subscription) -> int:
    """Whose it is: the customer's reader, else the one a signed link proved, else the one with the address, else a new one."""
    known = customers.reader(tx, fetched.customer_id)
    erased = erasure.moment(tx, known) if known else None
    again = bool(erased and fetched.started_at and fetched.started_at > erased)  # somebody who was erased pays anew
    if known and not again:
        return known
    proven = subscribers.lock(tx, fetched.reader) if fetched.reader else None
    reader = proven if proven and not erasure.moment(tx, proven.id) else _by_address(tx, fetched)
    if reader.state != "active":
        _ask(tx, reader)
    if again:
        customers.part(tx, fetched.customer_id)
    return customers.give(tx, fetched.customer_id, reader.id, addresses.normal(fetched.email))


def _by_address(tx: Tx, fetched: Subscription) -> Subscriber:
    try:
        address = addresses.check(fetched.email)
    except BadInput:
        address = fetched.email or "unknown@invalid"
    reader = subscribers.lock(tx, subscribers.add(tx, address, addresses.normal(address), []))
    assert reader
    subscribers.speak(tx, reader.id, fetched.lang)
    return reader


def _ask(tx: Tx, reader: Subscriber) -> None:
    """Who pays wants the mails; the address still has to say so itself."""
    subscribers.reopen(tx, reader.id)
    consent_log.record(tx, reader.id, "requested", "checkout", None, {})
    transactional_mails.queue(tx, "confirmation", reader.id, facts={"tags": transactional_mails.asked_tags(tx, reader.id)})


def _doubles(database: Database, kept: Kept | None) -> list[Kept]:
    """Subscriptions of the same reader that are charged beside an older one."""
    if kept is None or kept.subscriber_id is None:
        return []
    with database.transaction() as tx:
        held = subscriptions.of_reader(tx, kept.subscriber_id)
    return [one for one in held if one.status in _LIVE and not one.cancel_at and not one.collection_paused][1:]


def _give_back(database: Database, settings: Settings, client: Stripe, kept: Kept) -> None:
    """The second subscription of one reader ends at once and its money goes back: nobody is charged twice."""
    events.warning("stripe.double", subscription=kept.stripe_id)
    client.end_now(kept.stripe_id, kept.invoice_id, f"double-{kept.stripe_id}")
    with database.transaction() as tx:
        assert kept.subscriber_id
        billing_mails.doubled(tx, kept.subscriber_id, kept)
    refresh(database, settings, client, kept.stripe_id)
