"""Keep our tables in sync with Stripe: fetch an object, save it unless it was saved meanwhile, recompute the entitlement.

The result does not depend on which event triggered it, or how often: duplicate, late, reordered and lost events all end alike.
No transaction is open during a request to Stripe.
"""

from __future__ import annotations

from datetime import UTC, datetime

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Unavailable
from mailer.core.settings import Settings
from mailer.flows.billing import billing_emails, entitlements
from mailer.flows.billing.entitlements import Entitlement, EntitlementState
from mailer.flows.subscribers import inbox_limit, private_links, signup
from mailer.flows.subscribers.signup import CHECKOUT
from mailer.payments.client import Stripe, UnknownAtStripe
from mailer.payments.models import Charge, Subscription
from mailer.store.billing import customers, gifts, subscriptions
from mailer.store.billing.gifts import Gift
from mailer.store.billing.subscriptions import StoredSubscription
from mailer.store.operations import notices
from mailer.store.subscribers import consent_log, erasure, subscribers
from mailer.store.subscribers.subscribers import Subscriber
from mailer.store.transactional import transactional_emails

logger = log.get("stripe")

_MAX_TRIES = 20
_NOT_PAYING = (EntitlementState.FREE, EntitlementState.ENDED, EntitlementState.COMPLIMENTARY)
_PAYING = (EntitlementState.PAYING, EntitlementState.TRIALING)


def clock() -> datetime:
    """Return the moment for which entitlements are computed; a rehearsal replaces it."""
    return datetime.now(UTC)


def refresh_subscription(database: Database, settings: Settings, client: Stripe, stripe_id: str) -> StoredSubscription | None:
    """Fetch and save a subscription, and end one that its subscriber has too many.

    Raises Unavailable if Stripe does not respond: then nothing is saved.
    """
    stored = _refresh_one(database, settings, client, stripe_id)
    if stored is None or stored.subscriber_id is None or len(_list_charged(database, stored.subscriber_id)) < 2:
        return stored
    _end_doubles(database, settings, client, stored.subscriber_id)
    with database.transaction() as tx:
        return subscriptions.get(tx, stripe_id)


def _refresh_one(database: Database, settings: Settings, client: Stripe, stripe_id: str) -> StoredSubscription | None:
    for _ in range(_MAX_TRIES):
        with database.transaction() as tx:
            version = subscriptions.get_version(tx, stripe_id)
        fetched = _fetch(client, stripe_id)
        with database.transaction() as tx:
            if fetched is None:
                subscriptions.mark_lost(tx, stripe_id)
            elif not subscriptions.save_fetched(tx, fetched, version):
                continue
            return _assign_and_update(tx, settings, stripe_id, fetched)
    raise Unavailable(f"The subscription {stripe_id} changes faster than it can be fetched: it will be retried.")


def refresh_charge(database: Database, settings: Settings, client: Stripe, stripe_id: str) -> None:
    """Fetch a refunded or disputed charge, then the subscription it paid for."""
    for _ in range(_MAX_TRIES):
        with database.transaction() as tx:
            version = subscriptions.get_charge_version(tx, stripe_id)
        try:
            charge = client.get_charge(stripe_id)
        except UnknownAtStripe:
            return
        with database.transaction() as tx:
            returned_before = subscriptions.is_refunded(tx, charge.intent)
            if not subscriptions.save_charge(tx, charge, version):
                continue
            gift = gifts.lock_by_payment(tx, charge.intent)
            if charge.is_returned and not returned_before:
                _end_links_of_payer(tx, charge, gift)
            if charge.subscription_id or gift:
                billing_emails.notify_dispute(tx, charge)
            if gift and charge.is_returned:
                gifts.revoke_refunded(tx, gift.id)
                update_entitlement(tx, settings, gift.subscriber_id)
        if charge.subscription_id:
            refresh_subscription(database, settings, client, charge.subscription_id)
        return
    raise Unavailable(f"The charge {stripe_id} changes faster than it can be fetched: it will be retried.")


