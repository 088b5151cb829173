"""Control of a send: pause, stop, resume, the staged start, circuit breakers, lateness, the page gate."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition, SendIntent
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.operations.operator_notices import post_notices
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends, check_circuit_breakers
from mailer.flows.sending import send_control, ses_quota
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from mailer.store.sending import sends
from mailer.store.sending.sends import SendState
from mailer.transports.outbox import Outbox
from tests.factories import NOW, add_subscribers, edition, old, settings
from tests.integration.publishing.test_publish import Limits
from tests.pages import Page
from tests.pages import web as web


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path)


def begin(database: Database, conf: Settings, number: int, issue: Edition | None = None, gate: bool = False) -> int:
    """Publish one issue; its send."""
    add_subscribers(database, number)
    adopt_issues(database, conf, [old()])
    request = Request(gate=False)
    [send_id] = publish(database, conf, [old(), issue or edition()], [], Limits(), request).send_ids
    if gate:
        run(database, "UPDATE sends SET gated = true")
    return send_id


def run(database: Database, sql: str) -> None:
    with database.transaction() as tx:
        tx.run(sql)


def only(database: Database) -> SendStatus:
    [one] = list_send_statuses(database)
    return one


def send_all(database: Database, conf: Settings, send_id: int) -> None:
    advance_sends(database, conf)
    deliver_send(database, conf, Outbox(conf.outbox), send_id)
    advance_sends(database, conf)


def test_a_paused_send_hands_over_nothing_and_goes_on_when_resumed(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 10)
    advance_sends(database, conf)
    send_control.pause_send(database, str(send_id))
    send_all(database, conf, send_id)
    assert only(database).deliveries["pending"] == 10
    assert send_control.resume_send(database, str(send_id)).state == "sending"
    send_all(database, conf, send_id)
    assert (only(database).send.state, only(database).deliveries["accepted"]) == ("finished", 10)


def test_a_pause_in_mid_send_lets_out_no_more_than_what_is_on_the_wire(database: Database, conf: Settings) -> None:
    send_id = begin(database, replace(conf, first_slice=100.0), 500)
    advance_sends(database, conf)

    class Pausing(Outbox):
        def send(self, envelope):  # type: ignore[no-untyped-def]
            at = next(count)
            if at == 100:
                send_control.pause_send(database, str(send_id))
                paused.append(next(count))
            return super().send(envelope)

    count = itertools.count()
    paused: list[int] = []  # how many had begun when the pause stood in the database
    few = replace(conf, connections=8)
    deliver_send(database, few, Pausing(conf.outbox), send_id)
    assert paused[0] - 1 <= only(database).deliveries["accepted"] <= paused[0] + 2 * few.connections
    assert only(database).deliveries["claimed"] == 0


def test_a_stopped_send_says_why_and_resuming_needs_a_confirmation(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 10)
    advance_sends(database, conf)
    send_control.stop_send(database, str(send_id), "a wrong link")
    assert only(database).send.reason == "a wrong link"
    with pytest.raises(Refused, match=r"was stopped \(a wrong link\): fix the cause, then resume it with `--yes`"):
        send_control.resume_send(database, str(send_id))
    assert send_control.resume_send(database, str(send_id), sure=True).state == "sending"


def test_two_operators_at_once_end_in_one_clear_state(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 10)
    advance_sends(database, conf)
    errors: list[str] = []

    def press(number: int) -> None:
        try:
            if number % 2:
                send_control.stop_send(database, str(send_id))
            else:
                send_control.resume_send(database, str(send_id), sure=True)
        except Refused as error:
            errors.append(str(error))

    threads = [threading.Thread(target=press, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert only(database).send.state in ("sending", "stopped")
    assert all("only" in error for error in errors)
    assert only(database).deliveries["pending"] == 10


def test_a_finished_send_cannot_be_paused_or_resumed(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 3)
    send_all(database, conf, send_id)
    with pytest.raises(Refused, match="is finished: only an active send can be paused"):
        send_control.pause_send(database, str(send_id))
    with pytest.raises(Refused, match="is finished: you can only resume a paused or stopped send"):
        send_control.resume_send(database, str(send_id))


def test_a_paused_schedule_goes_on_as_a_schedule(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 3, edition(send=SendIntent.AT, send_at=NOW + timedelta(days=2)))
    send_control.pause_send(database, str(send_id))
    assert send_control.resume_send(database, str(send_id)).state == "scheduled"


def test_a_staged_start_sends_a_slice_looks_and_then_sends_the_rest(database: Database, conf: Settings) -> None:
    staged = replace(conf, first_slice_wait=timedelta(hours=1))
    send_id = begin(database, staged, 300)
    send_all(database, staged, send_id)
    assert (only(database).send.state, only(database).deliveries["accepted"]) == ("sending", 100)
    assert only(database).send.watch_until
    send_all(database, staged, send_id)
    assert only(database).deliveries["accepted"] == 100
    run(database, "UPDATE sends SET watch_until = now()")
    send_all(database, staged, send_id)
    send_all(database, staged, send_id)
    assert (only(database).send.state, only(database).deliveries["accepted"]) == ("finished", 300)


def test_the_first_slice_are_subscribers_who_got_the_last_issue(database: Database, conf: Settings) -> None:
    first = begin(database, conf, 120, edition("first"))
    send_all(database, conf, first)
    send_all(database, conf, first)
    assert only(database).send.state == "finished"
    run(
        database,
        """
        INSERT INTO subscribers (email, email_normal, state)
        SELECT format('new-%s@example.org', n), format('new-%s@example.org', n), 'active' FROM generate_series(1, 400) AS n
        """,
    )
    issues = [old(), edition("first"), edition("second", body="<p>quite another text for another day</p>")]
    [second] = publish(database, conf, issues, [], Limits(), Request()).send_ids
    with database.transaction() as tx:
        row = tx.one(
            """
            SELECT count(*) AS size, count(*) FILTER (WHERE email LIKE 'subscriber-%%') AS known
            FROM deliveries JOIN subscribers ON subscribers.id = subscriber_id
            WHERE send_id = %(id)s AND wave = 0
            """,
            id=second,
        )
    assert row == {"size": 100, "known": 100}


def turn_bad(database: Database, state: str, kind: str, number: int) -> None:
    """So many accepted deliveries end badly."""
    with database.transaction() as tx:
        tx.run(
            """
            UPDATE deliveries SET state = %(state)s, event_kind = %(kind)s
            WHERE subscriber_id IN (SELECT subscriber_id FROM deliveries WHERE state = 'accepted' LIMIT %(number)s)
            """,
            state=state,
            kind=kind,
            number=number,
        )


@pytest.mark.parametrize(
    ("state", "kind", "fine", "bad", "sentence"),
    [
        ("bounced", "hard bounce", 5, 1, "6 hard bounces in 500 emails exceed 1.0%"),
        ("bounced", "soft bounce", 25, 1, "26 soft bounces in 500 emails exceed 5.0%"),
        ("complained", "complaint", 1, 1, "2 complaints in 500 emails exceed 0.1%"),
    ],
)
def test_a_circuit_breaker_stops_the_rest(
    database: Database, conf: Settings, state: str, kind: str, fine: int, bad: int, sentence: str
) -> None:
    staged = replace(conf, first_slice_wait=timedelta(hours=1), first_slice=50.0)
    send_all(database, staged, begin(database, staged, 1000))
    turn_bad(database, state, kind, fine)
    check_circuit_breakers(database)
    assert only(database).send.state == "sending"
    turn_bad(database, state, kind, bad)
    check_circuit_breakers(database)
    one = only(database)
    assert (one.send.state, one.deliveries["pending"]) == ("stopped", 500)
    assert sentence in one.send.reason


def test_one_address_twice_in_an_audience_stops_the_send_before_it_gets_a_second_email(
    database: Database, conf: Settings
) -> None:
    send_id = begin(database, conf, 50)
    run(database, "ALTER TABLE subscribers DROP CONSTRAINT subscribers_email_normal_key")
    run(database, "UPDATE subscribers SET email_normal = 'subscriber-1@example.org' WHERE id = 50")
    send_all(database, replace(conf, connections=10), send_id)
    one = only(database)
    assert one.send.state == "stopped"
    assert "an address is in its audience twice" in one.send.reason
    assert one.deliveries["accepted"] + one.deliveries["pending"] == 50
    assert len(list(conf.outbox.glob("*.eml"))) < 50


def test_more_rows_than_the_audience_has_subscribers_stops_the_send(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 20)
    advance_sends(database, conf)
    run(database, "UPDATE sends SET audience_size = 19")
    check_circuit_breakers(database)
    assert "has 20 rows for an audience of 19 subscribers" in only(database).send.reason
    send_all(database, conf, send_id)
    assert only(database).deliveries["pending"] == 20


def test_a_send_that_was_missed_by_hours_holds_and_asks(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 5, edition(send=SendIntent.AT, send_at=NOW + timedelta(days=1)))
    run(database, "UPDATE sends SET due_at = now() - interval '5 hours'")
    advance_sends(database, replace(conf, max_lateness=timedelta(hours=4)))
    one = only(database)
    assert one.send.state == "paused"
    assert f"no scheduler ran for 5 hours: send it now with `postmerge resume {send_id}`" in one.send.reason
    send_control.resume_send(database, str(send_id))
    send_all(database, conf, send_id)
    assert only(database).send.state == "finished"


def test_a_send_that_was_missed_by_less_goes_out_on_return(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 5, edition(send=SendIntent.AT, send_at=NOW + timedelta(days=1)))
    run(database, "UPDATE sends SET due_at = now() - interval '5 hours'")
    send_all(database, conf, send_id)
    assert only(database).send.state == "finished"


def test_a_send_waits_for_its_page_and_starts_when_it_is_live(database: Database, conf: Settings, web: str) -> None:
    issue = edition(url=f"{web}/issue/")
    send_id = begin(database, conf, 5, issue, gate=True)
    send_all(database, conf, send_id)
    assert only(database).send.state == "holding"
    assert "does not show this issue yet; the send starts as soon as the page is live" in only(database).send.waiting_reason
    Page.digest = "0" * 64
    run(database, "UPDATE sends SET deferred_until = now()")
    send_all(database, conf, send_id)
    assert "shows another text yet" in only(database).send.waiting_reason
    Page.digest = issue.digest
    run(database, "UPDATE sends SET deferred_until = now()")
    send_all(database, conf, send_id)
    assert (only(database).send.state, only(database).send.waiting_reason) == ("finished", "")


def test_a_page_that_never_comes_holds_the_send_with_what_to_do(database: Database, conf: Settings, web: str) -> None:
    send_id = begin(database, conf, 5, edition(url=f"{web}/issue/"), gate=True)
    advance_sends(database, conf)
    later(database, "2 hours")
    advance_sends(database, conf)
    one = only(database)
    assert one.send.state == "paused"
    assert (
        f"still does not show this issue: deploy the site and run `postmerge resume {send_id}`, or `… --no-gate`"
        in one.send.reason
    )
    send_control.resume_send(database, str(send_id))
    advance_sends(database, conf)
    assert only(database).send.state == "holding"  # the waiting begins anew
    send_control.resume_send(database, str(send_id), gate=False)
    run(database, "UPDATE sends SET deferred_until = now()")
    send_all(database, conf, send_id)
    assert only(database).send.state == "finished"


def later(database: Database, time: str) -> None:
    """Let time pass for a send that waits for its page; the last look was a moment ago."""
    run(
        database,
        f"UPDATE sends SET due_at = due_at - interval '{time}', page_awaited_since = page_awaited_since - interval '{time}',"
        " deferred_until = now()",
    )


def test_a_server_that_returns_late_gives_the_page_its_whole_hour(database: Database, conf: Settings, web: str) -> None:
    issue = edition(url=f"{web}/issue/")
    send_id = begin(database, conf, 5, issue, gate=True)
    run(database, "UPDATE sends SET due_at = now() - interval '3 hours'")
    advance_sends(database, conf)
    assert (only(database).send.state, "does not show this issue yet" in only(database).send.waiting_reason) == (
        "holding",
        True,
    )
    for _ in range(2):  # 58 minutes after the first look it still waits
        later(database, "29 minutes")
        advance_sends(database, conf)
        assert only(database).send.state == "holding"
    Page.digest = issue.digest
    later(database, "1 minute")
    send_all(database, conf, send_id)
    assert only(database).send.state == "finished"


def test_a_page_that_is_not_there_an_hour_after_the_first_look_is_not_waited_for(
    database: Database, conf: Settings, web: str
) -> None:
    begin(database, conf, 5, edition(url=f"{web}/issue/"), gate=True)
    run(database, "UPDATE sends SET due_at = now() - interval '3 hours'")
    advance_sends(database, conf)
    later(database, "61 minutes")
    advance_sends(database, conf)
    assert only(database).send.state == "paused"


def test_the_page_is_looked_for_again_after_a_rest_and_not_at_once(
    database: Database, conf: Settings, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(database, conf, 5, edition(url=f"{web}/issue/"), gate=True)
    looks: list[str] = []
    fetch = Page.do_GET

    def look(page: Page) -> None:
        looks.append(page.path)
        fetch(page)

    monkeypatch.setattr(Page, "do_GET", look)
    for _ in range(3):
        advance_sends(database, conf)
    assert len(looks) == 1
    run(database, "UPDATE sends SET deferred_until = now()")
    advance_sends(database, conf)
    assert len(looks) == 2


@pytest.mark.parametrize("target", [SendState.PAUSED, SendState.STOPPED])
@pytest.mark.parametrize("state", SendState)
def test_only_a_send_that_is_open_is_halted_and_told_once(
    database: Database, conf: Settings, state: SendState, target: SendState
) -> None:
    """A late answer of SES about the account is no news for a send that is over or stands still."""
    send_id = begin(database, conf, 2)
    run(database, f"UPDATE sends SET state = '{state}', reason = 'as it was'")
    is_open = state in (SendState.SCHEDULED, SendState.HOLDING, SendState.SENDING)
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
        assert send
        assert [send_control.halt_send(tx, send, target, "late") for _ in range(2)] == [is_open, False]
        assert tx.value("SELECT count(*) FROM notices") == is_open
    now = only(database).send
    assert (now.state, now.reason) == ((target, "late") if is_open else (state, "as it was"))


def test_waiting_for_a_page_is_not_taken_for_a_server_that_was_off(database: Database, conf: Settings, web: str) -> None:
    begin(database, conf, 5, edition(url=f"{web}/issue/"), gate=True)
    short = replace(conf, max_lateness=timedelta(minutes=20))
    advance_sends(database, short)
    later(database, "40 minutes")
    advance_sends(database, short)
    assert only(database).send.state == "holding"
    later(database, "40 minutes")
    run(database, "UPDATE sends SET page_checked_at = now() - interval '40 minutes'")
    advance_sends(database, short)
    assert (
        "but no scheduler ran for 1 hours" in only(database).send.reason
    )  # and not the page's, which would be asked for in vain


def test_a_number_that_is_a_send_and_an_issue_is_asked_about(database: Database, conf: Settings) -> None:
    first = begin(database, conf, 5)
    other = edition(f"{first}")
    [second] = publish(database, conf, [old(), edition(), other], [], Limits(), Request(gate=False)).send_ids
    with pytest.raises(BadInput, match=f"write `send:{first}` or `issue:{first}`"):
        send_control.pause_send(database, str(first))
    assert send_control.pause_send(database, f"issue:{first}").id == second
    assert send_control.pause_send(database, f"send:{first}").id == first
    assert [one.send.id for one in list_send_statuses(database, f"issue:{first}")] == [second]
    assert [one.send.id for one in list_send_statuses(database, f"send:{first}")] == [first]


def test_a_send_that_is_over_waits_for_nothing(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 5)
    send_all(database, conf, send_id)
    ses_quota.wait_for_quota(database, send_id)
    assert (only(database).send.state, only(database).send.waiting_reason) == ("finished", "")


def test_a_stopped_send_is_not_paused_and_keeps_its_first_reason(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 5)
    send_control.stop_send(database, str(send_id), "wrong link")
    assert send_control.stop_send(database, str(send_id), "another").reason == "wrong link"
    with pytest.raises(
        Refused, match=rf"is already stopped \(wrong link\): nothing is sent until you run `postmerge resume {send_id} --yes`"
    ):
        send_control.pause_send(database, str(send_id))


def test_the_operator_is_notified_once_of_a_stopped_send(database: Database, conf: Settings, web: str) -> None:
    begin(database, conf, 20)
    advance_sends(database, conf)
    run(database, "UPDATE sends SET audience_size = 19")
    check_circuit_breakers(database)
    away = replace(conf, notify_url="http://127.0.0.1:1")
    assert post_notices(database, away) == 0
    told = replace(conf, notify_url=web)
    assert (post_notices(database, told), post_notices(database, told)) == (1, 0)
    assert len(Page.got) == 1
    assert "is stopped: the ledger has 20 rows" in Page.got[0]
