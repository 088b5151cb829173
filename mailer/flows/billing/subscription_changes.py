"""Changes to a paid subscription: pause, resume, cancel, undo, withdraw; and refunds by the operator.

Each request to Stripe has an idempotency key, and then the subscription is fetched again, so that a lost response does no
harm.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.settings import Settings
from mailer.flows.billing import billing_emails, entitlements
from mailer.flows.billing.billing_emails import Cancellation
from mailer.flows.billing.billing_text import localized_error
from mailer.flows.billing.entitlements import Entitlement
from mailer.flows.billing.stripe_client import get_client
from mailer.flows.billing.stripe_sync import refresh_charge, refresh_subscription
from mailer.flows.subscribers import private_links
from mailer.payments import currencies, models
from mailer.payments.client import Stripe
from mailer.payments.models import RUNNING_STATUSES
from mailer.payments.plans import Plans, load_plans
from mailer.store.billing import entitlement_records, subscriptions
from mailer.store.billing.entitlement_records import StoredEntitlement
from mailer.store.billing.subscriptions import StoredSubscription
from mailer.store.subscribers import erasure, preferences, subscribers

logger = log.get("paying")

MIN_WITHDRAWAL_PERIOD = timedelta(days=14)  # by EU law
PAUSE_END_NOTICE = timedelta(days=7)  # before a pause ends by itself


def clock() -> datetime:
    """Return the moment of a subscriber's action; a rehearsal replaces it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SubscriptionPage:
    """The contents of a subscriber's page about their payments. Its buttons act on ``running``."""

    email: str
    entitlement: Entitlement
    access: StoredEntitlement | None
    running: StoredSubscription | None
    held: tuple[StoredSubscription, ...]
    withdraw_until: datetime | None
    lang: str = ""  # their choice; empty leaves it to the browser
    plan: str = ""  # the title of the running plan


def get_page(database: Database, settings: Settings, subscriber_id: int) -> SubscriptionPage | None:
    """Return a subscriber's entitlement and subscriptions, from our tables; None if there is no such subscriber."""
    with database.transaction() as tx:
        subscriber = subscribers.lock(tx, subscriber_id)
        if subscriber is None or erasure.get_erased_at(tx, subscriber_id):
            return None
        held = subscriptions.list_by_subscriber(tx, subscriber_id)
        written = entitlement_records.get(tx, subscriber_id)
        choices = preferences.get(tx, subscriber_id)
    now = clock()
    running = next(iter(_list_running(settings, held)), None)
    until = _get_withdrawal_deadline(settings, running)
    return SubscriptionPage(
        subscriber.email,
        entitlements.restore_entitlement(written, now),
        written,
        running,
        tuple(held),
        until if until and until > now else None,
        choices.lang if choices else "",
        _find_plan_title(settings, running.plan) if running else "",
    )


def is_charged(database: Database, subscriber_id: int) -> bool:
    """Return whether a subscription of theirs is still charged, even if they get no emails."""
    with database.transaction() as tx:
        return subscriptions.is_charged(tx, subscriber_id)


def pause_subscription(
    database: Database, settings: Settings, subscriber_id: int, days: int = 0, until: datetime | None = None
) -> Entitlement:
    """Stop charging now. Paid days are saved or continue to run, as the terms say; the pause ends by itself."""
    stored = _get_running(database, settings, subscriber_id)
    terms = _load_terms(settings)
    if stored.cancel_at:
        raise localized_error(Refused, "You’ve already cancelled, so there’s nothing to pause. You won’t be charged again.")
    if not _is_paused(stored):
        now = clock()
        ends = until or now + timedelta(days=days or terms.pause_days)
        paid = stored.period_end if stored.status in ("active", "trialing") else None
        marks = {
            models.PAUSE: terms.pause,
            models.PAUSED_AT: _format_seconds(now),
            models.PAID_UNTIL: _format_seconds(paid) if paid else "",
            models.RESUMES: _format_seconds(ends),
        }
        _update_at_stripe(database, settings, stored, "pause", {"pause_collection": {"behavior": "void"}, "metadata": marks})
    return _refresh(database, settings, stored)


