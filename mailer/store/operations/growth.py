"""How the list grows, from the events about subscribers, which are only ever added and outlive erasures.

A subscriber counts as reached from the moment they are active until they unsubscribe, are deleted, bounce for good or complain;
each change counts once, so the sum of all is the number of subscribers reached now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mailer.core.db import Tx

_STEPS = """
    SELECT
        id, at, subscriber_id, send_id,
        CASE
            WHEN type = 'subscriber.created' THEN CASE WHEN facts ->> 'state' = 'active' THEN 'confirmed' ELSE 'joined' END
            WHEN type = 'subscriber.type.changed' AND facts ->> 'to' = 'active' THEN 'confirmed'
            WHEN type = 'subscriber.bounced' THEN 'bounced'
            WHEN type = 'subscriber.complained' THEN 'complained'
            ELSE 'unsubscribed'
        END AS step,
        type = 'subscriber.created' AS came
    FROM events
    WHERE subscriber_id IS NOT NULL AND (
        type IN ('subscriber.created', 'subscriber.deleted', 'subscriber.complained')
        OR (type = 'subscriber.type.changed' AND 'active' IN (facts ->> 'from', facts ->> 'to'))
        OR (type = 'subscriber.bounced' AND facts ->> 'kind' = 'hard bounce')
    )
"""
# Each row is a step that counts; ``reached`` is whether the subscriber is reached after it.
_CHANGES = f"""
    SELECT at, subscriber_id, send_id, came, step, step = 'confirmed' AS reached, counts
    FROM (
        SELECT
            steps.*,
            (step = 'confirmed')
            <> coalesce(lag(step = 'confirmed') OVER (PARTITION BY subscriber_id ORDER BY id), FALSE) AS counts
        FROM ({_STEPS}) AS steps
    ) AS ordered
    WHERE came OR counts
"""
_COUNTS = """
        count(*) FILTER (WHERE came) AS joined,
        count(*) FILTER (WHERE counts AND step = 'confirmed') AS confirmed,
        count(*) FILTER (WHERE counts AND step = 'unsubscribed') AS unsubscribed,
        count(*) FILTER (WHERE counts AND step = 'bounced') AS bounced,
        count(*) FILTER (WHERE counts AND step = 'complained') AS complained
"""
# The groups a subscriber is in. Those who were erased have left nothing but their number.
_GROUPS = {
    "source": """
        SELECT DISTINCT ON (subscriber_id)
            subscriber_id,
            source || coalesce(' ' || nullif(regexp_replace(left(evidence ->> 'page', 200), '[?#].*$', ''), ''), '') AS name
        FROM consents ORDER BY subscriber_id, id
    """,
    "topic": """
        SELECT subscribers.id AS subscriber_id, tag AS name
        FROM subscribers CROSS JOIN unnest(tags) AS tag
        WHERE cardinality(%(topics)s::text []) = 0 OR tag = ANY(%(topics)s::text [])
    """,
    "language": "SELECT id AS subscriber_id, lang AS name FROM subscribers WHERE lang <> ''",
}


@dataclass(frozen=True)
class GrowthCounts:
    """The changes of a day or a group; ``name`` is the day as YYYY-MM-DD, or the group's name ('' for the rest)."""

    name: str
    joined: int
    confirmed: int
    unsubscribed: int
    bounced: int
    complained: int

    @property
    def net(self) -> int:
        """How many more subscribers are reached."""
        return self.confirmed - self.unsubscribed - self.bounced - self.complained


@dataclass(frozen=True)
class Cohort:
    """Those first reached in a month (YYYY-MM): how many, and how many of them after so many months and now.

    A number is None while so many months have not passed.
    """

    month: str
    confirmed: int
    kept: dict[int, int | None]
    now: int


@dataclass(frozen=True)
class IssueLosses:
    """Who was lost after an issue, as counts: until the next issue reached them."""

    send_id: int
    issue: str
    started_at: datetime
    emails: int
    unsubscribed: int
    bounced: int
    complained: int


def collect_changes(tx: Tx) -> None:
    """Collect all changes once in a temporary table, which the other functions read. It ends with the transaction."""
    tx.script(f"CREATE TEMP TABLE growth_changes ON COMMIT DROP AS {_CHANGES}; ANALYZE growth_changes")


def count_by_day(tx: Tx, since: date, zone: str) -> list[GrowthCounts]:
    """Return the days of the zone with changes, oldest first."""
    rows = tx.all(
        f"""
        SELECT to_char(at AT TIME ZONE %(zone)s, 'YYYY-MM-DD') AS name, {_COUNTS}
        FROM growth_changes AS changes
        WHERE at >= %(since)s::date::timestamp AT TIME ZONE %(zone)s
        GROUP BY 1 ORDER BY 1
        """,
        since=since,
        zone=zone,
    )
    return [GrowthCounts(**row) for row in rows]


