"""Subscribers' preferences, and everything stored about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each

MAX_EXPORTED_ROWS = 10_000  # per table, in a subscriber's export


@dataclass(frozen=True)
class SubscriberChoices:
    """A subscriber as their preferences page shows them; ``offered`` are the tags any subscriber may choose."""

    id: int
    email: str
    state: str
    tags: list[str]
    frequency: str
    paused_until: datetime | None
    lang: str
    offered: list[str]


_COLUMNS = """id, email, state, tags, frequency, paused_until, lang,
    ARRAY(SELECT tags.name FROM tags WHERE tags.subscriber_editable ORDER BY tags.name) AS offered"""


def get(tx: Tx, subscriber_id: int) -> SubscriberChoices | None:
    """Return the subscriber, or None if they were erased or never existed."""
    row = tx.one(f"SELECT {_COLUMNS} FROM subscribers WHERE id = %(id)s AND erased_at IS NULL", id=subscriber_id)
    return SubscriberChoices(**row) if row else None


def save(tx: Tx, subscriber_id: int, tags: Sequence[str], frequency: str, lang: str) -> bool:
    """Set the choices of an active subscriber; return whether anything changed."""
    return bool(
        tx.run(
            """
            UPDATE subscribers
            SET tags = %(tags)s, frequency = %(frequency)s, lang = %(lang)s, active_at = now()
            WHERE id = %(id)s AND state = 'active'
                AND (tags, frequency, lang) IS DISTINCT FROM (%(tags)s::text [], %(frequency)s, %(lang)s)
            """,
            id=subscriber_id,
            tags=list(tags),
            frequency=frequency,
            lang=lang,
        )
    )


def pause(tx: Tx, subscriber_id: int, months: int) -> datetime | None:
    """Pause issues for so many months; return the end date, or None if the subscriber is not active."""
    found = tx.value(
        """
        UPDATE subscribers
        SET paused_until = now() + make_interval(months => %(months)s), active_at = now()
        WHERE id = %(id)s AND state = 'active'
        RETURNING paused_until
        """,
        id=subscriber_id,
        months=months,
    )
    assert found is None or isinstance(found, datetime)
    return found


def resume(tx: Tx, subscriber_id: int) -> bool:
    """End the subscriber's pause; return whether there was one."""
    return bool(
        tx.run(
            """
            UPDATE subscribers SET paused_until = NULL, active_at = now()
            WHERE id = %(id)s AND paused_until IS NOT NULL
            """,
            id=subscriber_id,
        )
    )


def end_pauses(tx: Tx, limit: int) -> list[SubscriberChoices]:
    """End expired pauses; return their subscribers."""
    rows = tx.all(
        f"""
        UPDATE subscribers SET paused_until = NULL
        WHERE id IN (
            SELECT id FROM subscribers WHERE paused_until <= now() ORDER BY paused_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        limit=limit,
    )
    return each(rows, SubscriberChoices)


def export_data(tx: Tx, subscriber_id: int) -> dict[str, list[dict[str, Any]]]:
    """Return everything stored about a subscriber: their row, and every row that refers to them, by table."""
    own = tx.all("SELECT * FROM subscribers WHERE id = %(id)s", id=subscriber_id)
    tables = tx.all(
        """
        SELECT table_name
        FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name = 'subscriber_id' AND table_name IN (
            SELECT relname FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        )
        ORDER BY table_name
        """
    )
    found = {"subscribers": own}
    for row in tables:
        name = row["table_name"]
        found[name] = tx.all(
            f'SELECT * FROM "{name}" WHERE subscriber_id = %(id)s LIMIT %(limit)s', id=subscriber_id, limit=MAX_EXPORTED_ROWS
        )
    for name in ("suppressions", "lifted_suppressions"):
        found[name] = tx.all(
            f"SELECT * FROM {name} WHERE email_normal = (SELECT email_normal FROM subscribers WHERE id = %(id)s)",
            id=subscriber_id,
        )
    return {name: rows for name, rows in found.items() if rows}
