"""Doubt: deliveries whose answer was lost and of which no event came. Only the operator's word or an event ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.flows.sending.send_control import find
from mailer.store.events import delivery_events
from mailer.store.events.delivery_events import Doubt
from mailer.store.sending import sends
from mailer.store.sending.sends import Send, State

events = log.get("doubt")

_ALL = 1_000_000_000


@dataclass(frozen=True)
class Decided:
    """What the operator's word did; ``kept`` are still in doubt, because an event says that they were taken."""

    send: Send
    moved: int
    kept: int


def doubts(database: Database, target: str = "", subscriber_id: int | None = None, limit: int = _ALL) -> list[Doubt]:
    """What is in doubt, of one send (id or issue key) or of all. Raises BadInput for a send that is not there."""
    with database.transaction() as tx:
        send_id = find(tx, target).id if target else None
        return delivery_events.doubts(tx, send_id, subscriber_id, limit)


def decide(database: Database, target: str, subscriber_id: int | None, sent: bool) -> Decided:
    """Take the operator's word: they were sent, or they were not and are sent now.

    A finished send runs again when something is put back. Raises BadInput when nothing is in doubt.
    """
    with database.transaction() as tx:
        send = sends.lock(tx, find(tx, target).id)
        assert send
        if send.state is State.CANCELLED and not sent:
            raise Refused(f"Send {send.id} is cancelled: nothing of it is sent any more.")
        moved = delivery_events.decide(tx, send.id, subscriber_id, sent)
        kept = len(delivery_events.doubts(tx, send.id, subscriber_id, _ALL))
        if not moved and not kept:
            whom = f" for subscriber {subscriber_id}" if subscriber_id is not None else ""
            raise BadInput(f"Nothing is in doubt in send {send.id}{whom}: `postmerge uncertain` lists what is.")
        if moved and not sent:
            sends.move(tx, send.id, [State.FINISHED], State.SENDING)
        events.info("delivery.decided", send=send.id, mails=moved, sent=sent)
        return Decided(sends.get(tx, send.id) or send, moved, kept)


def facts(one: Doubt) -> dict[str, Any]:
    """A doubt for machines. The address is for the operator."""
    return {
        "send": one.send_id,
        "issue": one.issue_key,
        "subscriber": one.subscriber_id,
        "email": one.email,
        "since": one.since.isoformat(),
        "attempts": one.attempts,
        "detail": one.detail,
        "events": list(one.seen),
    }
