"""Things tests are made of: editions, subscribers, settings."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailer.core.db import Database
from mailer.core.edition import Edition, SendIntent
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.core.settings import Settings
from mailer.core.tokens import Recipient
from mailer.store.billing import stripe_events
from mailer.store.subscribers import subscribers

NOW = datetime.now(UTC)
PROSE = """The ledger has one row for each subscriber and each send, and every change of state is one statement. A worker
claims a small group, commits, sends it side by side and writes the outcomes down before it claims the next one."""


def settings(folder: Path, database_url: str = "", redis_url: str = "", transport: str = "outbox", **more: object) -> Settings:
    """Settings of a newsletter that may send at once."""
    values: dict[str, object] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "transport": transport,
        "sender": "The Letter <letter@example.org>",
        "postal_address": "1 Example Street",
        "hosts": ("testserver", "x"),
        "secret": "0123456789abcdef0123456789abcdef",
        "hold": timedelta(0),
        "first_slice_wait": timedelta(0),
        "build": folder / "build",
        "outbox": folder / "outbox",
        **more,
    }
    return Settings(**values)  # type: ignore[arg-type]


def edition(key: str = "2026-11-24-hello", body: str = "", **more: object) -> Edition:
    """An edition that asks to be sent now."""
    body = body or f"<p>{key}</p><p>{PROSE}</p>"
    values: dict[str, object] = {
        "key": key,
        "number": 1,
        "title": f"Title of {key}",
        "subject": f"Subject of {key}",
        "preheader": "A first line",
        "lang": "en",
        "url": f"http://127.0.0.1:9/issues/{key}/",
        "html": f'<html lang="en"><body>{body}<a href="{UNSUBSCRIBE_URL}">Unsubscribe</a></body></html>',
        "text": f"{key}\n\nUnsubscribe: {UNSUBSCRIBE_URL}\n",
        "body": body,
        "digest": hashlib.sha256(body.encode()).hexdigest(),
        "dated": NOW,
        "path": f"issues/{key}.md",
        "send": SendIntent.YES,
        "send_at": None,
        "audience": "everyone",
        **more,
    }
    return Edition(**values)  # type: ignore[arg-type]


def old(key: str = "2020-01-01-old", **more: Any) -> Edition:
    """An edition that was public long ago and asks for nothing."""
    return edition(key, dated=NOW - timedelta(days=900), send=SendIntent.NO, **more)


def recipient(database: Database, subscriber_id: int) -> Recipient:
    """Whom this subscriber's private links are for now; nobody's address if there is no such subscriber."""
    with database.transaction() as tx:
        found = subscribers.get(tx, subscriber_id)
    return found.recipient if found else Recipient(subscriber_id, "")


def bind_stripe(database: Database) -> None:
    """Let the database belong to a Stripe account, so that paid text has buyers."""
    with database.transaction() as tx:
        stripe_events.bind_account(tx, "acct_fake", livemode=False)


def add_subscribers(database: Database, number: int, tags: tuple[str, ...] = ()) -> None:
    """So many active subscribers, ``subscriber-1@example.org`` and on."""
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (email, email_normal, state, tags, confirmed_at)
            SELECT format('subscriber-%%s@example.org', n), format('subscriber-%%s@example.org', n), 'active', %(tags)s, now()
            FROM generate_series(1, %(number)s) AS n
            """,
            number=number,
            tags=list(tags),
        )
        tx.script("ANALYZE subscribers")


def sums_add_up(database: Database) -> bool:
    """Do the states of every frozen send add up to its audience?"""
    with database.transaction() as tx:
        wrong = tx.all(
            """
            SELECT sends.id FROM sends
            WHERE audience_size IS NOT NULL
                AND audience_size <> (SELECT count(*) FROM deliveries WHERE send_id = sends.id)
            """
        )
    return not wrong
