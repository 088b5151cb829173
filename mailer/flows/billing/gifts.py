"""Access without a subscription at Stripe: gifts, which somebody paid for, and complimentary access from the writer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from mailer.core import addresses, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.billing import billing_mails, entitlements, stripe_sync
from mailer.flows.billing.billing_text import told, voice_of
from mailer.flows.billing.entitlements import State
from mailer.flows.subscribers.signup import Result
from mailer.payments.models import Session
from mailer.store.billing import entitlements as stored_entitlements
from mailer.store.billing import gifts, subscriptions
from mailer.store.subscribers import consent_log, erasure, subscribers

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
            granted = [
                one.until for one in stored_entitlements.grants(tx, gift.subscriber_id) if one.reason == f"gift {gift.id}"
            ]
            return Result.ALREADY, granted[0] if granted else None
        reader = subscribers.lock(tx, gift.subscriber_id)
        if reader is None or erasure.moment(tx, reader.id):
            return Result.INVALID, None
        begins = _begins(tx, reader.id)
        if reader.state != "active":
            subscribers.activate(tx, reader.id)
            consent_log.record(tx, reader.id, "confirmed", "gift", ip, {"gift": gift.id})
        gifts.accept(tx, gift.id)
        until = begins + relativedelta(months=gift.months)
        stored_entitlements.grant(tx, reader.id, "gift", until, f"gift {gift.id}")
        stripe_sync.settle(tx, settings, reader.id)
    events.info("gift.accepted", gift=gift.id)
    return Result.DONE, until


def _begins(tx: Tx, reader: int) -> datetime:
    now = datetime.now(UTC)
    standing = entitlements.current(stored_entitlements.get(tx, reader), now)
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
        stored_entitlements.grant(tx, reader.id, "complimentary", until, reason)
        after = stripe_sync.settle(tx, settings, reader.id)
    return (
        f"{email} is {after.state} and reads everything {f'until {after.until:%Y-%m-%d}' if after.until else 'without an end'}."
    )


def take_back(database: Database, settings: Settings, email: str) -> str:
    """End complimentary access now; gifts and paid subscriptions stay."""
    with database.transaction() as tx:
        reader = subscribers.find(tx, addresses.normal(email))
        if reader is None or not stored_entitlements.revoke(tx, reader.id):
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
    billing_mails.tell(
        tx, reader, f"gift:{gift_id}", voice, say("A gift for you"), sentences, say("Look at the gift"), gift=gift_id
    )
