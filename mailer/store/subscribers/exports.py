"""Exports: everything about subscribers, written as CSV by Postgres itself. Columns as in ``exchange/formats.OWN_COLUMNS``."""

from __future__ import annotations

from typing import Any

from mailer.core.db import Tx
from mailer.exchange.own_format import FORMULA_INSIDE, FORMULA_STARTS

_TIMESTAMP = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# What a spreadsheet would run as a formula gets a ' before it; see ``exchange/own_format.py``.
_PATTERN = FORMULA_INSIDE.replace("'", "''")
_INSIDE = f"regexp_replace({{0}}, '{_PATTERN}', '\\1''', 'g')"
_STARTS = f"left({{0}}, 1) IN ({', '.join(f'chr({ord(char)})' for char in FORMULA_STARTS)})"
_WORD = f"CASE WHEN {_STARTS} THEN '''' || {{0}} ELSE {{0}} END"  # of an address or a code, which have no separators
ESCAPED = f"CASE WHEN {_STARTS} THEN '''' || {_INSIDE} ELSE {_INSIDE} END"
_JSON = "replace({0}::text, ';', '\\u003b')"

# A spreadsheet would turn these words into numbers, dates and truth values: 007, 1-2, May 5, TRUE.
_TEXT = f"CASE WHEN {{0}} ~* '^\\W*\\d|^[[:alpha:]]+\\W+\\d+$|^(true|false)$' THEN '''' || {_INSIDE} ELSE {ESCAPED} END"

_SUPPRESSED = f"""jsonb_build_object(
        'reason', suppressions.reason, 'detail', suppressions.detail, 'at', {_TIMESTAMP.format("suppressions.created_at")}
    )"""
_SUPPRESSION = f"""
    CASE WHEN suppressions.reason IS NOT NULL THEN {_JSON.format(_SUPPRESSED)} ELSE '' END
"""

_SUBSCRIBERS = f"""
    SELECT
        {_WORD.format("subscribers.email")} AS email,
        subscribers.state,
        {_JSON.format("to_jsonb(subscribers.tags)")} AS tags,
        {_JSON.format("subscribers.metadata")} AS metadata,
        {_WORD.format("subscribers.lang")} AS lang,
        subscribers.frequency,
        {_JSON.format("to_jsonb(subscribers.flags)")} AS flags,
        {_TIMESTAMP.format("subscribers.created_at")} AS created_at,
        coalesce({_TIMESTAMP.format("subscribers.confirmed_at")}, '') AS confirmed_at,
        coalesce({_TIMESTAMP.format("subscribers.unsubscribed_at")}, '') AS unsubscribed_at,
        coalesce({_TIMESTAMP.format("subscribers.paused_until")}, '') AS paused_until,
        coalesce({_TIMESTAMP.format("subscribers.active_at")}, '') AS active_at,
        {_SUPPRESSION} AS suppression,
        coalesce({_JSON.format("evidence.consents")}, '[]') AS consents,
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
        {_WORD.format("email_normal")}, '', '[]', '{{}}', '', 'every', '[]', '', '', '', '', '', {_SUPPRESSION}, '[]',
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
