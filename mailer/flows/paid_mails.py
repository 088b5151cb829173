"""Plain mails about money: what changed, until when access lasts, what to do. Each matter is told once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailer.db import Tx
from mailer.flows.access import Standing, State
from mailer.plans import money
from mailer.store import notices, transactional_mails
from mailer.store.subscriptions import Kept
from mailer.stripe_facts import Charge

MANAGE = "Your subscription"


def tell(
    tx: Tx, subscriber_id: int, once: str, subject: str, sentences: Sequence[str], label: str = MANAGE, gift: int = 0
) -> bool:
    """Queue a mail unless this matter was told before; ``label`` names the link to the reader's own page ("": no link)."""
    facts = {"subject": subject, "sentences": list(sentences), "label": label, "gift": gift}
    return bool(transactional_mails.queue(tx, "paid", subscriber_id, facts, once))


def about(tx: Tx, subscriber_id: int, before: Standing, after: Standing, held: Sequence[Kept]) -> None:
    """Tell a reader that their standing changed."""
    if before == after or not held:
        return
    newest = held[-1]
    if after.state in (State.PAYING, State.TRIALING) and before.state in (State.FREE, State.ENDED, State.COMPLIMENTARY):
        tell(tx, subscriber_id, f"began:{newest.stripe_id}", "Thank you: you read everything now", _began(after, newest))
    if after.state is State.PAST_DUE:
        tell(tx, subscriber_id, f"past_due:{newest.invoice_id}", "Your payment did not go through", _past_due(after))
    if after.state is State.ENDING:
        subject = f"You read everything until {day(after.until)}"
        tell(tx, subscriber_id, f"ending:{newest.stripe_id}:{day(after.until)}", subject, _ending(after))
    if after.state is State.PAUSED:
        tell(tx, subscriber_id, f"paused:{newest.stripe_id}:{newest.paused_at}", "Your subscription rests", _paused(newest))
    if after.state is State.ENDED:
        sentences = ["Your paid subscription is over and nothing more is charged.", "The free issues go on as before."]
        tell(tx, subscriber_id, f"ended:{newest.stripe_id}", "Your paid subscription has ended", sentences)


def doubled(tx: Tx, subscriber_id: int, kept: Kept) -> None:
    """A second subscription was ended and given back."""
    sentences = [
        "You paid for a second subscription while the first one runs.",
        f"The second one has ended and its payment of {money(kept.amount, kept.currency)} goes back to you."
        " The first one goes on.",
    ]
    tell(tx, subscriber_id, f"double:{kept.stripe_id}", "You are charged only once", sentences)
    notices.add(tx, f"Subscriber {subscriber_id} paid twice; {kept.stripe_id} was ended and given back.")


def dispute(tx: Tx, charge: Charge) -> None:
    """The operator must answer a dispute at Stripe; we cannot."""
    if charge.dispute == "open":
        notices.add(
            tx,
            f"The charge {charge.stripe_id} of {money(charge.amount, charge.currency)} is disputed; the reader keeps access for"
            " the grace period: answer at Stripe's dashboard.",
        )


def day(when: datetime | None) -> str:
    """A date as people read it."""
    return f"{when:%-d %B %Y}" if when else "further notice"


def _began(after: Standing, newest: Kept) -> list[str]:
    every = {1: "month", 12: "year"}.get(newest.months, f"{newest.months} months")
    price = f"{money(newest.amount, newest.currency)} every {every}"
    first = f"Your trial runs until {day(newest.trial_end)}; then it is {price}." if newest.trial_end else f"You pay {price}."
    if after.state is State.PAYING:
        first = f"You pay {price}; the next payment is on {day(newest.period_end)}."
    return [first, "To pause, to leave or to see the dates, open your page: leaving is two presses of a button."]


def _past_due(after: Standing) -> list[str]:
    return [
        f"Your bank did not let the payment through. You keep reading everything until {day(after.until)}.",
        "Stripe tries again by itself; to use another card, open your page.",
        "If you would rather stop, do nothing: nothing that was not paid is asked for later.",
    ]


def _ending(after: Standing) -> list[str]:
    return [f"Nothing more is charged. You read everything until {day(after.until)}, and the free issues after that."]


def _paused(newest: Kept) -> list[str]:
    ends = f" It ends by itself on {day(newest.resumes_at)}; you hear from us a week before." if newest.resumes_at else ""
    first = f"Nothing is charged while it rests.{ends}"
    if newest.pause_kind == "keep":
        return [first, "The days you have paid for wait for you: they begin when you go on.", "Free issues come as before."]
    return [first, "You read everything until the end of what you have paid for, and free issues after that."]
