"""Stripe subscriptions as last fetched, and refunded or disputed charges. Only a fresh fetch may be saved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each
from mailer.payments.models import RUNNING_STATUSES, Charge, Subscription


@dataclass(frozen=True)
class StoredSubscription:
    """A stored subscription and what became of its latest charge; ``version`` counts the writes."""

    stripe_id: str
    version: int
    customer_id: str
    subscriber_id: int | None
    plan: str
    status: str
    amount: int
    currency: str
    months: int
    collection_paused: bool
    pause_kind: str
    paid_until: datetime | None
    paused_at: datetime | None
    resumes_at: datetime | None
    cancel_at: datetime | None
    trial_end: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    invoice_id: str
    invoice_status: str
    invoice_at: datetime | None
    refunded: bool
    dispute: str
    disputed_at: datetime | None


_SUBSCRIPTION = """
    SELECT
        subscriptions.stripe_id, subscriptions.version, customer_id, subscriber_id, plan, status, subscriptions.amount,
        subscriptions.currency, months, collection_paused, pause_kind, paid_until, paused_at, resumes_at, cancel_at, trial_end,
        period_start, period_end, started_at, ended_at, subscriptions.invoice_id, invoice_status, invoice_at,
        coalesce(back.refunded >= back.amount AND back.amount > 0, false) AS refunded,
        coalesce(back.dispute, '') AS dispute, back.disputed_at
    FROM subscriptions
    LEFT JOIN LATERAL (
        SELECT amount, refunded, dispute, disputed_at
        FROM charges
        WHERE charges.subscription_id = subscriptions.stripe_id AND charges.invoice_id = subscriptions.invoice_id
        ORDER BY dispute = 'lost' DESC, dispute = 'open' DESC, charges.stripe_id
        LIMIT 1
    ) AS back ON true
"""


def get_version(tx: Tx, stripe_id: str) -> int:
    """Return how often the subscription was saved; 0 if it is new. Call it before a fetch."""
    tx.run("INSERT INTO subscriptions (stripe_id) VALUES (%(id)s) ON CONFLICT DO NOTHING", id=stripe_id)
    return int(tx.value("SELECT version FROM subscriptions WHERE stripe_id = %(id)s", id=stripe_id))


def save_fetched(tx: Tx, fetched: Subscription, version: int) -> bool:
    """Save a fetched subscription; return False if it was saved since ``version`` was read, as it may be outdated."""
    values = {
        name: value for name, value in vars(fetched).items() if name not in ("subscriber_id", "email", "lang", "stripe_id")
    }
    return bool(
        tx.run(
            """
            UPDATE subscriptions
            SET version = version + 1,
                fetched_at = now(),
                customer_id = %(customer_id)s,
                plan = %(plan)s,
                status = %(status)s,
                amount = %(amount)s,
                currency = %(currency)s,
                months = %(months)s,
                collection_paused = %(collection_paused)s,
                pause_kind = %(pause_kind)s,
                paid_until = %(paid_until)s,
                paused_at = %(paused_at)s,
                resumes_at = %(resumes_at)s,
                cancel_at = %(cancel_at)s,
                trial_end = %(trial_end)s,
                period_start = %(period_start)s,
                period_end = %(period_end)s,
                started_at = %(started_at)s,
                ended_at = %(ended_at)s,
                invoice_id = %(invoice_id)s,
                invoice_status = %(invoice_status)s,
                invoice_at = %(invoice_at)s
            WHERE stripe_id = %(stripe_id)s AND version = %(version)s
            """,
            stripe_id=fetched.stripe_id,
            version=version,
            **values,
        )
    )


def mark_lost(tx: Tx, stripe_id: str) -> None:
    """Mark as ended a subscription that Stripe no longer knows."""
    tx.run(
        """
        UPDATE subscriptions
        SET version = version + 1, status = 'canceled', ended_at = coalesce(ended_at, now()), invoice_status = '',
            fetched_at = now()
        WHERE stripe_id = %(id)s AND status <> 'canceled'
        """,
        id=stripe_id,
    )


def assign(tx: Tx, stripe_id: str, subscriber_id: int) -> None:
    """Assign a subscription to a subscriber."""
    tx.run(
        "UPDATE subscriptions SET subscriber_id = %(subscriber_id)s WHERE stripe_id = %(id)s",
        id=stripe_id,
        subscriber_id=subscriber_id,
    )


def get(tx: Tx, stripe_id: str) -> StoredSubscription | None:
    """Return one subscription, or None."""
    row = tx.one(f"{_SUBSCRIPTION} WHERE subscriptions.stripe_id = %(id)s", id=stripe_id)
    return StoredSubscription(**row) if row else None


def is_charged(tx: Tx, subscriber_id: int) -> bool:
    """Return whether a subscription of theirs is still charged."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (
                SELECT FROM subscriptions
                WHERE subscriber_id = %(id)s AND plan <> '' AND status = ANY(%(running)s) AND cancel_at IS NULL
            )
            """,
            id=subscriber_id,
            running=list(RUNNING_STATUSES),
        )
    )


def list_by_subscriber(tx: Tx, subscriber_id: int) -> list[StoredSubscription]:
    """Return a subscriber's subscriptions that we sold, oldest first."""
    rows = tx.all(
        f"{_SUBSCRIPTION} WHERE subscriber_id = %(id)s AND plan <> '' ORDER BY started_at, subscriptions.stripe_id",
        id=subscriber_id,
    )
    return each(rows, StoredSubscription)