def resume_subscription(database: Database, settings: Settings, subscriber_id: int) -> Entitlement:
    """Resume charging: after the saved days, after the paid period, or now if neither is left."""
    stored = _get_running(database, settings, subscriber_id)
    if stored.status == "paused":
        client = get_client(database, settings)
        values = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
        client.call(
            "post",
            f"/v1/subscriptions/{stored.stripe_id}/resume",
            values,
            idempotency_key=_build_idempotency_key(stored, "resume"),
        )
    elif stored.collection_paused:
        _update_at_stripe(database, settings, stored, "resume", _build_resume_values(stored, clock()))
    return _refresh(database, settings, stored)


def cancel_subscription(database: Database, settings: Settings, subscriber_id: int) -> Entitlement:
    """Cancel at the end of the paid period: nothing more is charged. An email confirms it. Repeating it has no effect."""
    stored = _get_running(database, settings, subscriber_id)
    now = clock()
    if not stored.cancel_at:
        _cancel_at_stripe(database, settings, stored, now)
    after = _refresh(database, settings, stored)
    plan = _get_plan_title(settings, get_client(database, settings), stored)
    with database.transaction() as tx:
        subscriber, ended = subscribers.get(tx, subscriber_id), subscriptions.get(tx, stored.stripe_id)
        if subscriber and ended:
            given = Cancellation(stored, plan, subscriber.email, now, ended.cancel_at or now, after)
            billing_emails.confirm_cancellation(tx, subscriber_id, given, is_repeated=bool(stored.cancel_at))
    return after


def _cancel_at_stripe(database: Database, settings: Settings, stored: StoredSubscription, now: datetime) -> None:
    if stored.status == "past_due" or (_is_paused(stored) and stored.pause_kind != "keep"):
        client = get_client(database, settings)
        client.call("delete", f"/v1/subscriptions/{stored.stripe_id}", idempotency_key=_build_idempotency_key(stored, "leave"))
    elif _is_paused(stored):
        _update_at_stripe(
            database, settings, stored, "leave", {**_build_resume_values(stored, now), "cancel_at_period_end": True}
        )
    else:
        _update_at_stripe(database, settings, stored, "leave", {"cancel_at_period_end": True})


def undo_cancellation(database: Database, settings: Settings, subscriber_id: int) -> Entitlement:
    """Undo a cancellation that has not taken effect yet."""
    stored = _get_running(database, settings, subscriber_id)
    if stored.cancel_at:
        _update_at_stripe(database, settings, stored, "stay", {"cancel_at_period_end": False})
    return _refresh(database, settings, stored)


def withdraw_from_contract(database: Database, settings: Settings, subscriber_id: int) -> int:
    """Exercise the right of withdrawal: end now and refund everything; return the minor units.

    An email confirms it with date and amount.
    """
    stored = _get_running(database, settings, subscriber_id)
    until = _get_withdrawal_deadline(settings, stored)
    now = clock()
    if until is None or until <= now:
        raise localized_error(
            Refused,
            "The withdrawal period is over. You can cancel at any time and read until the end of the period you’ve paid for.",
        )
    once, client = f"withdraw-{stored.stripe_id}", get_client(database, settings)
    title = _get_plan_title(settings, client, stored)
    earlier = [one for one in client.list_paid_invoices(stored.stripe_id) if one != stored.invoice_id]
    back = sum(client.refund(one, f"{once}-{one}") for one in earlier)
    back += end_with_refund(database, settings, stored, once, None)
    with database.transaction() as tx:
        billing_emails.confirm_withdrawal(tx, subscriber_id, stored, title, back, now)
    return back


