"""Subscribers: readers, their state and their tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Subscriber:
    """A reader. ``state`` is unconfirmed, active or left."""

    id: int
    email: str
    email_normal: str
    state: str
    tags: list[str]
    created_at: datetime
    confirmed_at: datetime | None
    left_at: datetime | None


_COLUMNS = "id, email, email_normal, state, tags, created_at, confirmed_at, left_at"


def add(tx: Tx, email: str, email_normal: str, tags: Sequence[str]) -> int:
    """The id of the reader with this address, new or known. A known reader keeps state and gains the tags."""
    return int(
        tx.value(
            """
            INSERT INTO subscribers (email, email_normal, tags)
            VALUES (%(email)s, %(email_normal)s, %(tags)s)
            ON CONFLICT (email_normal) DO UPDATE SET
                tags = ARRAY(SELECT DISTINCT unnest(subscribers.tags || EXCLUDED.tags) ORDER BY 1)
            RETURNING id
            """,
            email=email,
            email_normal=email_normal,
            tags=sorted(set(tags)),
        )
    )


def enter(
    tx: Tx, email: str, email_normal: str, tags: Sequence[str], lang: str = "", flags: Sequence[str] = ()
) -> tuple[Subscriber, bool]:
    """The subscriber with this address, locked until the transaction ends, and whether they are new.

    ``tags``, ``lang`` and ``flags`` are those of a new one; a known one stays as they are.
    """
    row = tx.often(
        f"""
        INSERT INTO subscribers (email, email_normal, tags, lang, flags)
        VALUES (%(email)s, %(email_normal)s, %(tags)s, %(lang)s, %(flags)s)
        ON CONFLICT (email_normal) DO UPDATE SET email_normal = EXCLUDED.email_normal -- changes nothing: it locks the row
        RETURNING {_COLUMNS}, xmax = 0 AS new
        """,
        email=email,
        email_normal=email_normal,
        tags=sorted(set(tags)),
        lang=lang,
        flags=sorted(flags),
    )
    assert row
    new = bool(row.pop("new"))
    return Subscriber(**row), new


def find(tx: Tx, email_normal: str) -> Subscriber | None:
    """The reader with this address, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM subscribers WHERE email_normal = %(email_normal)s", email_normal=email_normal)
    return Subscriber(**row) if row else None


def lock(tx: Tx, subscriber_id: int) -> Subscriber | None:
    """The reader with this id, locked until the transaction ends, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM subscribers WHERE id = %(id)s FOR UPDATE", id=subscriber_id)
    return Subscriber(**row) if row else None


def gain(tx: Tx, subscriber_id: int, tags: Sequence[str]) -> bool:
    """Add tags to those that a subscriber has; whether any was missing."""
    return bool(
        tx.run(
            """
            UPDATE subscribers SET tags = ARRAY(SELECT DISTINCT unnest(tags || %(tags)s::text []) ORDER BY 1)
            WHERE id = %(id)s AND NOT tags @> %(tags)s::text []
            """,
            id=subscriber_id,
            tags=list(tags),
        )
    )


def activate(tx: Tx, subscriber_id: int) -> None:
    """The reader confirmed."""
    tx.often(
        """
        UPDATE subscribers SET state = 'active', confirmed_at = now(), left_at = NULL, paused_until = NULL, active_at = now()
        WHERE id = %(id)s AND erased_at IS NULL
        RETURNING id
        """,
        id=subscriber_id,
    )


def speak(tx: Tx, subscriber_id: int, lang: str) -> None:
    """The language of the page where somebody began something for them; what is known, and an active subscriber, stays."""
    tx.run(
        "UPDATE subscribers SET lang = %(lang)s WHERE id = %(id)s AND lang = '' AND state <> 'active'",
        id=subscriber_id,
        lang=lang,
    )


def describe(tx: Tx, subscriber_id: int, lang: str, flags: Sequence[str]) -> None:
    """What is known from the sign-up: the form's language, and what is odd about the address."""
    tx.run(
        """
        UPDATE subscribers SET lang = coalesce(nullif(%(lang)s, ''), lang), flags = %(flags)s
        WHERE id = %(id)s AND (lang, flags) IS DISTINCT FROM (coalesce(nullif(%(lang)s, ''), lang), %(flags)s::text [])
        """,
        id=subscriber_id,
        lang=lang,
        flags=sorted(flags),
    )


def reopen(tx: Tx, subscriber_id: int) -> None:
    """Who left asks again: unconfirmed until they confirm; when they left stays known."""
    tx.run("UPDATE subscribers SET state = 'unconfirmed' WHERE id = %(id)s AND state = 'left'", id=subscriber_id)


def leave(tx: Tx, subscriber_id: int) -> bool:
    """The reader leaves; whether they had not left before."""
    return bool(
        tx.run("UPDATE subscribers SET state = 'left', left_at = now() WHERE id = %(id)s AND state <> 'left'", id=subscriber_id)
    )


def readdress(tx: Tx, subscriber_id: int, email: str, email_normal: str) -> None:
    """The reader has another address now."""
    tx.run(
        "UPDATE subscribers SET email = %(email)s, email_normal = %(email_normal)s, active_at = now() WHERE id = %(id)s",
        id=subscriber_id,
        email=email,
        email_normal=email_normal,
    )


def every(tx: Tx) -> list[Subscriber]:
    """All readers, oldest first; not those who were erased."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM subscribers WHERE erased_at IS NULL ORDER BY id"), Subscriber)