def count_by_group(tx: Tx, group: str, since: date, zone: str, topics: Sequence[str], limit: int) -> list[GrowthCounts]:
    """Return the groups with the most confirmed subscribers. A subscriber with two topics counts in both."""
    rows = tx.all(
        f"""
        SELECT coalesce(groups.name, '') AS name, {_COUNTS}
        FROM growth_changes AS changes
        LEFT JOIN ({_GROUPS[group]}) AS groups USING (subscriber_id)
        WHERE at >= %(since)s::date::timestamp AT TIME ZONE %(zone)s
        GROUP BY 1 ORDER BY confirmed DESC, joined DESC, 1 LIMIT %(limit)s
        """,
        since=since,
        zone=zone,
        topics=list(topics),
        limit=limit,
    )
    return [GrowthCounts(**row) for row in rows]


def count_reached(tx: Tx) -> int:
    """Return how many subscribers are reached now."""
    return int(tx.value("SELECT sum(CASE WHEN reached THEN 1 ELSE -1 END) FROM growth_changes WHERE counts") or 0)


def list_cohorts(tx: Tx, zone: str, months: Sequence[int], limit: int) -> list[Cohort]:
    """Return the latest months in which subscribers were first reached, oldest first."""
    rows = tx.all(
        """
        WITH lives AS (
            SELECT
                subscriber_id,
                date_trunc('month', min(at) FILTER (WHERE reached) AT TIME ZONE %(zone)s) AS month,
                min(at) FILTER (WHERE reached) AS began,
                CASE WHEN NOT (array_agg(reached ORDER BY at DESC)) [1] THEN max(at) END AS ended
            FROM growth_changes AS changes
            WHERE counts
            GROUP BY subscriber_id
        ),
        latest AS (SELECT DISTINCT month FROM lives ORDER BY month DESC LIMIT %(limit)s)
        SELECT
            to_char(month, 'YYYY-MM') AS month, after, count(*) AS confirmed, count(*) FILTER (WHERE ended IS NULL) AS now,
            count(*) FILTER (WHERE ended IS NULL OR ended >= began + make_interval(months => after)) AS kept,
            max(began) + make_interval(months => after) <= now() AS passed
        FROM lives JOIN latest USING (month) CROSS JOIN unnest(%(months)s::integer []) AS after
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        zone=zone,
        months=list(months),
        limit=limit,
    )
    found: dict[str, Cohort] = {}
    for row in rows:
        cohort = found.setdefault(row["month"], Cohort(row["month"], row["confirmed"], {}, row["now"]))
        cohort.kept[row["after"]] = row["kept"] if row["passed"] else None
    return list(found.values())


def list_issue_losses(tx: Tx, since: date, zone: str, limit: int) -> list[IssueLosses]:
    """Return the latest sends with those who were lost after them: by their event, else after the last email they got."""
    rows = tx.all(
        """
        WITH losses AS (
            SELECT
                changes.step,
                coalesce(changes.send_id, (
                    SELECT deliveries.send_id
                    FROM deliveries JOIN sends ON sends.id = deliveries.send_id
                    WHERE deliveries.subscriber_id = changes.subscriber_id AND sends.started_at <= changes.at
                        AND deliveries.state IN ('accepted', 'delivered', 'bounced', 'complained', 'uncertain')
                    ORDER BY sends.started_at DESC LIMIT 1
                )) AS send_id
            FROM growth_changes AS changes
            WHERE counts AND NOT reached AND at >= %(since)s::date::timestamp AT TIME ZONE %(zone)s
        )
        SELECT
            sends.id AS send_id, sends.issue_key AS issue, sends.started_at, coalesce(sends.audience_size, 0) AS emails,
            count(*) FILTER (WHERE step = 'unsubscribed') AS unsubscribed,
            count(*) FILTER (WHERE step = 'bounced') AS bounced,
            count(*) FILTER (WHERE step = 'complained') AS complained
        FROM sends LEFT JOIN losses ON losses.send_id = sends.id
        WHERE sends.step_id IS NULL AND sends.started_at >= %(since)s::date::timestamp AT TIME ZONE %(zone)s
        GROUP BY sends.id ORDER BY sends.started_at DESC LIMIT %(limit)s
        """,
        since=since,
        zone=zone,
        limit=limit,
    )
    return [IssueLosses(**row) for row in rows]
