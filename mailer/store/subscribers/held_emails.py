"""Emails held for review: listed, released or dropped. None is ever lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class HeldEmail:
    """An email waiting for the operator: recipient, reason, and the IP address of the request."""

    id: int
    email: str
    why: str
    ip: str
    created_at: datetime


def list_held(tx: Tx, limit: int) -> list[HeldEmail]:
    """Return held emails, oldest first."""
    rows = tx.all(
        """
        SELECT emails.id, subscribers.email, coalesce(emails.facts ->> 'held', '') AS why, emails.created_at,
            coalesce((
                SELECT host(consents.ip) FROM consents
                WHERE consents.subscriber_id = emails.subscriber_id AND consents.kind = 'requested'
                ORDER BY consents.id DESC LIMIT 1
            ), '') AS ip
        FROM transactional_emails AS emails
        JOIN subscribers ON subscribers.id = emails.subscriber_id
        WHERE emails.state = 'held'
        ORDER BY emails.id
        LIMIT %(limit)s
        """,
        limit=limit,
    )
    return each(rows, HeldEmail)


def count_held(tx: Tx) -> int:
    """Return the number of held emails."""
    return int(tx.value("SELECT count(*) FROM transactional_emails WHERE state = 'held'"))


def release(tx: Tx, ids: Sequence[int] | None) -> int:
    """Release held emails (None: all); their links are valid from now. Return how many."""
    return tx.run(
        """
        UPDATE transactional_emails SET state = 'pending', created_at = now()
        WHERE state = 'held' AND (%(ids)s::bigint [] IS NULL OR id = ANY(%(ids)s::bigint []))
        """,
        ids=None if ids is None else list(ids),
    )


def drop(tx: Tx, ids: Sequence[int] | None) -> int:
    """Discard held emails (None: all); the sign-ups remain and can be repeated. Return how many."""
    return tx.run(
        """
        UPDATE transactional_emails SET state = 'skipped', detail = 'dropped on review', settled_at = now()
        WHERE state = 'held' AND (%(ids)s::bigint [] IS NULL OR id = ANY(%(ids)s::bigint []))
        """,
        ids=None if ids is None else list(ids),
    )
