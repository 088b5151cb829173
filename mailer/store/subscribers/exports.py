"""Exports: everything about subscribers, written as CSV by Postgres itself. Columns as in ``exchange/formats.OWN_COLUMNS``."""

from __future__ import annotations

from typing import Any

from mailer.core.db import Tx

_TIMESTAMP = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# A cell that a spreadsheet would run as a formula gets a leading '.
ESCAPED = (
    "CASE WHEN left({0}, 1) = ANY("
    "ARRAY['=', '+', '-', '@', '\uff1d', '\uff0b', '\uff0d', '\uff20', E'\\t', E'\\r', E'\\n', '''']"
    ") THEN '''' || {0} ELSE {0} END"
)

# A spreadsheet would turn these words into numbers, dates and truth values: 007, 1-2, May 5, TRUE.
_TEXT = f"CASE WHEN {{0}} ~* '^\\W*\\d|^[[:alpha:]]+\\W+\\d+$|^(true|false)$' THEN '''' || {{0}} ELSE {ESCAPED} END"

_SUPPRESSION = f"""
    CASE WHEN suppressions.reason IS NOT NULL THEN jsonb_build_object(
        'reason', suppressions.reason, 'detail', suppressions.detail, 'at', {_TIMESTAMP.format("suppressions.created_at")}
    )::text ELSE '' END
"""

_SUBSCRIBERS = f"""
    SELECT
        {ESCAPED.format("subscribers.email")} AS email,
        subscribers.state,
        to_jsonb(subscribers.tags)::text AS tags,
        subscribers.metadata::text AS metadata,
        {ESCAPED.format("subscribers.lang")} AS lang,
        subscribers.frequency,
        to_jsonb(subscribers.flags)::text AS flags,
        {_TIMESTAMP.format("subscribers.created_at")} AS created_at,
        coalesce({_TIMESTAMP.format("subscribers.confirmed_at")}, '') AS confirmed_at,
        coalesce({_TIMESTAMP.format("subscribers.unsubscribed_at")}, '') AS unsubscribed_at,
        coalesce({_TIMESTAMP.format("subscribers.paused_until")}, '') AS paused_until,
        coalesce({_TIMESTAMP.format("subscribers.active_at")}, '') AS active_at,
        {_SUPPRESSION} AS suppression,
        coalesce(evidence.consents, '[]') AS consents,
        {_TEXT.format("subscribers.notes")} AS notes,
        {_TEXT.format("subscribers.referrer_url")} AS referrer_url,
        {_TEXT.format("subscribers.utm_campaign")} AS utm_campaign,
        {_TEXT.format("subscribers.utm_medium")} AS utm_medium,
        {_TEXT.format("subscribers.utm_source")} AS utm_source,
        {_TEXT.format("subscribers.unsubscribe_reason")} AS unsubscribe_reason
    FROM subscribers
    LEFT JOIN suppressions ON suppressions.email_normal = subscribers.email_normal
    LEFT JOIN (
        SELECT
            subscriber_id,
            jsonb_agg(
                jsonb_build_object(
                    'kind', kind, 'source', source, 'ip', host(ip), 'evidence', evidence, 'at', {_TIMESTAMP.format("at")}
                )
                ORDER BY id
            )::text AS consents
        FROM consents
        GROUP BY subscriber_id
    ) AS evidence ON evidence.subscriber_id = subscribers.id
    WHERE subscribers.erased_at IS NULL AND {{where}}
    ORDER BY subscribers.id
"""

_OTHER_SUPPRESSIONS = f"""
    SELECT
        {ESCAPED.format("email_normal")}, '', '[]', '{{}}', '', 'every', '[]', '', '', '', '', '', {_SUPPRESSION}, '[]',
        '', '', '', '', '', ''
    FROM suppressions
    WHERE NOT EXISTS (SELECT FROM subscribers WHERE subscribers.email_normal = suppressions.email_normal)
    ORDER BY created_at, email_normal
"""


def copy_all(tx: Tx, file: Any) -> int:
    """Write all subscribers, oldest first, then other suppressed addresses; return the number of lines."""
    tx.script("SET LOCAL work_mem = '128MB'")
    number = tx.copy(f"COPY ({_SUBSCRIBERS.format(where='true')}) TO STDOUT (FORMAT csv, HEADER)", file)
    return number + tx.copy(f"COPY ({_OTHER_SUPPRESSIONS}) TO STDOUT (FORMAT csv)", file)
