"""Deliver a send: settle outcomes and claim deliveries in one transaction, send them concurrently, repeat.

Safe to run concurrently, in any number of processes. A claim is committed before the first byte leaves, so an email whose
worker dies becomes ``uncertain`` and is never sent again automatically. A worker claims at most as many deliveries as it
has connections, which bounds how many can become uncertain.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from mailer.core import log, tokens
from mailer.core.db import Database, Tx, is_unique_violation
from mailer.core.errors import Unavailable
from mailer.core.message import Template, list_id, unsubscribe_mailto
from mailer.core.rate_limiter import NoRateLimit, SendSlots
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.flows.sending import ses_quota, warmup
from mailer.flows.sending.concurrent_sender import ConcurrentSender
from mailer.flows.sending.send_control import halt_send
from mailer.flows.sending.send_rate import SendRate
from mailer.store.publishing import editions
from mailer.store.sending import deliveries, sends
from mailer.store.sending.deliveries import ClaimedDelivery, Settlement
from mailer.store.sending.sends import Send, SendState
from mailer.store.subscribers import text_selection
from mailer.transports.base import Answer, AsyncTransport, Envelope, Outcome, Transport

logger = log.get("deliver")

ACCEPTED_EVENT = "delivery.accepted"  # in the log: a send and its issue, and the subscribers whose email was accepted
TURN_SECONDS = 30.0  # how long one wake-up works on a send; then the send is enqueued again, so that other sends get a turn
DUPLICATE_ADDRESS = "an address is in its audience twice, which must never happen: find the two subscribers and merge them"
IDLE_SECONDS = 0.02  # pause before asking the rate limiter again when it granted no slots
UNREACHABLE_BACKOFF = timedelta(seconds=5)
_SETTLE_RETRY_SECONDS = 1.0  # pause between attempts to write outcomes while Postgres is unavailable

STATE_AFTER = {
    Outcome.ACCEPTED: "accepted",
    Outcome.THROTTLED: "pending",
    Outcome.RETRY: "pending",
    Outcome.HALT: "pending",
    Outcome.UNCERTAIN: "uncertain",
    Outcome.REFUSED: "failed",
}


@dataclass(frozen=True)
class ScheduledDelivery:
    """A claimed delivery and when its email leaves, by ``time.monotonic``."""

    delivery: ClaimedDelivery
    at: float


Answered = tuple[ScheduledDelivery, Answer]
SendOne = Callable[[Envelope], Awaitable[Answer]]


@dataclass(frozen=True)
class DeliveryResult:
    """The result of one call of ``deliver_send``. ``more`` means that time ran out: the send needs another wake-up."""

    sent: int
    more: bool


def deliver_send(
    database: Database,
    settings: Settings,
    transport: Transport,
    send_id: int,
    seconds: float = TURN_SECONDS,
    stopping: Callable[[], bool] = lambda: False,
    rate: SendRate | None = None,
) -> DeliveryResult:
    """Deliver a send for about ``seconds`` at most; ``stopping`` is checked before each claim.

    Returns early when nothing is pending, or when the send is not running or is backing off. Without a ``rate``, only the
    transport's own throttling limits it.
    """
    prepared = _prepare(database, settings, send_id)
    if prepared is None:
        return DeliveryResult(0, more=False)
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(settings.connections, "send") as threads:
        send_one = _make_send_one(transport, threads)
        sender: ConcurrentSender[ScheduledDelivery, Answer] = ConcurrentSender(
            settings.connections, lambda scheduled: _send_email(settings, send_one, prepared, scheduled)
        )
        run = _DeliveryRun(database, prepared, sender, rate or SendRate(transport, NoRateLimit()))
        with sender:
            return run.run_until(lambda: time.monotonic() > deadline or stopping())


def _make_send_one(transport: Transport, threads: ThreadPoolExecutor) -> SendOne:
    """How to send one email: on the event loop when the transport supports that, else in a thread of its own."""
    if isinstance(transport, AsyncTransport):
        return transport.send_async

    async def send_in_thread(envelope: Envelope) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(threads, transport.send, envelope)

    return send_in_thread


@dataclass(frozen=True)
class _Prepared:
    send: Send
    templates: dict[str, Template]  # by variant; "" is the original, free text
    texts: Mapping[str, str]  # the variants, as parameters for the claim, which chooses one for each subscriber
    warms_up: bool

    def template(self, variant: str) -> Template:
        """The message for this variant, or the original when the edition does not have it."""
        return self.templates.get(variant) or self.templates[""]


def _prepare(database: Database, settings: Settings, send_id: int) -> _Prepared | None:
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
        if send is None or send.state is not SendState.SENDING or sends.backoff_seconds(tx, send_id) > 0:
            return None
        edition = editions.get(tx, send.edition_id)
        texts = {"": edition, **editions.list_variants(tx, edition)}
        warms_up = warmup.is_active(tx)
    templates = {name: _make_template(settings, send, one) for name, one in texts.items()}
    return _Prepared(send, templates, text_selection.build_parameters(edition.lang, filter(None, texts)), warms_up)


def _make_template(settings: Settings, send: Send, edition: editions.StoredEdition) -> Template:
    return Template.prepare(
        subject=edition.subject,
        html=edition.html,
        text=edition.text,
        sender=send.sender,
        digest=edition.digest,
        lang=edition.lang,
        list_id=list_id(settings.sender or send.sender, edition.url),  # the newsletter's, whoever an issue is from
        reply_to=settings.reply_to if send.reply_to is None else send.reply_to,
    )


class _DeliveryRun:
    """One worker's share of one send: keeps as many emails in flight as the rate allows, then waits for the last ones."""

    def __init__(
        self, database: Database, prepared: _Prepared, sender: ConcurrentSender[ScheduledDelivery, Answer], rate: SendRate
    ) -> None:
        self._database = database
        self._send_id, self._texts, self._warms_up = prepared.send.id, prepared.texts, prepared.warms_up
        self._issue_key = prepared.send.issue_key
        self._sender = sender
        self._rate = rate
        self._claim_id = str(uuid.uuid4())
        self._claiming = self._has_more = True
        self._quota_exhausted = self._allowance_used = False
        self._outcomes: Counter[str] = Counter()

    def run_until(self, over: Callable[[], bool]) -> DeliveryResult:
        """Deliver until ``over`` says so, nothing is pending, or the transport accepts no more."""
        started = time.monotonic()
        while self._claiming or self._sender.in_flight:
            sent = self._sender.collect_results()
            self._outcomes.update(str(answer.outcome) for _, answer in sent)
            self._note_outcomes({answer.outcome for _, answer in sent})
            self._claiming = self._claiming and not over()
            slots = self._take_slots()
            claimed, touched = self._settle_and_claim(sent, slots.count)
            if slots.count and not touched:
                self._claiming = self._has_more = False
            now = time.monotonic() + slots.delay
            self._sender.start(ScheduledDelivery(delivery, now + number * slots.gap) for number, delivery in enumerate(claimed))
        if self._quota_exhausted:
            ses_quota.wait_for_quota(self._database, self._send_id)
        elif self._allowance_used:
            warmup.wait_for_allowance(self._database, self._send_id)
        total, seconds = self._outcomes.total(), time.monotonic() - started
        if total:
            rate = round(total / seconds, 1)
            logger.info("send.turn_ended", send=self._send_id, seconds=round(seconds, 1), rate=rate, **self._outcomes)
        return DeliveryResult(total, self._has_more)

    def _note_outcomes(self, outcomes: set[Outcome]) -> None:
        if outcomes & {Outcome.RETRY, Outcome.HALT}:
            self._claiming = self._has_more = False
        if Outcome.THROTTLED in outcomes:
            self._rate.reduce()

    def _take_slots(self) -> SendSlots:
        if not self._claiming:
            return SendSlots(0)
        allowed = self._rate.take_slots(self._sender.free_slots)
        if allowed.quota_exhausted:
            self._claiming = self._has_more = False
            self._quota_exhausted = True
        elif not allowed.slots.count and not self._sender.in_flight:
            time.sleep(IDLE_SECONDS)
        return allowed.slots

    def _settle_and_claim(self, sent: Sequence[Answered], wanted: int) -> tuple[list[ClaimedDelivery], int]:
        """Write outcomes and claim more, in one transaction; returns the claimed deliveries and how many rows were touched.

        While Postgres is unavailable, the outcomes are kept and retried: they are the only proof that the emails were sent.
        """
        if not sent and not wanted:
            return [], 0
        while True:
            try:
                with self._database.transaction() as tx:
                    self._settle(tx, sent)
                    claimed = self._claim(tx, wanted) if wanted else ([], 0)
                self._note_settled(sent)
                return claimed
            except Unavailable as error:
                if not sent:
                    raise
                logger.warning("delivery.settling_waits", send=self._send_id, emails=len(sent), error=str(error))
                time.sleep(_SETTLE_RETRY_SECONDS)
                wanted = 0
            except Exception as error:
                if not is_unique_violation(error):
                    raise
                self._stop_duplicates()
                wanted = 0

    def _claim(self, tx: Tx, wanted: int) -> tuple[list[ClaimedDelivery], int]:
        """Claim deliveries; in a warm-up, no more than today allows."""
        allowance = warmup.lock_allowance(tx) if self._warms_up else None
        if allowance is None:
            return deliveries.claim(tx, self._send_id, self._claim_id, wanted, self._texts)
        self._allowance_used = not allowance
        claimed, touched = deliveries.claim(tx, self._send_id, self._claim_id, min(wanted, allowance), self._texts)
        warmup.use_allowance(tx, len(claimed))
        return claimed, touched

    def _note_settled(self, sent: Sequence[Answered]) -> None:
        """Count the outcomes, and log who got the email: after a restore, `postmerge reconcile-sends` reads these lines."""
        for outcome, number in Counter(answer.outcome for _, answer in sent).items():
            work_counts.count("emails", str(outcome), number)
        accepted = [one.delivery.subscriber_id for one, answer in sent if answer.outcome is Outcome.ACCEPTED]
        if accepted:
            logger.info(ACCEPTED_EVENT, send=self._send_id, issue=self._issue_key, subscribers=accepted)

    def _stop_duplicates(self) -> None:
        """Stop the send because the ledger refused a claim: an address would have received it twice."""
        self._claiming = self._has_more = False
        with self._database.transaction() as tx:
            send = sends.get(tx, self._send_id)
            if send:
                halt_send(tx, send, SendState.STOPPED, DUPLICATE_ADDRESS)

    def _settle(self, tx: Tx, sent: Sequence[Answered]) -> None:
        if sent:
            outcomes = [_make_settlement(scheduled.delivery, answer) for scheduled, answer in sent]
            deliveries.settle(tx, self._send_id, self._claim_id, outcomes)
            if self._warms_up:
                warmup.use_allowance(tx, -sum(one.state == "pending" for one in outcomes))
            _react_to_answers(tx, self._send_id, [answer for _, answer in sent])


