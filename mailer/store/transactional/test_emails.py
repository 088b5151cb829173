"""Reviewers, who get test emails, and the emails sent to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from mailer.core.db import Tx

KEPT_FOR = timedelta(days=400)
PERIOD = timedelta(hours=1)  # of the limits
_LOCK = 0x706D7465  # "pmte": limits are counted by one transaction at a time


@dataclass(frozen=True)
class TestEmail:
    """What is written down about a test email before it is sent."""

    email_normal: str
    source: str
    issue_key: str
    number: int
    variant: str
    digest: str


def is_proven(tx: Tx, email_normal: str) -> bool:
    """Return whether the owner of this address has confirmed that it gets test emails."""
    found = tx.one("SELECT id FROM reviewers WHERE email_normal = %(email)s AND proven_at IS NOT NULL", email=email_normal)
    return found is not None


def add_reviewer(tx: Tx, email: str, email_normal: str) -> int:
    """Remember that the owner of an address was asked; return the reviewer's id."""
    return int(
        tx.value(
            """
            INSERT INTO reviewers (email, email_normal) VALUES (%(email)s, %(email_normal)s)
            ON CONFLICT (email_normal) DO UPDATE SET asked_at = now()
            RETURNING id
            """,
            email=email,
            email_normal=email_normal,
        )
    )


def get_reviewer(tx: Tx, reviewer_id: int) -> str:
    """Return a reviewer's address; '' if there is none."""
    return str(tx.value("SELECT email FROM reviewers WHERE id = %(id)s", id=reviewer_id) or "")


def prove(tx: Tx, reviewer_id: int) -> bool:
    """Record that the owner of the address confirmed; return whether there is such a reviewer."""
    return tx.run("UPDATE reviewers SET proven_at = now() WHERE id = %(id)s", id=reviewer_id) > 0


def count_recent(tx: Tx, email_normal: str) -> tuple[int, int]:
    """Return how many test emails were sent within ``PERIOD`` in all and to this address. One transaction at a time counts."""
    tx.run("SELECT pg_advisory_xact_lock(%(lock)s)", lock=_LOCK)
    row = tx.one(
        """
        SELECT count(*) AS everybody, count(*) FILTER (WHERE email_normal = %(email)s) AS address
        FROM test_emails WHERE at > now() - %(period)s
        """,
        email=email_normal,
        period=PERIOD,
    )
    return (row["everybody"], row["address"]) if row else (0, 0)


def add(tx: Tx, email: TestEmail) -> int:
    """Write an email down, claimed; return its id."""
    return int(
        tx.value(
            """
            INSERT INTO test_emails (email_normal, source, issue_key, number, variant, digest)
            VALUES (%(email_normal)s, %(source)s, %(issue_key)s, %(number)s, %(variant)s, %(digest)s)
            RETURNING id
            """,
            **vars(email),
        )
    )


def record_outcome(tx: Tx, email_id: int, state: str, message_id: str, detail: str) -> None:
    """Record what the transport answered."""
    tx.run(
        "UPDATE test_emails SET state = %(state)s, message_id = %(message)s, detail = %(detail)s WHERE id = %(id)s",
        id=email_id,
        state=state,
        message=message_id,
        detail=detail,
    )


def record_event(tx: Tx, email_id: int, state: str, detail: str) -> str | None:
    """Record an event of an email; whose address bounced or complained must prove it again.

    Return the normal address it went to ('' once it was erased), or None if there is no such email.
    """
    email = tx.value(
        """
        UPDATE test_emails SET
            state = CASE
                WHEN state IN ('bounced', 'complained') OR (%(state)s = 'accepted' AND state = 'delivered') THEN state
                ELSE %(state)s
            END,
            detail = %(detail)s
        WHERE id = %(id)s
        RETURNING email_normal
        """,
        id=email_id,
        state=state,
        detail=detail,
    )
    if email and state in ("bounced", "complained"):
        tx.run("UPDATE reviewers SET proven_at = NULL WHERE email_normal = %(email)s", email=email)
    return None if email is None else str(email)


def get_states(tx: Tx, email_ids: Sequence[int]) -> dict[int, str]:
    """Return the state of each of these emails."""
    rows = tx.all("SELECT id, state FROM test_emails WHERE id = ANY(%(ids)s::bigint [])", ids=list(email_ids))
    return {row["id"]: row["state"] for row in rows}


def list_reviewed(tx: Tx, digests: Sequence[str]) -> frozenset[str]:
    """Return which of the texts with these digests a reviewer was sent."""
    rows = tx.all(
        """
        SELECT DISTINCT digest FROM test_emails
        WHERE digest = ANY(%(digests)s::text []) AND state IN ('accepted', 'delivered')
        """,
        digests=list(digests),
    )
    return frozenset(row["digest"] for row in rows)


def purge(tx: Tx) -> int:
    """Delete what is older than ``KEPT_FOR``; return how many rows."""
    return tx.run("DELETE FROM test_emails WHERE at < now() - %(age)s", age=KEPT_FOR)
