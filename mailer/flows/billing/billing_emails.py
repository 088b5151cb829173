"""Plain emails about payments, in the subscriber's language: what changed, until when access lasts, what to do.

Each matter is emailed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailer.core.db import Tx
from mailer.flows.billing.billing_text import Localizer, get_subscriber_localizer
from mailer.flows.billing.entitlements import Entitlement, EntitlementState
from mailer.payments.models import Charge
from mailer.payments.plans import format_money
from mailer.store.billing.subscriptions import StoredSubscription
from mailer.store.operations import notices
from mailer.store.transactional import transactional_emails


def queue_email(
    tx: Tx,
    subscriber_id: int,
    once: str,
    voice: Localizer,
    subject: str,
    sentences: Sequence[str],
    label: str = "",
    gift: int = 0,
) -> bool:
    """Queue an email unless one about this matter was queued before. ``label`` is the text of its link."""
    label = label or voice.say("Your subscription")
    facts = {"subject": subject, "sentences": list(sentences), "label": label, "gift": gift, "lang": voice.lang}
    return bool(transactional_emails.queue(tx, "paid", subscriber_id, facts, once))


def notify_entitlement_change(
    tx: Tx, subscriber_id: int, before: Entitlement, after: Entitlement, held: Sequence[StoredSubscription]
) -> None:
    """Email a subscriber that their entitlement changed."""
    if before == after or not held:
        return
    found = _compose(get_subscriber_localizer(tx, subscriber_id), before, after, held[-1])
    if found:
        once, subject, sentences, voice = found
        queue_email(tx, subscriber_id, once, voice, subject, sentences)


def notify_double_payment(tx: Tx, subscriber_id: int, stored: StoredSubscription) -> None:
    """Email a subscriber that a second subscription was ended and refunded."""
    voice = get_subscriber_localizer(tx, subscriber_id)
    sentences = [
        voice.say("You paid for a second subscription while the first one runs."),
        voice.say(
            "The second one has ended and its payment of %(money)s goes back to you. The first one goes on.",
            money=voice.money(stored.amount, stored.currency),
        ),
    ]
    queue_email(tx, subscriber_id, f"double:{stored.stripe_id}", voice, voice.say("You are charged only once"), sentences)
    notices.add(tx, f"Subscriber {subscriber_id} paid twice; {stored.stripe_id} was canceled and refunded.")


def notify_dispute(tx: Tx, charge: Charge) -> None:
    """Tell the operator about a dispute, which only they can answer."""
    if charge.dispute == "open":
        notices.add(
            tx,
            f"The charge {charge.stripe_id} of {format_money(charge.amount, charge.currency)} is disputed."
            " The subscriber keeps access for the grace period: respond in the Stripe dashboard.",
        )


def notify_pause_ending(tx: Tx, one: StoredSubscription) -> None:
    """Email a subscriber that their pause ends in a week."""
    assert one.subscriber_id
    assert one.resumes_at
    voice = get_subscriber_localizer(tx, one.subscriber_id)
    day, price = voice.day(one.resumes_at), voice.money(one.amount, one.currency)
    first = voice.say(
        "Your pause ends on %(date)s: the days you had paid for begin then, and the next payment comes after them.", date=day
    )
    if one.pause_kind != "keep":
        first = voice.say("Your pause ends on %(date)s: %(money)s is charged then.", date=day, money=price)
    sentences = [first, voice.say("To leave instead, open your page: two presses of a button, and nothing is charged.")]
    subject = voice.say("Your pause ends on %(date)s", date=day)
    queue_email(tx, one.subscriber_id, f"pause-end:{one.stripe_id}:{one.resumes_at:%s}", voice, subject, sentences)


def confirm_withdrawal(tx: Tx, subscriber_id: int, stored: StoredSubscription, back: int, now: datetime) -> None:
    """Email the confirmation of a withdrawal, as proof."""
    voice = get_subscriber_localizer(tx, subscriber_id)
    sentences = [
        voice.say(
            "You withdrew from your subscription (%(plan)s) on %(date)s at %(time)s UTC; this mail is your proof of it.",
            plan=stored.plan,
            date=voice.day(now),
            time=f"{now:%H:%M}",
        ),
        voice.say(
            "%(money)s goes back to the card you paid with; banks take five to ten days.",
            money=voice.money(back, stored.currency),
        )
        if back
        else voice.say("Nothing had been charged, so nothing has to go back."),
        voice.say("The subscription has ended and nothing more is charged."),
    ]
    subject = voice.say("Your withdrawal is confirmed")
    queue_email(tx, subscriber_id, f"withdrawn:{stored.stripe_id}", voice, subject, sentences)


_Email = tuple[str, str, list[str], Localizer]


def _compose(voice: Localizer, before: Entitlement, after: Entitlement, newest: StoredSubscription) -> _Email | None:
    say, name = voice.say, newest.stripe_id
    if after.state in (EntitlementState.PAYING, EntitlementState.TRIALING):
        if before.state not in (EntitlementState.FREE, EntitlementState.ENDED, EntitlementState.COMPLIMENTARY):
            return None
        return f"began:{name}", say("Thank you: you read everything now"), _began(voice, after, newest), voice
    if after.state is EntitlementState.PAST_DUE:
        return f"past_due:{newest.invoice_id}", say("Your payment did not go through"), _past_due(voice, after), voice
    if after.state is EntitlementState.ENDING:
        subject = say("You read everything until %(date)s", date=voice.day(after.until))
        sentence = say(
            "Nothing more is charged. You read everything until %(date)s, and the free issues after that.",
            date=voice.day(after.until),
        )
        return f"ending:{name}:{after.until:%Y-%m-%d}", subject, [sentence], voice
    if after.state is EntitlementState.PAUSED:
        return f"paused:{name}:{newest.paused_at}", say("Your subscription rests"), _paused(voice, newest), voice
    if after.state is EntitlementState.ENDED:
        sentences = [
            say("Your paid subscription is over and nothing more is charged."),
            say("The free issues go on as before."),
        ]
        return f"ended:{name}", say("Your paid subscription has ended"), sentences, voice
    return None


def _began(voice: Localizer, after: Entitlement, newest: StoredSubscription) -> list[str]:
    say, price = voice.say, voice.price(newest.amount, newest.currency, newest.months)
    if after.state is EntitlementState.PAYING:
        first = say("You pay %(price)s; the next payment is on %(date)s.", price=price, date=voice.day(newest.period_end))
    elif newest.trial_end:
        first = say("Your trial runs until %(date)s; then it is %(price)s.", date=voice.day(newest.trial_end), price=price)
    else:
        first = say("You pay %(price)s.", price=price)
    return [first, say("To pause, to leave or to see the dates, open your page: leaving is two presses of a button.")]


def _past_due(voice: Localizer, after: Entitlement) -> list[str]:
    return [
        voice.say(
            "Your bank did not let the payment through. You keep reading everything until %(date)s.",
            date=voice.day(after.until),
        ),
        voice.say("Stripe tries again by itself; to use another card, open your page."),
        voice.say("If you would rather stop, do nothing: nothing that was not paid is asked for later."),
    ]


def _paused(voice: Localizer, newest: StoredSubscription) -> list[str]:
    say = voice.say
    first = say("Nothing is charged while it rests.")
    if newest.resumes_at:
        ends = say("It ends by itself on %(date)s; you hear from us a week before.", date=voice.day(newest.resumes_at))
        first = f"{first} {ends}"
    if newest.pause_kind == "keep":
        stored = say("The days you have paid for wait for you: they begin when you go on.")
        return [first, stored, say("Free issues come as before.")]
    return [first, say("You read everything until the end of what you have paid for, and free issues after that.")]
