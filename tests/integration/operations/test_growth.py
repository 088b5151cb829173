"""``postmerge growth``: every change is counted once, whatever happened in which order, and outlives erasures."""

from __future__ import annotations

import csv
import io
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailer import cli
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.operations.growth import COUNTED, Growth, growth_facts, measure_growth
from mailer.store.operations import growth
from mailer.store.subscribers import suppressions
from tests.factories import add_subscribers, settings
from tests.web import Web


@pytest.fixture
def conf(tmp_path: Path, database_url: str) -> Settings:
    return settings(tmp_path, database_url)


def total(found: Growth) -> dict[str, int]:
    return {name: getattr(found.total, name) for name in COUNTED if getattr(found.total, name)}


def run(database: Database, sql: str, **values: object) -> None:
    with database.transaction() as tx:
        tx.run(sql, **values)


def bounce(database: Database, subscriber_id: int, kind: str, send_id: int = 1) -> None:
    """What an event of SES does."""
    with database.transaction() as tx:
        tx.run(
            "INSERT INTO delivery_events (send_id, subscriber_id, kind, at) VALUES (%(send)s, %(id)s, %(kind)s, now())"
            " ON CONFLICT DO NOTHING",
            send=send_id, id=subscriber_id, kind=kind,
        )  # fmt: skip
        suppressions.add_for_subscribers(tx, [subscriber_id], "complaint" if kind == "complaint" else "hard bounce")


def at(database: Database, days_ago: float, type_: str, subscriber_id: int, facts: dict[str, str]) -> None:
    """An event of another day."""
    run(
        database,
        "INSERT INTO events (at, type, subscriber_id, facts) VALUES (%(at)s, %(type)s, %(id)s, %(facts)s::jsonb)",
        at=datetime.now(UTC) - timedelta(days=days_ago), type=type_, id=subscriber_id, facts=json.dumps(facts),
    )  # fmt: skip


def test_each_change_is_counted_once_in_its_column(database: Database, conf: Settings) -> None:
    web = Web(conf, database)
    web.send(6)
    web.subscribe("ada@example.org")
    assert total(measure_growth(database, conf, 1)) == {"joined": 7, "confirmed": 6, "net": 6}
    run(database, "UPDATE subscribers SET state = 'active' WHERE email = 'ada@example.org'")
    run(database, "UPDATE subscribers SET state = 'unsubscribed' WHERE id = 1")
    for kind in ("hard bounce", "hard bounce", "soft bounce"):
        bounce(database, 2, kind)
    bounce(database, 3, "complaint")
    run(database, "UPDATE subscribers SET state = 'unsubscribed' WHERE id = 3")  # lost already
    run(database, "UPDATE subscribers SET state = 'unsubscribed', erased_at = now() WHERE id IN (1, 4)")
    expected = {"joined": 7, "confirmed": 7, "unsubscribed": 2, "bounced": 1, "complained": 1, "net": 3}
    found = measure_growth(database, conf, 1)
    assert total(found) == expected
    assert found.subscribers == 3


def test_whatever_happens_the_net_is_the_number_of_subscribers_that_can_be_reached(database: Database, conf: Settings) -> None:
    chance = random.Random(24)
    Web(conf, database).send(12)
    actions = (
        "UPDATE subscribers SET state = 'unsubscribed' WHERE id = %(id)s AND erased_at IS NULL",
        "UPDATE subscribers SET state = 'active' WHERE id = %(id)s AND erased_at IS NULL AND NOT EXISTS"
        " (SELECT FROM suppressions WHERE suppressions.email_normal = subscribers.email_normal)",
        "UPDATE subscribers SET state = 'unsubscribed', erased_at = now() WHERE id = %(id)s",
        "UPDATE subscribers SET tags = '{a}' WHERE id = %(id)s AND erased_at IS NULL",
        "bounce", "complaint", "lift",
    )  # fmt: skip
    reachable = """
        SELECT count(*) FROM subscribers
        WHERE state = 'active' AND NOT EXISTS (
            SELECT FROM suppressions WHERE suppressions.email_normal = subscribers.email_normal
        )
    """
    for _ in range(150):
        subscriber_id, action = chance.randint(1, 12), chance.choice(actions)
        if action in ("bounce", "complaint"):
            bounce(database, subscriber_id, "hard bounce" if action == "bounce" else action, chance.randint(1, 10_000))
        elif action == "lift":
            run(database, """
                WITH gone AS (
                    DELETE FROM suppressions USING subscribers
                    WHERE subscribers.id = %(id)s AND suppressions.email_normal = subscribers.email_normal
                    RETURNING suppressions.email_normal, reason
                )
                INSERT INTO lifted_suppressions (email_normal, reason, suppressed_at, lifted_by)
                SELECT email_normal, reason, now(), 'operator' FROM gone
            """, id=subscriber_id)  # fmt: skip
        else:
            run(database, action, id=subscriber_id)
        with database.transaction() as tx:
            growth.collect_changes(tx)
            assert growth.count_reached(tx) == tx.value(reachable), action
    found = measure_growth(database, conf, 1)
    assert found.total.net == found.subscribers


