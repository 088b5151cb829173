"""The desk at a glance: is the newsletter all right, and if not, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailer.core.db import Database, Row
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.operations import heartbeats
from mailer.flows.operations.heartbeats import Overview
from mailer.flows.sending.fence import read_fence
from mailer.flows.sending.warmup import WarmupState, read_warmup
from mailer.store.operations import desk_facts, standstills
from mailer.store.operations.desk_facts import DeskFacts
from mailer.store.sending import sends
from mailer.store.sending.sends import Send, SendState

PAGE_SIZE = 50
_ENDED = (SendState.FINISHED, SendState.CANCELLED)


@dataclass(frozen=True)
class DeskProblem:
    """Something that needs the operator; ``page`` is the desk's page about it."""

    sentence: str
    page: str = ""


@dataclass(frozen=True)
class DeskOverview:
    """What the first page shows; ``recent`` are the latest sends that have ended, ``running`` the others, all of issues."""

    problems: Sequence[DeskProblem]
    running: Sequence[Send]
    recent: Sequence[Send]
    facts: DeskFacts
    processes: Overview
    warmup: WarmupState | None


@dataclass(frozen=True)
class SendProgress:
    """A send that has not ended; ``left`` is None before its audience is frozen."""

    send: Send
    left: int | None

    @property
    def percent(self) -> int:
        """How much of the audience was dealt with; never rounded up to 100."""
        size = self.send.audience_size or 0
        return int(100 * (size - (self.left or 0)) / size) if size else 0


def read_overview(database: Database, settings: Settings) -> DeskOverview:
    """Read what the first page shows. Raises Unavailable."""
    with database.transaction() as tx:
        every, facts, found = sends.list_all(tx), desk_facts.read(tx), standstills.list_open(tx)
    issues = [one for one in every if one.step_id is None]
    running = [one for one in issues if one.state not in _ENDED]
    problems = [
        *(DeskProblem(one.text) for one in found),
        *_list_send_problems(every),
        *_list_fact_problems(facts),
        *_list_fence_problems(database, settings),
    ]
    recent = [one for one in issues if one.state in _ENDED][:5]
    return DeskOverview(problems, running, recent, facts, heartbeats.read_overview(database), read_warmup(database))


def read_progress(database: Database) -> list[SendProgress]:
    """Return the sends of issues that have not ended, with what is left; those of steps never end."""
    with database.transaction() as tx:
        running = [one for one in sends.list_all(tx) if one.state not in _ENDED and one.step_id is None]
        return [
            SendProgress(one, None if one.audience_size is None else desk_facts.count_pending(tx, one.id)) for one in running
        ]


def list_bouncing_domains(database: Database, days: int) -> list[Row]:
    """Return the domains with the most bounces and complaints."""
    with database.transaction() as tx:
        return desk_facts.list_bouncing_domains(tx, days, PAGE_SIZE)


def list_suppressions(database: Database, search: str, page: int) -> tuple[list[Row], int]:
    """Return a page of suppressed addresses and how many there are."""
    with database.transaction() as tx:
        return desk_facts.list_suppressions(tx, search.strip().lower()[:200], PAGE_SIZE, PAGE_SIZE * (page - 1))


def list_imports(database: Database) -> list[Row]:
    """Return the latest imports."""
    with database.transaction() as tx:
        return desk_facts.list_imports(tx, PAGE_SIZE)


def _list_send_problems(found: Sequence[Send]) -> Iterator[DeskProblem]:
    for send in found:
        if send.state in (SendState.PAUSED, SendState.STOPPED):
            said = f"Send {send.id} of {send.issue_key} is {send.state}: {send.reason or 'no reason given'}."
            yield DeskProblem(said, f"/desk/sends/{send.id}")


def _list_fact_problems(facts: DeskFacts) -> Iterator[DeskProblem]:
    if facts.uncertain:
        yield DeskProblem(f"Deliveries that are uncertain: {facts.uncertain:,}. Events usually resolve them.", "/desk/sends")
    if facts.held:
        yield DeskProblem(f"Sign-ups held for your review: {facts.held:,}.", "/desk/held")
    if facts.failing_webhooks or facts.disabled_webhooks:
        said = f"Webhooks failing: {facts.failing_webhooks}, disabled after failures: {facts.disabled_webhooks}."
        yield DeskProblem(said, "/desk/webhooks")
    if facts.rejected:
        yield DeskProblem(f"Events that could not be read in 7 days: {facts.rejected:,}. See `postmerge events --unread`.")


def _list_fence_problems(database: Database, settings: Settings) -> Iterator[DeskProblem]:
    try:
        problem = read_fence(database, settings).problem
    except PostmergeError as error:
        problem = str(error)
    if problem:
        yield DeskProblem(problem)
