"""What publishing would do about sequences: which start, change or go, and what that means for those who are in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from mailer.core.db import Tx
from mailer.core.edition import LATEST_ISSUE, SEQUENCES_FOLDER, Edition, Finding, SequenceRules, SequenceStep
from mailer.core.i18n.local_time import format_after
from mailer.flows.subscribers import segment_rules
from mailer.store.publishing.editions import Fingerprint, compute_fingerprints, list_fingerprints
from mailer.store.sending import backfills, enrolments, sequences
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
class ChangeEffect:
    """A sentence about those who are in a sequence; ``{}`` in its text stand for the numbers."""

    text: str
    numbers: tuple[int, ...] = ()

    def describe(self, show: Callable[[int], str]) -> str:
        """Return the sentence with its numbers, as far as whoever asks may know them."""
        return self.text.format(*map(show, self.numbers))


@dataclass(frozen=True)
class StepChange:
    """One step. ``effects`` say what the change means for people; ``waiting``: how many wait for it now.

    ``has_new_text``: a new send is needed; ``is_retimed``: those who wait for it are timed anew.
    """

    action: StepAction
    name: str
    effects: tuple[ChangeEffect, ...]
    waiting: int
    edition: Edition | None = None
    stored: StoredStep | None = None
    has_new_text: bool = False
    is_retimed: bool = False


@dataclass(frozen=True)
class SequenceChange:
    """One sequence. ``backfill``: how many existing subscribers publishing would enrol; None if it would enrol nobody.

    ``effects`` are about the whole sequence. ``rules`` are None for one whose files are gone.
    """

    action: SequenceAction
    name: str
    steps: tuple[StepChange, ...]
    rules: SequenceRules | None = None
    stored: StoredSequence | None = None
    backfill: int | None = None
    effects: tuple[ChangeEffect, ...] = ()

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


def show_exactly(number: int) -> str:
    """Format a number for an operator."""
    return f"{number:,}"


def change_facts(change: SequenceChange, show: Callable[[int], str] = show_exactly) -> dict[str, Any]:
    """One sequence as JSON data; ``show`` formats numbers, and without ``show_exactly`` no field is a number."""
    exact = show is show_exactly
    effects = [effect.describe(show) for effect in change.effects]
    said = [str(change.action), *effects, f"subscribers in it: {show(change.enrolled)}"]
    if change.backfill is not None:
        said.append(f"Backfill: existing subscribers that are enrolled: {show(change.backfill)}")
    elif change.action is SequenceAction.START and not change.enrolled:
        said.append("the existing list gets nothing")
    return {
        "name": change.name,
        "action": str(change.action),
        "summary": "; ".join(said),
        "effects": effects,
        "enrolled": change.enrolled if exact else None,
        "backfill": change.backfill if exact else None,
        "steps": [
            {
                "name": step.name,
                "action": str(step.action),
                "effect": "; ".join(effect.describe(show) for effect in step.effects),
                "waiting": step.waiting if exact else None,
            }
            for step in change.steps
        ],
    }


def list_sentences(facts: Mapping[str, Any]) -> list[str]:
    """Say what happens to a sequence: a line for it, and one for each step that changes, indented."""
    steps = [step for step in facts["steps"] if step["action"] != StepAction.KEEP]
    lines = [f"  {step['name']}: {step['action']}{'; ' * bool(step['effect'])}{step['effect']}" for step in steps]
    return [f"sequence {facts['name']}: {facts['summary']}", *lines]


def build_changes(
    tx: Tx, found: Sequence[Edition], findings: Sequence[Finding], default: NewsletterSender
) -> tuple[SequenceChange, ...]:
    """Compare the sequences of a build with the ledger. Those with errors in their files stay as they are."""
    steps: dict[str, list[Edition]] = {}
    for edition in found:
        if edition.step:
            steps.setdefault(edition.step.sequence.name, []).append(edition)
    known = {one.name: one for one in sequences.list_all(tx)}
    broken = {one.path.split("/")[-2] for one in list_broken(findings)}
    changes = [
        _compare(tx, known.get(name), sorted(editions, key=lambda one: _step_of(one).position), default)
        for name, editions in sorted(steps.items())
        if name not in broken
    ]
    gone = [one for name, one in known.items() if name not in steps and name not in broken]
    return (*changes, *(_remove(tx, one) for one in gone if one.state is not SequenceState.REMOVED))


def list_broken(findings: Iterable[Finding]) -> list[Finding]:
    """List the errors in files of sequences."""
    errors = [one for one in findings if one.level == "error" and one.path.count("/") == 3]
    return [one for one in errors if one.path.split("/")[1] == SEQUENCES_FOLDER]


def _step_of(edition: Edition) -> SequenceStep:
    assert edition.step
    return edition.step


@dataclass(frozen=True)
class _Ledger:
    """What the ledger says about the steps of a sequence: those in it, who waits and who had them by id, and the texts."""

    steps: Mapping[str, StoredStep]
    waiting: Mapping[int, int]
    queued: Mapping[int, int]
    texts: Mapping[int, Set[Fingerprint]]

    @classmethod
    def read(cls, tx: Tx, stored: StoredSequence | None) -> _Ledger:
        """Read it; empty for a new sequence."""
        if stored is None:
            return cls({}, {}, {}, {})
        steps = sequences.list_steps(tx, stored.id)
        texts = list_fingerprints(tx, [one.edition_id for one in steps if one.edition_id])
        waiting, queued = enrolments.count_waiting(tx, stored.id), enrolments.count_queued(tx, stored.id)
        return cls({one.key: one for one in steps}, waiting, queued, texts)

    def waiting_for(self, name: str) -> int:
        """How many wait for the step of this name."""
        return self.waiting.get(self.steps[name].id, 0) if name in self.steps else 0

    def list_current(self) -> list[str]:
        """List the names of the steps that have not been removed, in order."""
        return [name for name, one in self.steps.items() if not one.is_removed]


def _compare(tx: Tx, stored: StoredSequence | None, editions: Sequence[Edition], default: NewsletterSender) -> SequenceChange:
    rules, ledger = _step_of(editions[0]).sequence, _Ledger.read(tx, stored)
    names = [_step_of(one).name for one in editions]
    names[1:1] = [LATEST_ISSUE] if rules.latest_issue else []
    moved = _list_moved(ledger.list_current(), names)
    steps = [_compare_step(one, ledger, names, moved, default) for one in editions]
    steps[1:1] = [_compare_latest_issue(ledger)] if rules.latest_issue else []
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
        added = (*_describe_added(step, sum(ledger.waiting.values()), later), *_describe_renamed(edition, ledger, names))
        return StepChange(StepAction.ADD, step.name, added, waiting, edition, stored, has_new_text=True)
    is_retimed = stored.after != timedelta(seconds=step.after)
    has_new_text = ledger.texts.get(stored.edition_id, set()) != compute_fingerprints(edition) or _has_new_sender(
        edition, stored, default
    )
    effects = []
    if is_retimed:
        effects.append(
            ChangeEffect(f"now due {format_after(step.after)} after the step before; waiting for it: {{}}", (waiting,))
        )
    if has_new_text:
        had = ledger.queued.get(stored.id, 0)
        effects.append(ChangeEffect("new text for those who have not had it; had it, and are not emailed again: {}", (had,)))
    if step.name in moved:
        effects.append(ChangeEffect("in another place: everybody gets the first step in the new order that they have not had"))
    action = StepAction.MOVE if step.name in moved else StepAction.EDIT if effects else StepAction.KEEP
    return StepChange(action, step.name, tuple(effects), waiting, edition, stored, has_new_text, is_retimed)


def _compare_latest_issue(ledger: _Ledger) -> StepChange:
    stored, waiting = ledger.steps.get(LATEST_ISSUE), ledger.waiting_for(LATEST_ISSUE)
    if stored and not stored.is_removed:
        return StepChange(StepAction.KEEP, LATEST_ISSUE, (), waiting, stored=stored)
    effect = ChangeEffect("the last issue that was sent to everyone, right after the first step, for those who have not had it")
    return StepChange(StepAction.ADD, LATEST_ISSUE, (effect,), waiting, stored=stored)


def _has_new_sender(edition: Edition, stored: StoredStep, default: NewsletterSender) -> bool:
    """Would the step be from somebody else now? A machine without the newsletter's sender cannot tell."""
    sender = edition.sender or default.sender
    return bool(sender) and (stored.sender, stored.reply_to) != (sender, edition.reply_to or default.reply_to)


