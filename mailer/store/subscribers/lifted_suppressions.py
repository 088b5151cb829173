"""Lifted suppressions: the evidence of each, and the addresses that the provider's own list must still be cleared of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class LiftedSuppression:
    """A suppression that ended. ``reason`` is why the address was suppressed, ``detail`` what else is known."""

    email_normal: str
    reason: str
    detail: str
    suppressed_at: datetime


@dataclass(frozen=True)
class DueRemoval:
    """An address that the provider's list must be cleared of; ``email`` as the subscriber wrote it."""

    id: int
    email: str
    email_normal: str
    reason: str


@dataclass(frozen=True)
class Lifting:
    """Who lifts a suppression, and why. ``at_provider``: the address must also leave the provider's own list."""

    by: str
    why: str = ""
    ip: str | None = None
    at_provider: bool = False


def lift(
    tx: Tx, email_normals: Sequence[str], reasons: Sequence[str], before: datetime | None, lifting: Lifting
) -> list[LiftedSuppression]:
    """Lift suppressions with one of these reasons, made before ``before``; store the evidence, also with the subscriber."""
    rows = tx.all(
        """
        WITH lifted AS (
            DELETE FROM suppressions
            WHERE email_normal = ANY(%(emails)s::text []) AND reason = ANY(%(reasons)s::text [])
                AND created_at < coalesce(%(before)s::timestamptz, 'infinity')
            RETURNING email_normal, reason, detail, created_at
        ),

        evidence AS (
            INSERT INTO consents (subscriber_id, kind, source, ip, evidence)
            SELECT
                subscribers.id, 'unsuppressed', %(by)s, %(ip)s,
                jsonb_build_object('reason', lifted.reason, 'suppressed_at', lifted.created_at, 'why', %(why)s::text)
            FROM lifted JOIN subscribers ON subscribers.email_normal = lifted.email_normal
        )

        INSERT INTO lifted_suppressions (email_normal, reason, detail, suppressed_at, lifted_by, why, ses_due_at)
        SELECT
            email_normal, reason, detail, created_at, %(by)s, %(why)s,
            CASE WHEN %(at_provider)s THEN clock_timestamp() END
        FROM lifted
        ORDER BY email_normal
        RETURNING email_normal, reason, detail, suppressed_at
        """,
        emails=list(email_normals),
        reasons=list(reasons),
        before=before,
        by=lifting.by,
        why=lifting.why,
        ip=lifting.ip,
        at_provider=lifting.at_provider,
    )
    return each(rows, LiftedSuppression)


def list_expired(tx: Tx, reason: str, age: timedelta, limit: int) -> list[str]:
    """Return addresses suppressed for this reason longer than ``age`` ago."""
    rows = tx.all(
        """
        SELECT email_normal FROM suppressions
        WHERE reason = %(reason)s AND created_at < now() - %(age)s
        ORDER BY created_at
        LIMIT %(limit)s
        """,
        reason=reason,
        age=age,
        limit=limit,
    )
    return [row["email_normal"] for row in rows]


def request_removal(tx: Tx, email_normal: str, lifting: Lifting) -> None:
    """Have the provider's list cleared of an address that is not suppressed here."""
    tx.run(
        """
        INSERT INTO lifted_suppressions (email_normal, reason, suppressed_at, lifted_by, why, ses_due_at)
        VALUES (%(email_normal)s, '', now(), %(by)s, %(why)s, clock_timestamp())
        """,
        email_normal=email_normal,
        by=lifting.by,
        why=lifting.why,
    )


def has_due_removals(tx: Tx) -> bool:
    """Return whether the provider's list must be cleared of an address now."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM lifted_suppressions WHERE ses_due_at <= now())"))


def postpone_due_removals(tx: Tx, wait: timedelta, limit: int, email_normal: str = "") -> list[DueRemoval]:
    """Return due removals (of one address, or of all), each due again after ``wait`` unless it is settled before."""
    rows = tx.all(
        """
        WITH picked AS (
            SELECT id FROM lifted_suppressions
            WHERE ses_due_at <= clock_timestamp() AND %(email_normal)s IN ('', email_normal)
            ORDER BY ses_due_at
            LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        )

        UPDATE lifted_suppressions
        SET ses_due_at = clock_timestamp() + %(wait)s
        FROM picked
        WHERE lifted_suppressions.id = picked.id
        RETURNING
            lifted_suppressions.id, email_normal, reason,
            coalesce(
                (SELECT email FROM subscribers WHERE subscribers.email_normal = lifted_suppressions.email_normal), email_normal
            ) AS email
        """,
        wait=wait,
        limit=limit,
        email_normal=email_normal,
    )
    return each(rows, DueRemoval)


def settle_removal(tx: Tx, removal_id: int, outcome: str) -> None:
    """Record the provider's answer; nothing is due any more."""
    tx.run(
        "UPDATE lifted_suppressions SET ses_due_at = NULL, ses_outcome = %(outcome)s WHERE id = %(id)s",
        id=removal_id,
        outcome=outcome,
    )
