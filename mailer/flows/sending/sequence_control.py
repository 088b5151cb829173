"""What operators see of sequences, and how they stop and resume one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.store.sending import enrolments, sequences
from mailer.store.sending.sequences import SequenceState

logger = log.get("sequences")


@dataclass(frozen=True)
class StepOverview:
    """A step: how many wait for it and for how many it was queued; ``send_id`` and ``send_state`` of its present send."""

    name: str
    after: timedelta
    waiting: int
    queued: int
    send_id: int | None
    send_state: str | None


@dataclass(frozen=True)
class SequenceOverview:
    """A sequence; ``ended`` counts those who are no longer in it, by reason."""

    name: str
    state: str
    trigger: str
    steps: tuple[StepOverview, ...]
    ended: Mapping[str, int]

    @property
    def enrolled(self) -> int:
        """How many subscribers are in it now."""
        return sum(step.waiting for step in self.steps)


def list_sequences(database: Database) -> list[SequenceOverview]:
    """Return all sequences by name, with counts for each step; removed ones while somebody is in them."""
    with database.transaction() as tx:
        found = []
        for one in sequences.list_all(tx):
            waiting, queued = enrolments.count_waiting(tx, one.id), enrolments.count_queued(tx, one.id)
            steps = tuple(
                StepOverview(step.key, step.after, waiting[step.id], queued[step.id], step.send_id, step.send_state)
                for step in sequences.list_steps(tx, one.id)
                if not step.is_removed
            )
            trigger = f"{one.trigger} {one.tag}".strip()
            found.append(SequenceOverview(one.name, str(one.state), trigger, steps, enrolments.count_ended(tx, one.id)))
    return [one for one in found if one.state != SequenceState.REMOVED or one.enrolled]


def list_states(database: Database) -> dict[str, str]:
    """Return the state of each sequence by its name."""
    with database.transaction() as tx:
        return {one.name: str(one.state) for one in sequences.list_all(tx)}


def stop_sequence(database: Database, name: str) -> None:
    """Enrol nobody and queue no step until it is resumed. What is queued is still sent. Raises BadInput."""
    _set_state(database, name, SequenceState.STOPPED)


def resume_sequence(database: Database, name: str) -> None:
    """Let a stopped sequence run again: steps that fell due meanwhile are queued at once. Raises BadInput and Refused."""
    _set_state(database, name, SequenceState.RUNNING)


def _set_state(database: Database, name: str, state: SequenceState) -> None:
    with database.transaction() as tx:
        known = {one.name: one.state for one in sequences.list_all(tx)}
        if name not in known:
            raise BadInput(f"There is no sequence {name!r}: `postmerge sequences` lists them.")
        if known[name] is SequenceState.REMOVED:
            raise Refused(f"The files of the sequence {name!r} are gone: add them again and publish, then it continues.")
        sequences.set_state(tx, name, state)
    logger.info(f"sequence.{state}", sequence=name)
