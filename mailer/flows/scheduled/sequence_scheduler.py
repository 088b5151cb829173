"""Queue the steps of sequences that are due: each becomes a delivery of the step's continuous send, and workers do the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.edition import LATEST_ISSUE, SEQUENCES_FOLDER
from mailer.core.errors import BadInput
from mailer.core.i18n.local_time import find_open_time
from mailer.core.settings import Settings
from mailer.flows.subscribers import segment_rules
from mailer.store.sending import enrolments, sends, sequences
from mailer.store.sending.enrolments import DueEnrolment, DueRules
from mailer.store.sending.sends import SendState, SendTerms
from mailer.store.sending.sequences import SequenceState, StoredSequence, StoredStep

logger = log.get("sequences")

MAX_QUEUED_STEPS = 1000  # of one step, in one round
MAX_CONTINUOUS_ROWS = 10_000  # deliveries of a continuous send; then another follows, so that reading one stays cheap
CAP_DELAY = timedelta(days=1)  # how long a step waits that would exceed POSTMERGE_MAX_EMAILS_PER_WEEK


@dataclass
class _Verdicts:
    """What becomes of those for whom a step is due: whom it is queued for, who continues without it, who ends, who waits."""

    queued: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    ended: dict[int, str] = field(default_factory=dict)
    postponed: dict[int, datetime] = field(default_factory=dict)


def queue_due_steps(database: Database, settings: Settings, now: datetime | None = None) -> int:
    """Queue the steps that are due; return how many emails. Safe to run concurrently and to kill at any moment."""
    moment, number = now or datetime.now(UTC), 0
    with database.transaction() as tx:
        running = [one for one in sequences.list_all(tx) if one.state is SequenceState.RUNNING]
        work = [(one, step) for one in running for step in sequences.list_steps(tx, one.id) if not step.is_removed]
    for sequence, step in work:
        if step.send_state is SendState.SENDING or step.key == LATEST_ISSUE:
            with database.transaction() as tx:
                number += _queue_step(tx, settings, sequence, step, moment)
    return number


def _queue_step(tx: Tx, settings: Settings, sequence: StoredSequence, step: StoredStep, now: datetime) -> int:
    try:
        rules = _read_rules(tx, sequence)
    except BadInput as error:  # for example, a segment deleted meanwhile
        sequences.set_state(tx, sequence.name, SequenceState.STOPPED)
        logger.error("sequence.stopped", sequence=sequence.name, reason=str(error))
        return 0
    if step.key == LATEST_ISSUE:
        rules = _follow_latest_issue(tx, sequence, step, rules)
    current = sends.lock_continuous(tx, step.id)
    if current is None and step.key == LATEST_ISSUE:  # no issue was sent yet
        _move_on(tx, step, [one.subscriber_id for one in enrolments.list_due(tx, step.id, rules, MAX_QUEUED_STEPS)])
    if current is None or current.state is not SendState.SENDING:
        return 0
    if retimed := enrolments.restart_from_future(tx, step.id):
        logger.warning("sequence.time_went_back", sequence=sequence.name, step=step.key, subscribers=retimed)
    verdicts = _judge(enrolments.list_due(tx, step.id, rules, MAX_QUEUED_STEPS), sequence, settings, now)
    if verdicts.ended:
        enrolments.end(tx, step.id, verdicts.ended)
    if verdicts.postponed:
        enrolments.postpone(tx, step.id, verdicts.postponed)
    if verdicts.skipped:
        _move_on(tx, step, verdicts.skipped)
    if not verdicts.queued:
        return 0
    number = enrolments.queue(tx, step.id, current.id, verdicts.queued)
    enrolments.advance(tx, step.id, verdicts.queued)
    if (current.audience_size or 0) + number >= MAX_CONTINUOUS_ROWS:
        sequences.rotate_continuous(tx, step.id, current.id)
    logger.info("sequence.queued", sequence=sequence.name, step=step.key, send=current.id, emails=number)
    return number


def _move_on(tx: Tx, step: StoredStep, subscriber_ids: Sequence[int]) -> None:
    """Let subscribers wait for the step after this one, without it."""
    if subscriber_ids:
        enrolments.skip(tx, step.id, subscriber_ids)
        enrolments.advance(tx, step.id, subscriber_ids)


def _follow_latest_issue(tx: Tx, sequence: StoredSequence, step: StoredStep, rules: DueRules) -> DueRules:
    """Give the step the issue that was sent last, if it has another; return the rules with that issue."""
    latest = sequences.find_latest_issue(tx)
    if latest is None:
        return rules
    if latest.edition_id != step.edition_id and step.send_state in (None, SendState.SENDING):
        key = f"{SEQUENCES_FOLDER}/{sequence.name}/{LATEST_ISSUE}"
        sequences.save_latest_issue(tx, key, latest.issue_key)
        terms = SendTerms(latest.edition_id, SendState.SENDING, latest.sender, latest.reply_to, "everyone", datetime.now(UTC))
        sequences.open_continuous(tx, step.id, key, sequences.next_number(tx, key), terms)
    return replace(rules, issue=latest.issue_key, edition_id=latest.edition_id)


def _read_rules(tx: Tx, sequence: StoredSequence) -> DueRules:
    stop = segment_rules.read_rule(tx, sequence.stop) if sequence.stop else None
    return DueRules(segment_rules.read_rule(tx, sequence.audience), stop, sequence.stop_when_paid)


def _judge(due: Iterable[DueEnrolment], sequence: StoredSequence, settings: Settings, now: datetime) -> _Verdicts:
    verdicts, opens = _Verdicts(), find_open_time(now, sequence.hours, sequence.zone)
    for one in due:
        if reason := _find_end(one):
            verdicts.ended[one.subscriber_id] = reason
        elif one.had_issue:
            verdicts.skipped.append(one.subscriber_id)
        elif one.paused_until:
            verdicts.postponed[one.subscriber_id] = one.paused_until
        elif opens > now:
            verdicts.postponed[one.subscriber_id] = opens
        elif one.recent >= settings.max_emails_per_week:
            verdicts.postponed[one.subscriber_id] = now + CAP_DELAY
        else:
            verdicts.queued.append(one.subscriber_id)
    return verdicts


def _find_end(one: DueEnrolment) -> str:
    """Why a subscriber gets no further step; "" if they do."""
    if not one.is_active:
        return "unsubscribed"
    if one.is_suppressed:
        return "suppressed"
    if not one.wants_every:
        return "gets a digest"
    if one.is_over:
        return "stop condition"
    return "" if one.in_audience or not one.is_first else "not in the audience"
