"""Subscribers, their state and their tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from mailer.core.db import Tx, each, json
from mailer.core.tokens import Recipient


@dataclass(frozen=True)
class Subscriber:
    """A subscriber. ``state`` is unconfirmed, active or unsubscribed."""

    id: int
    email: str
    email_normal: str
    state: str
    tags: list[str]
    created_at: datetime
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None
    link_epoch: int = 1

    @property
    def recipient(self) -> Recipient:
        """Whom private links to this subscriber are for."""
        return Recipient(self.id, self.email_normal, self.link_epoch)


_COLUMNS = "id, email, email_normal, state, tags, created_at, confirmed_at, unsubscribed_at, link_epoch"


def add(tx: Tx, email: str, email_normal: str, tags: Sequence[str]) -> int:
    """Return the id of the subscriber with this address, new or existing. An existing one keeps the state and gets the
    tags.
    """
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


def add_or_lock(
    tx: Tx, email: str, email_normal: str, tags: Sequence[str], lang: str = "", flags: Sequence[str] = ()
) -> tuple[Subscriber, bool]:
    """Return the subscriber with this address, locked until the transaction ends, and whether they are new.

    ``tags``, ``lang`` and ``flags`` apply to a new one; an existing one is left unchanged.
    """
    row = tx.often(
        f"""
        INSERT INTO subscribers (email, email_normal, tags, lang, flags)
        VALUES (%(email)s, %(email_normal)s, %(tags)s, %(lang)s, %(flags)s)
        ON CONFLICT (email_normal) DO UPDATE SET email_normal = EXCLUDED.email_normal -- changes nothing, but locks the row
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
    """Return the subscriber with this address, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM subscribers WHERE email_normal = %(email_normal)s", email_normal=email_normal)
    return Subscriber(**row) if row else None


def get(tx: Tx, subscriber_id: int) -> Subscriber | None:
    """Return the subscriber with this id, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM subscribers WHERE id = %(id)s", id=subscriber_id)
    return Subscriber(**row) if row else None


def list_by_inbox(tx: Tx, inboxes: Sequence[tuple[str, str]], ignored: str) -> list[str]:
    """Return the normal addresses that lead to these inboxes (name, domain), whose provider ignores the characters ``ignored``.

    Reads all subscribers, once.
    """
    rows = tx.all(
        """
        SELECT email_normal
        FROM subscribers
        WHERE (
            split_part(email_normal, '@', 2),
            translate(split_part(split_part(email_normal, '@', 1), '+', 1), %(ignored)s, '')
        ) IN (SELECT * FROM unnest(%(domains)s::text [], %(names)s::text []))
        """,
        names=[name for name, _ in inboxes],
        domains=[domain for _, domain in inboxes],
        ignored=ignored,
    )
    return [row["email_normal"] for row in rows]


def lock(tx: Tx, subscriber_id: int) -> Subscriber | None:
    """Return the subscriber with this id, locked until the transaction ends, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM subscribers WHERE id = %(id)s FOR UPDATE", id=subscriber_id)
    return Subscriber(**row) if row else None


def add_tags(tx: Tx, subscriber_id: int, tags: Sequence[str]) -> bool:
    """Add tags to a subscriber; return whether any was missing."""
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


def add_metadata(tx: Tx, subscriber_id: int, metadata: Mapping[str, str]) -> None:
    """Set these names of a subscriber's metadata; the others stay."""
    tx.run(
        "UPDATE subscribers SET metadata = metadata || %(metadata)s::jsonb WHERE id = %(id)s AND erased_at IS NULL",
        id=subscriber_id,
        metadata=json(dict(metadata)),
    )


def activate(tx: Tx, subscriber_id: int, details: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Make a subscriber active, and set other columns; callers choose their names from their own list."""
    sets = "".join(f", {name} = %({name})s" for name in details)
    (tx.one if details else tx.often)(
        f"""
        UPDATE subscribers SET state = 'active', confirmed_at = now(), unsubscribed_at = NULL,
            paused_until = NULL, active_at = now(){sets}
        WHERE id = %(id)s AND erased_at IS NULL
        RETURNING id
        """,
        id=subscriber_id,
        **details,
    )


def set_language(tx: Tx, subscriber_id: int, lang: str) -> None:
    """Set the language of a subscriber without one, unless they are active: the language of the page somebody used for
    them.
    """
    tx.run(
        "UPDATE subscribers SET lang = %(lang)s WHERE id = %(id)s AND lang = '' AND state <> 'active'",
        id=subscriber_id,
        lang=lang,
    )


def set_signup_details(tx: Tx, subscriber_id: int, lang: str, flags: Sequence[str]) -> None:
    """Set the form's language, and the flags of the address."""
    tx.run(
        """
        UPDATE subscribers SET lang = coalesce(nullif(%(lang)s, ''), lang), flags = %(flags)s
        WHERE id = %(id)s AND (lang, flags) IS DISTINCT FROM (coalesce(nullif(%(lang)s, ''), lang), %(flags)s::text [])
        """,
        id=subscriber_id,
        lang=lang,
        flags=sorted(flags),
    )


def reset_to_unconfirmed(tx: Tx, subscriber_id: int) -> None:
    """Make an unsubscribed person unconfirmed again; when they unsubscribed stays on record."""
    tx.run("UPDATE subscribers SET state = 'unconfirmed' WHERE id = %(id)s AND state = 'unsubscribed'", id=subscriber_id)


def take_back_activation(tx: Tx, subscriber_id: int) -> None:
    """Make an active subscriber unconfirmed, because what made them active is void."""
    tx.run(
        "UPDATE subscribers SET state = 'unconfirmed', confirmed_at = NULL WHERE id = %(id)s AND state = 'active'",
        id=subscriber_id,
    )


def unsubscribe(tx: Tx, subscriber_id: int) -> bool:
    """Unsubscribe; return whether they were subscribed before."""
    return bool(
        tx.run(
            "UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = now() "
            "WHERE id = %(id)s AND state <> 'unsubscribed'",
            id=subscriber_id,
        )
    )


def set_address(tx: Tx, subscriber_id: int, email: str, email_normal: str) -> None:
    """Change the subscriber's address, which ends all links sent to the old one."""
    tx.run(
        """
        UPDATE subscribers
        SET email = %(email)s, email_normal = %(email_normal)s, link_epoch = link_epoch + 1, active_at = now()
        WHERE id = %(id)s
        """,
        id=subscriber_id,
        email=email,
        email_normal=email_normal,
    )


def renew_links(tx: Tx, subscriber_id: int, epoch: int | None = None) -> bool:
    """End all private links of a subscriber; unsubscribe links in sent emails still unsubscribe.

    With ``epoch``, only if the links of that epoch have not ended yet. Return whether they ended now.
    """
    return bool(
        tx.run(
            """
            UPDATE subscribers SET link_epoch = link_epoch + 1
            WHERE id = %(id)s AND link_epoch = coalesce(%(epoch)s, link_epoch)
            """,
            id=subscriber_id,
            epoch=epoch,
        )
    )


def list_all(tx: Tx) -> list[Subscriber]:
    """Return all subscribers, oldest first, without erased ones."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM subscribers WHERE erased_at IS NULL ORDER BY id"), Subscriber)
