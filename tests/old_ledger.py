"""A ledger of many weeks, as if a newsletter had been sent to the same subscribers each week. For tests and benches.

Rows are inserted as they are after their last event, without triggers: what these would write is inserted too.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from mailer.core.db import Database, Tx
from tests import factories

_SENDS = """
    WITH weeks AS (
        SELECT number, 'week-' || number AS key, now() - make_interval(weeks => %(weeks)s - number + 1) AS at
        FROM generate_series(1, %(weeks)s) AS number
    ),

    known AS (
        INSERT INTO issues (key, path, title, dated, digest) SELECT key, key || '.md', key, at, key FROM weeks RETURNING key
    ),

    stored AS (
        INSERT INTO editions (issue_key, number, digest, title, subject, preheader, lang, url, html, text)
        SELECT key, 1, key, key, key, '', 'en', '', '', '' FROM weeks
        RETURNING id, issue_key
    )

    INSERT INTO sends (
        issue_key, edition_number, edition_id, state, sender, audience, audience_size, due_at, created_at, frozen_at,
        started_at, finished_at
    )
    SELECT
        key, 1, stored.id, 'finished', 'letter@example.org', 'everyone', %(subscribers)s, at, at, at, at,
        at + interval '10 minutes'
    FROM weeks JOIN stored ON issue_key = key
    WHERE (SELECT count(*) FROM known) > 0
    ORDER BY number
"""
_CREATED = """
    INSERT INTO events (at, type, subscriber_id, facts)
    SELECT now() - make_interval(weeks => %(weeks)s + 1), 'subscriber.created', id, '{"state": "active"}'
    FROM subscribers ORDER BY id
"""
# Of 1,000 emails, 2 bounced, 1 was skipped, and of 10,000, 1 was reported as spam.
_WEEK = """
    WITH planned AS (
        SELECT
            sends.id AS send_id, subscribers.id AS subscriber_id, claim, hashtextextended(email_normal, 0) AS hash,
            started_at + subscribers.id * interval '2 milliseconds' AS at,
            CASE
                WHEN mod(subscribers.id * 7 + sends.id, 10000) = 1 THEN 'complaint'
                WHEN mod(subscribers.id * 7 + sends.id, 1000) IN (2, 3) THEN 'soft bounce'
                WHEN mod(subscribers.id * 7 + sends.id, 1000) = 4 THEN ''
                ELSE 'delivery'
            END AS event
        FROM (SELECT id, started_at, gen_random_uuid() AS claim FROM sends WHERE id = %(id)s OFFSET 0) AS sends
        CROSS JOIN subscribers
    ),

    delivered AS (
        INSERT INTO deliveries (
            send_id, subscriber_id, claimed_at, claimed_by, attempts, address_hash, variant, settled_at, event_kind, state,
            message_id
        )
        SELECT
            send_id, subscriber_id, at, claim, 1, hash, '', at + interval '1 second', event,
            CASE event WHEN 'delivery' THEN 'delivered' WHEN 'soft bounce' THEN 'bounced' WHEN 'complaint' THEN 'complained'
                ELSE 'skipped' END,
            CASE WHEN event <> '' THEN '0107' || md5(send_id || ' ' || subscriber_id) || '-7d2c-4b1f-a4c5-000000' END
        FROM planned
        RETURNING send_id, subscriber_id, event_kind AS kind, settled_at AS at
    ),

    reported AS (
        INSERT INTO delivery_events (send_id, subscriber_id, kind, at, detail, recorded_at)
        SELECT
            send_id, subscriber_id, kind, at, CASE WHEN kind = 'delivery' THEN '' ELSE 'smtp; 450 4.2.2 mailbox full' END,
            at + interval '2 seconds'
        FROM delivered WHERE kind <> ''
        RETURNING send_id, subscriber_id, kind, recorded_at AS at
    )

    INSERT INTO events (at, type, subscriber_id, send_id, facts)
    SELECT
        at, 'subscriber.' || outcome_word(kind), subscriber_id, send_id,
        CASE WHEN kind = 'soft bounce' THEN '{"kind": "soft bounce"}'::jsonb ELSE '{}' END
    FROM reported
"""
GROWING = ("deliveries", "delivery_events", "events")


def fill(database: Database, weeks: int, subscribers: int, sessions: int = 1) -> None:
    """Add subscribers, and a finished send to all of them for each past week, with one event of SES about each email."""
    factories.add_subscribers(database, subscribers, ("python",))
    with without_triggers(database) as tx:
        tx.run("UPDATE subscribers SET created_at = now() - make_interval(weeks => %(weeks)s + 1)", weeks=weeks)
        _create_past_months(tx, weeks)
        tx.run("DELETE FROM events")
        tx.run(_CREATED, weeks=weeks)
        tx.run(_SENDS, weeks=weeks, subscribers=subscribers)
        ids = [row["id"] for row in tx.all("SELECT id FROM sends ORDER BY id")]
    with without_indexes(database, *GROWING), ThreadPoolExecutor(sessions) as threads:
        list(threads.map(lambda send_id: _add_week(database, send_id), ids))
    vacuum(database)


def vacuum(database: Database) -> None:
    """Vacuum and analyze what grows with each send."""
    with database.glance() as tx:
        for table in ("subscribers", "sends", *GROWING):
            tx.script(f"VACUUM ANALYZE {table}")


def _add_week(database: Database, send_id: int) -> None:
    with without_triggers(database) as tx:
        tx.run(_WEEK, id=send_id)


def _create_past_months(tx: Tx, weeks: int) -> None:
    until = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    oldest = until - timedelta(weeks=weeks + 2)
    while until > oldest:
        month = (until - timedelta(days=1)).replace(day=1)
        tx.script(f"CREATE TABLE events_{month:%Y_%m} PARTITION OF events FOR VALUES FROM ('{month}') TO ('{until}')")
        until = month


@contextmanager
def without_triggers(database: Database) -> Iterator[Tx]:
    """A transaction in which no trigger and no foreign key looks at what is written."""
    with database.transaction() as tx:
        tx.script("SET LOCAL session_replication_role = replica")
        yield tx


@contextmanager
def without_indexes(database: Database, *tables: str) -> Iterator[None]:
    """Create the indexes after the block: sorting all rows once is several times as fast."""
    with database.transaction() as tx:
        found = tx.all(
            """
            SELECT
                indexrelid::regclass::text AS name, indrelid::regclass::text AS in_table,
                pg_get_indexdef(indexrelid) AS made, pg_get_constraintdef(pg_constraint.oid) AS key
            FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u')
            WHERE indrelid = ANY(%(tables)s::regclass [])
                AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype = 'f')
        """,
            tables=list(tables),
        )
        for one in found:
            tx.script(
                f"ALTER TABLE {one['in_table']} DROP CONSTRAINT {one['name']}" if one["key"] else f"DROP INDEX {one['name']}"
            )
    yield
    with database.transaction() as tx:
        tx.script("SET LOCAL maintenance_work_mem = '1GB'")
        for one in found:
            added = f"ALTER TABLE {one['in_table']} ADD CONSTRAINT {one['name']} {one['key']}"
            tx.script(added if one["key"] else one["made"].replace(" ON ONLY ", " ON "))
