"""Feedback: what SES says about mails afterwards is written down, moves the ledger forward and suppresses addresses.

Events may come in any order, any number of times, and before the answer of the call: each only adds to what is known, and a
delivery's state is the gravest thing known about it (complained, bounced, delivered, failed, accepted). Everything of one batch
happens in one transaction.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, PostmergeError, Unavailable
from mailer.core.settings import Settings
from mailer.flows.subscribers import unsubscribe_by_email
from mailer.store.events import delivery_events, rejected_events, transactional_email_events
from mailer.store.subscribers import suppressions
from mailer.webhooks import ses_events, ses_inbound
from mailer.webhooks.ses_events import EventKind, SesEvent
from mailer.webhooks.sns import MAX_AGE, SnsKind, SnsVerifier

events = log.get("feedback")

_MAX_BUSY_SECONDS = 10.0  # seconds for which rows that a worker holds are asked for again
_BUSY_RETRY_SECONDS = 0.02
_REMEMBER_IDS_FOR = MAX_AGE * 2  # an older message is refused by its time

# The state that an event proves, and how much that state knows (see ``delivery_events.RANK``).
_PROOF = {
    EventKind.SEND: ("accepted", 1),
    EventKind.DELAY: ("", 0),
    EventKind.REJECT: ("failed", 2),
    EventKind.RENDERING_FAILURE: ("failed", 2),
    EventKind.DELIVERY: ("delivered", 3),
    EventKind.SOFT_BOUNCE: ("bounced", 4),
    EventKind.HARD_BOUNCE: ("bounced", 5),
    EventKind.COMPLAINT: ("complained", 6),
}


@dataclass(frozen=True)
class EventCounts:
    """What became of a batch: events written down, doubles, events of unknown mails, unreadable ones, and of no interest."""

    recorded: int = 0
    doubled: int = 0
    unknown: int = 0
    unread: int = 0
    ignored: int = 0

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass
class EventBatch:
    """Messages read: the events in them, the messages that could not be read with the reason, and how many say nothing."""

    events: list[SesEvent] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0


def read_messages(bodies: Sequence[str], topic: str = "") -> EventBatch:
    """Read messages of the queue; one that cannot be read is kept apart and stops nothing."""
    batch = EventBatch()
    for body in bodies:
        try:
            event = ses_events.read_event(body, topic)
        except PostmergeError as error:
            batch.unread.append((body, str(error)))
            continue
        if event is None:
            batch.ignored += 1
        else:
            batch.events.append(event)
    return batch


def process_messages(database: Database, settings: Settings, bodies: Sequence[str], source: str = "sqs") -> EventCounts:
    """Take messages of the queue in; when this returns, they are committed and may be deleted there.

    Raises Unavailable when Postgres is away or rows of the ledger stay locked: then the rest must come again, which is safe.
    """
    batch = read_messages(bodies, settings.sns_topic)
    done = EventCounts(ignored=batch.ignored, unread=len(batch.unread))
    if batch.unread:
        _store_rejected(database, source, batch.unread)
    return done + record_events(database, settings, batch.events)


def process_one_by_one(database: Database, settings: Settings, bodies: Sequence[str], source: str = "sqs") -> EventCounts:
    """Like ``process_messages``, for a batch that broke: a message that breaks alone is kept for the operator."""
    done = EventCounts()
    for body in bodies:
        try:
            done += process_messages(database, settings, [body], source)
        except Unavailable:
            raise
        except Exception as error:
            _store_rejected(database, source, [(body, f"The event could not be recorded ({type(error).__name__}).")])
            done += EventCounts(unread=1)
    return done


def record_events(database: Database, settings: Settings, batch: Sequence[SesEvent]) -> EventCounts:
    """Record events in as few transactions as the workers' locks allow. Raises Unavailable like ``process_messages``."""
    done, left, deadline = EventCounts(), list(batch), time.monotonic() + _MAX_BUSY_SECONDS
    while left:
        with database.transaction() as tx:
            some, left = apply_events(tx, settings, left)
        done += some
        if left:
            if time.monotonic() > deadline:
                raise Unavailable("Rows of the ledger stay locked: look for a transaction that does not end.")
            time.sleep(_BUSY_RETRY_SECONDS)
    if done.unknown:
        events.warning("event.unknown_mail", events=done.unknown)
    return done