def test_days_sources_topics_and_languages(database: Database, conf: Settings) -> None:
    run(database, """
        INSERT INTO subscribers (email, email_normal, state, tags, lang) VALUES
        ('a@x.org', 'a@x.org', 'active', '{python,secret}', 'de'), ('b@x.org', 'b@x.org', 'active', '{python}', '')
    """)  # fmt: skip
    run(database, """
        INSERT INTO consents (subscriber_id, kind, source, evidence) VALUES
        (1, 'requested', 'form', '{"page": "https://x.org/about/?utm=1"}'), (1, 'confirmed', 'page', '{}'),
        (2, 'added', 'cli', '{}')
    """)  # fmt: skip
    at(database, 3, "subscriber.created", 99, {"state": "active"})
    at(database, 2, "subscriber.deleted", 99, {})
    at(database, 40, "subscriber.created", 98, {"state": "active"})
    found = measure_growth(database, Settings(**{**vars(conf), "topics": ("python",)}), 30)
    assert [(one.joined, one.unsubscribed, one.net) for one in found.days] == [(1, 0, 1), (0, 1, -1), (2, 0, 2)]
    assert {one.name: one.net for one in found.groups["source"]} == {"form https://x.org/about/": 1, "cli": 1, "": 0}
    assert {one.name: one.net for one in found.groups["topic"]} == {"python": 2, "": 0}
    assert {one.name: one.confirmed for one in found.groups["language"]} == {"de": 1, "": 2}
    assert found.subscribers == 3


def test_cohorts_say_how_many_stayed_and_nothing_about_the_future(database: Database, conf: Settings) -> None:
    for subscriber_id, (came, left) in enumerate([(150, 140), (150, 60), (150, None), (1, None)], 1):
        at(database, came, "subscriber.created", subscriber_id, {"state": "active"})
        if left:
            at(database, left, "subscriber.type.changed", subscriber_id, {"from": "active", "to": "unsubscribed"})
    first, *_, last = measure_growth(database, conf, 30).cohorts
    assert (first.confirmed, first.kept, first.now) == (3, {1: 2, 3: 1, 6: None, 12: None}, 1)
    assert last.kept == {1: None, 3: None, 6: None, 12: None}


def test_who_left_after_which_issue_is_a_count(database: Database, conf: Settings) -> None:
    send_id = Web(conf, database).send(5)
    run(database, "UPDATE subscribers SET state = 'unsubscribed' WHERE id = 1")
    bounce(database, 2, "hard bounce", send_id)
    add_later = "INSERT INTO subscribers (email, email_normal, state) VALUES ('z@x.org', 'z@x.org', 'active')"
    run(database, add_later)
    run(database, "UPDATE subscribers SET state = 'unsubscribed' WHERE email = 'z@x.org'")  # after no issue
    [one] = measure_growth(database, conf, 30).issues
    assert (one.send_id, one.emails, one.unsubscribed, one.bounced, one.complained) == (send_id, 5, 1, 1, 0)


def call(conf: Settings, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    monkeypatch.setenv("DATABASE_URL", conf.database_url)
    monkeypatch.setenv("COLUMNS", "80")
    return CliRunner().invoke(cli.cli, ["growth", *options])


@pytest.mark.parametrize("by", ["day", "source", "topic", "language", "cohort", "issue"])
def test_every_view_is_a_table_of_80_columns_and_csv(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    Web(conf, database).send(3)
    page = "https://example.org/a/very/long/path/to/the/form/that/does/not/fit/"
    run(database, """
        INSERT INTO consents (subscriber_id, kind, source, evidence) VALUES (1, 'requested', '=form', %(evidence)s::jsonb)
    """, evidence=json.dumps({"page": page}))  # fmt: skip
    done = call(conf, monkeypatch, "--by", by)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("3 subscribers now. Since ")
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80
    head, *rows = csv.reader(io.StringIO(call(conf, monkeypatch, "--by", by, "--csv").output))
    assert {len(row) for row in rows} == {len(head)}
    assert not any(row[0].startswith("=") for row in rows)


def test_json_has_all_views_and_csv_excludes_it(database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    add_subscribers(database, 2)
    facts = json.loads(call(conf, monkeypatch, "--json").output)
    assert facts == json.loads(json.dumps(growth_facts(measure_growth(database, conf, 30)), default=str))
    assert list(facts) == ["since", "subscribers", "total", "days", "source", "topic", "language", "cohorts", "issues"]
    assert facts["total"] == {"joined": 2, "confirmed": 2, "unsubscribed": 0, "bounced": 0, "complained": 0, "net": 2}
    assert call(conf, monkeypatch, "--json", "--csv").exit_code == 1


def test_an_empty_list_says_so(database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Nothing changed in this time" in call(conf, monkeypatch).output
