"""A send's outcomes, aggregated in Postgres: 1,000,000 deliveries are counted in a few seconds and never fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each

# Emails that SES has, or may have: what the timeline counts.
_HANDED_OVER = "state IN ('accepted', 'delivered', 'bounced', 'complained', 'uncertain')"


@dataclass(frozen=True)
class SendSpan:
    """When the first and the last email were sent (None before the first), and how many there were."""

    first: datetime | None
    last: datetime | None
    emails: int


@dataclass(frozen=True)
class OutcomeReason:
    """How many deliveries ended in a state for the same reason."""

    state: str
    detail: str
    number: int


@dataclass(frozen=True)
class DomainCount:
    """How many deliveries of a domain are in a state."""

    domain: str
    state: str
    number: int


def use_one_snapshot(tx: Tx) -> None:
    """Let all statements of this transaction see one snapshot, so that sums match while the send continues."""
    tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def read_span(tx: Tx, send_id: int) -> SendSpan:
    """When the send's emails left, by the time of their claim."""
    row = tx.one(
        f"""
        SELECT min(claimed_at) AS first, max(claimed_at) AS last, count(*)::int AS emails
        FROM deliveries
        WHERE send_id = %(send_id)s AND {_HANDED_OVER}
        """,
        send_id=send_id,
    )
    assert row
    return SendSpan(**row)


def count_by_interval(tx: Tx, send_id: int, first: datetime, width: timedelta) -> dict[int, int]:
    """Emails sent in each interval of ``width`` after ``first``, by the interval's number; empty ones are omitted."""
    rows = tx.all(
        f"""
        SELECT
            floor(extract(epoch FROM claimed_at - %(first)s) / extract(epoch FROM %(width)s::interval))::int AS slot,
            count(*)::int AS number
        FROM deliveries
        WHERE send_id = %(send_id)s AND {_HANDED_OVER}
        GROUP BY slot
        """,
        send_id=send_id,
        first=first,
        width=width,
    )
    return {row["slot"]: row["number"] for row in rows}


def list_reasons(tx: Tx, send_id: int, most: int) -> list[OutcomeReason]:
    """The ``most`` most frequent reasons why deliveries did not succeed, without anything that looks like an address."""
    rows = tx.all(
        r"""
        SELECT state, regexp_replace(detail, '\S+@\S+', '(address)', 'g') AS detail, count(*)::int AS number
        FROM deliveries
        WHERE send_id = %(send_id)s AND state IN ('skipped', 'failed', 'bounced', 'complained', 'uncertain')
        GROUP BY state, regexp_replace(detail, '\S+@\S+', '(address)', 'g')
        ORDER BY number DESC, state, detail
        LIMIT %(most)s
        """,
        send_id=send_id,
        most=most,
    )
    return each(rows, OutcomeReason)


def count_by_text(tx: Tx, send_id: int) -> dict[str, int]:
    """How many emails used each variant of the edition ("": the original)."""
    rows = tx.all(
        """
        SELECT coalesce(variant, '') AS variant, count(*)::int AS number
        FROM deliveries
        WHERE send_id = %(send_id)s AND state NOT IN ('pending', 'skipped')
        GROUP BY 1
        ORDER BY 1
        """,
        send_id=send_id,
    )
    return {row["variant"]: row["number"] for row in rows}


def count_by_domain(tx: Tx, send_id: int, most: int) -> tuple[list[DomainCount], int]:
    """The counts by state of the ``most`` largest domains, with all others under "", and how many domains there are."""
    rows = tx.all(
        """
        WITH cells AS MATERIALIZED (
            SELECT
                coalesce(split_part(subscribers.email_normal, '@', -1), 'unknown') AS domain,
                deliveries.state,
                count(*) AS number
            FROM deliveries
            LEFT JOIN subscribers ON subscribers.id = deliveries.subscriber_id
            WHERE deliveries.send_id = %(send_id)s
            GROUP BY 1, 2
        ),

        ranked AS (
            SELECT domain, row_number() OVER (ORDER BY sum(number) DESC, domain) AS place
            FROM cells
            GROUP BY domain
        )

        SELECT
            CASE WHEN ranked.place <= %(most)s THEN cells.domain ELSE '' END AS domain,
            cells.state,
            sum(cells.number)::int AS number,
            (SELECT count(*) FROM ranked)::int AS domains
        FROM cells
        JOIN ranked ON ranked.domain = cells.domain
        GROUP BY 1, 2
        ORDER BY min(ranked.place)
        """,
        send_id=send_id,
        most=most,
    )
    return [DomainCount(row["domain"], row["state"], row["number"]) for row in rows], rows[0]["domains"] if rows else 0


def count_by_delay(tx: Tx, send_id: int, bounds: Sequence[float]) -> dict[int, int]:
    """Deliveries by the seconds from the claim to the recipient's server, in the slots that ``bounds`` separate."""
    rows = tx.all(
        """
        SELECT
            width_bucket(
                extract(epoch FROM delivery_events.at - deliveries.claimed_at)::float8, %(bounds)s::float8 []
            ) AS slot,
            count(*)::int AS number
        FROM delivery_events
        JOIN deliveries
            ON deliveries.send_id = delivery_events.send_id
            AND deliveries.subscriber_id = delivery_events.subscriber_id
        WHERE delivery_events.send_id = %(send_id)s
            AND delivery_events.kind = 'delivery'
            AND deliveries.claimed_at IS NOT NULL
        GROUP BY slot
        """,
        send_id=send_id,
        bounds=list(bounds),
    )
    return {row["slot"]: row["number"] for row in rows}