async def _send_email(settings: Settings, send_one: SendOne, prepared: _Prepared, scheduled: ScheduledDelivery) -> Answer:
    send, delivery = prepared.send, scheduled.delivery
    if (early := scheduled.at - time.monotonic()) > 0:
        await asyncio.sleep(early)
    try:
        token = tokens.unsubscribe_token(settings.need_secrets(), delivery.recipient, send.id)
        mailto = unsubscribe_mailto(settings.unsubscribe_address, token)
        raw = prepared.template(delivery.variant).fill(
            to=delivery.email, unsubscribe_url=f"{settings.api_url}/leave/{token}", mailto=mailto
        )
    except Exception as error:
        logger.exception("delivery.unbuildable", send=send.id, subscriber=delivery.subscriber_id)
        return Answer(Outcome.REFUSED, detail=f"the message could not be built ({type(error).__name__})")
    tags = {"send": str(send.id), "subscriber": str(delivery.subscriber_id)}
    try:
        return await send_one(Envelope(delivery.email, raw, tags))
    except Exception as error:
        logger.exception("delivery.broken_transport", send=send.id, subscriber=delivery.subscriber_id)
        return Answer(Outcome.UNCERTAIN, detail=f"the transport failed ({type(error).__name__})")


def _make_settlement(delivery: ClaimedDelivery, answer: Answer) -> Settlement:
    return Settlement(
        subscriber_id=delivery.subscriber_id,
        state=STATE_AFTER[answer.outcome],
        message_id=answer.message_id,
        detail=answer.detail[:500],
        counted=answer.outcome not in (Outcome.THROTTLED, Outcome.HALT),
    )


def _react_to_answers(tx: Tx, send_id: int, answers: Sequence[Answer]) -> None:
    """Back off when the transport cannot be reached; stop the whole send when the account is refused."""
    by_outcome = {answer.outcome: answer for answer in answers}
    logger.debug("delivery.group", send=send_id, **{str(o): sum(a.outcome is o for a in answers) for o in by_outcome})
    if refusal := by_outcome.get(Outcome.HALT):
        send = sends.get(tx, send_id)
        if send:
            halt_send(tx, send, SendState.STOPPED, refusal.detail)
    elif unreachable := by_outcome.get(Outcome.RETRY):
        sends.back_off(tx, send_id, UNREACHABLE_BACKOFF, unreachable.detail)
