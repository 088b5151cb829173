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


def get_latest(tx: Tx, frequency: str, before: date) -> date | None:
    """The first day of the latest week or month before this one whose digest was queued; None if there is none."""
    found = tx.value(
        "SELECT max(month) FROM digests WHERE frequency = %(frequency)s AND month < %(before)s",
        frequency=frequency,
        before=before,
    )
    assert found is None or isinstance(found, date)
    return found


def list_sends(tx: Tx, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The sends that started in this period, in order.

    Keys: id, frozen_at (its audience was decided), edition_id, audience (the rule), title, preheader and url.
    """
    return tx.all(
        """
        SELECT sends.id, coalesce(sends.frozen_at, sends.created_at) AS frozen_at, sends.edition_id, sends.audience,
            editions.title, editions.preheader, editions.url
        FROM sends
        JOIN editions ON editions.id = sends.edition_id
        WHERE sends.started_at >= %(start)s AND sends.started_at < %(end)s AND sends.state <> 'cancelled'
            AND sends.step_id IS NULL
        ORDER BY sends.started_at
        """,
        start=start,
        end=end,
    )


def collect_subscribers(tx: Tx, frequency: str, since: datetime) -> None:
    """Collect the subscribers of this frequency, and those who chose another one since then; create the table of items."""
    tx.script(
        """
        CREATE TEMP TABLE digest_lines (subscriber_id bigint, place bigint, title text, text text, url text) ON COMMIT DROP;
        CREATE TEMP TABLE digest_subscribers (id bigint PRIMARY KEY) ON COMMIT DROP
        """
    )
    tx.run(
        """
        INSERT INTO digest_subscribers (id)
        SELECT id FROM subscribers WHERE frequency = %(frequency)s
        UNION
        SELECT subscriber_id FROM consents WHERE kind = 'chosen' AND at >= %(since)s
        """,
        frequency=frequency,
        since=since,
    )


# What a subscriber had chosen when a send's audience was frozen: in the last choice before, else what the next one replaced.
_FREQUENCY_THEN = """coalesce(
    (
        SELECT evidence ->> 'frequency' FROM consents
        WHERE subscriber_id = subscribers.id AND kind = 'chosen' AND evidence ? 'frequency' AND at <= %(frozen_at)s
        ORDER BY at DESC, id DESC LIMIT 1
    ),
    (
        SELECT coalesce(evidence ->> 'frequency_before', 'every') FROM consents
        WHERE subscriber_id = subscribers.id AND kind = 'chosen' AND evidence ? 'frequency' AND at > %(frozen_at)s
        ORDER BY at, id LIMIT 1
    ),
    subscribers.frequency
)"""


def add_items(tx: Tx, frequency: str, place: int, send: dict[str, Any], end: datetime, rule: tuple[str, dict[str, Any]]) -> int:
    """Add one issue (a row of ``list_sends``) for each collected subscriber in its audience confirmed before ``end``.

    Only for those who had this frequency when the issue was published and were not sent it: whoever changes between the
    frequencies gets each issue once. ``rule`` is the audience's condition with its values.

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
        FROM digest_subscribers
        JOIN subscribers ON subscribers.id = digest_subscribers.id
        LEFT JOIN LATERAL (
            SELECT own_title, preheader, own_url
            FROM edition_variants
            WHERE edition_id = %(edition_id)s AND own_url <> '' AND name = ANY({text_selection.LANGS})
            ORDER BY array_position({text_selection.LANGS}, name)
            LIMIT 1
        ) AS translation ON true
        WHERE {WANTS_EMAILS}
            AND confirmed_at < %(end)s
            AND {_FREQUENCY_THEN} = %(frequency)s
            AND NOT EXISTS (
                SELECT FROM deliveries
                WHERE deliveries.send_id = %(send_id)s AND deliveries.subscriber_id = subscribers.id
                    AND deliveries.state <> 'skipped'
            )
            AND {condition}
        """,
        frequency=frequency,
        place=place,
        title=send["title"],
        preheader=send["preheader"],
        url=send["url"],
        edition_id=send["edition_id"],
        send_id=send["id"],
        frozen_at=send["frozen_at"],
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
