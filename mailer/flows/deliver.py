"""Delivering: settle what came back and claim anew in one transaction, send side by side, repeat.

Safe to run any number of times at once, in any number of processes. A claim is committed before the first byte leaves, so
a mail whose worker dies is in doubt (``uncertain``), never sent again by itself; no more mails are claimed than the wire has
connections, so no more can be in doubt.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mailer import log, tokens
from mailer.db import Database, Tx
from mailer.errors import Unavailable
from mailer.flows.wire import Wire
from mailer.message import Template, list_id
from mailer.settings import Settings
from mailer.store import deliveries, editions, sends
from mailer.store.deliveries import Claimed, Settlement
from mailer.store.sends import Send, State
from mailer.transports.base import Answer, Envelope, Outcome, Transport

events = log.get("deliver")

SLICE = 30.0  # seconds of work for one doorbell; then it is rung again, so that other sends get their turn
THROTTLED_REST = 0.5  # seconds
UNREACHABLE_REST = timedelta(seconds=5)
_SETTLE_EVERY = 1.0  # seconds between two tries to write outcomes while Postgres is away

_LEDGER = {
    Outcome.ACCEPTED: "accepted",
    Outcome.THROTTLED: "pending",
    Outcome.RETRY: "pending",
    Outcome.HALT: "pending",
    Outcome.UNCERTAIN: "uncertain",
    Outcome.REFUSED: "failed",
}

Carried = tuple[Claimed, Answer]


@dataclass(frozen=True)
class Slice:
    """What one call of ``deliver`` did. ``more`` says that the time was up and the doorbell should ring again."""

    sent: int
    more: bool


def deliver(
    database: Database,
    settings: Settings,
    transport: Transport,
    send_id: int,
    seconds: float = SLICE,
    stopping: Callable[[], bool] = lambda: False,
) -> Slice:
    """Work on a send for at most about ``seconds``; ``stopping`` is asked before each claim.

    Returns early when nothing is pending, the send does not run, or it rests.
    """
    prepared = _prepare(database, settings, send_id)
    if prepared is None:
        return Slice(0, more=False)
    deadline = time.monotonic() + seconds
    wire: Wire[Claimed, Answer] = Wire(settings.connections, lambda reader: _send_one(settings, transport, prepared, reader))
    with wire:
        return _run(database, prepared.send.id, wire, lambda: time.monotonic() > deadline or stopping())


@dataclass(frozen=True)
class _Prepared:
    send: Send
    template: Template


def _prepare(database: Database, settings: Settings, send_id: int) -> _Prepared | None:
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
        if send is None or send.state is not State.SENDING or sends.seconds_to_rest(tx, send_id) > 0:
            return None
        edition = editions.get(tx, send.edition_id)
    template = Template.prepare(
        subject=edition.subject,
        html=edition.html,
        text=edition.text,
        sender=send.sender,
        digest=edition.digest,
        lang=edition.lang,
        list_id=list_id(send.sender, edition.url),
    )
    return _Prepared(send, template)


def _run(database: Database, send_id: int, wire: Wire[Claimed, Answer], over: Callable[[], bool]) -> Slice:
    """Keep the wire full until the time is over, nothing is pending, or the other side takes no more; then let it run dry."""
    claim_id, total, claiming, more = str(uuid.uuid4()), 0, True, True
    while claiming or wire.busy:
        carried = wire.collect()
        total += len(carried)
        outcomes = {answer.outcome for _, answer in carried}
        if outcomes & {Outcome.RETRY, Outcome.HALT}:
            claiming = more = False
        elif Outcome.THROTTLED in outcomes:
            time.sleep(THROTTLED_REST)
        claiming = claiming and not over()
        wanted = wire.free if claiming else 0
        readers, touched = _turn(database, send_id, claim_id, carried, wanted)
        if wanted and not touched:
            claiming = more = False
        wire.put(readers)
    return Slice(total, more)


def _turn(
    database: Database, send_id: int, claim_id: str, carried: Sequence[Carried], wanted: int
) -> tuple[list[Claimed], int]:
    """Write outcomes and claim anew, in one transaction; the readers claimed, and how many rows were touched.

    While Postgres is away the outcomes are kept and tried again: they are the only proof there is.
    """
    if not carried and not wanted:
        return [], 0
    while True:
        try:
            with database.transaction() as tx:
                if carried:
                    deliveries.settle(tx, send_id, claim_id, [_settlement(reader, answer) for reader, answer in carried])
                    _react(tx, send_id, [answer for _, answer in carried])
                return deliveries.claim(tx, send_id, claim_id, wanted) if wanted else ([], 0)
        except Unavailable as error:
            if not carried:
                raise
            events.warning("delivery.settling_waits", send=send_id, mails=len(carried), error=str(error))
            time.sleep(_SETTLE_EVERY)
            wanted = 0


def _send_one(settings: Settings, transport: Transport, prepared: _Prepared, reader: Claimed) -> Answer:
    send = prepared.send
    try:
        token = tokens.leave_token(settings.need_secret(), reader.subscriber_id, send.id)
        raw = prepared.template.fill(to=reader.email, leave_url=f"{settings.api_url}/leave/{token}")
    except Exception as error:
        events.exception("delivery.unbuildable", send=send.id, subscriber=reader.subscriber_id)
        return Answer(Outcome.REFUSED, detail=f"the message could not be built ({type(error).__name__})")
    tags = {"send": str(send.id), "subscriber": str(reader.subscriber_id)}
    try:
        return transport.send(Envelope(reader.email, raw, tags))
    except Exception as error:
        events.exception("delivery.broken_transport", send=send.id, subscriber=reader.subscriber_id)
        return Answer(Outcome.UNCERTAIN, detail=f"the transport broke ({type(error).__name__})")


def _settlement(reader: Claimed, answer: Answer) -> Settlement:
    return Settlement(
        subscriber_id=reader.subscriber_id,
        state=_LEDGER[answer.outcome],
        message_id=answer.message_id,
        detail=answer.detail[:500],
        counted=answer.outcome not in (Outcome.THROTTLED, Outcome.HALT),
    )


def _react(tx: Tx, send_id: int, answers: Sequence[Answer]) -> None:
    """Rest when the line is dead; stop the whole send when the other side takes nothing any more."""
    by_outcome = {answer.outcome: answer for answer in answers}
    events.debug("delivery.group", send=send_id, **{str(o): sum(a.outcome is o for a in answers) for o in by_outcome})
    if halt := by_outcome.get(Outcome.HALT):
        if sends.move(tx, send_id, [State.SENDING], State.STOPPED, halt.detail):
            events.error("send.stopped", send=send_id, reason=halt.detail)
    elif Outcome.RETRY in by_outcome:
        sends.rest(tx, send_id, UNREACHABLE_REST)
