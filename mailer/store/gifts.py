"""Gifts that were paid for, and whether they were accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.db import Tx


@dataclass(frozen=True)
class Gift:
    """``months`` of access for a reader."""

    id: int
    subscriber_id: int
    plan: str
    months: int
    accepted_at: datetime | None


def add(tx: Tx, session_id: str, subscriber_id: int, plan: str, months: int, amount: int, currency: str) -> int:
    """Write a paid gift down; its id, or 0 when this checkout's gift is known."""
    return int(
        tx.value(
            """
            INSERT INTO gifts (session_id, subscriber_id, plan, months, amount, currency)
            VALUES (%(session_id)s, %(subscriber_id)s, %(plan)s, %(months)s, %(amount)s, %(currency)s)
            ON CONFLICT (session_id) DO NOTHING
            RETURNING id
            """,
            session_id=session_id,
            subscriber_id=subscriber_id,
            plan=plan,
            months=months,
            amount=amount,
            currency=currency,
        )
        or 0
    )


def lock(tx: Tx, gift_id: int) -> Gift | None:
    """One gift, locked until the transaction ends, or None."""
    row = tx.one("SELECT id, subscriber_id, plan, months, accepted_at FROM gifts WHERE id = %(id)s FOR UPDATE", id=gift_id)
    return Gift(**row) if row else None


def accept(tx: Tx, gift_id: int) -> None:
    """The reader took it."""
    tx.run("UPDATE gifts SET accepted_at = now() WHERE id = %(id)s", id=gift_id)
