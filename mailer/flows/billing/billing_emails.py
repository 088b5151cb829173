"""Plain emails about payments, in the subscriber's language: what changed, until when access lasts, what to do.

Each matter is emailed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailer.core.db import Tx
from mailer.flows.billing.billing_text import Localizer, get_subscriber_localizer
from mailer.flows.billing.entitlements import Entitlement, EntitlementState, will_be_charged
from mailer.flows.subscribers import inbox_limit
from mailer.payments.currencies import format_money
from mailer.payments.models import Charge
from mailer.store.billing.subscriptions import StoredSubscription
from mailer.store.operations import notices
from mailer.store.subscribers import subscribers
from mailer.store.transactional import transactional_emails


@dataclass(frozen=True)
class BillingEmail:
    """An email in the subscriber's language. ``once`` identifies its matter, ``label`` is the text of its link."""

    once: str
    voice: Localizer
    subject: str
    sentences: Sequence[str]
    label: str = ""
    gift: int = 0


def queue_email(tx: Tx, subscriber_id: int, email: BillingEmail, held: str = "") -> bool:
    """Queue an email unless one about its matter was queued before; ``held`` says why it waits for the operator's review."""
    facts = {"subject": email.subject, "sentences": list(email.sentences), "gift": email.gift, "lang": email.voice.lang}
    facts |= {"label": email.label or email.voice.say("Your subscription")} | ({"held": held} if held else {})
    return bool(transactional_emails.queue(tx, "paid", subscriber_id, facts, email.once, held=bool(held)))


def notify_entitlement_change(
    tx: Tx, subscriber_id: int, before: Entitlement, after: Entitlement, held: Sequence[StoredSubscription]
) -> None:
    """Email a subscriber that their entitlement changed."""
    if before == after or not held:
        return
    subscriber = subscribers.get(tx, subscriber_id)
    is_active = subscriber is not None and subscriber.state == "active"
    found = _compose(get_subscriber_localizer(tx, subscriber_id), before, after, list(held), is_active)
    if found:
        queue_email(tx, subscriber_id, found, held=_use_inbox(tx, subscriber_id))


def _use_inbox(tx: Tx, subscriber_id: int) -> str:
    """Return why an email must be held, or ''. Anybody can pay with any address, so it counts until its owner has confirmed."""
    subscriber = subscribers.get(tx, subscriber_id)
    if subscriber is None or subscriber.confirmed_at or inbox_limit.use(tx, subscriber.email_normal, subscriber=True):
        return ""
    return inbox_limit.FULL


def notify_double(tx: Tx, subscriber_id: int, ended: StoredSubscription, kept: StoredSubscription, back: int) -> None:
    """Email a subscriber that one of their two subscriptions was ended, and ``back`` minor units of it refunded."""
    voice = get_subscriber_localizer(tx, subscriber_id)
    money = voice.money(back, ended.currency)
    if back:
        sentences = [
            voice.say("You paid for a second subscription while the first one was still running."),
            voice.say(
                "We’ve ended the second one and will refund its payment of %(money)s. The first one continues.", money=money
            ),
        ]
    elif ended.stripe_id == min(ended, kept, key=_by_age).stripe_id:
        sentences = [
            voice.say("Your new subscription replaces the earlier one, which we’ve ended."),
            voice.say("You won’t be charged for the earlier one again."),
        ]
    else:
        sentences = [
            voice.say("You started a second subscription while the first one was still running."),
            voice.say("We’ve ended the second one without charging you for it. The first one continues."),
        ]
    email = BillingEmail(f"double:{ended.stripe_id}", voice, voice.say("You’ll only be charged once"), sentences)
    queue_email(tx, subscriber_id, email)
    refunded = f"and {format_money(back, ended.currency)} of it refunded" if back else "with nothing to refund"
    notices.add(
        tx,
        f"Subscriber {subscriber_id} had two subscriptions: {ended.stripe_id} was canceled {refunded}, {kept.stripe_id} runs.",
    )


def _by_age(one: StoredSubscription) -> tuple[str, str]:
    return f"{one.started_at:%s}" if one.started_at else "", one.stripe_id


def notify_dispute(tx: Tx, charge: Charge) -> None:
    """Tell the operator about a dispute, which only they can answer."""
    what = f"The charge {charge.stripe_id} of {format_money(charge.amount, charge.currency)}"
    if charge.dispute == "open":
        notices.add(
            tx, f"{what} is disputed. The subscriber keeps access for the grace period: respond in the Stripe dashboard."
        )
    elif charge.is_inquiry:
        notices.add(
            tx,
            f"{what} is the subject of an inquiry by the subscriber's bank. No money has moved, and access is unchanged:"
            " respond in the Stripe dashboard, before it becomes a dispute.",
        )


