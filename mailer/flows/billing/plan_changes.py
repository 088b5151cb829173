"""What a reader does about their own subscription: pause, go on, leave, stay, withdraw. And refunds by the writer.

Each asks Stripe with an idempotency key and then fetches the subscription again, so that a lost answer does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.settings import Settings
from mailer.flows.billing import billing_mails
from mailer.flows.billing import entitlements as access
from mailer.flows.billing.billing_text import told, voice_of
from mailer.flows.billing.entitlements import Standing
from mailer.flows.billing.stripe_client import line
from mailer.flows.billing.stripe_sync import refresh, refresh_charge
from mailer.payments import models
from mailer.payments.plans import Plans, load
from mailer.store.billing import entitlements, subscriptions
from mailer.store.billing.entitlements import Access
from mailer.store.billing.subscriptions import Kept
from mailer.store.subscribers import erasure, subscribers

events = log.get("paying")

_RUNNING = ("active", "trialing", "past_due")
LEAST = timedelta(days=14)  # for withdrawing from a contract, by the EU's law
NOTICE = timedelta(days=7)  # before a pause ends by itself


def clock() -> datetime:
    """The moment at which a reader presses a button; a rehearsal has a clock of its own."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Page:
    """What a reader's own page shows. ``running`` is the subscription that buttons act on."""

    email: str
    standing: Standing
    access: Access | None
    running: Kept | None
    held: tuple[Kept, ...]
    withdraw_until: datetime | None
    lang: str = ""


def look(database: Database, settings: Settings, subscriber_id: int) -> Page | None:
    """A reader's standing and subscriptions, from our tables; None when there is no such reader."""
    with database.transaction() as tx:
        reader = subscribers.lock(tx, subscriber_id)
        if reader is None or erasure.moment(tx, subscriber_id):
            return None
        held = subscriptions.of_reader(tx, subscriber_id)
        written = entitlements.get(tx, subscriber_id)
        lang = voice_of(tx, subscriber_id).lang
    now = clock()
    running = next((one for one in held if one.status in (*_RUNNING, "paused")), None)
    until = _withdraw_until(settings, running)
    return Page(
        reader.email,
        access.current(written, now),
        written,
        running,
        tuple(held),
        until if until and until > now else None,
        lang,
    )


def pause(database: Database, settings: Settings, subscriber_id: int, days: int = 0, until: datetime | None = None) -> Standing:
    """Charges stop now. What was paid is kept as days or served out, as the terms say; it ends by itself."""
    kept = _running(database, settings, subscriber_id)
    terms = _terms(settings)
    if kept.cancel_at:
        raise told(Refused, "You have left already, so there is nothing to pause: nothing more is charged.")
    if not _paused(kept):
        now = clock()
        ends = until or now + timedelta(days=days or terms.pause_days)
        paid = kept.period_end if kept.status in ("active", "trialing") else None
        marks = {
            models.PAUSE: terms.pause,
            models.PAUSED_AT: _seconds(now),
            models.PAID_UNTIL: _seconds(paid) if paid else "",
            models.RESUMES: _seconds(ends),
        }
        _ask(database, settings, kept, "pause", {"pause_collection": {"behavior": "void"}, "metadata": marks})
    return _again(database, settings, kept)


def resume(database: Database, settings: Settings, subscriber_id: int) -> Standing:
    """Charges go on: after the kept days, after the paid time, or now when nothing is left of it."""
    kept = _running(database, settings, subscriber_id)
    if kept.status == "paused":
        client = line(database, settings)
        values = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
        client.call("post", f"/v1/subscriptions/{kept.stripe_id}/resume", values, once=_once(kept, "resume"))
    elif kept.collection_paused:
        _ask(database, settings, kept, "resume", _resumed(kept, clock()))
    return _again(database, settings, kept)


