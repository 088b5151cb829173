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
from mailer.flows.subscribers import unsubscribe_by_mail
from mailer.store.events import delivery_events, rejected_events, transactional_mail_events
from mailer.store.subscribers import suppressions
from mailer.webhooks import ses_events, ses_inbound
from mailer.webhooks.ses_events import Event, Kind
from mailer.webhooks.sns import OLDEST, Verifier
from mailer.webhooks.sns import Kind as SnsKind

events = log.get("feedback")

_BUSY_PATIENCE = 10.0  # seconds for which rows that a worker holds are asked for again
_BUSY_PAUSE = 0.02
_KEEP_IDS = OLDEST * 2  # an older message is refused by its time

# The state that an event proves, and how much that state knows (see ``delivery_events.RANK``).
_PROOF = {
    Kind.SEND: ("accepted", 1),
    Kind.DELAY: ("", 0),
    Kind.REJECT: ("failed", 2),
    Kind.RENDERING_FAILURE: ("failed", 2),
    Kind.DELIVERY: ("delivered", 3),
    Kind.SOFT_BOUNCE: ("bounced", 4),
    Kind.HARD_BOUNCE: ("bounced", 5),
    Kind.COMPLAINT: ("complained", 6),
}


@dataclass(frozen=True)
class Taken:
    """What became of a batch: events written down, doubles, events of unknown mails, unreadable ones, and of no interest."""

    recorded: int = 0
    doubled: int = 0
    unknown: int = 0
    unread: int = 0
    ignored: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass
class Batch:
    """Messages read: the events in them, the messages that could not be read with the reason, and how many say nothing."""

    events: list[Event] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0


def read(bodies: Sequence[str], topic: str = "") -> Batch:
    """Read messages of the queue; one that cannot be read is kept apart and stops nothing."""
    batch = Batch()
    for body in bodies:
        try:
            event = ses_events.read(body, topic)
        except PostmergeError as error:
            batch.unread.append((body, str(error)))
            continue
        if event is None:
            batch.ignored += 1
        else:
            batch.events.append(event)
    return batch


def take(database: Database, settings: Settings, bodies: Sequence[str], source: str = "sqs") -> Taken:
    """Take messages of the queue in; when this returns, they are committed and may be deleted there.

    Raises Unavailable when Postgres is away or rows of the ledger stay locked: then the rest must come again, which is safe.
    """
    batch = read(bodies, settings.sns_topic)
    done = Taken(ignored=batch.ignored, unread=len(batch.unread))
    if batch.unread:
        _keep_unread(database, source, batch.unread)
    return done + record(database, settings, batch.events)


def take_one_by_one(database: Database, settings: Settings, bodies: Sequence[str], source: str = "sqs") -> Taken:
    """Like ``take``, for a batch that broke: a message that breaks alone is kept for the operator."""
    done = Taken()
    for body in bodies:
        try:
            done += take(database, settings, [body], source)
        except Unavailable:
            raise
        except Exception as error:
            _keep_unread(database, source, [(body, f"The event could not be recorded ({type(error).__name__}).")])
            done += Taken(unread=1)
    return done


def record(database: Database, settings: Settings, batch: Sequence[Event]) -> Taken:
    """Record events in as few transactions as the workers' locks allow. Raises Unavailable like ``take``."""
    done, left, deadline = Taken(), list(batch), time.monotonic() + _BUSY_PATIENCE
    while left:
        with database.transaction() as tx:
            some, left = apply(tx, settings, left)
        done += some
        if left:
            if time.monotonic() > deadline:
                raise Unavailable("Rows of the ledger stay locked: look for a transaction that does not end.")
            time.sleep(_BUSY_PAUSE)
    if done.unknown:
        events.warning("event.unknown_mail", events=done.unknown)
    return done


def apply(tx: Tx, settings: Settings, batch: Sequence[Event]) -> tuple[Taken, list[Event]]:
    """Apply a batch inside a transaction; what was done, and the events whose rows are locked just now."""
    batch = _matched(tx, batch)
    deliveries, busy = _deliveries(tx, settings, [e for e in batch if e.send_id and e.subscriber_id])
    singles, busy_singles = _singles(tx, [e for e in batch if e.mail_id])
    strangers = [e for e in batch if not e.mail_id and not (e.send_id and e.subscriber_id)]
    done = deliveries + singles + _unknown(tx, strangers)
    return done, busy + busy_singles


def _matched(tx: Tx, batch: Sequence[Event]) -> list[Event]:
    """Events without our tags get their mail by the message's id, if we know it."""
    bare = {e.message_id for e in batch if not e.mail_id and not (e.send_id and e.subscriber_id)}
    if not bare:
        return list(batch)
    by_message = delivery_events.find(tx, sorted(bare))
    singles = transactional_mail_events.find(tx, sorted(bare - set(by_message)))
    return [_with_ids(e, by_message, singles) if e.message_id in bare else e for e in batch]


def _with_ids(event: Event, by_message: dict[str, delivery_events.Key], singles: dict[str, int]) -> Event:
    send_id, subscriber_id = by_message.get(event.message_id, (0, 0))
    mail_id = singles.get(event.message_id, 0)
    return Event(event.kind, event.at, event.message_id, send_id, subscriber_id, mail_id, event.subtype, event.detail)


