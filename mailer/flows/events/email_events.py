"""SES events: record each one, update the ledger, and suppress addresses that bounced or complained.

Events arrive in any order, any number of times, and possibly before the response to the send call. Each only adds facts: a
delivery's state is the most severe one known (complained, bounced, delivered, failed, accepted). A batch is one
transaction.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, PostmergeError, Unavailable
from mailer.core.settings import Settings
from mailer.exchange.email_outcomes import EFFECTS, EventKind
from mailer.flows.subscribers import inbox_limit, suppression_lifting, unsubscribe_by_email
from mailer.store.events import delivery_events, ledger_events, rejected_events
from mailer.store.events.ledger_events import DELIVERIES, TRANSACTIONAL, EmailKey, LedgerEvent, LedgerTables, LedgerUpdate
from mailer.store.sending import deliveries
from mailer.store.subscribers import consent_log, subscribers, suppressions
from mailer.store.subscribers.subscribers import Subscriber
from mailer.store.transactional import test_emails
from mailer.webhooks import ses_events, ses_inbound
from mailer.webhooks.ses_events import SesEvent
from mailer.webhooks.sns import MAX_MESSAGE_AGE, SnsKind, SnsVerifier

logger = log.get("feedback")

_MAX_BUSY_SECONDS = 10.0  # how long to retry rows that a worker has locked
_BUSY_RETRY_SECONDS = 0.02
SIMULATOR_DOMAIN = "simulator.amazonses.com"  # its addresses complain whenever they are asked to
_REMEMBER_IDS_FOR = MAX_MESSAGE_AGE * 2  # older messages are rejected by their timestamp


@dataclass(frozen=True)
class EventCounts:
    """The outcome of a batch: events recorded, duplicates, events of unknown emails, rejected messages, irrelevant ones."""

    recorded: int = 0
    duplicates: int = 0
    unknown: int = 0
    rejected: int = 0
    ignored: int = 0

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass
class EventBatch:
    """Parsed messages: their events, the rejected messages with the reason, and the number of irrelevant ones."""

    events: list[SesEvent] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0


def read_messages(bodies: Sequence[str], topic: str = "") -> EventBatch:
    """Parse messages of the queue; an invalid one is set aside and does not stop the others."""
    batch = EventBatch()
    for body in bodies:
        try:
            event = ses_events.read_event(body, topic)
        except PostmergeError as error:
            batch.rejected.append((body, str(error)))
            continue
        if event is None:
            batch.ignored += 1
        else:
            batch.events.append(event)
    return batch


def process_messages(database: Database, settings: Settings, bodies: Sequence[str], source: str = "sqs") -> EventCounts:
    """Process messages of the queue; once this returns, they are committed and can be deleted from the queue.

    Raises Unavailable if Postgres is unavailable or rows of the ledger stay locked: processing the messages again is safe.
    """
    batch = read_messages(bodies, settings.sns_topic)
    done = EventCounts(ignored=batch.ignored, rejected=len(batch.rejected))
    if batch.rejected:
        _store_rejected(database, source, batch.rejected)
    return done + record_events(database, settings, batch.events)


def process_one_by_one(database: Database, settings: Settings, bodies: Sequence[str], source: str = "sqs") -> EventCounts:
    """Process the messages of a failed batch one at a time; a message that fails alone is stored for the operator."""
    done = EventCounts()
    for body in bodies:
        try:
            done += process_messages(database, settings, [body], source)
        except Unavailable:
            raise
        except Exception as error:
            _store_rejected(database, source, [(body, f"The event could not be recorded ({type(error).__name__}).")])
            done += EventCounts(rejected=1)
    return done


def record_events(database: Database, settings: Settings, batch: Sequence[SesEvent]) -> EventCounts:
    """Record events in as few transactions as the workers' locks permit. Raises Unavailable like ``process_messages``."""
    done, left, deadline = EventCounts(), list(batch), time.monotonic() + _MAX_BUSY_SECONDS
    while left:
        with database.transaction() as tx:
            some, left = apply_events(tx, settings, left)
        done += some
        if left:
            if time.monotonic() > deadline:
                raise Unavailable("Rows of the ledger are still locked: look for a transaction that was never committed.")
            time.sleep(_BUSY_RETRY_SECONDS)
    if done.unknown:
        logger.warning("event.unknown_email", events=done.unknown)
    return done


def apply_events(tx: Tx, settings: Settings, batch: Sequence[SesEvent]) -> tuple[EventCounts, list[SesEvent]]:
    """Apply a batch within a transaction; return the counts, and the events whose rows are locked."""
    tests = _apply_to_test_emails(tx, [e for e in batch if e.test_id]) + _apply_to_links(tx, [e for e in batch if e.link_to])
    batch = _match_message_ids(tx, [e for e in batch if not e.test_id and not e.link_to])
    of_sends, busy = _apply_to_ledger(tx, settings, DELIVERIES, [e for e in batch if len(e.key) == len(DELIVERIES.key)])
    transactional, busy_transactional = _apply_to_ledger(
        tx, settings, TRANSACTIONAL, [e for e in batch if len(e.key) == len(TRANSACTIONAL.key)]
    )
    done = of_sends + transactional + tests + _count_unknown(tx, [e for e in batch if not e.key])
    return done, busy + busy_transactional


