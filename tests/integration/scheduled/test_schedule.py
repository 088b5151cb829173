"""A send that waits: merges beside it do not move it; until it begins its issue may change or go, also while it is paused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition, SendIntent
from mailer.core.errors import Refused
from mailer.core.settings import Settings
from mailer.flows.publishing import publish as publishing
from mailer.flows.publishing.publish import Request, adopt_issues, cancel_send, publish
from mailer.flows.publishing.publish_plan import Action, Plan, build_plan
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.scheduled.time_jumps import JUMP_DELAY_SECONDS, TimeJumps
from mailer.flows.sending import send_control
from mailer.store.sending import sends
from mailer.workers.actors import WakeUps
from mailer.workers.scheduler import run_round
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.integration.publishing.test_publish import Limits
from tests.integration.sending.test_send_control import only, run, send_all

MENDED = "<p>the same issue, with the wrong link mended</p>"


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, hold=timedelta(minutes=10))


def merge(database: Database, conf: Settings, *issues: Edition) -> list[Action]:
    """Publish these and an old one; what was done with these."""
    return [step.action for step in publish(database, conf, [old(), *issues], [], Limits(), Request()).plan.steps[1:]]


def begin(database: Database, conf: Settings, issue: Edition) -> str:
    """Five subscribers and one send; its id."""
    add_subscribers(database, 5)
    adopt_issues(database, conf, [old()])
    assert merge(database, conf, issue) == [Action.SEND]
    return str(only(database).send.id)


def at(minutes: int) -> Edition:
    """An issue with a schedule in so many minutes."""
    return edition(send=SendIntent.AT, send_at=datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes))


@pytest.mark.parametrize("minutes", [-60, 2, 5])
def test_a_merge_within_the_hold_window_does_not_move_a_schedule(database: Database, conf: Settings, minutes: int) -> None:
    issue = at(minutes)
    begin(database, conf, issue)
    run(database, "UPDATE sends SET due_at = due_at - interval '4 minutes'")  # so much time goes by
    issue = replace(issue, send_at=issue.send_at and issue.send_at - timedelta(minutes=4))
    due = only(database).send.due_at
    assert merge(database, conf, issue) == [Action.KEEP]
    assert merge(database, conf, replace(issue, subject="Another")) == [Action.UPDATE]
    assert only(database).send.due_at == due


def test_a_schedule_that_is_near_stays_and_is_frozen_when_due(database: Database, conf: Settings) -> None:
    issue = at(5)
    begin(database, replace(conf, hold=timedelta(0)), issue)  # made with time enough, and now it is near
    assert only(database).send.state == "scheduled"
    assert merge(database, conf, issue) == [Action.KEEP]
    assert merge(database, conf, replace(issue, subject="Another")) == [Action.UPDATE]
    one = only(database).send
    assert (one.state, one.audience_size, one.due_at, one.subject) == ("scheduled", None, issue.send_at, "Another")
    assert merge(database, conf, at(60)) == [Action.UPDATE]
    assert only(database).send.due_at > datetime.now(UTC) + timedelta(minutes=50)


@pytest.mark.parametrize("verb", [send_control.pause_send, send_control.stop_send])
@pytest.mark.parametrize("issue", [edition(), at(60), at(5)])
def test_an_issue_is_mended_while_its_send_is_held_back(database: Database, conf: Settings, issue: Edition, verb) -> None:  # type: ignore[no-untyped-def]
    send_id = begin(database, conf, issue)
    before = verb(database, send_id).state
    mended = replace(issue, body=MENDED, digest="d" * 64)
    assert merge(database, conf, issue) == [Action.KEEP]
    assert merge(database, conf, mended) == [Action.UPDATE]
    assert merge(database, conf, mended) == [Action.KEEP]
    assert (only(database).send.state, only(database).send.digest) == (before, "d" * 64)
    assert send_control.resume_send(database, send_id, sure=True).state in ("scheduled", "holding")
    run(database, "UPDATE sends SET due_at = now()")
    send_all(database, conf, int(send_id))
    assert (only(database).send.state, only(database).deliveries["accepted"]) == ("finished", 5)
    assert sums_add_up(database)


@pytest.mark.parametrize("verb", [send_control.pause_send, send_control.stop_send])
def test_a_revert_cancels_a_send_that_is_held_back(database: Database, conf: Settings, verb) -> None:  # type: ignore[no-untyped-def]
    send_id = begin(database, conf, edition())
    verb(database, send_id)
    assert merge(database, conf) == [Action.CANCEL]
    with pytest.raises(Refused, match="is cancelled"):
        send_control.resume_send(database, send_id, sure=True)
    assert sums_add_up(database)


def test_the_operator_cancels_a_paused_send_that_has_not_begun(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, edition())
    send_control.pause_send(database, send_id)
    cancel_send(database, send_id)
    assert only(database).send.state == "cancelled"


def test_a_paused_send_that_has_begun_is_not_cancelled(database: Database, conf: Settings) -> None:
    send_id = begin(database, replace(conf, hold=timedelta(0)), edition())
    advance_sends(database, conf)
    send_control.pause_send(database, send_id)
    with pytest.raises(Refused, match="is paused: only a send that has not begun can be cancelled"):
        cancel_send(database, send_id)
    assert merge(database, conf) == []


def test_a_revert_at_the_moment_of_the_start_keeps_the_audience(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, replace(conf, hold=timedelta(0)), edition())
    outlook = publishing.preview_publish(database, conf, [old()], [], Limits(), Request())

    def late(*given: Any) -> Plan:
        plan = build_plan(*given)
        advance_sends(database, conf)  # the scheduler starts the send after the plan was made
        return plan

    monkeypatch.setattr(publishing, "preview_publish", lambda *_: outlook)
    monkeypatch.setattr(publishing, "build_plan", late)
    publish(database, conf, [old()], [], Limits(), Request())
    one = only(database)
    assert (one.send.state, one.send.audience_size, one.deliveries["pending"]) == ("sending", 5, 5)
    send_all(database, conf, int(send_id))
    assert only(database).send.state == "finished"


def test_a_schedule_whose_audience_is_nobody_when_it_is_due_stops_and_is_told(database: Database, conf: Settings) -> None:
    begin(database, conf, at(60))
    run(database, "UPDATE subscribers SET state = 'unsubscribed'")
    run(database, "UPDATE sends SET due_at = now()")
    for _ in range(2):
        advance_sends(database, conf)
    one = only(database).send
    assert (one.state, one.reason, one.audience_size) == ("stopped", "its audience was empty when it was due", 0)
    with database.transaction() as tx:
        assert [row["text"] for row in tx.all("SELECT text FROM notices")] == [
            f"Send {one.id} of {one.issue_key} is stopped: its audience was empty when it was due"
        ]


@pytest.mark.parametrize(("jump", "state"), [(0, "sending"), (3600, "scheduled")])
def test_no_send_starts_after_a_jump_of_the_databases_time(
    database: Database, conf: Settings, redis_url: str, jump: int, state: str
) -> None:
    begin(database, conf, at(60))
    run(database, "UPDATE sends SET due_at = now()")
    uptime = [100_000.0]
    jumps = TimeJumps(lambda: uptime[0])
    jumps.is_waiting(database)
    uptime[0] -= jump  # the database's time is so many seconds ahead
    run_round(database, conf, WakeUps(redis_url), jumps)
    assert only(database).send.state == state
    uptime[0] += JUMP_DELAY_SECONDS
    run_round(database, conf, WakeUps(redis_url), jumps)
    assert only(database).send.state == "sending"


def test_a_finished_send_is_told_once_with_its_figures_where_somebody_wants_notices(database: Database, conf: Settings) -> None:
    wanted = replace(conf, hold=timedelta(0), notify_url="https://hooks.example.org/1")
    send_id = begin(database, wanted, edition())
    advance_sends(database, wanted)
    run(database, "UPDATE subscribers SET state = 'unsubscribed' WHERE id = 1")
    send_all(database, wanted, int(send_id))
    for _ in range(2):
        advance_sends(database, wanted)
    assert only(database).send.state == "finished"
    with database.transaction() as tx:
        [notice] = [row["text"] for row in tx.all("SELECT text FROM notices")]
    assert notice.startswith(f"Send {send_id} of 2026-11-24-hello has finished: 5 in the audience, 4 accepted, 1 skipped.")
    assert "@" not in notice


def test_a_send_that_another_scheduler_started_meanwhile_is_not_paused_as_late(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(database, conf, at(60))
    run(database, "UPDATE sends SET due_at = now() - interval '1 hour'")
    with database.transaction() as tx:
        seen = sends.list_due(tx)
    advance_sends(database, conf)
    assert only(database).send.state == "sending"
    monkeypatch.setattr(sends, "list_due", lambda tx: seen)
    advance_sends(database, replace(conf, max_lateness=timedelta(minutes=1)))
    assert only(database).send.state == "sending"
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM notices") == 0


@pytest.mark.parametrize(("behind", "state"), [("3 hours 59 minutes", "sending"), ("4 hours 1 minute", "paused")])
def test_a_send_starts_late_up_to_the_limit_and_not_after(database: Database, conf: Settings, behind: str, state: str) -> None:
    begin(database, conf, at(60))
    run(database, f"UPDATE sends SET due_at = now() - interval '{behind}'")
    advance_sends(database, replace(conf, max_lateness=timedelta(hours=4)))
    assert only(database).send.state == state


@pytest.mark.parametrize(("minutes", "state"), [(-60, "holding"), (1, "holding"), (9, "holding"), (11, "scheduled")])
def test_a_time_within_the_hold_window_freezes_the_audience_now_and_a_later_one_when_due(
    database: Database, conf: Settings, minutes: int, state: str
) -> None:
    begin(database, conf, at(minutes))
    one = only(database).send
    assert (one.state, one.audience_size) == (state, 5 if state == "holding" else None)
    least = timedelta(minutes=max(minutes, 10))
    assert timedelta(0) <= least - (one.due_at - datetime.now(UTC)) < timedelta(seconds=10)
    run(
        database, "INSERT INTO subscribers (email, email_normal, state) VALUES ('new@example.org', 'new@example.org', 'active')"
    )
    run(database, "UPDATE sends SET due_at = now()")
    advance_sends(database, conf)
    assert only(database).send.audience_size == (5 if state == "holding" else 6)
