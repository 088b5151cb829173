"""Delivering: settle what came back and claim anew in one transaction, send side by side, repeat.

Safe to run any number of times at once, in any number of processes. A claim is committed before the first byte leaves, so
a mail whose worker dies is in doubt (``uncertain``), never sent again by itself; no more mails are claimed than the wire has
connections, so no more can be in doubt.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from mailer.core import log, tokens
from mailer.core.db import Database, Tx, is_unique_violation
from mailer.core.errors import Unavailable
from mailer.core.message import Template, leave_mailto, list_id
from mailer.core.rate_budget import Grant, Unlimited
from mailer.core.settings import Settings
from mailer.flows.sending import ses_quota
from mailer.flows.sending.concurrent_sender import Wire
from mailer.flows.sending.send_control import halt
from mailer.flows.sending.send_rate import Pace
from mailer.store.publishing import editions
from mailer.store.sending import deliveries, sends
from mailer.store.sending.deliveries import Claimed, Settlement
from mailer.store.sending.sends import Send, State
from mailer.store.subscribers import text_selection
from mailer.transports.base import Answer, Envelope, LoopTransport, Outcome, Transport

events = log.get("deliver")

SLICE = 30.0  # seconds of work for one doorbell; then it is rung again, so that other sends get their turn
DOUBLED = "an address stands twice in its audience, which must never happen: find the two subscribers and merge them"
IDLE = 0.02  # seconds until the budget is asked again when it gives nothing
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
class Timed:
    """A reader whose mail leaves at a moment of ``time.monotonic``."""

    reader: Claimed
    at: float


Carried = tuple[Timed, Answer]
Carry = Callable[[Envelope], Awaitable[Answer]]


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
    pace: Pace | None = None,
) -> Slice:
    """Work on a send for at most about ``seconds``; ``stopping`` is asked before each claim.

    Returns early when nothing is pending, the send does not run, or it rests. Without a ``pace`` only the transport's own
    throttling slows it.
    """
    prepared = _prepare(database, settings, send_id)
    if prepared is None:
        return Slice(0, more=False)
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(settings.connections, "wire") as threads:
        carry = _carrier(transport, threads)
        wire: Wire[Timed, Answer] = Wire(settings.connections, lambda timed: _send_one(settings, carry, prepared, timed))
        run = _Run(database, prepared, wire, pace or Pace(transport, Unlimited()))
        with wire:
            return run.until(lambda: time.monotonic() > deadline or stopping())


def _carrier(transport: Transport, threads: ThreadPoolExecutor) -> Carry:
    """How mails get to the other side: by the transport's own work on the loop, or in a thread for each that is on the wire."""
    if isinstance(transport, LoopTransport):
        return transport.carry

    async def carry(envelope: Envelope) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(threads, transport.send, envelope)

    return carry


@dataclass(frozen=True)
class _Prepared:
    send: Send
    templates: dict[str, Template]  # by variant; "" is the original's free text
    texts: Mapping[str, str]  # the same for the claim, which chooses

    def template(self, variant: str) -> Template:
        """The message for readers of this variant; the original's when the edition has none for them."""
        return self.templates.get(variant) or self.templates[""]


def _prepare(database: Database, settings: Settings, send_id: int) -> _Prepared | None:
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
        if send is None or send.state is not State.SENDING or sends.seconds_to_rest(tx, send_id) > 0:
            return None
        edition = editions.get(tx, send.edition_id)
        texts = {"": edition, **editions.variants(tx, edition)}
    templates = {name: _template(send, one) for name, one in texts.items()}
    return _Prepared(send, templates, text_selection.maps(edition.lang, filter(None, texts)))


def _template(send: Send, edition: editions.Stored) -> Template:
    return Template.prepare(
        subject=edition.subject,
        html=edition.html,
        text=edition.text,
        sender=send.sender,
        digest=edition.digest,
        lang=edition.lang,
        list_id=list_id(send.sender, edition.url),
    )


