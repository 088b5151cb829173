"""Uncertain deliveries: no response and no event yet. Resolved by an event or by `postmerge uncertain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.flows.sending.send_control import find_send
from mailer.store.events import delivery_events
from mailer.store.events.delivery_events import UncertainDelivery
from mailer.store.sending import deliveries, sends
from mailer.store.sending.sends import Send, SendState

logger = log.get("uncertain")

_ALL = 1_000_000_000


@dataclass(frozen=True)
class ResolvedDeliveries:
    """The result of resolving: ``kept`` are still uncertain, because an event shows that SES accepted them."""

    send: Send
    moved: int
    kept: int


def list_uncertain(
    database: Database, target: str = "", subscriber_id: int | None = None, limit: int = _ALL
) -> list[UncertainDelivery]:
    """Uncertain deliveries of one send (id or issue key) or of all. Raises BadInput when there is no such send."""
    with database.transaction() as tx:
        send_id = find_send(tx, target).id if target else None
        return delivery_events.list_uncertain(tx, send_id, subscriber_id, limit)


def resolve_uncertain(database: Database, target: str, subscriber_id: int | None, sent: bool) -> ResolvedDeliveries:
    """Record the operator's decision: these deliveries were sent, or they were not and become pending again.

    A finished send becomes active again when a delivery becomes pending. Raises BadInput when nothing is uncertain.
    """
    with database.transaction() as tx:
        send = sends.lock(tx, find_send(tx, target).id)
        assert send
        if send.state is SendState.CANCELLED and not sent:
            raise Refused(f"Send {send.id} is cancelled: it sends no more emails.")
        deliveries.forget_sums(tx, [send.id])
        moved = delivery_events.resolve_uncertain(tx, send.id, subscriber_id, sent)
        kept = len(delivery_events.list_uncertain(tx, send.id, subscriber_id, _ALL))
        if not moved and not kept:
            whom = f" for subscriber {subscriber_id}" if subscriber_id is not None else ""
            raise BadInput(f"Send {send.id} has no uncertain deliveries{whom}: `postmerge uncertain` lists them.")
        if moved and not sent:
            sends.move(tx, send.id, [SendState.FINISHED], SendState.SENDING)
        logger.info("delivery.resolved", send=send.id, emails=moved, sent=sent)
        return ResolvedDeliveries(sends.get(tx, send.id) or send, moved, kept)


def uncertain_facts(one: UncertainDelivery) -> dict[str, Any]:
    """An uncertain delivery as JSON-ready facts. The address is for the operator."""
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
