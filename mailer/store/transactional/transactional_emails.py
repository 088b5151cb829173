"""Transactional emails: emails to one subscriber outside any send, with a ledger of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mailer.core import log
from mailer.core.db import Tx, each, json
from mailer.core.tokens import Recipient
from mailer.store.subscribers.suppressions import IS_SUPPRESSED


@dataclass(frozen=True)
class ClaimedEmail:
    """An email that this claim may send. ``topic`` is '' for the confirmation of a subscription itself.

    ``subscriber_id`` is 0 for a report.
    """

    id: int
    kind: str
    subscriber_id: int
    email: str
    created_at: datetime
    facts: dict[str, Any] = field(default_factory=dict)
    topic: str = ""
    lang: str = ""
    email_normal: str = ""
    link_epoch: int = 1

    @property
    def after_bounce(self) -> bool:
        """Whether it asks the owner of an address that bounced, and may go there although the address is suppressed."""
        return bool(self.facts.get("after_bounce"))

    @property
    def recipient(self) -> Recipient:
        """Whom the links in this email are for: the subscriber at their present address, even if ``email`` is another."""
        return Recipient(self.subscriber_id, self.email_normal, self.link_epoch)


def queue(
    tx: Tx,
    kind: str,
    subscriber_id: int | None,
    facts: Mapping[str, Any] | None = None,
    once: str | None = None,
    topic: str = "",
    held: bool = False,
) -> int:
    """Queue an email; return its id. A report is for nobody of the subscribers: its facts have the address (``to``).

    ``once`` identifies its matter: 0 is returned if an email about it was queued before. One that is ``held`` waits for the
    operator's review. The email's log lines name the HTTP request that caused it.
    """
    request = log.get_request_id()
    row = tx.often(
        """
        INSERT INTO transactional_emails (kind, subscriber_id, facts, once, topic, state)
        VALUES (%(kind)s, %(subscriber_id)s, %(facts)s, %(once)s, %(topic)s, %(state)s)
        ON CONFLICT (once) WHERE once IS NOT NULL DO NOTHING
        RETURNING id
        """,
        kind=kind,
        subscriber_id=subscriber_id,
        facts=json({**(facts or {}), **({"request": request} if request else {})}),
        once=once,
        topic=topic,
        state="held" if held else "pending",
    )
    return int(row["id"]) if row else 0


def list_known(tx: Tx, onces: Sequence[str]) -> set[str]:
    """Return the matters about which an email was queued."""
    rows = tx.all("SELECT once FROM transactional_emails WHERE once = ANY(%(onces)s)", onces=list(onces))
    return {row["once"] for row in rows}


def delete_reports(tx: Tx, age: timedelta) -> int:
    """Delete monthly reports older than ``age``; return how many."""
    return tx.run("DELETE FROM transactional_emails WHERE kind = 'report' AND created_at < now() - %(age)s", age=age)


def delete_pending(tx: Tx, onces: Sequence[str]) -> None:
    """Delete emails about these matters that were not sent yet."""
    tx.run("DELETE FROM transactional_emails WHERE once = ANY(%(onces)s) AND state = 'pending'", onces=list(onces))


def count_since(tx: Tx, subscriber_id: int, age: timedelta, topic: str = "") -> int:
    """Return how many confirmations (or emails of another topic) were queued for this subscriber in the last ``age``."""
    return int(
        tx.value(
            """
            SELECT count(*) FROM transactional_emails
            WHERE subscriber_id = %(subscriber_id)s AND kind = 'confirmation' AND topic = %(topic)s
                AND created_at > now() - %(age)s
            """,
            subscriber_id=subscriber_id,
            age=age,
            topic=topic,
        )
    )


def get_facts(tx: Tx, email_id: int, subscriber_id: int) -> dict[str, Any] | None:
    """Return an email's facts, or None if this subscriber has no such email."""
    found = tx.value(
        "SELECT facts FROM transactional_emails WHERE id = %(id)s AND subscriber_id = %(subscriber_id)s",
        id=email_id,
        subscriber_id=subscriber_id,
    )
    return dict(found) if found is not None else None


@dataclass(frozen=True)
class Requested:
    """What a sign-up asks for besides the subscription: it waits with the confirmation email until its link is used.

    With ``after_bounce`` the email also goes to an address that is suppressed because emails bounced. ``paid``: a payment
    requested it.
    """

    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    after_bounce: bool = False
    paid: bool = False