def leave(database: Database, settings: Settings, subscriber_id: int) -> Standing:
    """Nothing more is charged; what was paid for lasts to its end. Twice does no harm."""
    kept = _running(database, settings, subscriber_id)
    now = clock()
    if kept.cancel_at:
        return _again(database, settings, kept)
    if kept.status == "past_due" or (_paused(kept) and kept.pause_kind != "keep"):
        client = line(database, settings)
        client.call("delete", f"/v1/subscriptions/{kept.stripe_id}", once=_once(kept, "leave"))
    elif _paused(kept):
        _ask(database, settings, kept, "leave", {**_resumed(kept, now), "cancel_at_period_end": True})
    else:
        _ask(database, settings, kept, "leave", {"cancel_at_period_end": True})
    return _again(database, settings, kept)


def stay(database: Database, settings: Settings, subscriber_id: int) -> Standing:
    """Leaving was a mistake: it goes on as before, as long as it has not ended."""
    kept = _running(database, settings, subscriber_id)
    if kept.cancel_at:
        _ask(database, settings, kept, "stay", {"cancel_at_period_end": False})
    return _again(database, settings, kept)


def withdraw(database: Database, settings: Settings, subscriber_id: int) -> int:
    """The right to withdraw: it ends now and all that was paid goes back; minor units. A mail confirms it with date and sum."""
    kept = _running(database, settings, subscriber_id)
    until = _withdraw_until(settings, kept)
    now = clock()
    if until is None or until <= now:
        raise told(
            Refused, "The time for withdrawing is over: you can leave at any time, and read until the end of what you paid."
        )
    once, client = f"withdraw-{kept.stripe_id}", line(database, settings)
    earlier = [one for one in client.paid_invoices(kept.stripe_id) if one != kept.invoice_id]
    back = sum(client.refund(one, f"{once}-{one}") for one in earlier)
    back += end_with_refund(database, settings, kept, once, None)
    with database.transaction() as tx:
        billing_mails.withdrawn(tx, subscriber_id, kept, back, now)
    return back


def refund(database: Database, settings: Settings, subscriber_id: int, amount: int | None, end: bool) -> int:
    """The writer gives money of the latest payment back (None: all of it), and may end the subscription; minor units."""
    with database.transaction() as tx:
        held = subscriptions.of_reader(tx, subscriber_id)
    kept = next((one for one in reversed(held) if one.invoice_status == "paid"), None)
    if kept is None:
        raise BadInput("Nothing of this reader's was paid, so nothing can go back.")
    once = f"refund-{kept.invoice_id}-{amount or 'all'}"
    if end:
        return end_with_refund(database, settings, kept, once, amount)
    client = line(database, settings)
    back = client.refund(kept.invoice_id, once, amount)
    if charge := client.invoice_charge(kept.invoice_id):
        refresh_charge(database, settings, client, charge)
    return back


def end_with_refund(database: Database, settings: Settings, kept: Kept, once: str, amount: int | None) -> int:
    """End a subscription now and give back money of its latest payment; what went back."""
    client = line(database, settings)
    charge = client.invoice_charge(kept.invoice_id)
    back = client.end_now(kept.stripe_id, kept.invoice_id, once, amount)
    if charge:
        refresh_charge(database, settings, client, charge)
    refresh(database, settings, client, kept.stripe_id)
    return back


def tend_pauses(database: Database, settings: Settings) -> int:
    """Pauses whose end is near are told, and those whose end has come are ended; how many were touched."""
    with database.transaction() as tx:
        near = [one for one in subscriptions.resuming(tx, NOTICE) if not erasure.moment(tx, one.subscriber_id or 0)]
        for one in near:
            billing_mails.pause_ends(tx, one)
    now = clock()
    due = [one for one in near if one.resumes_at and one.resumes_at <= now and one.subscriber_id]
    return sum(_end_pause(database, settings, one) for one in due)


