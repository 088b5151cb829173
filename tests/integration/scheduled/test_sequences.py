"""Sequences: who is enrolled, when a step is due, who is passed over, and that nobody gets a step twice."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition, Finding, Trigger
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, preview_publish
from mailer.flows.publishing.sequence_plan import ChangeEffect, show_exactly
from mailer.flows.scheduled import sequence_scheduler
from mailer.flows.scheduled.send_scheduler import advance_sends, check_circuit_breakers
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from mailer.flows.scheduled.time_jumps import JUMP_DELAY_SECONDS, TimeJumps
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_control import resume_send, stop_send
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers.erasure import erase_subscriber
from mailer.store.sending import issue_overview, sends
from mailer.transports.outbox import Outbox
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.sequences import DAY, ends, had, join, merge, pass_days, steps


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path)


def deliver(database: Database, conf: Settings) -> list[str]:
    """Do what the scheduler and a worker do once; return what is in the outbox, as recipient and subject."""
    for send_id in advance_sends(database, conf).sends:
        deliver_send(database, conf, Outbox(conf.outbox), send_id)
    emails = [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(conf.outbox.glob("*.eml"))]
    return [f"{email['To']}: {email['Subject']}" for email in emails]


def say(effects: Sequence[ChangeEffect]) -> str:
    """What an operator reads."""
    return "; ".join(effect.describe(show_exactly) for effect in effects)


def run(database: Database, sql: str, **values: object) -> int:
    with database.transaction() as tx:
        return tx.run(sql, **values)


def test_who_confirms_gets_each_step_once_when_it_is_due(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, "ann")
    assert queue_due_steps(database, conf) == 1
    assert queue_due_steps(database, conf) == 0
    pass_days(database, 2.9)
    assert queue_due_steps(database, conf) == 0
    pass_days(database, 0.2)
    assert queue_due_steps(database, conf) == 1
    pass_days(database, 100)
    assert queue_due_steps(database, conf) == 0
    assert had(database) == {"ann": ["hello", "more"]}
    assert ends(database) == {"ann": "finished"}
    assert sums_add_up(database)


def test_publishing_a_sequence_emails_nobody_of_the_existing_list(database: Database, conf: Settings) -> None:
    add_subscribers(database, 5)
    merge(database, conf, [old(), *steps("hello")])
    run(database, "UPDATE subscribers SET notes = 'x'")
    assert queue_due_steps(database, conf) == 0
    assert ends(database) == {}


def test_subscribing_again_does_not_begin_again(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, "ann")
    queue_due_steps(database, conf)
    run(database, "UPDATE subscribers SET state = 'unsubscribed'")
    pass_days(database, 4)
    assert queue_due_steps(database, conf) == 0
    run(database, "UPDATE subscribers SET state = 'active'")
    pass_days(database, 4)
    assert queue_due_steps(database, conf) == 0
    assert (had(database), ends(database)) == ({"ann": ["hello"]}, {"ann": "unsubscribed"})


def test_the_welcome_goes_out_through_the_send_of_its_step(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, "ann")
    queue_due_steps(database, conf)
    assert deliver(database, conf) == ["ann@example.org: Subject of sequences/welcome/hello"]
    join(database, "ben")
    queue_due_steps(database, conf)
    assert deliver(database, conf)[1:] == ["ben@example.org: Subject of sequences/welcome/hello"]
    check_circuit_breakers(database)
    with database.transaction() as tx:
        states = {send.issue_key: (send.state, send.audience_size) for send in sends.list_all(tx)}
    assert states == {"sequences/welcome/hello": ("sending", 2), "sequences/welcome/more": ("sending", 0)}


def test_an_edited_step_is_not_sent_again_to_those_who_had_it(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, "ann")
    queue_due_steps(database, conf)
    deliver(database, conf)
    [change] = merge(database, conf, [old(), *steps("hello", "more", text="mended")]).plan.sequences
    assert [str(step.action) for step in change.steps] == ["edit", "edit"]
    assert say(change.steps[0].effects) == "new text for those who have not had it; had it, and are not emailed again: 1"
    join(database, "ben")
    queue_due_steps(database, conf)
    assert deliver(database, conf)[1:] == ["ben@example.org: Subject of sequences/welcome/hello"]
    advance_sends(database, conf)
    with database.transaction() as tx:
        [newer, older] = [one for one in sends.list_all(tx) if one.issue_key == "sequences/welcome/hello"]
    assert (older.state, older.edition_number, newer.state, newer.edition_number) == ("finished", 1, "sending", 2)
    assert sums_add_up(database)
    assert merge(database, conf, [old(), *steps("hello", "more", text="mended")]).plan.sequences[0].action == "keep"


def test_a_step_inserted_before_the_one_they_wait_for_is_not_sent_to_them(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, "ann")
    queue_due_steps(database, conf)
    [change] = merge(database, conf, [old(), *steps("hello", "between", "more", "last")]).plan.sequences
    assert [(step.name, str(step.action)) for step in change.steps if step.action != "keep"] == [
        ("between", "add"), ("last", "add"),
    ]  # fmt: skip
    assert say(change.steps[1].effects).endswith("; get it: 0; wait for a later step and do not get it: 1")
    assert say(change.steps[3].effects).endswith("; get it: 1; wait for a later step and do not get it: 0")
    join(database, "ben")
    for _ in range(5):
        queue_due_steps(database, conf)
        pass_days(database, 4)
    assert had(database) == {"ann": ["hello", "more", "last"], "ben": ["hello", "between", "more", "last"]}


def test_a_step_under_another_name_with_the_same_text_is_named(database: Database, conf: Settings) -> None:
    hello, more = steps("hello", "more")
    merge(database, conf, [old(), hello, more])
    join(database, "ann")
    queue_due_steps(database, conf)
    other = steps("hallo", "more")[0]
    renamed = replace(hello, key=other.key, path=other.path, url=other.url, step=other.step)
    for one, is_named in ((renamed, True), (other, False)):
        plan = preview_publish(database, conf, [old(), one, more], [], Outbox(conf.outbox), Request())
        effect = plan.sequences[0]["steps"][0]["effect"]
        assert ("add `Id: hello`, or those who had it may get it again: 1" in effect) == is_named


def test_a_removed_step_is_left_out_and_a_reordered_one_comes_once(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more", "third", "last")])
    join(database, "ann")
    queue_due_steps(database, conf)
    pass_days(database, 3.1)
    queue_due_steps(database, conf)
    [change] = merge(database, conf, [old(), *steps("hello", "last", "more")]).plan.sequences
    assert {step.name: str(step.action) for step in change.steps} == {
        "hello": "keep", "last": "move", "more": "move", "third": "remove",
    }  # fmt: skip
    assert say(change.steps[3].effects) == "those who wait for it get the step after it, or finish: 1"
    for _ in range(4):
        pass_days(database, 4)
        queue_due_steps(database, conf)
    assert had(database) == {"ann": ["hello", "more", "last"]}
    assert ends(database) == {"ann": "finished"}


def test_a_sequence_whose_files_go_stops_and_goes_on_where_it_was(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, "ann")
    queue_due_steps(database, conf)
    [change] = merge(database, conf, [old()]).plan.sequences
    assert change.action == "remove"
    assert say(change.effects) == "its files are gone, and those who are in it get no further step: 1"
    join(database, "ben")
    pass_days(database, 4)
    assert queue_due_steps(database, conf) == 0
    [change] = merge(database, conf, [old(), *steps("hello", "more")]).plan.sequences
    assert change.action == "start"
    assert say(change.effects) == "its files are back, and those who were in it continue where they were: 1"
    assert queue_due_steps(database, conf) == 1
    assert had(database) == {"ann": ["hello", "more"]}


def test_an_error_in_a_file_keeps_the_sequence_as_it_is(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello")])
    wrong = Finding("error", "content/sequences/welcome/02-more.md", 1, "Wrong.")
    assert merge(database, conf, [old()], findings=[wrong]).plan.sequences == ()
    join(database, "ann")
    assert queue_due_steps(database, conf) == 1


def test_backfill_enrols_the_existing_list_once(database: Database, conf: Settings) -> None:
    add_subscribers(database, 5, ("vip",))
    merge(database, conf, [old(), *steps("hello", audience="vip")])
    join(database, "ann")
    [change] = merge(database, conf, [old(), *steps("hello", audience="vip", backfill=True)]).plan.sequences
    assert change.backfill == 5
    assert queue_due_steps(database, conf) == 5
    assert ends(database)["ann"] == "not in the audience"
    add_subscribers_again = run(
        database, "INSERT INTO subscribers (email, email_normal, state, tags) VALUES ('n@x.org', 'n@x.org', 'active', '{vip}')"
    )
    assert add_subscribers_again == 1
    [change] = merge(database, conf, [old(), *steps("hello", audience="vip", backfill=True)]).plan.sequences
    assert (change.action, change.backfill) == ("keep", None)
    assert queue_due_steps(database, conf) == 0


def test_tags_and_ended_pauses_enrol(database: Database, conf: Settings) -> None:
    course = steps("hello", name="course", trigger=Trigger.TAGGED, tag="course")
    back = steps("hello", name="back", trigger=Trigger.PAUSE_OVER)
    merge(database, conf, [old(), *course, *back])
    join(database, "ann", "ben", "cat")
    join(database, "new", tags=("course",), confirm=False)
    run(database, "UPDATE subscribers SET tags = '{course}' WHERE email LIKE 'ann%%'")
    run(database, "UPDATE subscribers SET paused_until = now() + interval '1 day' WHERE email LIKE 'ben%%'")
    run(database, "UPDATE subscribers SET paused_until = NULL WHERE email LIKE 'ben%%'")
    with database.transaction() as tx:
        tx.run("SELECT set_config('postmerge.enrols', 'off', true)")
        tx.run("UPDATE subscribers SET tags = '{course}' WHERE email LIKE 'cat%%'")  # as an import does
    assert queue_due_steps(database, conf) == 2
    assert had(database) == {"ann": ["hello"], "ben": ["hello"]}
    run(database, "UPDATE subscribers SET state = 'active' WHERE email LIKE 'new%%'")
    assert queue_due_steps(database, conf) == 1


@pytest.mark.parametrize(
    ("before", "after", "began", "enrolled"),
    [
        ("free", "paying", "1 hour", ["paid"]),
        ("free", "paying", "30 days", []),  # the first reading of an account that has sold for long
        ("trialing", "paying", "30 days", ["paid", "trial"]),
        ("trialing", "ended", "30 days", ["trial"]),
        ("past_due", "paying", "30 days", []),
    ],
)
def test_paying_and_ended_trials_enrol(
    database: Database, conf: Settings, before: str, after: str, began: str, enrolled: list[str]
) -> None:
    paid = steps("hello", name="paid", trigger=Trigger.PAID)
    merge(database, conf, [old(), *paid, *steps("hello", name="trial", trigger=Trigger.TRIAL_ENDS)])
    [ann] = join(database, "ann")
    run(
        database,
        """
        INSERT INTO subscriptions (stripe_id, subscriber_id, started_at)
        VALUES ('sub_1', %(id)s, now() - %(began)s::interval)
        """,
        id=ann,
        began=began,
    )
    run(database, "INSERT INTO entitlements (subscriber_id, state, premium) VALUES (%(id)s, %(s)s, false)", id=ann, s=before)
    run(database, "UPDATE entitlements SET state = %(s)s", s=after)
    with database.transaction() as tx:
        rows = tx.all("SELECT name FROM enrolments JOIN sequences ON sequences.id = sequence_id ORDER BY name")
    assert [row["name"] for row in rows] == enrolled


def test_paused_subscribers_wait_and_others_are_passed_over(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", stop="done", stop_when_paid=True)])
    names = ("pausing", "bouncing", "monthly", "done", "paying", "ann")
    ids = dict(zip(names, join(database, *names), strict=True))
    run(database, "UPDATE subscribers SET paused_until = now() + interval '10 days' WHERE id = %(id)s", id=ids["pausing"])
    run(database, "INSERT INTO suppressions (email_normal, reason) VALUES ('bouncing@example.org', 'hard bounce')")
    run(database, "UPDATE subscribers SET frequency = 'monthly' WHERE id = %(id)s", id=ids["monthly"])
    run(database, "UPDATE subscribers SET tags = '{done}' WHERE id = %(id)s", id=ids["done"])
    run(database, "INSERT INTO entitlements (subscriber_id, state, premium) VALUES (%(id)s, 'paying', true)", id=ids["paying"])
    assert queue_due_steps(database, conf) == 1
    assert had(database) == {"ann": ["hello"]}
    assert ends(database) == {
        "ann": "finished", "pausing": "", "bouncing": "suppressed", "monthly": "gets a digest",
        "done": "stop condition", "paying": "stop condition",
    }  # fmt: skip
    run(database, "UPDATE subscribers SET paused_until = NULL")
    assert queue_due_steps(database, conf) == 0, "it waits for the moment that the pause was to end"
    pass_days(database, 10)
    assert queue_due_steps(database, conf) == 1


def test_steps_wait_for_the_hours_of_the_sequence(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", hours="08:00-20:00", zone="Europe/Berlin")])
    join(database, "ann")
    tomorrow = datetime.now(UTC).replace(hour=23, minute=0, second=0, microsecond=0)
    assert queue_due_steps(database, conf, tomorrow) == 0
    with database.transaction() as tx:
        due = tx.value("SELECT due_at FROM enrolments")
    assert due.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") == "08:00"
    assert timedelta(0) < due - tomorrow < timedelta(hours=10)
    run(database, "UPDATE enrolments SET due_at = now()")
    assert queue_due_steps(database, conf, due + timedelta(minutes=1)) == 1


def test_a_step_waits_while_a_subscriber_got_many_emails_this_week(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more", after=0)])
    join(database, "ann")
    capped = replace(conf, max_emails_per_week=1)
    assert queue_due_steps(database, capped) == 1
    assert queue_due_steps(database, capped) == 0
    deliver(database, conf)
    pass_days(database, 6.9)
    assert queue_due_steps(database, capped) == 0
    pass_days(database, 1.1)
    assert queue_due_steps(database, capped) == 1


def test_a_stopped_send_keeps_its_step_waiting_and_an_edit_does_not_resume_it(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello")])
    stop_send(database, "sequences/welcome/hello")
    join(database, "ann")
    assert queue_due_steps(database, conf) == 0
    merge(database, conf, [old(), *steps("hello", text="mended")])
    assert queue_due_steps(database, conf) == 0
    resume_send(database, "sequences/welcome/hello", sure=True)
    assert queue_due_steps(database, conf) == 1
    assert deliver(database, conf) == ["ann@example.org: Subject of sequences/welcome/hello"]


def test_a_long_send_is_followed_by_another_of_the_same_edition(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence_scheduler, "MAX_CONTINUOUS_ROWS", 2)
    merge(database, conf, [old(), *steps("hello")])
    join(database, "ann", "ben")
    assert queue_due_steps(database, conf) == 2
    join(database, "cat")
    assert queue_due_steps(database, conf) == 1
    assert len(deliver(database, conf)) == 3
    advance_sends(database, conf)
    with database.transaction() as tx:
        found = [(one.edition_number, str(one.state), one.audience_size) for one in sends.list_all(tx)]
    assert found == [(2, "sending", 1), (1, "finished", 2)]
    assert sums_add_up(database)


def test_steps_are_no_issues(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello")])
    join(database, "ann")
    queue_due_steps(database, conf)
    deliver(database, conf)
    assert list_send_statuses(database) == []
    assert [one.send.issue_key for one in list_send_statuses(database, "sequences/welcome/hello")] == [
        "sequences/welcome/hello"
    ]
    with database.transaction() as tx:
        assert [one.key for one in issue_overview.list_all(tx)] == ["2020-01-01-old"]
    plan = merge(database, conf, [old(), *steps("hello")]).plan
    assert [step.key for step in plan.steps] == ["2020-01-01-old"]


def test_erasure_forgets_the_enrolment(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more")])
    [ann] = join(database, "ann")
    queue_due_steps(database, conf)
    erase_subscriber(database, conf, ann)
    pass_days(database, 4)
    assert queue_due_steps(database, conf) == 0
    with database.transaction() as tx:
        assert tx.value("SELECT (SELECT count(*) FROM enrolments) + (SELECT count(*) FROM sequence_emails)") == 0


def test_two_schedulers_queue_a_step_once(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello")])
    join(database, *(f"p{number}" for number in range(300)))
    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(lambda _: queue_due_steps(database, conf), range(4)))
    assert sum(numbers) == 300
    assert sums_add_up(database)


def issue(key: str, **facts: Any) -> Edition:
    """An issue with a text of its own, which asks to be sent."""
    return edition(key, f"<p>{' '.join(key * 3 for _ in range(9))}</p>", **facts)


def send_issues(database: Database, conf: Settings, *found: Edition) -> None:
    """Publish these and begin what is new."""
    merge(database, conf, [old(), *found], allow=("many",))
    deliver(database, conf)
    advance_sends(database, conf)


def test_the_last_issue_follows_the_first_step_and_never_comes_twice(database: Database, conf: Settings) -> None:
    welcome = steps("hello", "more", latest_issue=True)
    merge(database, conf, [old(), *welcome])
    join(database, "early")
    assert queue_due_steps(database, conf) == 1
    assert queue_due_steps(database, conf) == 0, "no issue was sent yet"
    send_issues(database, conf, issue("one"), *welcome)
    add_subscribers(database, 1, ("vip",))
    send_issues(database, conf, issue("one"), issue("vips", audience="vip"), *welcome)
    join(database, "ann")
    for _ in range(2):
        queue_due_steps(database, conf)
        got = deliver(database, conf)
    assert [line for line in got if line.startswith("ann")] == [
        "ann@example.org: Subject of sequences/welcome/hello", "ann@example.org: Subject of one",
    ]  # fmt: skip
    assert [line for line in got if "early" in line].count("early@example.org: Subject of one") == 1
    send_issues(database, conf, issue("one"), issue("vips", audience="vip"), issue("two"), *welcome)
    join(database, "ben")  # after the audience of the second issue was frozen
    for _ in range(2):
        queue_due_steps(database, conf)
        got = deliver(database, conf)
    assert [line for line in got if line.startswith("ann")][2:] == ["ann@example.org: Subject of two"]
    assert [line for line in got if line.startswith("ben")] == [
        "ben@example.org: Subject of sequences/welcome/hello", "ben@example.org: Subject of two",
    ]  # fmt: skip
    assert sums_add_up(database)
    pass_days(database, 4)
    queue_due_steps(database, conf)
    assert {name: found[-1] for name, found in had(database).items()} == {"early": "more", "ann": "more", "ben": "more"}


def test_who_gets_the_issue_with_its_send_does_not_get_it_as_a_step(database: Database, conf: Settings) -> None:
    welcome = steps("hello", latest_issue=True)
    course = steps("hello", name="course", latest_issue=True)
    merge(database, conf, [old(), *welcome, *course])
    join(database, "ann")
    merge(database, conf, [old(), issue("one"), *welcome, *course])
    for _ in range(3):
        queue_due_steps(database, conf)
        got = deliver(database, conf)
    assert got.count("ann@example.org: Subject of one") == 1
    join(database, "ben")
    for _ in range(3):
        queue_due_steps(database, conf)
        got = deliver(database, conf)
    assert got.count("ben@example.org: Subject of one") == 1, "two sequences send it once"
    [change] = merge(database, conf, [old(), issue("one"), *steps("hello"), *course]).plan.sequences[-1:]
    assert {step.name: str(step.action) for step in change.steps} == {"hello": "keep", "latest-issue": "remove"}


def test_a_wrong_system_time_sends_no_step_twice_and_delays_nobody_for_long(database: Database, conf: Settings) -> None:
    merge(database, conf, [old(), *steps("hello", "more", "last")])
    join(database, "ann")
    queue_due_steps(database, conf)
    pass_days(database, 400)  # the time jumps ahead
    assert queue_due_steps(database, conf) == 1
    assert queue_due_steps(database, conf) == 0, "the steps keep their distance"
    pass_days(database, -400)  # and back
    queue_due_steps(database, conf)
    pass_days(database, 3.1)
    assert queue_due_steps(database, conf) == 1
    assert had(database) == {"ann": ["hello", "more", "last"]}


def test_steps_wait_a_little_after_a_jump_of_the_databases_time(database: Database) -> None:
    uptime = [1000.0 + DAY]
    jumps = TimeJumps(lambda: uptime[0])

    def wait_for(seconds: float) -> bool:
        uptime[0] += seconds
        assert jumps.is_waiting(database) is jumps.waiting
        return jumps.waiting

    assert not wait_for(0)
    assert not wait_for(1), "a second later"
    assert wait_for(-DAY), "a day ahead of our own measure"
    assert wait_for(1)
    assert not wait_for(DAY), "and back"
    assert wait_for(-DAY)
    for _ in range(3):
        assert wait_for(JUMP_DELAY_SECONDS / 4)
    assert not wait_for(JUMP_DELAY_SECONDS / 4), "it stays ahead: perhaps the time before was the wrong one"