def notify_pause_ending(tx: Tx, one: StoredSubscription) -> None:
    """Email a subscriber that their pause ends in a week."""
    assert one.subscriber_id
    assert one.resumes_at
    voice = get_subscriber_localizer(tx, one.subscriber_id)
    day, price = voice.day(one.resumes_at), voice.money(one.amount, one.currency)
    first = voice.say(
        "Your pause ends on %(date)s. The days you’ve already paid for start then, and the next payment comes after them.",
        date=day,
    )
    if one.pause_kind != "keep":
        first = voice.say("Your pause ends on %(date)s. You’ll be charged %(money)s that day.", date=day, money=price)
    sentences = [first, voice.say("To cancel instead, open your page. You won’t be charged.")]
    subject = voice.say("Your pause ends on %(date)s", date=day)
    once = f"pause-end:{one.stripe_id}:{one.resumes_at:%s}"
    queue_email(tx, one.subscriber_id, BillingEmail(once, voice, subject, sentences))


def confirm_withdrawal(tx: Tx, subscriber_id: int, stored: StoredSubscription, plan: str, back: int, now: datetime) -> None:
    """Email the confirmation of a withdrawal, as proof. ``plan`` is the title of the plan, if it has one."""
    voice = get_subscriber_localizer(tx, subscriber_id)
    sentences = [
        voice.say(
            "You withdrew from the contract for your subscription (%(plan)s) on %(date)s at %(time)s."
            " This email is your proof.",
            plan=plan or voice.say("Paid subscription"),
            date=voice.day(now),
            time=voice.clock(now),
        ),
        voice.say(
            "We’ll refund %(money)s to the card you paid with. Depending on your bank, this takes five to ten days.",
            money=voice.money(back, stored.currency),
        )
        if back
        else voice.say("You hadn’t been charged, so there’s nothing to refund."),
        voice.say("Your paid subscription has ended, and you won’t be charged again."),
    ]
    subject = voice.say("Your withdrawal is confirmed")
    queue_email(tx, subscriber_id, BillingEmail(f"withdrawn:{stored.stripe_id}", voice, subject, sentences))


@dataclass(frozen=True)
class Cancellation:
    """A cancellation as the law wants it confirmed (§ 312k BGB): of which contract, when it came, when the contract ends.

    ``plan`` is the plan's title, if it has one; ``after`` is what the subscriber may read from now on.
    """

    stored: StoredSubscription
    plan: str
    address: str
    received_at: datetime
    ends_at: datetime
    after: Entitlement


def confirm_cancellation(tx: Tx, subscriber_id: int, given: Cancellation, is_repeated: bool) -> None:
    """Email the confirmation of a cancellation, in place of the email about the access that it changes.

    ``is_repeated``: it was cancelled before, so that only a confirmation that got lost is emailed.
    """
    voice, name, until = get_subscriber_localizer(tx, subscriber_id), given.stored.stripe_id, given.after.until
    sentences = [
        voice.say(
            "We received your cancellation on %(date)s at %(time)s. This email is your proof.",
            date=voice.day(given.received_at),
            time=voice.clock(given.received_at),
        ),
        voice.contract(given.stored, given.plan, given.address),
        voice.say("The contract ends on %(date)s.", date=voice.day(given.ends_at)),
        *(_ending(voice, until) if given.after.premium and until else _ended(voice)),
    ]
    subject, once = voice.say("Your cancellation is confirmed"), f"cancelled:{name}:{given.ends_at:%Y-%m-%d}"
    email = BillingEmail(once, voice, subject, sentences)
    queued = queue_email(tx, subscriber_id, email)
    if not queued and not is_repeated:  # it was cancelled, undone, and cancelled again
        queued = queue_email(tx, subscriber_id, replace(email, once=f"{once}:{given.received_at:%s}"))
    if queued:
        transactional_emails.delete_pending(tx, [f"ended:{name}", *([_name_ending(name, until)] if until else [])])


def _name_ending(name: str, until: datetime) -> str:
    return f"ending:{name}:{until:%Y-%m-%d}"


def _ending(voice: Localizer, until: datetime) -> list[str]:
    return [
        voice.say(
            "You won’t be charged again. You can read everything until %(date)s; after that you’ll still get the free issues.",
            date=voice.day(until),
        )
    ]


def _ended(voice: Localizer) -> list[str]:
    return [
        voice.say("Your paid subscription has ended, and you won’t be charged again."),
        voice.say("You’ll still get the free issues."),
    ]