def get_requested(tx: Tx, subscriber_id: int) -> Requested:
    """Return what the latest confirmation email to this subscriber waits to add, and whether the latest request was paid."""
    row = tx.one(
        """
        SELECT
            (
                SELECT facts FROM transactional_emails
                WHERE subscriber_id = %(subscriber_id)s AND kind = 'confirmation' AND topic = ''
                ORDER BY id DESC
                LIMIT 1
            ) AS facts,
            (
                SELECT source = 'checkout' FROM consents
                WHERE subscriber_id = %(subscriber_id)s AND kind = 'requested'
                ORDER BY id DESC
                LIMIT 1
            ) AS paid
        """,
        subscriber_id=subscriber_id,
    )
    assert row
    facts = row["facts"] or {}
    return Requested(facts.get("tags") or [], facts.get("metadata") or {}, paid=bool(row["paid"]))


def claim_batch(tx: Tx, claim_id: str, size: int) -> tuple[list[ClaimedEmail], int]:
    """Claim up to ``size`` pending emails; also return the number of rows touched.

    A confirmation whose subscriber is meanwhile active or unsubscribed, and any email to a suppressed address, is settled as
    ``skipped``. A confirmation that was requested after a bounce is left to the caller, who knows how long ago that was.
    """
    rows = tx.all(
        f"""
        WITH picked AS (
            SELECT id FROM transactional_emails
            WHERE state = 'pending'
            ORDER BY topic = 'digest', id
            LIMIT %(size)s
            FOR UPDATE SKIP LOCKED
        ),

        judged AS (
            SELECT
                transactional_emails.id,
                coalesce(transactional_emails.facts ->> 'to', subscribers.email) AS email,
                coalesce(subscribers.lang, '') AS lang,
                coalesce(subscribers.email_normal, '') AS email_normal,
                coalesce(subscribers.link_epoch, 1) AS link_epoch,
                CASE
                    WHEN transactional_emails.kind <> 'confirmation' THEN true
                    WHEN topic = '' THEN subscribers.state = 'unconfirmed'
                        OR (subscribers.state = 'active' AND transactional_emails.facts ? 'after_bounce')
                    WHEN topic = 'topics' THEN subscribers.state = 'active'
                    WHEN topic IN ('digest', 'pause over')
                        THEN subscribers.state = 'active' AND coalesce(subscribers.paused_until <= now(), true)
                    ELSE true
                END AND subscribers.erased_at IS NULL
                AND (transactional_emails.facts ? 'after_bounce' OR NOT {IS_SUPPRESSED}) AS wanted
            FROM picked
            JOIN transactional_emails ON transactional_emails.id = picked.id
            LEFT JOIN subscribers ON subscribers.id = transactional_emails.subscriber_id
        )

        UPDATE transactional_emails
        SET state = CASE WHEN judged.wanted THEN 'claimed' ELSE 'skipped' END,
            attempts = attempts + 1,
            claimed_at = clock_timestamp(),
            claimed_by = %(claim_id)s::uuid,
            settled_at = CASE WHEN judged.wanted THEN NULL ELSE now() END
        FROM judged
        WHERE transactional_emails.id = judged.id
        RETURNING
            transactional_emails.id, kind, coalesce(subscriber_id, 0) AS subscriber_id, judged.email, created_at, facts, topic,
            judged.lang, judged.email_normal, judged.link_epoch, transactional_emails.state
        """,
        claim_id=claim_id,
        size=size,
    )
    taken = [{k: v for k, v in row.items() if k != "state"} for row in rows if row["state"] == "claimed"]
    return each(taken, ClaimedEmail), len(rows)


def record_outcome(tx: Tx, email_id: int, claim_id: str, state: str, message_id: str, detail: str) -> int:
    """Record the outcome of a claimed email; only the claim's owner may."""
    return tx.run(
        """
        UPDATE transactional_emails
        SET state = %(state)s,
            message_id = nullif(%(message_id)s, ''),
            detail = %(detail)s,
            claimed_by = CASE WHEN %(state)s = 'pending' THEN NULL ELSE claimed_by END,
            claimed_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE claimed_at END,
            settled_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE now() END
        WHERE id = %(id)s AND claimed_by = %(claim_id)s::uuid AND state IN ('claimed', 'uncertain')
        """,
        id=email_id,
        claim_id=claim_id,
        state=state,
        message_id=message_id,
        detail=detail,
    )


def expire_claims(tx: Tx, lease: timedelta) -> int:
    """Mark claims older than the lease as ``uncertain``: their worker is lost."""
    return tx.run(
        """
        UPDATE transactional_emails
        SET state = 'uncertain', detail = 'the worker was lost before the answer', settled_at = now()
        WHERE state = 'claimed' AND claimed_at < now() - %(lease)s
        """,
        lease=lease,
    )


def has_work(tx: Tx) -> bool:
    """Return whether any email is pending."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM transactional_emails WHERE state = 'pending')"))
