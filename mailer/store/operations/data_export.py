"""The tables of an export as JSON Lines, written and read by Postgres itself, and what loading them needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailer.core.db import Tx

# Table and the order of its lines. A table comes after those that it refers to.
TABLES = {
    "tags": "id",
    "subscribers": "id",
    "consents": "id",
    "suppressions": "email_normal",
    "lifted_suppressions": "id",
    "erased": "hash",
    "segments": "id",
    "notes": "id",
    "import_runs": "id",
    "imports": "id",
    "issues": "key",
    "editions": "id",
    "edition_variants": "edition_id, name",
    "issue_texts": "key",
    "drafts": "id",
    "draft_images": "id",
    "sends": "id",
    "receipts": "send_id",
    "deliveries": "send_id, subscriber_id",
    "delivery_events": "send_id, subscriber_id, kind, at",
    "digests": "frequency, month",
    "sequences": "id",
    "sequence_steps": "id",
    "enrolments": "subscriber_id, sequence_id",
    "sequence_emails": "subscriber_id, step_id",
    "warmup": "single",
    "warmup_days": "day",
    "transactional_emails": "id",
    "transactional_email_events": "email_id, kind, at",
    "reviewers": "id",
    "test_emails": "id",
    "scanner_visits": "subscriber_id, send_id, email_id",
    "events": "id",
    "stripe_account": "single",
    "customers": "stripe_id",
    "customer_deletions": "customer_id",
    "subscriptions": "stripe_id",
    "charges": "stripe_id",
    "gifts": "id",
    "grants": "id",
    "entitlements": "subscriber_id",
    "desk_acts": "id",
}
_ONLY = {"imports": "state IN ('succeeded', 'failed')"}
_COUNTING = {"subscribers": "subscribers_tally_added", "events": "events_tally"}  # triggers that keep counters
# One column whose values never contain the quote and the delimiter: JSON escapes control characters.
_LINES = r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"


def list_fields(tx: Tx, table: str) -> list[str]:
    """Return the columns of a table, in order."""
    rows = tx.all(
        """
        SELECT attname AS name FROM pg_attribute
        WHERE attrelid = to_regclass(%(name)s) AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum
        """,
        name=table,
    )
    return [row["name"] for row in rows]


def find_last_id(tx: Tx, table: str) -> int | None:
    """Return the last id that a table has given, None if it gives none or has none yet."""
    if not _has_ids(tx, table):
        return None
    found = tx.value("SELECT pg_sequence_last_value(pg_get_serial_sequence(%(name)s, 'id')::regclass)", name=table)
    return None if found is None else int(found)


def copy_table(tx: Tx, table: str, file: Any) -> int:
    """Write each row of a table as a JSON object on a line of its own; return how many. Uses little memory."""
    rows = f"SELECT * FROM {table} WHERE {_ONLY.get(table, 'true')} ORDER BY {TABLES[table]}"
    return tx.copy(f"COPY (SELECT row_to_json(one) FROM ({rows}) AS one) TO STDOUT {_LINES}", file)


def find_used_table(tx: Tx) -> str | None:
    """Lock all tables of an export against others' changes; return one that has rows, None if all are empty."""
    tx.script(f"LOCK TABLE {', '.join(TABLES)} IN SHARE ROW EXCLUSIVE MODE")
    return next((table for table in TABLES if tx.value(f"SELECT EXISTS (SELECT FROM {table})")), None)


def prepare_loading(tx: Tx) -> None:
    """Switch off the triggers that tell of changes until ``finish_loading``; counters are kept. Needs the owner's role."""
    tx.script("CREATE TEMP TABLE export_lines (line json NOT NULL) ON COMMIT DROP")
    for table in TABLES:
        tx.script(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for table, trigger in _COUNTING.items():
        tx.script(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


def load_table(tx: Tx, table: str, fields: Sequence[str], file: Any) -> int:
    """Insert the rows of a file as ``copy_table`` wrote it; return how many. ``fields`` are columns of the table."""
    tx.copy(f"COPY export_lines FROM STDIN {_LINES}", file)
    if table == "events":
        _make_months(tx)
    columns = ", ".join(fields)
    own_ids = "OVERRIDING SYSTEM VALUE" if "id" in fields else ""
    number = tx.run(
        f"INSERT INTO {table} ({columns}) {own_ids}"
        f" SELECT {columns} FROM export_lines, json_populate_record(NULL::{table}, line)"
    )
    tx.script("TRUNCATE export_lines")
    return number


def set_last_id(tx: Tx, table: str, last_id: int) -> None:
    """Let a table continue after this id: an id that was given once is in links and must not be given again."""
    tx.value("SELECT setval(pg_get_serial_sequence(%(name)s, 'id')::regclass, %(last)s)", name=table, last=last_id)


def finish_loading(tx: Tx) -> None:
    """Switch the triggers on again."""
    for table in TABLES:
        tx.script(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def fence_imported(tx: Tx, fence_id: str) -> None:
    """Let the fence disagree until an operator accepts this database."""
    tx.run(
        """
        INSERT INTO fence (id, epoch, place) VALUES (%(id)s, 1, 'imported')
        ON CONFLICT (single) DO UPDATE SET place = excluded.place
        """,
        id=fence_id,
    )


def _has_ids(tx: Tx, table: str) -> bool:
    return "id" in list_fields(tx, table) and bool(tx.value("SELECT pg_get_serial_sequence(%(name)s, 'id')", name=table))


def _make_months(tx: Tx) -> None:
    """Make the partitions of events for the months of the lines."""
    tx.script(
        """
        DO $$
        DECLARE
            month timestamp;
        BEGIN
            FOR month IN
                SELECT DISTINCT date_trunc('month', (line ->> 'at')::timestamptz AT TIME ZONE 'UTC') FROM export_lines
            LOOP
                IF to_regclass('events_' || to_char(month, 'YYYY_MM')) IS NULL THEN
                    EXECUTE format(
                        'CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
                        'events_' || to_char(month, 'YYYY_MM'),
                        month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
                    );
                END IF;
            END LOOP;
        END $$
        """
    )
