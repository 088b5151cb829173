"""What publishing would do about sequences: which start, change or go, and what that means for those who are in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mailer.core.db import Tx
from mailer.core.edition import SEQUENCES_FOLDER, Edition, Finding, SequenceRules, SequenceStep
from mailer.core.i18n.local_time import format_after
from mailer.flows.subscribers import segment_rules
from mailer.store.publishing.editions import Fingerprint, compute_fingerprints, list_fingerprints
from mailer.store.sending import enrolments, sequences
from mailer.store.sending.sequences import SequenceState, StoredSequence, StoredStep


class SequenceAction(StrEnum):
    """What publishing does about one sequence."""

    START = "start"
    CHANGE = "change"
    KEEP = "keep"
    REMOVE = "remove"


class StepAction(StrEnum):
    """What publishing does about one step of a sequence."""

    ADD = "add"
    EDIT = "edit"
    MOVE = "move"
    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True)
class StepChange:
    """One step. ``effect`` is a sentence for people; ``waiting``: how many wait for it now.

    ``has_new_text``: a new send is needed; ``is_retimed``: those who wait for it are timed anew.
    """

    action: StepAction
    name: str
    effect: str
    waiting: int
    edition: Edition | None = None
    stored: StoredStep | None = None
    has_new_text: bool = False
    is_retimed: bool = False


@dataclass(frozen=True)
class SequenceChange:
    """One sequence. ``backfill``: how many existing subscribers publishing would enrol; None if it would enrol nobody.

    ``effects`` are sentences about the whole sequence. ``rules`` are None for one whose files are gone.
    """

    action: SequenceAction
    name: str
    steps: tuple[StepChange, ...]
    rules: SequenceRules | None = None
    stored: StoredSequence | None = None
    backfill: int | None = None
    effects: tuple[str, ...] = ()

    @property
    def enrolled(self) -> int:
        """How many subscribers are in it now."""
        return sum(step.waiting for step in self.steps)

    @property
    def changed(self) -> bool:
        """Would publishing change anything?"""
        return self.action is not SequenceAction.KEEP

    @property
    def new_editions(self) -> list[Edition]:
        """List the texts that publishing would begin to send."""
        return [step.edition for step in self.steps if step.edition and step.has_new_text]


@dataclass(frozen=True)
class NewsletterSender:
    """Whom emails are from and where replies go, unless a step says it itself."""

    sender: str
    reply_to: str


def build_changes(
    tx: Tx, found: Sequence[Edition], findings: Sequence[Finding], default: NewsletterSender
) -> tuple[SequenceChange, ...]:
    """Compare the sequences of a build with the ledger. Those with errors in their files stay as they are."""
    steps: dict[str, list[Edition]] = {}
    for edition in found:
        if edition.step:
            steps.setdefault(edition.step.sequence.name, []).append(edition)
    known = {one.name: one for one in sequences.list_all(tx)}
    broken = _list_broken(findings)
    changes = [
        _compare(tx, known.get(name), sorted(editions, key=lambda one: _step_of(one).position), default)
        for name, editions in sorted(steps.items())
        if name not in broken
    ]
    gone = [one for name, one in known.items() if name not in steps and name not in broken]
    return (*changes, *(_remove(tx, one) for one in gone if one.state is not SequenceState.REMOVED))


def _list_broken(findings: Iterable[Finding]) -> set[str]:
    """List the sequences with an error in one of their files."""
    places = [one.path.split("/")[1:-1] for one in findings if one.level == "error"]
    return {place[1] for place in places if len(place) == 2 and place[0] == SEQUENCES_FOLDER}


def _step_of(edition: Edition) -> SequenceStep:
    assert edition.step
    return edition.step


@dataclass(frozen=True)
class _Ledger:
    """What the ledger says about the steps of a sequence: those in it, who waits and who had them by id, and the texts."""

    steps: Mapping[str, StoredStep]
    waiting: Mapping[int, int]
    had: Mapping[int, int]
    texts: Mapping[int, Set[Fingerprint]]

    @classmethod
    def read(cls, tx: Tx, stored: StoredSequence | None) -> _Ledger:
        """Read it; empty for a new sequence."""
        if stored is None:
            return cls({}, {}, {}, {})
        steps = sequences.list_steps(tx, stored.id)
        texts = list_fingerprints(tx, [one.edition_id for one in steps if one.edition_id])
        waiting, had = enrolments.count_waiting(tx, stored.id), enrolments.count_queued(tx, stored.id)
        return cls({one.key: one for one in steps}, waiting, had, texts)

    def waiting_for(self, name: str) -> int:
        """How many wait for the step of this name."""
        return self.waiting.get(self.steps[name].id, 0) if name in self.steps else 0

    def list_current(self) -> list[str]:
        """List the names of the steps that have not been removed, in order."""
        return [name for name, one in self.steps.items() if not one.is_removed]


def _compare(tx: Tx, stored: StoredSequence | None, editions: Sequence[Edition], default: NewsletterSender) -> SequenceChange:
    rules, ledger = _step_of(editions[0]).sequence, _Ledger.read(tx, stored)
    names = [_step_of(one).name for one in editions]
    moved = _list_moved(ledger.list_current(), names)
    steps = [_compare_step(one, ledger, names, moved, default) for one in editions]
    steps += [_drop(ledger, name) for name in ledger.list_current() if name not in names]
    effects = _describe_rules(rules, stored, sum(ledger.waiting.values()))
    backfill = _count_backfill(tx, rules, stored) if rules.backfill and not (stored and stored.backfilled_at) else None
    action = SequenceAction.KEEP
    if stored is None or stored.state is SequenceState.REMOVED:
        action = SequenceAction.START
    elif effects or backfill is not None or any(step.action is not StepAction.KEEP for step in steps):
        action = SequenceAction.CHANGE
    return SequenceChange(action, rules.name, tuple(steps), rules, stored, backfill, tuple(effects))


def _list_moved(before: Sequence[str], after: Sequence[str]) -> set[str]:
    """List the steps whose place among those that stay is another."""
    old, new = [name for name in before if name in after], [name for name in after if name in before]
    return {name for name, other in zip(new, old, strict=True) if name != other}


def _compare_step(
    edition: Edition, ledger: _Ledger, names: Sequence[str], moved: Set[str], default: NewsletterSender
) -> StepChange:
    step, stored = _step_of(edition), ledger.steps.get(_step_of(edition).name)
    waiting = ledger.waiting_for(step.name)
    if stored is None or stored.send_id is None or stored.edition_id is None:
        later = sum(ledger.waiting_for(name) for name in names[names.index(step.name) + 1 :])
        return StepChange(StepAction.ADD, step.name, _describe_added(step, sum(ledger.waiting.values()), later), waiting,
                          edition, stored, has_new_text=True)  # fmt: skip
    is_retimed = stored.after != timedelta(seconds=step.after)
    has_new_text = ledger.texts.get(stored.edition_id, set()) != compute_fingerprints(edition) or _has_new_sender(
        edition, stored, default
    )
    effects = [
        *([f"{_people(waiting)} for it, and it is now due {format_after(step.after)} after the step before"] * is_retimed),
        *([f"new text for those who have not had it; the {ledger.had.get(stored.id, 0):,} who had it are not emailed again"]
          * has_new_text),
        *(["in another place: everybody gets the first step in the new order that they have not had"] * (step.name in moved)),
    ]  # fmt: skip
    action = StepAction.MOVE if step.name in moved else StepAction.EDIT if effects else StepAction.KEEP
    return StepChange(action, step.name, "; ".join(effects), waiting, edition, stored, has_new_text, is_retimed)


def _has_new_sender(edition: Edition, stored: StoredStep, default: NewsletterSender) -> bool:
    """Would the step be from somebody else now? A machine without the newsletter's sender cannot tell."""
    sender = edition.sender or default.sender
    return bool(sender) and (stored.sender, stored.reply_to) != (sender, edition.reply_to or default.reply_to)