def apply_events(tx: Tx, settings: Settings, batch: Sequence[SesEvent]) -> tuple[EventCounts, list[SesEvent]]:
    """Apply a batch inside a transaction; what was done, and the events whose rows are locked just now."""
    batch = _match_message_ids(tx, batch)
    deliveries, busy = _apply_to_deliveries(tx, settings, [e for e in batch if e.send_id and e.subscriber_id])
    singles, busy_singles = _apply_to_transactional(tx, [e for e in batch if e.mail_id])
    strangers = [e for e in batch if not e.mail_id and not (e.send_id and e.subscriber_id)]
    done = deliveries + singles + _count_unknown(tx, strangers)
    return done, busy + busy_singles


def _match_message_ids(tx: Tx, batch: Sequence[SesEvent]) -> list[SesEvent]:
    """Events without our tags get their mail by the message's id, if we know it."""
    bare = {e.message_id for e in batch if not e.mail_id and not (e.send_id and e.subscriber_id)}
    if not bare:
        return list(batch)
    by_message = delivery_events.find_by_message_id(tx, sorted(bare))
    singles = transactional_email_events.find_by_message_id(tx, sorted(bare - set(by_message)))
    return [_with_ids(e, by_message, singles) if e.message_id in bare else e for e in batch]


def _with_ids(event: SesEvent, by_message: dict[str, delivery_events.DeliveryKey], singles: dict[str, int]) -> SesEvent:
    send_id, subscriber_id = by_message.get(event.message_id, (0, 0))
    mail_id = singles.get(event.message_id, 0)
    return SesEvent(event.kind, event.at, event.message_id, send_id, subscriber_id, mail_id, event.subtype, event.detail)


def _apply_to_deliveries(tx: Tx, settings: Settings, batch: Sequence[SesEvent]) -> tuple[EventCounts, list[SesEvent]]:
    if not batch:
        return EventCounts(), []
    best = {(e.send_id, e.subscriber_id): e for e in sorted(batch, key=lambda e: _PROOF[e.kind][1])}
    unknown, busy = delivery_events.advance(
        tx, [delivery_events.DeliveryUpdate(*key, *_PROOF[e.kind], e.message_id, _ledger_detail(e)) for key, e in best.items()]
    )
    away = unknown | busy
    known = [e for e in batch if (e.send_id, e.subscriber_id) not in away]
    fresh = delivery_events.add(
        tx,
        [delivery_events.DeliveryEvent(e.send_id, e.subscriber_id, e.kind, e.at, e.subtype, e.detail) for e in known],
    )
    if fresh.soft:
        _suppress_soft(tx, settings, fresh.soft)
    _suppress(tx, fresh.hard, fresh.complaints)
    strangers = _count_unknown(tx, [e for e in batch if (e.send_id, e.subscriber_id) in unknown])
    done = EventCounts(recorded=fresh.number, doubled=len(known) - fresh.number) + strangers
    return done, [e for e in batch if (e.send_id, e.subscriber_id) in busy]


def _apply_to_transactional(tx: Tx, batch: Sequence[SesEvent]) -> tuple[EventCounts, list[SesEvent]]:
    if not batch:
        return EventCounts(), []
    best = {e.mail_id: e for e in sorted(batch, key=lambda e: _PROOF[e.kind][1])}
    unknown, busy = transactional_email_events.advance(
        tx,
        [
            transactional_email_events.TransactionalUpdate(mail_id, *_PROOF[e.kind], e.message_id, _ledger_detail(e))
            for mail_id, e in best.items()
        ],
    )
    known = [e for e in batch if e.mail_id not in unknown | busy]
    fresh = transactional_email_events.add(
        tx, [transactional_email_events.TransactionalEvent(e.mail_id, e.kind, e.at, e.subtype, e.detail) for e in known]
    )
    _suppress(tx, fresh.hard, fresh.complaints)
    strangers = _count_unknown(tx, [e for e in batch if e.mail_id in unknown])
    done = EventCounts(recorded=fresh.number, doubled=len(known) - fresh.number) + strangers
    return done, [e for e in batch if e.mail_id in busy]