class _Run:
    """One worker's work on one send: keeps the wire full as far as the pace allows, then lets it run dry."""

    def __init__(self, database: Database, prepared: _Prepared, wire: Wire[Timed, Answer], pace: Pace) -> None:
        self._database = database
        self._send_id, self._texts = prepared.send.id, prepared.texts
        self._wire = wire
        self._pace = pace
        self._claim_id = str(uuid.uuid4())
        self._claiming = self._more = True
        self._exhausted = False

    def until(self, over: Callable[[], bool]) -> Slice:
        """Until the time is over, nothing is pending, or the other side takes no more."""
        total = 0
        while self._claiming or self._wire.busy:
            carried = self._wire.collect()
            total += len(carried)
            self._listen({answer.outcome for _, answer in carried})
            self._claiming = self._claiming and not over()
            grant = self._grant()
            readers, touched = self._turn(carried, grant.count)
            if grant.count and not touched:
                self._claiming = self._more = False
            now = time.monotonic() + grant.delay
            self._wire.put(Timed(reader, now + number * grant.gap) for number, reader in enumerate(readers))
        if self._exhausted:
            ses_quota.wait(self._database, self._send_id)
        return Slice(total, self._more)

    def _listen(self, outcomes: set[Outcome]) -> None:
        if outcomes & {Outcome.RETRY, Outcome.HALT}:
            self._claiming = self._more = False
        if Outcome.THROTTLED in outcomes:
            self._pace.throttled()

    def _grant(self) -> Grant:
        if not self._claiming:
            return Grant(0)
        allowed = self._pace.take(self._wire.free)
        if allowed.exhausted:
            self._claiming = self._more = False
            self._exhausted = True
        elif not allowed.grant.count and not self._wire.busy:
            time.sleep(IDLE)
        return allowed.grant

    def _turn(self, carried: Sequence[Carried], wanted: int) -> tuple[list[Claimed], int]:
        """Write outcomes and claim anew, in one transaction; the readers claimed, and how many rows were touched.

        While Postgres is away the outcomes are kept and tried again: they are the only proof there is.
        """
        if not carried and not wanted:
            return [], 0
        while True:
            try:
                with self._database.transaction() as tx:
                    self._settle(tx, carried)
                    return deliveries.claim(tx, self._send_id, self._claim_id, wanted, self._texts) if wanted else ([], 0)
            except Unavailable as error:
                if not carried:
                    raise
                events.warning("delivery.settling_waits", send=self._send_id, mails=len(carried), error=str(error))
                time.sleep(_SETTLE_EVERY)
                wanted = 0
            except Exception as error:
                if not is_unique_violation(error):
                    raise
                self._stop_doubles()
                wanted = 0

    def _stop_doubles(self) -> None:
        """A circuit breaker against ourselves: the ledger refused a claim, because an address would get the send twice."""
        self._claiming = self._more = False
        with self._database.transaction() as tx:
            send = sends.get(tx, self._send_id)
            if send:
                halt(tx, send, State.STOPPED, DOUBLED)

    def _settle(self, tx: Tx, carried: Sequence[Carried]) -> None:
        if carried:
            outcomes = [_settlement(timed.reader, answer) for timed, answer in carried]
            deliveries.settle(tx, self._send_id, self._claim_id, outcomes)
            _react(tx, self._send_id, [answer for _, answer in carried])


async def _send_one(settings: Settings, carry: Carry, prepared: _Prepared, timed: Timed) -> Answer:
    send, reader = prepared.send, timed.reader
    if (early := timed.at - time.monotonic()) > 0:
        await asyncio.sleep(early)
    try:
        token = tokens.leave_token(settings.need_secret(), reader.subscriber_id, send.id)
        by_mail = leave_mailto(settings.unsubscribe_address, token)
        raw = prepared.template(reader.variant).fill(
            to=reader.email, leave_url=f"{settings.api_url}/leave/{token}", leave_mail=by_mail
        )
    except Exception as error:
        events.exception("delivery.unbuildable", send=send.id, subscriber=reader.subscriber_id)
        return Answer(Outcome.REFUSED, detail=f"the message could not be built ({type(error).__name__})")
    tags = {"send": str(send.id), "subscriber": str(reader.subscriber_id)}
    try:
        return await carry(Envelope(reader.email, raw, tags))
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
    if refusal := by_outcome.get(Outcome.HALT):
        send = sends.get(tx, send_id)
        if send:
            halt(tx, send, State.STOPPED, refusal.detail)
    elif unreachable := by_outcome.get(Outcome.RETRY):
        sends.rest(tx, send_id, UNREACHABLE_REST, unreachable.detail)