def _compose(
    voice: Localizer, before: Entitlement, after: Entitlement, held: list[StoredSubscription], is_active: bool
) -> BillingEmail | None:
    say, newest = voice.say, held[-1]
    name = newest.stripe_id
    if after.state in (EntitlementState.PAYING, EntitlementState.TRIALING):
        if before.state not in (EntitlementState.FREE, EntitlementState.ENDED, EntitlementState.COMPLIMENTARY):
            return None
        return BillingEmail(
            f"began:{name}", voice, say("Thank you! You now have full access"), _began(voice, after, newest, is_active)
        )
    if after.state is EntitlementState.PAST_DUE and any(one.dispute == "open" for one in held):
        return BillingEmail(f"disputed:{newest.invoice_id}", voice, say("Your payment was disputed"), _disputed(voice, after))
    if after.state is EntitlementState.PAST_DUE:
        return BillingEmail(
            f"past_due:{newest.invoice_id}", voice, say("Your payment didn’t go through"), _past_due(voice, after)
        )
    if after.state is EntitlementState.ENDING:
        assert after.until
        subject = say("You have full access until %(date)s", date=voice.day(after.until))
        return BillingEmail(_name_ending(name, after.until), voice, subject, _ending(voice, after.until))
    if after.state is EntitlementState.PAUSED:
        return BillingEmail(
            f"paused:{name}:{newest.paused_at}", voice, say("Your subscription is paused"), _paused(voice, newest)
        )
    if after.state is EntitlementState.ENDED and any(will_be_charged(one) for one in held):
        return BillingEmail(f"unpaid:{newest.invoice_id}", voice, say("You no longer have full access"), _unpaid(voice))
    if after.state is EntitlementState.ENDED:
        return BillingEmail(f"ended:{name}", voice, say("Your paid subscription has ended"), _ended(voice))
    return None


def _began(voice: Localizer, after: Entitlement, newest: StoredSubscription, is_active: bool) -> list[str]:
    say, price = voice.say, voice.price(newest.amount, newest.currency, newest.months)
    if after.state is EntitlementState.PAYING and newest.period_end:
        first = say("You pay %(price)s; the next payment is on %(date)s.", price=price, date=voice.day(newest.period_end))
    elif after.state is EntitlementState.TRIALING and newest.trial_end:
        first = say(
            "Your trial runs until %(date)s. After that, you’ll pay %(price)s.", date=voice.day(newest.trial_end), price=price
        )
    else:
        first = say("You pay %(price)s.", price=price)
    emails = say("You’ll get every issue by email. You can unsubscribe at any time with the link in every issue.")
    return [first, *([emails] if is_active else []), say("You can pause, cancel or check your dates on your page at any time.")]


def _past_due(voice: Localizer, after: Entitlement) -> list[str]:
    declined = voice.say("Your bank declined the payment.")
    if after.until:
        declined = voice.say(
            "Your bank declined the payment. You’ll keep full access until %(date)s.", date=voice.day(after.until)
        )
    return [
        declined,
        voice.say("We’ll try again automatically. To use another card, open your page."),
        voice.say("If you’d rather stop, you don’t need to do anything. We won’t ask for the unpaid amount later."),
    ]


def _disputed(voice: Localizer, after: Entitlement) -> list[str]:
    first = voice.say("Your bank has asked for your payment back (a dispute).")
    if after.until:
        first = voice.say(
            "Your bank has asked for your payment back (a dispute). You’ll keep full access until %(date)s.",
            date=voice.day(after.until),
        )
    return [first, voice.say("If you didn’t mean to dispute it, ask your bank to withdraw the dispute.")]


def _unpaid(voice: Localizer) -> list[str]:
    return [
        voice.say("We haven’t received your payment, so you no longer have full access."),
        voice.say("To use another card or to cancel, open your page."),
        voice.say("You’ll still get the free issues."),
    ]


def _paused(voice: Localizer, newest: StoredSubscription) -> list[str]:
    say = voice.say
    first = say("You won’t be charged while it’s paused.")
    if newest.resumes_at:
        ends = say(
            "The pause ends automatically on %(date)s. We’ll email you a week before.", date=voice.day(newest.resumes_at)
        )
        first = f"{first} {ends}"
    if newest.pause_kind == "keep":
        stored = say("The days you’ve paid for will start when you resume.")
        return [first, stored, say("You’ll still get the free issues.")]
    return [
        first,
        say(
            "You’ll have full access until the end of the period you’ve paid for; after that you’ll still get the free issues."
        ),
    ]
