"""Audience rules on a real Postgres: each comparison chooses whom it says, and a rule and its opposite share everybody out."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.cli import cli
from mailer.core.audience import parse
from mailer.core.db import Database
from mailer.store.sending import audiences

SUBSCRIBERS = """
    INSERT INTO subscribers (email, email_normal, state, tags, metadata, lang, confirmed_at, created_at, active_at, frequency,
        paused_until)
    VALUES
    ('a@x.org', 'a@x.org', 'active', '{vip}', '{"city": "Paris", "age": 20}', 'de', now() - interval '3 days',
        '2020-01-01', now(), 'every', NULL),
    ('b@y.org', 'b@y.org', 'active', '{}', '{"city": "paris", "age": "9"}', 'fr', '2021-05-06 12:00+00',
        '2020-01-01', NULL, 'every', NULL),
    ('c@y.org', 'c@y.org', 'active', '{vip,new}', '{"city": "", "age": "many"}', '', '2022-05-06',
        '2020-01-01', NULL, 'every', now() - interval '1 day'),
    ('d@z.org', 'd@z.org', 'active', '{}', '{"first name": "Dan", "yes": true}', '', '2022-05-06',
        '2020-01-01', NULL, 'every', NULL),
    ('monthly@z.org', 'monthly@z.org', 'active', '{vip}', '{}', '', '2022-05-06', '2020-01-01', NULL, 'monthly', NULL),
    ('paused@z.org', 'paused@z.org', 'active', '{vip}', '{}', '', '2022-05-06', '2020-01-01', NULL, 'every',
        now() + interval '1 day')
"""


def chosen(database: Database, rule: str) -> str:
    """The first letters of who gets an email by this rule."""
    where, values = audiences.compile_rule(parse(rule))
    with database.transaction() as tx:
        mailable = audiences.MAILABLE.replace("{rule}", where)
        rows = tx.all(f"SELECT email {mailable} ORDER BY email", **values)
        assert audiences.count(tx, parse(rule)) == len(rows)
    return "".join(row["email"][0] for row in rows)


@pytest.fixture
def filled(database: Database) -> Database:
    with database.transaction() as tx:
        tx.run(SUBSCRIBERS)
    return database


@pytest.mark.parametrize(
    ("rule", "who"),
    [
        ("everyone", "abcd"),
        ("vip", "ac"),
        ("metadata.city = PARIS", "ab"),
        ("metadata.city != paris", "cd"),
        ("not metadata.city = paris", "cd"),
        ("metadata.city", "ab"),
        ("metadata.age > 10", "a"),
        ("metadata.age <= 10", "b"),
        ("metadata.age != 20", "bcd"),
        ("metadata.age = many", "c"),
        ('metadata."first name" = dan', "d"),
        ("metadata.yes = true", "d"),
        ("joined within 30d", "a"),
        ("joined = 2021-05-06", "b"),
        ("joined < 2022-01-01", "b"),
        ("joined >= 2022-05-06 and not vip", "d"),
        ("active within 8w", "a"),
        ("not active within 8w", "bcd"),
        ("lang = de or lang = FR", "ab"),
        ("domain = y.org and (vip or metadata.age < 10)", "bc"),
        ('metadata.city = "x\' OR true --"', ""),
    ],
)
def test_a_rule_chooses_whom_it_says(filled: Database, rule: str, who: str) -> None:
    assert chosen(filled, rule) == who


departures = st.sampled_from(
    ["vip", "new", "everyone", "metadata.city = paris", "metadata.age >= 9", "metadata.none != 1", "metadata.yes", "lang = de",
     "active within 9d", "joined > 2021-06-01", "domain != y.org"]
)  # fmt: skip
rules = st.recursive(
    departures,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=6,
)


@given(rule=rules)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rule_and_its_opposite_share_everybody_out(filled: Database, rule: str) -> None:
    assert sorted(chosen(filled, rule) + chosen(filled, f"not ({rule})")) == list("abcd")


def test_the_list_takes_the_same_rules_and_says_what_is_wrong(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", filled.url)

    def run(rule: str) -> Result:
        return CliRunner().invoke(cli, ["subscribers", "list", "--json", "--audience", rule])

    assert [one["email"] for one in json.loads(run("vip and metadata.age > 9").output)] == ["a@x.org"]
    assert "column 5" in str(run("vip vip").exception)
    assert "Nobody has the tag vipp" in str(run("vipp").exception)
