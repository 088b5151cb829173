"""Growing queues and missing events raise a notice within a minute; bursts, slow servers and pauses do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.operations.heartbeats import BEAT_SECONDS
from mailer.flows.operations.operator_notices import POST_SECONDS
from tests.factories import add_subscribers, settings
from tests.integration.operations.test_standstills import ALL, execute, list_told, look, pass_time, see, send

__all__ = ["send"]


def pass_heartbeat(database: Database, arrived: int, sent: int) -> list[str]:
    """Let ten seconds pass in which transactional emails arrive and others are sent, oldest first; return the notices."""
    pass_time(database, int(BEAT_SECONDS))
    with database.transaction() as tx:
        tx.run(
            """
            UPDATE transactional_emails SET state = 'accepted' WHERE id IN (
                SELECT id FROM transactional_emails WHERE state = 'pending' ORDER BY id LIMIT %(number)s
            )
            """,
            number=sent,
        )
        tx.run(
            """
            INSERT INTO transactional_emails (kind, subscriber_id, created_at)
            SELECT 'paid', 1, now() - n * interval '10 seconds' / %(number)s
            FROM generate_series(%(number)s, 1, -1) AS n
            """,
            number=arrived,
        )
        if sent:
            tx.run(
                "INSERT INTO work_progress VALUES ('transactional emails', now())"
                " ON CONFLICT (kind) DO UPDATE SET moved_at = now()"
            )
    see(database, *ALL)
    return look(database)


@pytest.fixture
def queue(database: Database) -> Database:
    add_subscribers(database, 1)
    see(database, *ALL)
    return database


def test_a_queue_that_grows_is_told_within_a_minute_once_and_once_when_it_is_over(queue: Database) -> None:
    beats = [pass_heartbeat(queue, arrived=30, sent=10) for _ in range(9)]
    told = [text for texts in beats for text in texts]
    assert ["The queue of transactional emails grows" in text for text in told] == [True]
    assert BEAT_SECONDS * next(number for number, texts in enumerate(beats, 1) if texts) <= 60 - POST_SECONDS
    beats = [pass_heartbeat(queue, arrived=10, sent=60) for _ in range(9)]
    assert [text for texts in beats for text in texts] == [f"This is over: {told[0]}"]


@pytest.mark.parametrize(
    "beats",
    [
        pytest.param([(1000, 0)] + [(2, 60)] * 20, id="a burst that is worked off"),
        pytest.param([(3, 0), (400, 3)] + [(3, 30)] * 12, id="a burst after a few"),
        pytest.param([(300, 60)] + [(0, 60)] * 2 + [(300, 60)] + [(0, 60)] * 8, id="two bursts"),
        pytest.param([(40, 20), (20, 40)] * 10, id="as many arrive as are sent"),
    ],
)
def test_a_queue_that_is_worked_off_is_not_told(queue: Database, beats: list[tuple[int, int]]) -> None:
    assert [text for arrived, sent in beats for text in pass_heartbeat(queue, arrived, sent)] == []


def accept(database: Database, number: int) -> None:
    """Let SES have accepted the send's emails just now; ``number`` of them in all."""
    with database.transaction() as tx:
        tx.run(
            "INSERT INTO deliveries (send_id, subscriber_id) SELECT sends.id, subscribers.id FROM sends, subscribers"
            " WHERE sends.state = 'sending' ON CONFLICT DO NOTHING"
        )
        tx.run("DELETE FROM deliveries WHERE subscriber_id > %(number)s", number=number)
        tx.run("UPDATE deliveries SET state = 'accepted', settled_at = now()")


@pytest.fixture
def events_conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, transport="ses", sqs_queue_url="https://sqs.eu-west-1.amazonaws.com/1/x")


def seconds_until_told(database: Database, conf: Settings, limit: int) -> float:
    """Let heartbeats pass until there is a notice; infinity if nothing is before the limit."""
    for number in range(1, int(limit / BEAT_SECONDS) + 1):
        pass_time(database, int(BEAT_SECONDS))
        see(database, "events", *ALL)
        execute(database, "INSERT INTO work_progress VALUES ('sends', now()) ON CONFLICT (kind) DO UPDATE SET moved_at = now()")
        if look(database, conf):
            return number * BEAT_SECONDS
    return float("inf")


@pytest.mark.parametrize(("emails", "told_sent"), [(1, True), (3, True), (10, False), (100, False)])
def test_events_that_stopped_are_told_within_a_minute(
    database: Database, send: int, events_conf: Settings, emails: int, told_sent: bool
) -> None:
    add_more = max(0, emails - 3)
    execute(
        database,
        "INSERT INTO subscribers (email, email_normal, state) SELECT n || '@example.net', n || '@example.net', 'active'"
        f" FROM generate_series(1, {add_more}) AS n",
    )
    if told_sent:  # of another send, long ago
        execute(database, "INSERT INTO tallies (kind, key, number) VALUES ('event', 'subscriber.sent', 1)")
    accept(database, emails)
    assert seconds_until_told(database, events_conf, 120) <= 60 - POST_SECONDS
    execute(database, f"INSERT INTO delivery_events (send_id, subscriber_id, kind, at) VALUES ({send}, 1, 'delivery', now())")
    pass_time(database, 16)
    see(database, "events", *ALL)
    look(database, events_conf)
    pass_time(database, 16)
    see(database, "events", *ALL)
    look(database, events_conf)
    assert list_told(database)[-1].startswith("This is over: SES accepted emails")


def test_few_emails_whose_servers_take_their_time_are_not_told_before_a_quarter_of_an_hour(
    database: Database, send: int, events_conf: Settings
) -> None:
    accept(database, 3)  # and SES never told that it sent one
    assert seconds_until_told(database, events_conf, 15 * 60) == float("inf")
    assert seconds_until_told(database, events_conf, 60) <= 60


def test_a_send_that_rests_between_its_emails_misses_no_events(database: Database, send: int, events_conf: Settings) -> None:
    accept(database, 2)
    for kind in ("send", "delay"):
        execute(database, f"INSERT INTO delivery_events (send_id, subscriber_id, kind, at) VALUES ({send}, 1, '{kind}', now())")
    assert seconds_until_told(database, events_conf, 300) == float("inf")


def test_events_are_not_missed_where_they_are_not_set_up(database: Database, send: int, tmp_path: Path) -> None:
    accept(database, 3)
    execute(database, "INSERT INTO tallies (kind, key, number) VALUES ('event', 'subscriber.sent', 1)")
    assert seconds_until_told(database, settings(tmp_path, transport="ses"), 120) == float("inf")


def test_a_finished_send_without_any_event_is_told(database: Database, send: int, tmp_path: Path) -> None:
    conf = settings(tmp_path, transport="ses", sns_topic="arn:aws:sns:eu-west-1:1:x")
    accept(database, 3)
    execute(database, "UPDATE sends SET state = 'finished', finished_at = now()")
    for seconds, told in ((60, 0), (15 * 60, 0), (16, 1)):
        pass_time(database, seconds)
        see(database, *ALL)
        look(database, conf)
        assert len(list_told(database)) == told
