"""Access without a subscription at Stripe: gifts, which somebody paid for, and complimentary access from the writer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from mailer import addresses, log, tokens
from mailer.db import Database, Tx
from mailer.errors import BadInput, Refused
from mailer.flows import access, paid_mails, stripe_sync
from mailer.flows.access import State
from mailer.flows.paid_words import told, voice_of
from mailer.flows.signup import Result
from mailer.settings import Settings
from mailer.store import accesses, consents, erasing, gifts, subscribers, subscriptions
from mailer.stripe_facts import Session

events = log.get("gifts")


def paid(database: Database, session: Session) -> bool:
    """A gift was paid for: tell the one it is for; whether it was new. Twice does no harm."""
    address = addresses.check(session.recipient)
    with database.transaction() as tx:
        reader = subscribers.add(tx, address, addresses.normal(address), [])
        subscribers.speak(tx, reader, session.lang)
        gift_id = gifts.add(
            tx, session.stripe_id, reader, session.gift, session.months, session.amount, session.currency, session.intent
        )
        if not gift_id:
            return False
        if subscriptions.went_back(tx, session.intent):  # heard of before the gift itself
            gifts.give_back(tx, gift_id)
            return True
        _tell(tx, reader, gift_id, session)
    events.info("gift.paid", gift=gift_id)
    return True


def accept(database: Database, settings: Settings, token: str, ip: str | None = None) -> tuple[Result, datetime | None]:
    """Take a gift; until when it lasts. The link came by mail, so it confirms the address too. Twice does no harm.

    It begins after what the reader has already. Raises Refused while they pay themselves: it would be lost beside that.
    """
    claim = tokens.read_gift(settings.need_secret(), token)
    if claim is None:
        return Result.INVALID, None
    with database.transaction() as tx:
        gift = gifts.lock(tx, claim)
        if gift is None or gift.returned_at:
            return Result.INVALID, None
        if gift.accepted_at:
            granted = [one.until for one in accesses.grants(tx, gift.subscriber_id) if one.reason == f"gift {gift.id}"]
            return Result.ALREADY, granted[0] if granted else None
        reader = subscribers.lock(tx, gift.subscriber_id)
        if reader is None or erasing.moment(tx, reader.id):
            return Result.INVALID, None
        begins = _begins(tx, reader.id)
        if reader.state != "active":
            subscribers.activate(tx, reader.id)
            consents.record(tx, reader.id, "confirmed", "gift", ip, {"gift": gift.id})
        gifts.accept(tx, gift.id)
        until = begins + relativedelta(months=gift.months)
        accesses.grant(tx, reader.id, "gift", until, f"gift {gift.id}")
        stripe_sync.settle(tx, settings, reader.id)
    events.info("gift.accepted", gift=gift.id)
    return Result.DONE, until


def _begins(tx: Tx, reader: int) -> datetime:
    now = datetime.now(UTC)
    standing = access.current(accesses.get(tx, reader), now)
    if standing.premium and standing.state in (State.PAYING, State.TRIALING, State.PAST_DUE):
        raise told(
            Refused,
            "You pay for it yourself just now, and the gift would be lost beside it: leave or pause on your own page, then open"
            " this link again. It holds on.",
        )
    return max(now, standing.until) if standing.premium and standing.until else now


def complimentary(database: Database, settings: Settings, email: str, until: datetime | None, reason: str) -> str:
    """Give a reader access without payment; one sentence about it. They must be a reader already."""
    if until and until <= datetime.now(UTC) + timedelta(minutes=1):
        raise BadInput("The end of complimentary access lies in the past: give a later day.")
    with database.transaction() as tx:
        reader = subscribers.find(tx, addresses.normal(email))
        if reader is None:
            raise BadInput(f"Nobody has the address {email}: add them with `postmerge subscribers add` first.")
        accesses.grant(tx, reader.id, "complimentary", until, reason)
        after = stripe_sync.settle(tx, settings, reader.id)
    return (
        f"{email} is {after.state} and reads everything {f'until {after.until:%Y-%m-%d}' if after.until else 'without an end'}."
    )


def take_back(database: Database, settings: Settings, email: str) -> str:
    """End complimentary access now; gifts and paid subscriptions stay."""
    with database.transaction() as tx:
        reader = subscribers.find(tx, addresses.normal(email))
        if reader is None or not accesses.revoke(tx, reader.id):
            raise BadInput(f"{email} has no complimentary access: `postmerge paid show {email}` says what there is.")
        after = stripe_sync.settle(tx, settings, reader.id)
    return f"{email} is {after.state} now."


def _tell(tx: Tx, reader: int, gift_id: int, session: Session) -> None:
    voice = voice_of(tx, reader, session.lang)
    say, giver = voice.say, session.giver or voice.say("Somebody")
    length = {1: say("a month"), 12: say("a year")}.get(session.months) or say("%(number)s months", number=session.months)
    sentences = [
        say(
            "%(giver)s has paid for %(length)s of this newsletter for you, with everything that paying readers get.",
            giver=giver,
            length=length,
        ),
        say("It begins when you accept. Nothing is charged to you, and nothing goes on by itself when it ends."),
    ]
    paid_mails.tell(
        tx, reader, f"gift:{gift_id}", voice, say("A gift for you"), sentences, say("Look at the gift"), gift=gift_id
    )