def _ledger_detail(event: SesEvent) -> str:
    """The ledger's detail. That of a hard bounce begins with ``hard``: the brakes and the ranks read it."""
    if event.kind in (EventKind.HARD_BOUNCE, EventKind.SOFT_BOUNCE, EventKind.COMPLAINT):
        return f"{event.kind} ({event.subtype})" if event.subtype else str(event.kind)
    if event.kind in (EventKind.REJECT, EventKind.RENDERING_FAILURE):
        return f"{event.kind}: {event.detail}" if event.detail else str(event.kind)
    return ""


def _suppress(tx: Tx, hard: Sequence[int], complaints: Sequence[int]) -> None:
    for reason, readers in (("hard bounce", hard), ("complaint", complaints)):
        if readers and (number := suppressions.add_for_subscribers(tx, readers, reason)):
            events.info("address.suppressed", reason=reason, readers=number)


def _suppress_soft(tx: Tx, settings: Settings, soft: Sequence[int]) -> None:
    over = delivery_events.list_soft_bouncing(tx, soft, settings.soft_bounce_window, settings.soft_bounces)
    if over and (number := suppressions.add_for_subscribers(tx, over, "soft bounces")):
        events.info("address.suppressed", reason="soft bounces", readers=number)


def _count_unknown(tx: Tx, batch: Sequence[SesEvent]) -> EventCounts:
    if batch:
        rejected_events.add_unknown(tx, Counter(str(e.kind) for e in batch))
    return EventCounts(unknown=len(batch))


def _store_rejected(database: Database, source: str, unread: Sequence[tuple[str, str]]) -> None:
    with database.transaction() as tx:
        for body, reason in sorted(unread):
            rejected_events.add(tx, source, reason, body)
    for reason, number in Counter(reason for _, reason in unread).items():
        events.warning("event.unread", source=source, reason=reason, messages=number)


def process_sns_message(database: Database, settings: Settings, verifier: SnsVerifier, raw: bytes) -> str:
    """A message that SNS posted to us: one sentence about what was done with it.

    Raises BadInput or Refused for what is not taken (nothing of it is kept), Unavailable when it must come again.
    """
    message = verifier.verify(raw)
    if message.kind is SnsKind.SUBSCRIPTION:
        verifier.confirm(message)
        events.info("sns.subscribed", message=message.id)
        return "The subscription is confirmed."
    if message.kind is SnsKind.UNSUBSCRIBE:
        events.warning("sns.unsubscribed", message=message.id)
        return "Noted: the topic does not post here any more."
    if (mail := ses_inbound.read_email(message.body)) is not None:
        return str(unsubscribe_by_email.process_email(database, settings, mail))
    try:
        event = ses_events.parse_event(message.body)
    except BadInput as error:
        _store_rejected(database, "https", [(message.body, str(error))])
        return "Kept for the operator: " + str(error)
    return _record_once(database, settings, message.id, event)


def _record_once(database: Database, settings: Settings, sns_id: str, event: SesEvent | None) -> str:
    deadline = time.monotonic() + _MAX_BUSY_SECONDS
    while True:
        try:
            with database.transaction() as tx:
                if not rejected_events.remember_sns_id(tx, sns_id, _REMEMBER_IDS_FOR):
                    return "The message was taken before."
                if event is None:
                    return "The message is of no interest here."
                done, busy = apply_events(tx, settings, [event])
                if busy:
                    raise _RowLocked
        except _RowLocked:
            if time.monotonic() > deadline:
                raise Unavailable("A row of the ledger stays locked: the message will be sent again.") from None
            time.sleep(_BUSY_RETRY_SECONDS)
            continue
        if done.unknown:
            events.warning("event.unknown_mail", events=1)
            return "The mail is not known here; the event was counted."
        return "The event is recorded."


class _RowLocked(Exception):
    """Roll back and try again: the message's id must not be kept without its event."""


def list_rejected(database: Database, limit: int) -> tuple[list[rejected_events.RejectedEvent], dict[str, int]]:
    """Messages that could not be read, latest first, and the events of unknown mails in the last 7 days by kind."""
    with database.transaction() as tx:
        return rejected_events.list_newest(tx, limit), rejected_events.count_unknown_by_kind(tx, timedelta(days=7))