def _end_links_of_payer(tx: Tx, charge: Charge, gift: Gift | None) -> None:
    """End the private links of the subscriber whose payment was refunded or lost, their private feed included.

    If nothing but that payment subscribed them, they are asked to confirm.
    """
    stored = subscriptions.get(tx, charge.subscription_id) if charge.subscription_id else None
    if subscriber_id := (gift.subscriber_id if gift else stored.subscriber_id if stored else None):
        private_links.end_links(tx, subscriber_id)
        if stored:
            _ask_after_refund(tx, subscriber_id)


def check_customer(database: Database, client: Stripe, stripe_id: str) -> None:
    """Tell the operator about an address changed at Stripe. It never moves a subscription to another subscriber."""
    try:
        email = addresses.normal(client.get_customer_email(stripe_id))
    except UnknownAtStripe:
        return
    with database.transaction() as tx:
        ours = customers.get_subscriber_id(tx, stripe_id)
        if ours is None or erasure.get_erased_at(tx, ours) or customers.get_email(tx, stripe_id) == email:
            return
        customers.set_email(tx, stripe_id, email)
        other = subscribers.find(tx, email)
        if other and other.id != ours:
            notices.add(
                tx,
                f"Customer {stripe_id} has the address of another subscriber (subscriber {other.id}) at Stripe now. The paid"
                f" subscription stays with subscriber {ours}: ask them, and correct the address at Stripe.",
            )


def update_entitlement(tx: Tx, settings: Settings, subscriber_id: int) -> Entitlement:
    """Recompute a subscriber's entitlement and notify them of changes. Locks the subscriber. Erased ones have none."""
    subscribers.lock(tx, subscriber_id)
    if erasure.get_erased_at(tx, subscriber_id):
        return Entitlement(EntitlementState.ENDED)
    before, after = entitlements.save_entitlement(tx, subscriber_id, settings.grace, clock())
    held = subscriptions.list_by_subscriber(tx, subscriber_id)
    billing_emails.notify_entitlement_change(tx, subscriber_id, before, after, held)
    if settings.notify_url and held and before.state in _NOT_PAYING and after.state in _PAYING:
        trial = " (a trial)" if after.state is EntitlementState.TRIALING else ""
        notices.add(tx, f"A new paid subscriber{trial}: subscriber {subscriber_id}, plan {held[-1].plan}.")
    return after


def _fetch(client: Stripe, stripe_id: str) -> Subscription | None:
    try:
        return client.get_subscription(stripe_id)
    except UnknownAtStripe:
        return None


def _assign_and_update(tx: Tx, settings: Settings, stripe_id: str, fetched: Subscription | None) -> StoredSubscription | None:
    if fetched and fetched.plan and fetched.status not in ("incomplete", "incomplete_expired"):
        subscriptions.assign(tx, stripe_id, _find_subscriber(tx, settings, fetched))
    stored = subscriptions.get(tx, stripe_id)
    if stored and stored.subscriber_id:
        update_entitlement(tx, settings, stored.subscriber_id)
    return stored


def _find_subscriber(tx: Tx, settings: Settings, fetched: Subscription) -> int:
    """Return the customer's subscriber, else the one proven by a signed link, else the one with the address, else a new
    one.
    """
    known = customers.get_subscriber_id(tx, fetched.customer_id)
    erased = erasure.get_erased_at(tx, known) if known else None
    again = bool(erased and fetched.started_at and fetched.started_at > erased)  # somebody who was erased pays again
    if known and not again:
        if not erased:
            _activate_after_trial(tx, settings, known, fetched)
        return known
    proven = subscribers.lock(tx, fetched.subscriber_id) if fetched.subscriber_id else None
    subscriber = proven if proven and not erasure.get_erased_at(tx, proven.id) else _find_or_add_by_address(tx, fetched)
    if subscriber.state != "active" and not _activate_payer(tx, settings, subscriber, fetched):
        _request_confirmation(tx, subscriber)
    if again:
        customers.unassign(tx, fetched.customer_id)
    return customers.assign(tx, fetched.customer_id, subscriber.id, addresses.normal(fetched.email))