def _match_message_ids(tx: Tx, batch: Sequence[SesEvent]) -> list[SesEvent]:
    """Find the email of events without our tags by the message id."""
    bare = sorted({e.message_id for e in batch if not e.key})
    if not bare:
        return list(batch)
    sent = ledger_events.find_by_message_id(tx, DELIVERIES, bare)
    single = ledger_events.find_by_message_id(tx, TRANSACTIONAL, bare)
    return [e if e.key else _with_key(e, sent, single) for e in batch]


def _with_key(event: SesEvent, sent: Mapping[str, EmailKey], single: Mapping[str, EmailKey]) -> SesEvent:
    send_id, subscriber_id = sent.get(event.message_id, (0, 0))
    [email_id] = single.get(event.message_id, (0,))
    return replace(event, send_id=send_id, subscriber_id=subscriber_id, email_id=email_id)


def _apply_to_ledger(
    tx: Tx, settings: Settings, ledger: LedgerTables, batch: Sequence[SesEvent]
) -> tuple[EventCounts, list[SesEvent]]:
    if not batch:
        return EventCounts(), []
    best = {e.key: e for e in sorted(batch, key=lambda e: EFFECTS[e.kind].rank)}
    if ledger is DELIVERIES:
        deliveries.forget_sums(tx, sorted({send_id for send_id, _ in best}))
    unknown, busy = ledger_events.advance(tx, ledger, [_make_update(event) for event in best.values()])
    skipped = unknown | busy
    known = [LedgerEvent(e.key, e.kind, e.at, e.subtype, e.detail) for e in batch if e.key not in skipped]
    added = ledger_events.add(tx, ledger, known)
    if added.soft:
        _suppress_soft(tx, settings, added.soft)
    _suppress(tx, added.hard, added.complaints)
    _suppress_addresses(tx, added.hard_to, "hard bounce")
    inbox_limit.suppress_spellings(tx, [*map(addresses.normal, added.complaints_to)])
    _withdraw_complaints(tx, added.not_spam)
    unknown_events = _count_unknown(tx, [e for e in batch if e.key in unknown])
    done = EventCounts(recorded=added.number, duplicates=len(known) - added.number) + unknown_events
    return done, [e for e in batch if e.key in busy]


def _apply_to_test_emails(tx: Tx, batch: Sequence[SesEvent]) -> EventCounts:
    """Record what became of test emails. A reviewer whose address bounced must prove it again; who complained is suppressed."""
    unknown, complaints = [], []
    for event in sorted(batch, key=lambda e: EFFECTS[e.kind].rank):
        state = EFFECTS[event.kind].state
        email = test_emails.record_event(tx, event.test_id, state, _ledger_detail(event)) if state else ""
        if email is None:
            unknown.append(event)
        elif event.kind is EventKind.COMPLAINT and email and not email.endswith(f"@{SIMULATOR_DOMAIN}"):
            complaints.append(email)
    inbox_limit.suppress_spellings(tx, complaints)
    return EventCounts(recorded=len(batch) - len(unknown)) + _count_unknown(tx, unknown)


def _apply_to_links(tx: Tx, batch: Sequence[SesEvent]) -> EventCounts:
    """Suppress who complained about an email with a link, or whose address bounced; there is nothing else to record."""
    inbox_limit.suppress_spellings(tx, [addresses.normal(e.link_to) for e in batch if e.kind is EventKind.COMPLAINT])
    _suppress_addresses(tx, [e.link_to for e in batch if e.kind is EventKind.HARD_BOUNCE], "hard bounce")
    return EventCounts(recorded=len(batch))


def _make_update(event: SesEvent) -> LedgerUpdate:
    effect = EFFECTS[event.kind]
    return LedgerUpdate(event.key, effect.state, effect.rank, event.kind, event.message_id, _ledger_detail(event))


def _ledger_detail(event: SesEvent) -> str:
    """Return the reason for the ledger; '' where the state itself says everything."""
    if event.kind in (EventKind.REJECT, EventKind.RENDERING_FAILURE):
        return f"{event.kind}: {event.detail}" if event.detail else str(event.kind)
    if event.kind is EventKind.PROVIDER_SUPPRESSION:
        return f"not sent by SES: the address is on its suppression list ({event.subtype})"
    if EFFECTS[event.kind].state in ("accepted", "") or event.kind is EventKind.DELIVERY:
        return ""
    return f"{event.kind} ({event.subtype})" if event.subtype else str(event.kind)


def _suppress(tx: Tx, hard: Sequence[int], complaints: Sequence[int]) -> None:
    if complaints:  # one that was taken back may be reported first
        complaints = [one.subscriber_id for one in delivery_events.count_complaints(tx, complaints) if one.open]
    _suppress_complaining_inboxes(tx, complaints)
    for reason, subscriber_ids in (("hard bounce", hard), ("complaint", complaints)):
        if subscriber_ids and (number := suppressions.add_for_subscribers(tx, subscriber_ids, reason)):
            logger.info("address.suppressed", reason=reason, subscribers=number)