def _describe_added(step: SequenceStep, enrolled: int, later: int) -> str:
    due = f"due {format_after(step.after)} after the {'trigger' if step.position == 1 else 'step before'}"
    if not enrolled:
        return due
    return f"{due}; {enrolled - later:,} of those in the sequence get it, {later:,} wait for a later step and do not"


def _people(number: int) -> str:
    return "1 subscriber waits" if number == 1 else f"{number:,} subscribers wait"


def _drop(ledger: _Ledger, name: str) -> StepChange:
    waiting = ledger.waiting_for(name)
    effect = f"{_people(waiting)} for it and will get the step after it, or finish"
    return StepChange(StepAction.REMOVE, name, effect, waiting, None, ledger.steps[name])


def _describe_rules(rules: SequenceRules, stored: StoredSequence | None, enrolled: int) -> list[str]:
    if stored is None:
        return []
    found = []
    if stored.state is SequenceState.REMOVED:
        found.append(f"its files are back: {enrolled:,} who were in it go on where they were")
    if (stored.trigger, stored.tag) != (rules.trigger, rules.tag):
        found.append(f"enrols by {describe_trigger(rules)} from now on; those who are in it stay")
    if stored.audience != rules.audience:
        found.append("another audience, for those who have had no step")
    if (stored.stop, stored.stop_when_paid) != (rules.stop, rules.stop_when_paid):
        found.append("other stop conditions, read when the next step is due")
    if (stored.hours, stored.zone) != (rules.hours, rules.zone):
        found.append(f"steps go out {f'{rules.hours} {rules.zone}' if rules.hours else 'at any time'}")
    return found


def describe_trigger(rules: SequenceRules) -> str:
    """Format a trigger: ``confirmed``, ``tagged course``."""
    return f"{rules.trigger} {rules.tag}".strip()


def _remove(tx: Tx, stored: StoredSequence) -> SequenceChange:
    ledger = _Ledger.read(tx, stored)
    steps = [StepChange(StepAction.REMOVE, name, "", ledger.waiting_for(name)) for name in ledger.list_current()]
    effect = f"its files are gone: {sum(ledger.waiting.values()):,} who are in it get no further step"
    return SequenceChange(SequenceAction.REMOVE, stored.name, tuple(steps), None, stored, effects=(effect,))


def _count_backfill(tx: Tx, rules: SequenceRules, stored: StoredSequence | None) -> int:
    sequence_id = stored.id if stored else 0
    return enrolments.count_backfill(tx, sequence_id, segment_rules.read_rule(tx, rules.audience), rules.trigger, rules.tag)
