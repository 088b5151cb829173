"""Cheap looks at the ledger for the desk: every statement uses an index or a small table."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Row, Tx


@dataclass(frozen=True)
class DeskFacts:
    """What may need the operator, as counts."""

    subscribers: int
    uncertain: int
    held: int
    rejected: int
    failing_webhooks: int
    disabled_webhooks: int


def read(tx: Tx) -> DeskFacts:
    """Return the counts; ``rejected`` and those of webhooks are of the last 7 days and of now."""
    row = tx.one("""
        SELECT
            (SELECT coalesce(sum(number), 0) FROM tallies WHERE kind = 'block')::bigint AS subscribers,
            (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'uncertain' LIMIT 10000) AS few) AS uncertain,
            (SELECT count(*) FROM (SELECT FROM transactional_emails WHERE state = 'held' LIMIT 10000) AS few) AS held,
            (SELECT count(*) FROM rejected_events WHERE last_at > now() - interval '7 days') AS rejected,
            (SELECT count(*) FROM webhooks WHERE enabled AND failing_since IS NOT NULL) AS failing_webhooks,
            (SELECT count(*) FROM webhooks WHERE NOT enabled AND disabled_reason <> '') AS disabled_webhooks
    """)
    assert row
    return DeskFacts(**row)


def count_pending(tx: Tx, send_id: int) -> int:
    """Return how many emails of a send have not left."""
    return int(
        tx.value(
            """
            SELECT
                (SELECT count(*) FROM deliveries WHERE send_id = %(id)s AND state = 'pending')
                + (SELECT count(*) FROM deliveries WHERE send_id = %(id)s AND state = 'claimed')
            """,
            id=send_id,
        )
    )


def list_bouncing_domains(tx: Tx, days: int, limit: int) -> list[Row]:
    """Return the domains whose addresses bounced or complained most, with counts. Erased addresses have no domain."""
    return tx.all(
        """
        SELECT
            split_part(subscribers.email_normal, '@', 2) AS domain,
            count(*) FILTER (WHERE facts ->> 'kind' = 'hard bounce') AS hard,
            count(*) FILTER (WHERE facts ->> 'kind' IN ('soft bounce', 'general bounce')) AS soft,
            count(*) FILTER (WHERE facts ->> 'kind' = 'content bounce') AS content,
            count(*) FILTER (WHERE type = 'subscriber.complained') AS complaints
        FROM events JOIN subscribers ON subscribers.id = events.subscriber_id
        WHERE type IN ('subscriber.bounced', 'subscriber.complained') AND subscribers.erased_at IS NULL
            AND events.at > now() - make_interval(days => %(days)s)
        GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT %(limit)s
        """,
        days=days,
        limit=limit,
    )


def list_suppressions(tx: Tx, search: str, limit: int, offset: int) -> tuple[list[Row], int]:
    """Return a page of suppressed addresses, latest first, of those that contain a text, and how many there are."""
    condition = "strpos(email_normal, %(search)s) > 0" if search else "true"
    rows = tx.all(
        f"""
        SELECT email_normal, reason, detail, created_at FROM suppressions WHERE {condition}
        ORDER BY created_at DESC, email_normal LIMIT %(limit)s OFFSET %(offset)s
        """,
        search=search,
        limit=limit,
        offset=offset,
    )
    return rows, int(tx.value(f"SELECT count(*) FROM suppressions WHERE {condition}", search=search))


def list_imports(tx: Tx, limit: int) -> list[Row]:
    """Return the latest imports, newest first."""
    return tx.all("SELECT id, file, format, evidence, counts, at FROM import_runs ORDER BY id DESC LIMIT %(n)s", n=limit)