def _suppress_addresses(tx: Tx, emails: Sequence[str], reason: str) -> None:
    """Suppress the addresses that emails went to."""
    normals = sorted({addresses.normal(email) for email in emails})
    if normals and (number := suppressions.add(tx, normals, reason)):
        logger.info("address.suppressed", reason=reason, subscribers=number)


def _suppress_complaining_inboxes(tx: Tx, complaints: Sequence[int]) -> None:
    """Suppress every address of people who complained: former ones, and other spellings of their inbox that subscribe."""
    known = []
    for subscriber_id in complaints:
        if subscriber := subscribers.lock(tx, subscriber_id):
            known += _list_addresses(tx, subscriber)
    if known and (number := inbox_limit.suppress_spellings(tx, known)):
        logger.info("address.suppressed", reason="complaint", subscribers=number)


def _list_addresses(tx: Tx, subscriber: Subscriber) -> list[str]:
    """Return a subscriber's present and former addresses, in normal form."""
    return [subscriber.email_normal, *map(addresses.normal, consent_log.list_former_addresses(tx, subscriber.id))]


def _withdraw_complaints(tx: Tx, not_spam: Sequence[int]) -> None:
    """Lift the suppression of people who took all their complaints back."""
    for one in delivery_events.count_complaints(tx, not_spam) if not_spam else ():
        subscriber = subscribers.lock(tx, one.subscriber_id)
        if subscriber and one.withdrawn and not one.open:
            known = _list_addresses(tx, subscriber)
            suppression_lifting.lift_complaints(tx, [*known, *inbox_limit.list_spellings(tx, known)])


def _suppress_soft(tx: Tx, settings: Settings, soft: Sequence[int]) -> None:
    over = delivery_events.list_soft_bouncing(tx, soft, settings.soft_bounce_window, settings.soft_bounces)
    if over and (number := suppressions.add_for_subscribers(tx, over, "soft bounces")):
        logger.info("address.suppressed", reason="soft bounces", subscribers=number)


def _count_unknown(tx: Tx, batch: Sequence[SesEvent]) -> EventCounts:
    if batch:
        rejected_events.add_unknown(tx, Counter(str(e.kind) for e in batch))
    return EventCounts(unknown=len(batch))


def _store_rejected(database: Database, source: str, rejected: Sequence[tuple[str, str]]) -> None:
    with database.transaction() as tx:
        for body, reason in sorted(rejected):
            rejected_events.add(tx, source, reason, body)
    for reason, number in Counter(reason for _, reason in rejected).items():
        logger.warning("event.rejected", source=source, reason=reason, messages=number)


def process_sns_message(database: Database, settings: Settings, verifier: SnsVerifier, raw: bytes) -> str:
    """Process a message posted by SNS; return a sentence about the outcome.

    Raises BadInput or Refused for an invalid message, which is not stored, and Unavailable if SNS should retry.
    """
    message = verifier.verify(raw)
    if message.kind is SnsKind.SUBSCRIPTION:
        verifier.confirm(message)
        logger.info("sns.subscribed", message=message.id)
        return "The subscription is confirmed."
    if message.kind is SnsKind.UNSUBSCRIBE:
        logger.warning("sns.unsubscribed", message=message.id)
        return "Noted: the topic no longer posts to this endpoint."
    if (email := ses_inbound.read_email(message.body)) is not None:
        return str(unsubscribe_by_email.process_email(database, settings, email.raw, email.is_sender_verified))
    try:
        event = ses_events.parse_event(message.body)
    except BadInput as error:
        _store_rejected(database, "https", [(message.body, str(error))])
        return "Stored for the operator: " + str(error)
    return _record_once(database, settings, message.id, event)


def _record_once(database: Database, settings: Settings, sns_id: str, event: SesEvent | None) -> str:
    deadline = time.monotonic() + _MAX_BUSY_SECONDS
    while True:
        try:
            with database.transaction() as tx:
                if not rejected_events.remember_sns_id(tx, sns_id, _REMEMBER_IDS_FOR):
                    return "The message was processed before."
                if event is None:
                    return "The message is irrelevant: ignored."
                done, busy = apply_events(tx, settings, [event])
                if busy:
                    raise _RowLocked
        except _RowLocked:
            if time.monotonic() > deadline:
                raise Unavailable("A row of the ledger is still locked: SNS will send the message again.") from None
            time.sleep(_BUSY_RETRY_SECONDS)
            continue
        if done.unknown:
            logger.warning("event.unknown_email", events=1)
            return "The email is unknown; the event was counted."
        return "The event is recorded."


class _RowLocked(Exception):
    """Roll back and retry: the message's id must not be stored without its event."""


def list_rejected(database: Database, limit: int) -> tuple[list[rejected_events.RejectedEvent], dict[str, int]]:
    """Return the rejected messages, latest first, and the number of events of unknown emails in the last 7 days, by kind."""
    with database.transaction() as tx:
        return rejected_events.list_newest(tx, limit), rejected_events.count_unknown_by_kind(tx, timedelta(days=7))
