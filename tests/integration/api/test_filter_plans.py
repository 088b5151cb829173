"""What lists by tag and by metadata read, by the plans that Postgres ran: no more than they show, whoever has the tag."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.v1.subscribers import subscriber_filters
from mailer.core import migrate
from mailer.core.db import Database, PageRange
from mailer.flows.subscribers import subscriber_query
from mailer.flows.subscribers.subscriber_query import SubscriberPage, WantedTags
from mailer.store.subscribers.metadata_conditions import match_metadata
from tests import query_plans, services
from tests.query_plans import Work

PEOPLE, EARLY, PAGE = 6000, 900, 20
Ask = Callable[[dict[str, Any], PageRange], tuple[SubscriberPage, Work]]


@pytest.fixture(scope="module")
def ask(postgres_url: str) -> Iterator[Ask]:
    """Ask a list of 6,000 subscribers, of whom the first 900 have a tag, and every 600th has metadata that few have."""
    with services.migrated(postgres_url) as url:
        database = Database(url)
        with database.transaction() as tx:
            tx.run(
                """
                INSERT INTO subscribers (email, email_normal, state, tags, metadata)
                SELECT
                    n || '@example.org', n || '@example.org', 'active',
                    array_remove(ARRAY[CASE WHEN n <= %(early)s THEN 'early' END, CASE mod(n, 2) WHEN 0 THEN 'even' END], NULL),
                    CASE
                        WHEN mod(n, 600) = 0 THEN '{"plan": "pro", "seats": 7, "a": {"b": "x"}}' ELSE '{"plan": "free"}'
                    END::jsonb
                FROM generate_series(1, %(people)s) AS n
                """,
                early=EARLY,
                people=PEOPLE,
            )
            tx.script("ANALYZE")
        with query_plans.explained(database) as watch:

            def asked(query: dict[str, Any], page: PageRange) -> tuple[SubscriberPage, Work]:
                filters = subscriber_filters.parse_filters(query)
                where = subscriber_filters.build_conditions(database, filters)
                tags = WantedTags(filters.tag, subscriber_filters.has_only_tags(filters))
                found: list[SubscriberPage] = []
                order = subscriber_filters.get_order(filters)
                work = watch(lambda: found.append(subscriber_query.list_page(database, where, order, page, tags)))
                return found[0], work

            yield asked
        database.close()


@pytest.mark.parametrize("query", [{"tag": "early"}, {"tag": "early", "ordering": "creation_date"}, {"tag": ["early", "even"]}])
def test_a_list_by_tag_reads_only_the_page(ask: Ask, query: dict[str, Any]) -> None:
    for page in (PageRange(PAGE), PageRange(PAGE, after=500)):
        found, work = ask(query, page)
        assert len(found.subscribers) == PAGE
        reading = [plan for plan in work.plans if "subscriber_tags" in plan.text]
        assert len(reading) == 1
        assert reading[0].indexes >= {"subscriber_tags_pkey", "subscribers_pkey"}
        assert reading[0].count_rows("subscribers", "subscriber_tags") <= 6 * PAGE


@pytest.mark.parametrize(("key", "value"), [("plan", "pro"), ("plan", ["pro", "none"]), ("seats", "7"), ("a.b", "x")], ids=str)
def test_a_filter_by_metadata_reads_the_index(ask: Ask, key: str, value: Any) -> None:
    found, work = ask({f"metadata['{key}']": value}, PageRange(PAGE))
    assert found.count == len(found.subscribers) == PEOPLE // 600
    assert "subscribers_by_metadata" in work.indexes
    assert len(work.plans) == 1  # finds them once, for the page and for the number
    assert work.count_rows("subscribers") < PEOPLE / 4
    assert "subscribers" not in work.scans


def test_pages_of_gathered_subscribers_have_the_number_of_all(ask: Ask) -> None:
    query = {"metadata['plan']": "pro"}
    everybody, _ = ask(query, PageRange(PAGE))
    ids = [one.id for one in everybody.subscribers]
    second, _ = ask(query, PageRange(2, after=ids[1]))
    assert [one.id for one in second.subscribers] == ids[2:4]
    assert second.count == len(ids)
    beyond, _ = ask(query, PageRange(2, after=ids[-1]))
    assert (beyond.subscribers, beyond.count) == ([], len(ids))


TEXTS = ["pro", "7", "7.0", "7.00", "-0.5", "true", "null", "", '"', "\\", "é", "1e5", "01", '{"b": 1}', "[1]", "[]"]
VALUES: list[Any] = [*TEXTS, 7, -0.5, 1e5, True, False, None, {"b": 1}, [1], [], {}]
NESTED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "k": lambda value: {"k": value},
    "k.l": lambda value: {"k": {"l": value}},
    "a.b": lambda value: {"a.b": value, "a": {"b": 0}},
    "k.0": lambda value: {"k": [value]},
}


@pytest.mark.parametrize("key", NESTED)
def test_asking_the_index_loses_no_value(database: Database, key: str) -> None:
    rows = json.dumps([NESTED[key](value) for value in VALUES])
    with database.transaction() as tx:
        for text in TEXTS:
            by_index, plain = (match_metadata(0, key, [text], negated) for negated in (False, True))
            found = tx.one(
                f"SELECT count(*) FILTER (WHERE {by_index.sql}) AS found, count(*) FILTER (WHERE {plain.sql}) AS others"
                " FROM jsonb_array_elements(%(rows)s::jsonb) AS row (metadata)",
                **by_index.values,
                rows=rows,
            )
            assert found
            assert found["found"] + found["others"] == len(VALUES), text
            assert found["found"] >= 1


def test_a_large_count_is_recalled_for_a_while(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber_query, "_MAX_EXACT_COUNT", 100)
    query = {"tag": "early", "type": "regular"}
    first, counting = ask(query, PageRange(PAGE))
    again, recalling = ask(query, PageRange(PAGE, after=500))
    assert first.count == again.count == EARLY
    assert len(counting.plans) == len(recalling.plans) + 1
    monkeypatch.setattr(subscriber_query, "_MAX_COUNT_AGE", 0.0)
    assert len(ask(query, PageRange(PAGE))[1].plans) == len(counting.plans)


def test_a_filter_that_many_meet_reads_the_first_rows_or_gathers(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber_query, "_MAX_EXACT_COUNT", 5)
    monkeypatch.setattr(subscriber_query, "_SCANNED_ROWS", PEOPLE // 10)
    for query, key, most_read in (({"metadata['plan']": "free"}, None, 300), ({"metadata['plan']": "pro"}, 5900, PEOPLE // 4)):
        found, _ = ask(query, PageRange(PAGE // 5, after=key))
        again, work = ask(query, PageRange(PAGE // 5, after=key))
        assert again == found
        assert [one.id for one in again.subscribers] == sorted((one.id for one in again.subscribers), reverse=True)
        assert len(found.subscribers) == PAGE // 5
        assert work.count_rows("subscribers") < most_read, query


def test_the_table_of_tags_follows_the_arrays_and_is_filled_by_its_migration(database: Database) -> None:
    [migration] = migrate.FOLDER.glob("*_tags_and_metadata.sql")
    fill = migration.read_text(encoding="utf-8").partition("INSERT")
    with database.transaction() as tx:
        for change in (
            "INSERT INTO subscribers (email, email_normal, tags) SELECT n, n, '{a, b, a}' FROM generate_series(1, 9) AS n",
            "UPDATE subscribers SET tags = array_append(tags, 'c') WHERE id > 2",
            "UPDATE subscribers SET tags = array_remove(tags, 'a') WHERE id IN (3, 4)",
            "UPDATE subscribers SET tags = ARRAY['c', 'b'], notes = 'x' WHERE id IN (4, 5)",
            "UPDATE subscribers SET notes = 'y'",
            "UPDATE subscribers SET erased_at = now() WHERE id = 6",
            "UPDATE subscribers SET erased_at = now(), tags = '{}' WHERE id = 7",
            "DELETE FROM subscribers WHERE id = 8",
            "UPDATE subscribers SET erased_at = NULL WHERE id = 6",
            "DELETE FROM subscriber_tags",
            f"{fill[1]}{fill[2]}",
        ):
            tx.script(change)
            if change == "DELETE FROM subscriber_tags":
                continue
            wanted = tx.all("SELECT DISTINCT unnest(tags) AS tag, id FROM subscribers WHERE erased_at IS NULL ORDER BY 1, 2")
            assert wanted == tx.all("SELECT tag, subscriber_id AS id FROM subscriber_tags ORDER BY 1, 2"), change
            assert len(wanted) > 10
