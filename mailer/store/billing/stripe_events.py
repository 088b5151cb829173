"""Stripe events, each stored once by its id until it is processed, and the account they come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core import log
from mailer.core.db import Tx, each
from mailer.store.billing.retried_jobs import RetriedJobs

JOBS = RetriedJobs("stripe_events", "id", "id, type, object_id, request")


@dataclass(frozen=True)
class OpenStripeEvent:
    """A pending event about the object ``object_id``."""

    id: str
    type: str
    object_id: str
    request: str  # the HTTP request that brought it


@dataclass(frozen=True)
class BoundStripeAccount:
    """The account this database belongs to."""

    account_id: str
    livemode: bool


def add(tx: Tx, event_id: str, kind: str, object_id: str, created_at: datetime) -> bool:
    """Store an event; return False if it was stored before."""
    return bool(
        tx.run(
            """
            INSERT INTO stripe_events (id, type, object_id, created_at, request)
            VALUES (%(id)s, %(type)s, %(object_id)s, %(created_at)s, %(request)s)
            ON CONFLICT DO NOTHING
            """,
            id=event_id,
            type=kind,
            object_id=object_id,
            created_at=created_at,
            request=log.get_request_id(),
        )
    )


def claim_due(tx: Tx, number: int) -> list[OpenStripeEvent]:
    """Return up to so many due events."""
    return each(JOBS.claim(tx, number), OpenStripeEvent)


def mark_done(tx: Tx, event_id: str, detail: str = "") -> None:
    """Mark an event as processed."""
    tx.run("UPDATE stripe_events SET done_at = now(), detail = %(detail)s WHERE id = %(id)s", id=event_id, detail=detail[:500])


def get_account(tx: Tx) -> BoundStripeAccount | None:
    """Return the account this database belongs to, or None before the first setup."""
    row = tx.one("SELECT account_id, livemode FROM stripe_account")
    return BoundStripeAccount(**row) if row else None


def bind_account(tx: Tx, account_id: str, livemode: bool) -> None:
    """Bind this database to an account and mode, unless it is bound already."""
    tx.run(
        """
        INSERT INTO stripe_account (account_id, livemode) VALUES (%(account_id)s, %(livemode)s)
        ON CONFLICT DO NOTHING
        """,
        account_id=account_id,
        livemode=livemode,
    )


def mark_reconciled(tx: Tx) -> None:
    """Record that everything was compared with Stripe just now."""
    tx.run("UPDATE stripe_account SET reconciled_at = now()")


def is_reconcile_due(tx: Tx, every: timedelta) -> bool:
    """Return whether there is an account whose last comparison is longer ago than ``every``."""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT FROM stripe_account WHERE coalesce(reconciled_at, at) < now() - %(every)s)", every=every
        )
    )