def _deliveries(tx: Tx, settings: Settings, batch: Sequence[Event]) -> tuple[Taken, list[Event]]:
    if not batch:
        return Taken(), []
    best = {(e.send_id, e.subscriber_id): e for e in sorted(batch, key=lambda e: _PROOF[e.kind][1])}
    unknown, busy = delivery_events.advance(
        tx, [delivery_events.News(*key, *_PROOF[e.kind], e.message_id, _why(e)) for key, e in best.items()]
    )
    away = unknown | busy
    known = [e for e in batch if (e.send_id, e.subscriber_id) not in away]
    fresh = delivery_events.add(
        tx,
        [delivery_events.Happening(e.send_id, e.subscriber_id, e.kind, e.at, e.subtype, e.detail) for e in known],
    )
    if fresh.soft:
        _suppress_soft(tx, settings, fresh.soft)
    _suppress(tx, fresh.hard, fresh.complaints)
    strangers = _unknown(tx, [e for e in batch if (e.send_id, e.subscriber_id) in unknown])
    done = Taken(recorded=fresh.number, doubled=len(known) - fresh.number) + strangers
    return done, [e for e in batch if (e.send_id, e.subscriber_id) in busy]


def _singles(tx: Tx, batch: Sequence[Event]) -> tuple[Taken, list[Event]]:
    if not batch:
        return Taken(), []
    best = {e.mail_id: e for e in sorted(batch, key=lambda e: _PROOF[e.kind][1])}
    unknown, busy = transactional_mail_events.advance(
        tx, [transactional_mail_events.News(mail_id, *_PROOF[e.kind], e.message_id, _why(e)) for mail_id, e in best.items()]
    )
    known = [e for e in batch if e.mail_id not in unknown | busy]
    fresh = transactional_mail_events.add(
        tx, [transactional_mail_events.Happening(e.mail_id, e.kind, e.at, e.subtype, e.detail) for e in known]
    )
    _suppress(tx, fresh.hard, fresh.complaints)
    strangers = _unknown(tx, [e for e in batch if e.mail_id in unknown])
    done = Taken(recorded=fresh.number, doubled=len(known) - fresh.number) + strangers
    return done, [e for e in batch if e.mail_id in busy]


def _why(event: Event) -> str:
    """The ledger's detail. That of a hard bounce begins with ``hard``: the brakes and the ranks read it."""
    if event.kind in (Kind.HARD_BOUNCE, Kind.SOFT_BOUNCE, Kind.COMPLAINT):
        return f"{event.kind} ({event.subtype})" if event.subtype else str(event.kind)
    if event.kind in (Kind.REJECT, Kind.RENDERING_FAILURE):
        return f"{event.kind}: {event.detail}" if event.detail else str(event.kind)
    return ""


def _suppress(tx: Tx, hard: Sequence[int], complaints: Sequence[int]) -> None:
    for reason, readers in (("hard bounce", hard), ("complaint", complaints)):
        if readers and (number := suppressions.add_readers(tx, readers, reason)):
            events.info("address.suppressed", reason=reason, readers=number)


def _suppress_soft(tx: Tx, settings: Settings, soft: Sequence[int]) -> None:
    over = delivery_events.softly_bounced(tx, soft, settings.soft_bounce_window, settings.soft_bounces)
    if over and (number := suppressions.add_readers(tx, over, "soft bounces")):
        events.info("address.suppressed", reason="soft bounces", readers=number)


def _unknown(tx: Tx, batch: Sequence[Event]) -> Taken:
    if batch:
        rejected_events.count_unknown(tx, Counter(str(e.kind) for e in batch))
    return Taken(unknown=len(batch))


def _keep_unread(database: Database, source: str, unread: Sequence[tuple[str, str]]) -> None:
    with database.transaction() as tx:
        for body, reason in sorted(unread):
            rejected_events.keep(tx, source, reason, body)
    for reason, number in Counter(reason for _, reason in unread).items():
        events.warning("event.unread", source=source, reason=reason, messages=number)


def take_sns(database: Database, settings: Settings, verifier: Verifier, raw: bytes) -> str:
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
    if (mail := ses_inbound.read(message.body)) is not None:
        return str(unsubscribe_by_mail.take(database, settings, mail))
    try:
        event = ses_events.parse(message.body)
    except BadInput as error:
        _keep_unread(database, "https", [(message.body, str(error))])
        return "Kept for the operator: " + str(error)
    return _record_once(database, settings, message.id, event)


def _record_once(database: Database, settings: Settings, sns_id: str, event: Event | None) -> str:
    deadline = time.monotonic() + _BUSY_PATIENCE
    while True:
        try:
            with database.transaction() as tx:
                if not rejected_events.first_time(tx, sns_id, _KEEP_IDS):
                    return "The message was taken before."
                if event is None:
                    return "The message is of no interest here."
                done, busy = apply(tx, settings, [event])
                if busy:
                    raise _Locked
        except _Locked:
            if time.monotonic() > deadline:
                raise Unavailable("A row of the ledger stays locked: the message will be sent again.") from None
            time.sleep(_BUSY_PAUSE)
            continue
        if done.unknown:
            events.warning("event.unknown_mail", events=1)
            return "The mail is not known here; the event was counted."
        return "The event is recorded."


class _Locked(Exception):
    """Roll back and try again: the message's id must not be kept without its event."""


def listed_unread(database: Database, limit: int) -> tuple[list[rejected_events.Unread], dict[str, int]]:
    """Messages that could not be read, latest first, and the events of unknown mails in the last 7 days by kind."""
    with database.transaction() as tx:
        return rejected_events.listed(tx, limit), rejected_events.unknown_numbers(tx, timedelta(days=7))