def _find_or_add_by_address(tx: Tx, fetched: Subscription) -> Subscriber:
    try:
        address = addresses.check(fetched.email)
    except BadInput:
        address = fetched.email or "unknown@invalid"
    subscriber = subscribers.lock(tx, subscribers.add(tx, address, addresses.normal(address), []))
    assert subscriber
    subscribers.set_language(tx, subscriber.id, fetched.lang)
    return subscriber


def _activate_payer(tx: Tx, settings: Settings, subscriber: Subscriber, fetched: Subscription) -> bool:
    """Subscribe somebody new who has paid: the emails are what they pay for. Return whether that was possible.

    Stripe proves no address; what stands for the confirmation is money (docs/adr/0021). Nobody is brought back by a payment:
    who has unsubscribed, bounced or complained is asked, and so is whoever has paid nothing, as during a trial.
    """
    has_paid = fetched.status == "active" and fetched.invoice_paid > 0
    return has_paid and signup.activate_payer(tx, settings, subscriber, fetched.stripe_id)


def _activate_after_trial(tx: Tx, settings: Settings, subscriber_id: int, fetched: Subscription) -> None:
    """Subscribe at the first payment who was asked to confirm and has not; after a refund only they can confirm."""
    subscriber = subscribers.lock(tx, subscriber_id)
    if subscriber and subscriber.state == "unconfirmed" and not consent_log.get_latest_source(tx, subscriber_id, "confirmed"):
        _activate_payer(tx, settings, subscriber, fetched)


def _ask_after_refund(tx: Tx, subscriber_id: int) -> None:
    """Ask who was subscribed by a payment alone, and got it back, whether they want the emails: nothing else shows it."""
    subscriber = subscribers.lock(tx, subscriber_id)
    if (
        subscriber
        and subscriber.state == "active"
        and consent_log.get_latest_source(tx, subscriber_id, "confirmed") == CHECKOUT
    ):
        subscribers.take_back_activation(tx, subscriber_id)
        _request_confirmation(tx, subscriber)


def _request_confirmation(tx: Tx, subscriber: Subscriber) -> None:
    """Ask for confirmation: paying implies interest in the emails, but does not prove who owns the address."""
    subscribers.reset_to_unconfirmed(tx, subscriber.id)
    consent_log.record(tx, subscriber.id, "requested", CHECKOUT, None, {})
    held = "" if inbox_limit.use(tx, subscriber.email_normal) else inbox_limit.FULL
    signup.queue_confirmation(tx, subscriber.id, transactional_emails.get_requested(tx, subscriber.id), held)


def _list_charged(database: Database, subscriber_id: int) -> list[StoredSubscription]:
    """Return a subscriber's subscriptions that are charged, or would be after one payment; oldest first."""
    with database.transaction() as tx:
        held = subscriptions.list_by_subscriber(tx, subscriber_id)
    return [one for one in held if entitlements.will_be_charged(one) or one.status == "unpaid"]


def _end_doubles(database: Database, settings: Settings, client: Stripe, subscriber_id: int) -> None:
    """Keep the best of a subscriber's subscriptions: a paid one rather than one past due, of equals the oldest.

    All are fetched first: an event about another one may not have come yet.
    """
    for one in _list_charged(database, subscriber_id):
        _refresh_one(database, settings, client, one.stripe_id)
    charged = _list_charged(database, subscriber_id)
    ranked = entitlements.sort_best_first(charged, settings.grace, clock())
    for extra in ranked[1:]:
        _end_double(database, settings, client, extra, ranked[0])


def _end_double(
    database: Database, settings: Settings, client: Stripe, extra: StoredSubscription, kept: StoredSubscription
) -> None:
    """End a subscription at once, so that nobody is charged twice; refund its latest payment if it would go on."""
    logger.warning("stripe.double", subscription=extra.stripe_id)
    goes_on = entitlements.decide_for_subscription(extra, settings.grace).state is EntitlementState.PAYING
    back = client.cancel_with_refund(extra.stripe_id, extra.invoice_id, f"double-{extra.stripe_id}", None if goes_on else 0)
    with database.transaction() as tx:
        assert extra.subscriber_id
        billing_emails.notify_double(tx, extra.subscriber_id, extra, kept, back)
    _refresh_one(database, settings, client, extra.stripe_id)