def refund_payment(database: Database, settings: Settings, subscriber_id: int, typed: str | None, end: bool) -> tuple[int, str]:
    """Refund the latest payment for the operator (None: all of it), and optionally cancel.

    Return the minor units and the currency. Raises BadInput if ``typed`` is not an amount in the currency of the payment.
    """
    with database.transaction() as tx:
        held = subscriptions.list_by_subscriber(tx, subscriber_id)
    stored = next((one for one in reversed(held) if one.invoice_status == "paid"), None)
    if stored is None:
        raise BadInput("This subscriber has paid nothing, so nothing can be refunded.")
    amount = _parse_refund(typed, stored.currency)
    once = f"refund-{stored.invoice_id}-{amount or 'all'}"
    if end:
        return end_with_refund(database, settings, stored, once, amount), stored.currency
    client = get_client(database, settings)
    back = client.refund(stored.invoice_id, once, amount)
    if charge := client.get_invoice_charge(stored.invoice_id):
        refresh_charge(database, settings, client, charge)
    return back, stored.currency


def end_with_refund(database: Database, settings: Settings, stored: StoredSubscription, once: str, amount: int | None) -> int:
    """Cancel a subscription now and refund money of its latest payment; return the amount."""
    client = get_client(database, settings)
    charge = client.get_invoice_charge(stored.invoice_id)
    back = client.cancel_with_refund(stored.stripe_id, stored.invoice_id, once, amount)
    if stored.subscriber_id:
        with database.transaction() as tx:
            private_links.end_links(tx, stored.subscriber_id)
    if charge:
        refresh_charge(database, settings, client, charge)
    refresh_subscription(database, settings, client, stored.stripe_id)
    return back


def process_pauses(database: Database, settings: Settings) -> int:
    """Announce pauses that end soon and end those that are due; return how many were ended."""
    with database.transaction() as tx:
        near = [
            one
            for one in subscriptions.list_resuming(tx, PAUSE_END_NOTICE)
            if not erasure.get_erased_at(tx, one.subscriber_id or 0)
        ]
        for one in near:
            billing_emails.notify_pause_ending(tx, one)
    now = clock()
    due = [one for one in near if one.resumes_at and one.resumes_at <= now and one.subscriber_id]
    return sum(_end_pause(database, settings, one) for one in due)


def change_all(
    database: Database, settings: Settings, do: Callable[[Database, Settings, int], Entitlement], paused: bool
) -> tuple[int, list[str]]:
    """Apply a change to all subscribers whose subscription is (not) paused: the writer's own break.

    Returns how many, and the errors.
    """
    with database.transaction() as tx:
        held = [one for one in subscriptions.list_all(tx) if one.subscriber_id and one.plan]
    chosen = [
        one for one in held if one.status in (*RUNNING_STATUSES, "paused") and not one.cancel_at and _is_paused(one) is paused
    ]
    done, wrong = 0, []
    for one in chosen:
        try:
            do(database, settings, one.subscriber_id or 0)
            done += 1
        except PostmergeError as error:
            wrong.append(f"{one.stripe_id}: {error}")
    return done, wrong


def _end_pause(database: Database, settings: Settings, one: StoredSubscription) -> bool:
    """End one pause. A failure does not affect others."""
    try:
        resume_subscription(database, settings, one.subscriber_id or 0)
    except PostmergeError as error:
        logger.warning("paying.pause_not_ended", subscription=one.stripe_id, error=str(error))
        return False
    return True


def _build_resume_values(stored: StoredSubscription, now: datetime) -> dict[str, Any]:
    marks = {models.PAUSED_AT: "", models.PAID_UNTIL: "", models.RESUMES: "", models.PAUSE: ""}
    values: dict[str, Any] = {"pause_collection": "", "metadata": marks, "proration_behavior": "none"}
    if stored.pause_kind == "keep" and stored.paid_until and stored.paused_at and stored.paid_until > stored.paused_at:
        values["trial_end"] = int((now + (stored.paid_until - stored.paused_at)).timestamp())
        marks[models.PAUSE] = "kept"
    elif not (stored.paid_until and stored.paid_until > now):
        values["billing_cycle_anchor"] = "now"
    return values


