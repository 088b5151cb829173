"""Mails that are held back for review: looked at, released or dropped. None is ever lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Held:
    """A mail that waits for the operator: for whom, why, and from where it was asked for."""

    id: int
    email: str
    why: str
    ip: str
    created_at: datetime


def waiting(tx: Tx, limit: int) -> list[Held]:
    """Held mails, the oldest first."""
    rows = tx.all(
        """
        SELECT mails.id, subscribers.email, coalesce(mails.facts ->> 'held', '') AS why, mails.created_at,
            coalesce((
                SELECT host(consents.ip) FROM consents
                WHERE consents.subscriber_id = mails.subscriber_id AND consents.kind = 'requested'
                ORDER BY consents.id DESC LIMIT 1
            ), '') AS ip
        FROM transactional_mails AS mails
        JOIN subscribers ON subscribers.id = mails.subscriber_id
        WHERE mails.state = 'held'
        ORDER BY mails.id
        LIMIT %(limit)s
        """,
        limit=limit,
    )
    return each(rows, Held)


def count(tx: Tx) -> int:
    """How many mails are held."""
    return int(tx.value("SELECT count(*) FROM transactional_mails WHERE state = 'held'"))


def release(tx: Tx, ids: Sequence[int] | None) -> int:
    """Let held mails go (None: all of them); their links hold from now. How many."""
    return tx.run(
        """
        UPDATE transactional_mails SET state = 'pending', created_at = now()
        WHERE state = 'held' AND (%(ids)s::bigint [] IS NULL OR id = ANY(%(ids)s::bigint []))
        """,
        ids=None if ids is None else list(ids),
    )


def drop(tx: Tx, ids: Sequence[int] | None) -> int:
    """Held mails (None: all) are not sent; the sign-up stays and can be made again. How many."""
    return tx.run(
        """
        UPDATE transactional_mails SET state = 'skipped', detail = 'dropped on review', settled_at = now()
        WHERE state = 'held' AND (%(ids)s::bigint [] IS NULL OR id = ANY(%(ids)s::bigint []))
        """,
        ids=None if ids is None else list(ids),
    )