def _describe_added(step: SequenceStep, enrolled: int, later: int) -> tuple[ChangeEffect, ...]:
    due = ChangeEffect(f"due {format_after(step.after)} after the {'trigger' if step.position == 1 else 'step before'}")
    if not enrolled:
        return (due,)
    return due, ChangeEffect("get it: {}; wait for a later step and do not get it: {}", (enrolled - later, later))


def _describe_renamed(edition: Edition, ledger: _Ledger, names: Sequence[str]) -> Iterator[ChangeEffect]:
    """A step that vanishes with the text of this one: under a new name, those who had it would get it again."""
    bodies = {text[:2] for text in compute_fingerprints(edition)}  # variant and digest: the address has the step's name
    for name, one in ledger.steps.items():
        if name not in names and one.edition_id and {text[:2] for text in ledger.texts[one.edition_id]} == bodies:
            had = ledger.queued.get(one.id, 0)
            said = f"the text of {name} under another name: add `Id: {name}`, or those who had it may get it again"
            yield ChangeEffect(f"{said}: {{}}", (had,))


def _drop(ledger: _Ledger, name: str) -> StepChange:
    waiting = ledger.waiting_for(name)
    effect = ChangeEffect("those who wait for it get the step after it, or finish: {}", (waiting,))
    return StepChange(StepAction.REMOVE, name, (effect,), waiting, None, ledger.steps[name])


