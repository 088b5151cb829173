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
    held: str = "",
) -> bool:
    """Queue an email unless one about this matter was queued before. ``label`` is the text of its link; ``held`` says why the
    email waits for the operator's review.
    """
    label = label or voice.say("Your subscription")
    facts = {"subject": subject, "sentences": list(sentences), "label": label, "gift": gift, "lang": voice.lang}
    facts |= {"held": held} if held else {}
    return bool(transactional_emails.queue(tx, "paid", subscriber_id, facts, once, held=bool(held)))


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
        voice.say("You paid for a second subscription while the first one was still running."),
        voice.say(
            "We’ve ended the second one and will refund its payment of %(money)s. The first one continues.",
            money=voice.money(stored.amount, stored.currency),
        ),
    ]
    queue_email(tx, subscriber_id, f"double:{stored.stripe_id}", voice, voice.say("You’ll only be charged once"), sentences)
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
        "Your pause ends on %(date)s. The days you’ve already paid for start then, and the next payment comes after them.",
        date=day,
    )
    if one.pause_kind != "keep":
        first = voice.say("Your pause ends on %(date)s. You’ll be charged %(money)s that day.", date=day, money=price)
    sentences = [first, voice.say("To cancel instead, open your page. You won’t be charged.")]
    subject = voice.say("Your pause ends on %(date)s", date=day)
    queue_email(tx, one.subscriber_id, f"pause-end:{one.stripe_id}:{one.resumes_at:%s}", voice, subject, sentences)


def confirm_withdrawal(tx: Tx, subscriber_id: int, stored: StoredSubscription, plan: str, back: int, now: datetime) -> None:
    """Email the confirmation of a withdrawal, as proof. ``plan`` is the title of the plan."""
    voice = get_subscriber_localizer(tx, subscriber_id)
    sentences = [
        voice.say(
            "You withdrew from the contract for your subscription (%(plan)s) on %(date)s at %(time)s UTC."
            " This email is your proof.",
            plan=plan,
            date=voice.day(now),
            time=f"{now:%H:%M}",
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
    queue_email(tx, subscriber_id, f"withdrawn:{stored.stripe_id}", voice, subject, sentences)


_Email = tuple[str, str, list[str], Localizer]


def _compose(voice: Localizer, before: Entitlement, after: Entitlement, newest: StoredSubscription) -> _Email | None:
    say, name = voice.say, newest.stripe_id
    if after.state in (EntitlementState.PAYING, EntitlementState.TRIALING):
        if before.state not in (EntitlementState.FREE, EntitlementState.ENDED, EntitlementState.COMPLIMENTARY):
            return None
        return f"began:{name}", say("Thank you! You now have full access"), _began(voice, after, newest), voice
    if after.state is EntitlementState.PAST_DUE:
        return f"past_due:{newest.invoice_id}", say("Your payment didn’t go through"), _past_due(voice, after), voice
    if after.state is EntitlementState.ENDING:
        assert after.until
        subject = say("You have full access until %(date)s", date=voice.day(after.until))
        sentence = say(
            "You won’t be charged again. You can read everything until %(date)s; after that you’ll still get the free issues.",
            date=voice.day(after.until),
        )
        return f"ending:{name}:{after.until:%Y-%m-%d}", subject, [sentence], voice
    if after.state is EntitlementState.PAUSED:
        return f"paused:{name}:{newest.paused_at}", say("Your subscription is paused"), _paused(voice, newest), voice
    if after.state is EntitlementState.ENDED:
        sentences = [
            say("Your paid subscription has ended, and you won’t be charged again."),
            say("You’ll still get the free issues."),
        ]
        return f"ended:{name}", say("Your paid subscription has ended"), sentences, voice
    return None


def _began(voice: Localizer, after: Entitlement, newest: StoredSubscription) -> list[str]:
    say, price = voice.say, voice.price(newest.amount, newest.currency, newest.months)
    if after.state is EntitlementState.PAYING and newest.period_end:
        first = say("You pay %(price)s; the next payment is on %(date)s.", price=price, date=voice.day(newest.period_end))
    elif after.state is EntitlementState.TRIALING and newest.trial_end:
        first = say(
            "Your trial runs until %(date)s. After that, you’ll pay %(price)s.", date=voice.day(newest.trial_end), price=price
        )
    else:
        first = say("You pay %(price)s.", price=price)
    return [first, say("You can pause, cancel or check your dates on your page at any time.")]


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
