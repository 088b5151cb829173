"""Delivering: claim a small group, send it side by side, write the outcomes, repeat.

Safe to run any number of times at once, in any number of processes. A claim is committed before the first byte leaves, so
a mail whose worker dies is in doubt (``uncertain``), never sent again by itself.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from mailer import log, tokens
from mailer.db import Database
from mailer.errors import Unavailable
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
    total, deadline = 0, time.monotonic() + seconds
    with ThreadPoolExecutor(settings.connections, thread_name_prefix="send") as pool:
        while time.monotonic() < deadline and not stopping():
            touched, answers = _round(database, settings, transport, pool, prepared)
            total += len(answers)
            outcomes = {answer.outcome for answer in answers}
            if touched == 0 or outcomes & {Outcome.RETRY, Outcome.HALT}:
                return Slice(total, more=False)
            if Outcome.THROTTLED in outcomes:
                time.sleep(THROTTLED_REST)
    return Slice(total, more=True)


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


def _round(
    database: Database, settings: Settings, transport: Transport, pool: ThreadPoolExecutor, prepared: _Prepared
) -> tuple[int, list[Answer]]:
    claim_id = str(uuid.uuid4())
    with database.transaction() as tx:
        readers, touched = deliveries.claim(tx, prepared.send.id, claim_id, settings.connections)
    answers = list(pool.map(lambda reader: _send_one(settings, transport, prepared, reader), readers))
    if readers:
        _settle(database, prepared.send.id, claim_id, readers, answers)
        _react(database, prepared.send.id, answers)
    return touched, answers


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


def _settle(database: Database, send_id: int, claim_id: str, readers: Sequence[Claimed], answers: Sequence[Answer]) -> None:
    """Write the outcomes; while Postgres is away, keep them and try again: they are the only proof there is."""
    settlements = [_settlement(reader, answer) for reader, answer in zip(readers, answers, strict=True)]
    while True:
        try:
            with database.transaction() as tx:
                deliveries.settle(tx, send_id, claim_id, settlements)
            return
        except Unavailable as error:
            events.warning("delivery.settling_waits", send=send_id, mails=len(settlements), error=str(error))
            time.sleep(_SETTLE_EVERY)


def _settlement(reader: Claimed, answer: Answer) -> Settlement:
    return Settlement(
        subscriber_id=reader.subscriber_id,
        state=_LEDGER[answer.outcome],
        message_id=answer.message_id,
        detail=answer.detail[:500],
        counted=answer.outcome not in (Outcome.THROTTLED, Outcome.HALT),
    )


def _react(database: Database, send_id: int, answers: Sequence[Answer]) -> None:
    """Rest when the line is dead; stop the whole send when the other side takes nothing any more."""
    by_outcome = {answer.outcome: answer for answer in answers}
    events.info("delivery.group", send=send_id, **{str(o): sum(a.outcome is o for a in answers) for o in by_outcome})
    with database.transaction() as tx:
        if halt := by_outcome.get(Outcome.HALT):
            sends.move(tx, send_id, [State.SENDING], State.STOPPED, halt.detail)
            events.error("send.stopped", send=send_id, reason=halt.detail)
        elif Outcome.RETRY in by_outcome:
            sends.rest(tx, send_id, UNREACHABLE_REST)