def _describe_rules(rules: SequenceRules, stored: StoredSequence | None, enrolled: int) -> list[ChangeEffect]:
    if stored is None:
        return []
    found: list[ChangeEffect] = []
    if stored.state is SequenceState.REMOVED:
        found.append(ChangeEffect("its files are back, and those who were in it continue where they were: {}", (enrolled,)))
    if (stored.trigger, stored.tag) != (rules.trigger, rules.tag):
        found.append(ChangeEffect(f"enrols by {_show_trigger(rules)} from now on; those who are in it stay"))
    if stored.audience != rules.audience:
        found.append(ChangeEffect("another audience, for those who have had no step"))
    if (stored.stop, stored.stop_when_paid) != (rules.stop, rules.stop_when_paid):
        found.append(ChangeEffect("other stop conditions, read when the next step is due"))
    if (stored.hours, stored.zone) != (rules.hours, rules.zone):
        found.append(ChangeEffect(f"steps go out {f'{rules.hours} {rules.zone}' if rules.hours else 'at any time'}"))
    return found


def _show_trigger(rules: SequenceRules) -> str:
    return f"{rules.trigger} {rules.tag}".strip().replace("{", "{{").replace("}", "}}")


def _remove(tx: Tx, stored: StoredSequence) -> SequenceChange:
    ledger = _Ledger.read(tx, stored)
    steps = [StepChange(StepAction.REMOVE, name, (), ledger.waiting_for(name)) for name in ledger.list_current()]
    effect = ChangeEffect(
        "its files are gone, and those who are in it get no further step: {}", (sum(ledger.waiting.values()),)
    )
    return SequenceChange(SequenceAction.REMOVE, stored.name, tuple(steps), None, stored, effects=(effect,))


def _count_backfill(tx: Tx, rules: SequenceRules, stored: StoredSequence | None) -> int:
    sequence_id = stored.id if stored else 0
    return backfills.count(tx, sequence_id, segment_rules.read_rule(tx, rules.audience), rules.trigger, rules.tag)