def _update_at_stripe(
    database: Database, settings: Settings, stored: StoredSubscription, verb: str, values: dict[str, Any]
) -> None:
    get_client(database, settings).call(
        "post", f"/v1/subscriptions/{stored.stripe_id}", values, idempotency_key=_build_idempotency_key(stored, verb, values)
    )


def _refresh(database: Database, settings: Settings, stored: StoredSubscription) -> Entitlement:
    refresh_subscription(database, settings, get_client(database, settings), stored.stripe_id)
    with database.transaction() as tx:
        assert stored.subscriber_id
        return entitlements.restore_entitlement(entitlement_records.get(tx, stored.subscriber_id), clock())


def _get_running(database: Database, settings: Settings, subscriber_id: int) -> StoredSubscription:
    """Return the active subscription, fetched again, so that a change whose response was lost is not repeated."""
    with database.transaction() as tx:
        held = [] if erasure.get_erased_at(tx, subscriber_id) else subscriptions.list_by_subscriber(tx, subscriber_id)
    for one in _list_running(settings, held):
        fresh = refresh_subscription(database, settings, get_client(database, settings), one.stripe_id)
        if fresh and fresh.status in (*RUNNING_STATUSES, "paused"):
            return fresh
    raise localized_error(BadInput, "You don’t have a paid subscription, so you’re not being charged.")


def _list_running(settings: Settings, held: Sequence[StoredSubscription]) -> list[StoredSubscription]:
    """Return the subscriptions that have not ended; first the one that gives access."""
    running = [one for one in held if one.status in (*RUNNING_STATUSES, "paused")]
    return entitlements.sort_best_first(running, settings.grace, clock())


def _is_paused(stored: StoredSubscription) -> bool:
    return stored.collection_paused or stored.status == "paused"


def _load_terms(settings: Settings) -> Plans:
    plans = load_plans(settings.plans)
    if plans is None:
        raise BadInput(f"There is no {settings.plans}, so there are no terms for a pause: create it first.")
    return plans


def _parse_refund(typed: str | None, currency: str) -> int | None:
    if typed is None:
        return None
    amount = currencies.parse_amount(typed, currency)
    if amount is None:
        example = currencies.to_major_units(500, currency)
        raise BadInput(f"--amount {typed!r} is not an amount in {currency.upper()}: use the form {example}.")
    return amount


def _find_plan_title(settings: Settings, name: str) -> str:
    """Return the title of a plan that is sold; else ''."""
    with contextlib.suppress(BadInput):
        plans = load_plans(settings.plans)
        return next((plan.title for plan in plans.plans if plan.name == name), "") if plans else ""
    return ""


def _get_plan_title(settings: Settings, client: Stripe, stored: StoredSubscription) -> str:
    """Return a plan's title, from Stripe if it is no longer sold; empty if that has none. Never its key in plans.toml."""
    if title := _find_plan_title(settings, stored.plan):
        return title
    with contextlib.suppress(PostmergeError):  # a title is no reason to delay a withdrawal
        return client.get_product_name(stored.stripe_id)
    return ""


def _get_withdrawal_deadline(settings: Settings, stored: StoredSubscription | None) -> datetime | None:
    if stored is None or stored.started_at is None or stored.refunded:
        return None
    try:
        plans = load_plans(settings.plans)
    except BadInput as error:  # an unreadable file does not take away a right that subscribers have by law
        logger.error("plans.unreadable", error=str(error))
        return stored.started_at + MIN_WITHDRAWAL_PERIOD
    return stored.started_at + timedelta(days=plans.withdraw_days) if plans else stored.started_at + MIN_WITHDRAWAL_PERIOD


def _build_idempotency_key(stored: StoredSubscription, verb: str, values: object = "") -> str:
    """Return the same key for every retry of a call; a request about a newer state gets another key."""
    return f"{verb}-{stored.stripe_id}-{stored.version}-{hashlib.sha256(repr(values).encode()).hexdigest()[:12]}"


def _format_seconds(when: datetime) -> str:
    return str(int(when.timestamp()))