def list_resuming(tx: Tx, ahead: timedelta, limit: int = 200) -> list[StoredSubscription]:
    """Return subscriptions that we paused and whose pause ends by itself within so much time."""
    rows = tx.all(
        f"""
        {_SUBSCRIPTION}
        WHERE resumes_at <= now() + %(ahead)s AND pause_kind IN ('keep', 'serve') AND status <> 'canceled'
            AND subscriber_id IS NOT NULL
        ORDER BY resumes_at
        LIMIT %(limit)s
        """,
        ahead=ahead,
        limit=limit,
    )
    return each(rows, StoredSubscription)


def list_all(tx: Tx) -> list[StoredSubscription]:
    """Return all subscriptions, oldest first."""
    return each(tx.all(f"{_SUBSCRIPTION} ORDER BY started_at, subscriptions.stripe_id"), StoredSubscription)


def get_charge_version(tx: Tx, stripe_id: str) -> int:
    """Return how often a charge was saved; call it before a fetch."""
    tx.run("INSERT INTO charges (stripe_id) VALUES (%(id)s) ON CONFLICT DO NOTHING", id=stripe_id)
    return int(tx.value("SELECT version FROM charges WHERE stripe_id = %(id)s", id=stripe_id))


def get_charge(tx: Tx, stripe_id: str) -> tuple[int, str] | None:
    """Return a charge's refunded amount and its dispute; None if it is unknown."""
    row = tx.one("SELECT refunded, dispute FROM charges WHERE stripe_id = %(id)s AND version > 0", id=stripe_id)
    return (row["refunded"], row["dispute"]) if row else None


def save_charge(tx: Tx, fetched: Charge, version: int) -> bool:
    """Save a fetched charge, unless it was saved since ``version`` was read."""
    return bool(
        tx.run(
            """
            UPDATE charges
            SET version = version + 1,
                subscription_id = %(subscription_id)s,
                invoice_id = %(invoice_id)s,
                amount = %(amount)s,
                refunded = %(refunded)s,
                currency = %(currency)s,
                dispute = %(dispute)s,
                disputed_at = %(disputed_at)s,
                intent = %(intent)s
            WHERE stripe_id = %(stripe_id)s AND version = %(version)s
            """,
            version=version,
            **vars(fetched),
        )
    )


def is_refunded(tx: Tx, intent: str) -> bool:
    """Return whether a payment was refunded or lost entirely, as far as we know."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (
                SELECT FROM charges
                WHERE intent = %(intent)s AND intent <> '' AND (dispute = 'lost' OR (amount > 0 AND refunded >= amount))
            )
            """,
            intent=intent,
        )
    )
