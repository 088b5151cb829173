"""Publish sequences: store the rules and steps, give each step a send, and let those who are in them go on by the new order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Tx
from mailer.core.edition import LATEST_ISSUE
from mailer.flows.publishing.sequence_plan import NewsletterSender, SequenceAction, SequenceChange, StepAction, StepChange
from mailer.flows.subscribers import segment_rules
from mailer.store.publishing import editions
from mailer.store.sending import backfills, enrolments, sequences
from mailer.store.sending.sends import SendState, SendTerms
from mailer.store.sending.sequences import SequenceState

logger = log.get("sequences")

_POSITION_GAP = 10  # between two numbers, so that the last issue has a place after the first step
_HELD = (SendState.PAUSED, SendState.STOPPED)


def apply_changes(tx: Tx, changes: Iterable[SequenceChange], default: NewsletterSender, commit: str) -> None:
    """Do what the plan says; nothing is emailed here."""
    for change in changes:
        if change.action is SequenceAction.REMOVE:
            sequences.set_state(tx, change.name, SequenceState.REMOVED)
            logger.info("sequence.removed", sequence=change.name)
        elif change.changed:
            _save(tx, change, default, commit)


def _save(tx: Tx, change: SequenceChange, default: NewsletterSender, commit: str) -> None:
    assert change.rules
    sequence_id = sequences.save(tx, change.rules)
    retimed, added = [], []
    for step in change.steps:
        if step.action is StepAction.REMOVE:
            assert step.stored
            sequences.remove_step(tx, step.stored.id)
            continue
        if step.name == LATEST_ISSUE:  # its text is known when it is due
            step_id = sequences.save_step(tx, sequence_id, LATEST_ISSUE, 1 * _POSITION_GAP + 1, timedelta(0))
        else:
            step_id = _save_step(tx, sequence_id, step, default, commit)
        retimed += [step_id] if step.is_retimed else []
        added += [step_id] if step.action is StepAction.ADD else []
    for step_id in added:  # now that all positions are stored
        enrolments.pass_over(tx, step_id)
    enrolments.realign(tx, sequence_id, retimed)
    number = None
    if change.backfill is not None:
        rules = change.rules
        number = backfills.enrol(tx, sequence_id, segment_rules.read_rule(tx, rules.audience), rules.trigger, rules.tag)
        sequences.set_backfilled(tx, sequence_id)
    logger.info("sequence.published", sequence=change.name, action=str(change.action), backfilled=number)


def _save_step(tx: Tx, sequence_id: int, step: StepChange, default: NewsletterSender, commit: str) -> int:
    edition = step.edition
    assert edition
    assert edition.step
    position, after = edition.step.position * _POSITION_GAP, timedelta(seconds=edition.step.after)
    step_id = sequences.save_step(tx, sequence_id, step.name, position, after)
    if step.has_new_text:
        key = edition.step.key
        sequences.save_issue(tx, key, edition)
        number = sequences.next_number(tx, key)
        state = step.stored.send_state if step.stored and step.stored.send_state in _HELD else None
        terms = SendTerms(
            edition_id=editions.save(tx, key, replace(edition, number=number), commit),
            state=state or SendState.SENDING,  # an edit does not resume what a circuit breaker or the operator stopped
            sender=edition.sender or default.sender,
            reply_to=edition.reply_to or default.reply_to,
            audience="everyone",
            due_at=datetime.now(UTC),
        )
        sequences.open_continuous(tx, step_id, key, number, terms)
    return step_id
