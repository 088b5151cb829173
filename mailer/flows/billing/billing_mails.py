"""Plain mails about money, in the reader's language: what changed, until when access lasts, what to do. Each is told once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailer.core.db import Tx
from mailer.flows.billing.billing_text import Voice, voice_of
from mailer.flows.billing.entitlements import Standing, State
from mailer.payments.models import Charge
from mailer.payments.plans import money
from mailer.store.billing.subscriptions import Kept
from mailer.store.operations import notices
from mailer.store.transactional import transactional_mails


def tell(
    tx: Tx, subscriber_id: int, once: str, voice: Voice, subject: str, sentences: Sequence[str], label: str = "", gift: int = 0
) -> bool:
    """Queue a mail unless this matter was told before; ``label`` names the link to the reader's own page or their gift."""
    label = label or voice.say("Your subscription")
    facts = {"subject": subject, "sentences": list(sentences), "label": label, "gift": gift, "lang": voice.lang}
    return bool(transactional_mails.queue(tx, "paid", subscriber_id, facts, once))


def about(tx: Tx, subscriber_id: int, before: Standing, after: Standing, held: Sequence[Kept]) -> None:
    """Tell a reader that their standing changed."""
    if before == after or not held:
        return
    found = _about(voice_of(tx, subscriber_id), before, after, held[-1])
    if found:
        once, subject, sentences, voice = found
        tell(tx, subscriber_id, once, voice, subject, sentences)


def doubled(tx: Tx, subscriber_id: int, kept: Kept) -> None:
    """A second subscription was ended and given back."""
    voice = voice_of(tx, subscriber_id)
    sentences = [
        voice.say("You paid for a second subscription while the first one runs."),
        voice.say(
            "The second one has ended and its payment of %(money)s goes back to you. The first one goes on.",
            money=voice.money(kept.amount, kept.currency),
        ),
    ]
    tell(tx, subscriber_id, f"double:{kept.stripe_id}", voice, voice.say("You are charged only once"), sentences)
    notices.add(tx, f"Subscriber {subscriber_id} paid twice; {kept.stripe_id} was ended and given back.")


def dispute(tx: Tx, charge: Charge) -> None:
    """The operator must answer a dispute at Stripe; we cannot."""
    if charge.dispute == "open":
        notices.add(
            tx,
            f"The charge {charge.stripe_id} of {money(charge.amount, charge.currency)} is disputed; the reader keeps access for"
            " the grace period: answer at Stripe's dashboard.",
        )


def pause_ends(tx: Tx, one: Kept) -> None:
    """A pause ends by itself in a week."""
    assert one.subscriber_id
    assert one.resumes_at
    voice = voice_of(tx, one.subscriber_id)
    day, price = voice.day(one.resumes_at), voice.money(one.amount, one.currency)
    first = voice.say(
        "Your pause ends on %(date)s: the days you had paid for begin then, and the next payment comes after them.", date=day
    )
    if one.pause_kind != "keep":
        first = voice.say("Your pause ends on %(date)s: %(money)s is charged then.", date=day, money=price)
    sentences = [first, voice.say("To leave instead, open your page: two presses of a button, and nothing is charged.")]
    subject = voice.say("Your pause ends on %(date)s", date=day)
    tell(tx, one.subscriber_id, f"pause-end:{one.stripe_id}:{one.resumes_at:%s}", voice, subject, sentences)


def withdrawn(tx: Tx, subscriber_id: int, kept: Kept, back: int, now: datetime) -> None:
    """The confirmation of a withdrawal, for keeping."""
    voice = voice_of(tx, subscriber_id)
    sentences = [
        voice.say(
            "You withdrew from your subscription (%(plan)s) on %(date)s at %(time)s UTC; this mail is your proof of it.",
            plan=kept.plan,
            date=voice.day(now),
            time=f"{now:%H:%M}",
        ),
        voice.say(
            "%(money)s goes back to the card you paid with; banks take five to ten days.",
            money=voice.money(back, kept.currency),
        )
        if back
        else voice.say("Nothing had been charged, so nothing has to go back."),
        voice.say("The subscription has ended and nothing more is charged."),
    ]
    subject = voice.say("Your withdrawal is confirmed")
    tell(tx, subscriber_id, f"withdrawn:{kept.stripe_id}", voice, subject, sentences)


_Mail = tuple[str, str, list[str], Voice]


def _about(voice: Voice, before: Standing, after: Standing, newest: Kept) -> _Mail | None:
    say, name = voice.say, newest.stripe_id
    if after.state in (State.PAYING, State.TRIALING):
        if before.state not in (State.FREE, State.ENDED, State.COMPLIMENTARY):
            return None
        return f"began:{name}", say("Thank you: you read everything now"), _began(voice, after, newest), voice
    if after.state is State.PAST_DUE:
        return f"past_due:{newest.invoice_id}", say("Your payment did not go through"), _past_due(voice, after), voice
    if after.state is State.ENDING:
        subject = say("You read everything until %(date)s", date=voice.day(after.until))
        sentence = say(
            "Nothing more is charged. You read everything until %(date)s, and the free issues after that.",
            date=voice.day(after.until),
        )
        return f"ending:{name}:{after.until:%Y-%m-%d}", subject, [sentence], voice
    if after.state is State.PAUSED:
        return f"paused:{name}:{newest.paused_at}", say("Your subscription rests"), _paused(voice, newest), voice
    if after.state is State.ENDED:
        sentences = [
            say("Your paid subscription is over and nothing more is charged."),
            say("The free issues go on as before."),
        ]
        return f"ended:{name}", say("Your paid subscription has ended"), sentences, voice
    return None


def _began(voice: Voice, after: Standing, newest: Kept) -> list[str]:
    say, price = voice.say, voice.price(newest.amount, newest.currency, newest.months)
    if after.state is State.PAYING:
        first = say("You pay %(price)s; the next payment is on %(date)s.", price=price, date=voice.day(newest.period_end))
    elif newest.trial_end:
        first = say("Your trial runs until %(date)s; then it is %(price)s.", date=voice.day(newest.trial_end), price=price)
    else:
        first = say("You pay %(price)s.", price=price)
    return [first, say("To pause, to leave or to see the dates, open your page: leaving is two presses of a button.")]


def _past_due(voice: Voice, after: Standing) -> list[str]:
    return [
        voice.say(
            "Your bank did not let the payment through. You keep reading everything until %(date)s.",
            date=voice.day(after.until),
        ),
        voice.say("Stripe tries again by itself; to use another card, open your page."),
        voice.say("If you would rather stop, do nothing: nothing that was not paid is asked for later."),
    ]


def _paused(voice: Voice, newest: Kept) -> list[str]:
    say = voice.say
    first = say("Nothing is charged while it rests.")
    if newest.resumes_at:
        ends = say("It ends by itself on %(date)s; you hear from us a week before.", date=voice.day(newest.resumes_at))
        first = f"{first} {ends}"
    if newest.pause_kind == "keep":
        kept = say("The days you have paid for wait for you: they begin when you go on.")
        return [first, kept, say("Free issues come as before.")]
    return [first, say("You read everything until the end of what you have paid for, and free issues after that.")]