def every(
    database: Database, settings: Settings, do: Callable[[Database, Settings, int], Standing], paused: bool
) -> tuple[int, list[str]]:
    """Do something for all readers whose subscription is (not) paused: the writer's own break. How many; what went wrong."""
    with database.transaction() as tx:
        held = [one for one in subscriptions.every(tx) if one.subscriber_id and one.plan]
    chosen = [one for one in held if one.status in (*_RUNNING, "paused") and not one.cancel_at and _paused(one) is paused]
    done, wrong = 0, []
    for one in chosen:
        try:
            do(database, settings, one.subscriber_id or 0)
            done += 1
        except PostmergeError as error:
            wrong.append(f"{one.stripe_id}: {error}")
    return done, wrong


def _end_pause(database: Database, settings: Settings, one: Kept) -> bool:
    """One that cannot be ended just now stops no other."""
    try:
        resume(database, settings, one.subscriber_id or 0)
    except PostmergeError as error:
        events.warning("paying.pause_goes_on", subscription=one.stripe_id, error=str(error))
        return False
    return True


def _resumed(kept: Kept, now: datetime) -> dict[str, Any]:
    marks = {models.PAUSED_AT: "", models.PAID_UNTIL: "", models.RESUMES: "", models.PAUSE: ""}
    values: dict[str, Any] = {"pause_collection": "", "metadata": marks, "proration_behavior": "none"}
    if kept.pause_kind == "keep" and kept.paid_until and kept.paused_at and kept.paid_until > kept.paused_at:
        values["trial_end"] = int((now + (kept.paid_until - kept.paused_at)).timestamp())
        marks[models.PAUSE] = "kept"
    elif not (kept.paid_until and kept.paid_until > now):
        values["billing_cycle_anchor"] = "now"
    return values


def _ask(database: Database, settings: Settings, kept: Kept, verb: str, values: dict[str, Any]) -> None:
    line(database, settings).call("post", f"/v1/subscriptions/{kept.stripe_id}", values, once=_once(kept, verb, values))


def _again(database: Database, settings: Settings, kept: Kept) -> Standing:
    refresh(database, settings, line(database, settings), kept.stripe_id)
    with database.transaction() as tx:
        assert kept.subscriber_id
        return access.current(entitlements.get(tx, kept.subscriber_id), clock())


def _running(database: Database, settings: Settings, subscriber_id: int) -> Kept:
    """The subscription that runs, fetched just now: what a lost answer had done already is not done again."""
    with database.transaction() as tx:
        held = [] if erasure.moment(tx, subscriber_id) else subscriptions.of_reader(tx, subscriber_id)
    for one in held:
        if one.status in (*_RUNNING, "paused"):
            fresh = refresh(database, settings, line(database, settings), one.stripe_id)
            if fresh and fresh.status in (*_RUNNING, "paused"):
                return fresh
    raise told(BadInput, "There is no paid subscription of yours that runs: nothing is charged.")


def _paused(kept: Kept) -> bool:
    return kept.collection_paused or kept.status == "paused"


def _terms(settings: Settings) -> Plans:
    plans = load(settings.plans)
    if plans is None:
        raise BadInput(f"There is no {settings.plans}, so there are no terms for a pause: write it first.")
    return plans


def _withdraw_until(settings: Settings, kept: Kept | None) -> datetime | None:
    if kept is None or kept.started_at is None or kept.refunded:
        return None
    try:
        plans = load(settings.plans)
    except BadInput as error:  # a file that cannot be read takes no right away that a reader has by law
        events.error("plans.unreadable", error=str(error))
        return kept.started_at + LEAST
    return kept.started_at + timedelta(days=plans.withdraw_days) if plans else kept.started_at + LEAST


def _once(kept: Kept, verb: str, values: object = "") -> str:
    """One call is made once, however often its answer is lost; what is asked of a newer state is another call."""
    return f"{verb}-{kept.stripe_id}-{kept.version}-{hashlib.sha256(repr(values).encode()).hexdigest()[:12]}"


def _seconds(when: datetime) -> str:
    return str(int(when.timestamp()))
