"""The ledger's statements one by one: who may settle what, which sends wait, rest or are due, and what support reads there."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core import audience
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.events import email_events
from mailer.store.sending import audiences, deliveries, sends
from mailer.store.sending.deliveries import STATES, Settlement
from mailer.store.sending.sends import SendState
from mailer.store.transactional import transactional_emails
from tests import factories
from tests.integration.events.test_mail_events import CLAIM, claim, event, row, start, state
from tests.integration.sending.test_send_control import run

OTHER_CLAIM = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return factories.settings(tmp_path)


def settle(database: Database, claim_id: str, outcome: str, send_id: int = 1) -> int:
    with database.transaction() as tx:
        return deliveries.settle(tx, send_id, claim_id, [Settlement(1, outcome, "m-1", "said so")])


@pytest.mark.parametrize("outcome", ["accepted", "failed", "pending", "uncertain"])
def test_only_the_worker_that_holds_a_claim_writes_its_outcome(database: Database, conf: Settings, outcome: str) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    assert settle(database, OTHER_CLAIM, outcome) == 0
    assert state(database, send_id, 1) == "claimed"
    assert settle(database, CLAIM, outcome) == 1
    assert state(database, send_id, 1) == outcome


def test_a_worker_that_lost_its_claim_does_not_overwrite_the_next_ones_outcome(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    settle(database, CLAIM, "pending")
    with database.transaction() as tx:
        deliveries.claim(tx, send_id, OTHER_CLAIM, 1)
    assert settle(database, CLAIM, "failed") == 0
    assert state(database, send_id, 1) == "claimed"
    assert settle(database, OTHER_CLAIM, "accepted") == 1
    assert settle(database, CLAIM, "failed") == 0
    assert state(database, send_id, 1) == "accepted"


@pytest.mark.parametrize("outcome", ["accepted", "failed"])
def test_an_answer_that_comes_after_the_lease_settles_what_was_uncertain(
    database: Database, conf: Settings, outcome: str
) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    with database.transaction() as tx:
        assert deliveries.expire_claims(tx, timedelta(0)) == 1
    assert state(database, send_id, 1) == "uncertain"
    assert settle(database, CLAIM, outcome) == 1
    assert (state(database, send_id, 1), row(database, send_id, 1)["detail"]) == (outcome, "said so")


@pytest.mark.parametrize("before", sorted(set(STATES) - {"claimed", "uncertain"}))
def test_an_answer_changes_nothing_that_is_settled(database: Database, conf: Settings, before: str) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    run(database, f"UPDATE deliveries SET state = '{before}'")
    assert settle(database, CLAIM, "accepted") == 0
    assert state(database, send_id, 1) == before


@pytest.mark.parametrize(("age", "is_lost"), [("9 minutes 50 seconds", False), ("10 minutes 10 seconds", True)])
def test_a_claim_is_given_up_after_its_lease_and_not_before(
    database: Database, conf: Settings, age: str, is_lost: bool
) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    with database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unconfirmed'")
        transactional_emails.queue(tx, "confirmation", 1)
        transactional_emails.claim_batch(tx, CLAIM, 1)
    for table in ("deliveries", "transactional_emails"):
        run(database, f"UPDATE {table} SET claimed_at = now() - interval '{age}'")
    with database.transaction() as tx:
        lease = timedelta(minutes=10)
        assert (deliveries.expire_claims(tx, lease), transactional_emails.expire_claims(tx, lease)) == (is_lost, is_lost)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("UPDATE subscribers SET state = 'unsubscribed'", "unsubscribed after the audience was frozen"),
        ("UPDATE subscribers SET paused_until = now() + interval '1 day'", "paused after the audience was frozen"),
        (
            "INSERT INTO suppressions (email_normal, reason) VALUES ('subscriber-1@example.org', 'complaint')",
            "suppressed after the audience was frozen",
        ),
    ],
)
def test_the_ledger_says_why_somebody_is_skipped(database: Database, conf: Settings, change: str, detail: str) -> None:
    send_id = start(database, conf, 2)
    run(database, f"{change} WHERE id = 1" if change.startswith("UPDATE") else change)
    with database.transaction() as tx:
        claimed, touched = deliveries.claim(tx, send_id, CLAIM, 10)
    assert ([one.subscriber_id for one in claimed], touched) == ([2], 2)
    one = row(database, send_id, 1)
    assert (one["state"], one["detail"], one["settled_at"] is not None) == ("skipped", detail, True)
    assert (state(database, send_id, 2), row(database, send_id, 2)["detail"]) == ("claimed", "")


def test_a_pause_that_is_over_is_no_reason_to_skip(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    run(database, "UPDATE subscribers SET paused_until = now() - interval '1 second'")
    claim(database, send_id)
    assert state(database, send_id, 1) == "claimed"


@pytest.mark.parametrize("one", STATES)
def test_a_wave_is_open_while_an_email_of_it_waits_or_is_on_the_wire(database: Database, conf: Settings, one: str) -> None:
    send_id = start(database, conf, 2)
    run(database, f"UPDATE deliveries SET state = '{one}', wave = 0 WHERE subscriber_id = 1")
    run(database, "UPDATE deliveries SET state = 'accepted' WHERE subscriber_id = 2")
    with database.transaction() as tx:
        assert deliveries.has_unsettled_in_wave(tx, send_id, 0) is (one in ("pending", "claimed"))
        assert sends.list_settled(tx) == ([] if one in ("pending", "claimed") else [send_id])
        assert not deliveries.has_unsettled_in_wave(tx, send_id, 1)


@pytest.mark.parametrize(("wave", "open_wave", "work"), [(0, 0, True), (1, 0, False), (1, 1, True), (0, 1, True)])
def test_workers_are_woken_for_the_open_wave_only(
    database: Database, conf: Settings, wave: int, open_wave: int, work: bool
) -> None:
    send_id = start(database, conf, 2)
    run(database, f"UPDATE deliveries SET wave = {wave}")
    run(database, f"UPDATE sends SET open_wave = {open_wave}")
    with database.transaction() as tx:
        assert sends.list_with_pending(tx) == ([send_id] if work else [])
        assert bool(deliveries.claim(tx, send_id, CLAIM, 10)[1]) is work


@pytest.mark.parametrize("rest", [None, "-1 second", "1 minute"])
def test_a_send_that_rests_is_neither_due_nor_woken(database: Database, conf: Settings, rest: str | None) -> None:
    send_id = start(database, conf, 1)
    until = f"now() + interval '{rest}'" if rest else "NULL"
    resting = rest == "1 minute"
    for kind in ("sending", "scheduled", "holding"):
        run(database, f"UPDATE sends SET state = '{kind}', due_at = now(), deferred_until = {until}")
        with database.transaction() as tx:
            assert [one.id for one in sends.list_due(tx)] == ([] if resting or kind == "sending" else [send_id])
            assert sends.list_with_pending(tx) == ([send_id] if kind == "sending" and not resting else [])
            assert (sends.backoff_seconds(tx, send_id) > 0) is resting


def test_a_send_that_goes_on_keeps_the_moment_at_which_it_began(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    run(database, "UPDATE sends SET started_at = '2026-11-24 09:00+00'")
    with database.transaction() as tx:
        for source, target in (
            (SendState.SENDING, SendState.PAUSED),
            (SendState.PAUSED, SendState.SENDING),
            (SendState.SENDING, SendState.FINISHED),
        ):
            assert sends.move(tx, send_id, [source], target)
        found = sends.get(tx, send_id)
    assert found
    assert found.started_at
    assert f"{found.started_at:%Y-%m-%d %H:%M}" == "2026-11-24 09:00"
    assert found.finished_at


def test_a_send_moves_only_from_the_states_that_were_meant(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    for source, there in itertools.product(SendState, SendState):
        run(database, f"UPDATE sends SET state = '{there}'")
        with database.transaction() as tx:
            assert sends.move(tx, send_id, [source], SendState.PAUSED, "so") is (source is there)


@pytest.mark.parametrize("one", STATES)
def test_what_used_the_quota_is_what_was_handed_over_or_may_have_been(database: Database, conf: Settings, one: str) -> None:
    start(database, conf, 1)
    run(database, f"UPDATE deliveries SET state = '{one}', settled_at = now() - interval '1 hour'")
    with database.transaction() as tx:
        number, at = deliveries.quota_returns_at(tx, 10)
    handed_over = one in ("accepted", "delivered", "bounced", "complained", "uncertain")
    assert (number, at is not None) == (handed_over, handed_over)


def test_the_quota_comes_back_when_the_last_of_so_many_is_a_day_old(database: Database, conf: Settings) -> None:
    start(database, conf, 4)
    run(database, "UPDATE deliveries SET state = 'accepted', settled_at = now() - subscriber_id * interval '7 hours'")
    with database.transaction() as tx:
        now = tx.value("SELECT now()")
        found = [deliveries.quota_returns_at(tx, emails) for emails in (1, 2, 3, 10)]
    assert [(number, round((at - now) / timedelta(hours=1))) for number, at in found if at] == [
        (1, 3),
        (2, 10),
        (3, 17),
        (3, 17),
    ]


@pytest.mark.parametrize("one", STATES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_correction_goes_to_those_who_got_that_very_edition(
    database: Database, conf: Settings, number: int, one: str
) -> None:
    start(database, conf, 2)
    run(database, "UPDATE deliveries SET state = 'accepted'")
    run(database, "UPDATE sends SET edition_number = 2, state = 'finished'")
    run(database, f"UPDATE deliveries SET state = '{one}' WHERE subscriber_id = 1")
    got = one in ("accepted", "delivered", "bounced", "complained", "uncertain")
    rule = audience.of_issue(audience.parse(f"sent edition {number}"), "2026-11-24-hello")
    other = audience.of_issue(audience.parse(f"sent edition {number}"), "another")
    with database.transaction() as tx:
        assert audiences.list_subscriber_ids(tx, rule) == ([*([1] if got else []), 2] if number == 2 else [])
        assert audiences.list_subscriber_ids(tx, other) == []


def test_an_event_does_not_replace_the_message_id_that_support_looks_for(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 2)
    claim(database, send_id)
    with database.transaction() as tx:
        deliveries.settle(tx, send_id, CLAIM, [Settlement(1, "accepted", "of-the-answer"), Settlement(2, "uncertain", "")])
    email_events.process_messages(database, conf, [event(send_id, subscriber, "Delivery") for subscriber in (1, 2)])
    assert [row(database, send_id, subscriber)["message_id"] for subscriber in (1, 2)] == ["of-the-answer", "m-2"]


@pytest.mark.parametrize(
    ("one", "kind", "health"),
    [
        ("accepted", "", (2, 0, 0, 0)), ("delivered", "", (2, 0, 0, 0)), ("bounced", "hard bounce", (2, 1, 0, 0)),
        ("bounced", "soft bounce", (2, 0, 1, 0)), ("bounced", "general bounce", (2, 0, 1, 0)),
        ("bounced", "content bounce", (2, 0, 0, 0)), ("complained", "complaint", (2, 0, 0, 1)),
        ("failed", "hard bounce", (1, 0, 0, 0)), ("uncertain", "hard bounce", (1, 0, 0, 0)),
        ("skipped", "provider suppression", (1, 0, 0, 0)), ("pending", "", (1, 0, 0, 0)),
        ("claimed", "", (1, 0, 0, 0)),
    ],
)  # fmt: skip
def test_a_sends_health_counts_each_outcome_once(
    database: Database, conf: Settings, one: str, kind: str, health: tuple[int, int, int, int]
) -> None:
    send_id = start(database, conf, 2)
    run(database, f"UPDATE deliveries SET state = '{one}', event_kind = '{kind}' WHERE subscriber_id = 1")
    run(database, "UPDATE deliveries SET state = 'delivered' WHERE subscriber_id = 2")
    with database.transaction() as tx:
        found = deliveries.read_health(tx, send_id)
    assert (found.rows, found.emails, found.hard, found.soft, found.complaints) == (2, *health)
