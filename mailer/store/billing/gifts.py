"""Paid gifts, and whether they were accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core import log
from mailer.core.db import Tx


@dataclass(frozen=True)
class Gift:
    """``months`` of access for a subscriber."""

    id: int
    subscriber_id: int
    plan: str
    months: int
    accepted_at: datetime | None
    returned_at: datetime | None = None


_COLUMNS = "id, subscriber_id, plan, months, accepted_at, returned_at"


def add(
    tx: Tx, session_id: str, subscriber_id: int, plan: str, months: int, amount: int, currency: str, intent: str = ""
) -> int:
    """Add a paid gift; return its id, or 0 if this checkout's gift was already added."""
    return int(
        tx.value(
            """
            INSERT INTO gifts (session_id, subscriber_id, plan, months, amount, currency, intent)
            VALUES (%(session_id)s, %(subscriber_id)s, %(plan)s, %(months)s, %(amount)s, %(currency)s, %(intent)s)
            ON CONFLICT (session_id) DO NOTHING
            RETURNING id
            """,
            session_id=session_id,
            subscriber_id=subscriber_id,
            plan=plan,
            months=months,
            amount=amount,
            currency=currency,
            intent=intent,
        )
        or 0
    )


def lock(tx: Tx, gift_id: int) -> Gift | None:
    """Return one gift, locked until the transaction ends, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM gifts WHERE id = %(id)s FOR UPDATE", id=gift_id)
    return Gift(**row) if row else None


def accept(tx: Tx, gift_id: int) -> None:
    """Mark a gift as accepted."""
    tx.run("UPDATE gifts SET accepted_at = now() WHERE id = %(id)s", id=gift_id)


def requeue_emails(tx: Tx, subscriber_id: int) -> int:
    """Queue the emails of gifts not accepted yet once more, for the subscriber's new address; return how many."""
    return tx.run(
        """
        INSERT INTO transactional_emails (kind, subscriber_id, facts)
        SELECT DISTINCT ON (gifts.id)
            'paid', gifts.subscriber_id, sent.facts || jsonb_build_object('request', %(request)s::text)
        FROM gifts
        JOIN transactional_emails AS sent
            ON sent.subscriber_id = gifts.subscriber_id AND sent.facts ->> 'gift' = gifts.id::text
        WHERE gifts.subscriber_id = %(id)s AND gifts.accepted_at IS NULL AND gifts.returned_at IS NULL
            AND NOT EXISTS (
                SELECT FROM transactional_emails AS waiting
                WHERE waiting.subscriber_id = gifts.subscriber_id
                    AND waiting.state IN ('pending', 'held')
                    AND waiting.facts ->> 'gift' = gifts.id::text
            )
        ORDER BY gifts.id, sent.id
        """,
        id=subscriber_id,
        request=log.get_request_id(),
    )


def lock_by_payment(tx: Tx, intent: str) -> Gift | None:
    """Return the gift that a payment is for, locked, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM gifts WHERE intent = %(intent)s AND intent <> '' FOR UPDATE", intent=intent)
    return Gift(**row) if row else None


def revoke_refunded(tx: Tx, gift_id: int) -> None:
    """End a refunded gift."""
    tx.run("UPDATE gifts SET returned_at = now() WHERE id = %(id)s AND returned_at IS NULL", id=gift_id)
    tx.run("UPDATE grants SET revoked_at = now() WHERE kind = 'gift' AND reason = %(reason)s", reason=f"gift {gift_id}")
