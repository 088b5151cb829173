"""Digests: one email for subscribers who want a single email a week or a month, queued in bulk."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from mailer.core import log
from mailer.core.db import Tx
from mailer.store.subscribers import text_selection
from mailer.store.subscribers.suppressions import WANTS_EMAILS


def begin(tx: Tx, frequency: str, first_day: date) -> bool:
    """Whether the digest of this week or month has not been queued yet; if so, this transaction now owns it."""
    statement = """
        INSERT INTO digests (frequency, month, subscriber_count) VALUES (%(frequency)s, %(first_day)s, 0) ON CONFLICT DO NOTHING
    """
    return bool(tx.run(statement, frequency=frequency, first_day=first_day))


def list_sends(tx: Tx, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The sends that started in this period, in order: id, edition_id, audience (the rule), title, preheader and url."""
    return tx.all(
        """
        SELECT sends.id, sends.edition_id, sends.audience, editions.title, editions.preheader, editions.url
        FROM sends
        JOIN editions ON editions.id = sends.edition_id
        WHERE sends.started_at >= %(start)s AND sends.started_at < %(end)s AND sends.state <> 'cancelled'
            AND sends.step_id IS NULL
        ORDER BY sends.started_at
        """,
        start=start,
        end=end,
    )


def collect_subscribers(tx: Tx) -> None:
    """Create the empty temporary table of digest items."""
    tx.script(
        "CREATE TEMP TABLE digest_lines (subscriber_id bigint, place bigint, title text, text text, url text) ON COMMIT DROP"
    )


def add_items(tx: Tx, frequency: str, place: int, send: dict[str, Any], end: datetime, rule: tuple[str, dict[str, Any]]) -> int:
    """Add one issue (a row of ``list_sends``) for each subscriber of this frequency in its audience confirmed before ``end``.

    ``rule`` is the audience's condition with its values.

    Title, preheader and URL are in the subscriber's language if the issue is translated. Returns how many items were added.
    """
    condition, values = rule
    return tx.run(
        f"""
        INSERT INTO digest_lines (subscriber_id, place, title, text, url)
        SELECT
            subscribers.id,
            %(place)s,
            coalesce(translation.own_title, %(title)s),
            coalesce(translation.preheader, %(preheader)s),
            coalesce(translation.own_url, %(url)s)
        FROM subscribers
        LEFT JOIN LATERAL (
            SELECT own_title, preheader, own_url
            FROM edition_variants
            WHERE edition_id = %(edition_id)s AND own_url <> '' AND name = ANY({text_selection.LANGS})
            ORDER BY array_position({text_selection.LANGS}, name)
            LIMIT 1
        ) AS translation ON true
        WHERE {WANTS_EMAILS}
            AND frequency = %(frequency)s
            AND confirmed_at < %(end)s
            AND {condition}
        """,
        frequency=frequency,
        place=place,
        title=send["title"],
        preheader=send["preheader"],
        url=send["url"],
        edition_id=send["edition_id"],
        end=end,
        **values,
    )


def queue_emails(tx: Tx, frequency: str, first_day: date) -> int:
    """Queue an email for each subscriber with items; returns how many."""
    number = tx.run(
        """
        INSERT INTO transactional_emails (kind, topic, subscriber_id, facts, once)
        SELECT
            'confirmation', 'digest', subscriber_id,
            jsonb_build_object(
                'frequency', %(frequency)s::text,
                'issues', jsonb_agg(jsonb_build_object('title', title, 'text', text, 'url', url) ORDER BY place),
                'request', %(request)s::text
            ),
            CASE %(frequency)s WHEN 'monthly' THEN '' ELSE %(frequency)s || ' ' END
                || 'digest ' || %(first_day)s::date || ' ' || subscriber_id
        FROM digest_lines
        GROUP BY subscriber_id
        ORDER BY subscriber_id
        ON CONFLICT (once) WHERE once IS NOT NULL DO NOTHING
        """,
        frequency=frequency,
        first_day=first_day,
        request=log.get_request_id(),
    )
    tx.run(
        "UPDATE digests SET subscriber_count = %(number)s WHERE frequency = %(frequency)s AND month = %(first_day)s",
        number=number,
        frequency=frequency,
        first_day=first_day,
    )
    return number
