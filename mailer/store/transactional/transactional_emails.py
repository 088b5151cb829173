"""Transactional emails: emails to one subscriber outside any send, with a ledger of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mailer.core.db import Tx, each, json
from mailer.core.tokens import Recipient


@dataclass(frozen=True)
class ClaimedEmail:
    """An email that this claim may send. ``topic`` is '' for the confirmation of a subscription itself."""

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
    def recipient(self) -> Recipient:
        """Whom the links in this email are for: the subscriber at their present address, even if ``email`` is another."""
        return Recipient(self.subscriber_id, self.email_normal, self.link_epoch)


def queue(
    tx: Tx,
    kind: str,
    subscriber_id: int,
    facts: Mapping[str, Any] | None = None,
    once: str | None = None,
    topic: str = "",
    held: bool = False,
) -> int:
    """Queue an email; return its id.

    ``once`` identifies its matter: 0 is returned if an email about it was queued before. One that is ``held`` waits for the
    operator's review.
    """
    row = tx.often(
        """
        INSERT INTO transactional_mails (kind, subscriber_id, facts, once, topic, state)
        VALUES (%(kind)s, %(subscriber_id)s, %(facts)s, %(once)s, %(topic)s, %(state)s)
        ON CONFLICT (once) WHERE once IS NOT NULL DO NOTHING
        RETURNING id
        """,
        kind=kind,
        subscriber_id=subscriber_id,
        facts=json(dict(facts or {})),
        once=once,
        topic=topic,
        state="held" if held else "pending",
    )
    return int(row["id"]) if row else 0


def count_since(tx: Tx, subscriber_id: int, age: timedelta, topic: str = "") -> int:
    """Return how many confirmations (or emails of another topic) were queued for this subscriber in the last ``age``."""
    return int(
        tx.value(
            """
            SELECT count(*) FROM transactional_mails
            WHERE subscriber_id = %(subscriber_id)s AND kind = 'confirmation' AND topic = %(topic)s
                AND created_at > now() - %(age)s
            """,
            subscriber_id=subscriber_id,
            age=age,
            topic=topic,
        )
    )


def get_facts(tx: Tx, mail_id: int, subscriber_id: int) -> dict[str, Any] | None:
    """Return an email's facts, or None if this subscriber has no such email."""
    found = tx.value(
        "SELECT facts FROM transactional_mails WHERE id = %(id)s AND subscriber_id = %(subscriber_id)s",
        id=mail_id,
        subscriber_id=subscriber_id,
    )
    return dict(found) if found is not None else None


def list_requested_tags(tx: Tx, subscriber_id: int) -> list[str]:
    """Return the tags in the latest confirmation email to this subscriber."""
    found = tx.value(
        """
        SELECT facts -> 'tags' FROM transactional_mails
        WHERE subscriber_id = %(subscriber_id)s AND kind = 'confirmation' AND topic = ''
        ORDER BY id DESC
        LIMIT 1
        """,
        subscriber_id=subscriber_id,
    )
    return list(found or [])


def claim_batch(tx: Tx, claim_id: str, size: int) -> tuple[list[ClaimedEmail], int]:
    """Claim up to ``size`` pending emails; also return the number of rows touched.

    A confirmation whose subscriber is meanwhile active or unsubscribed, and any email to a suppressed address, is settled as
    ``skipped``.
    """
    rows = tx.all(
        """
        WITH picked AS (
            SELECT id FROM transactional_mails
            WHERE state = 'pending'
            ORDER BY topic = 'digest', id
            LIMIT %(size)s
            FOR UPDATE SKIP LOCKED
        ),

        judged AS (
            SELECT
                transactional_mails.id,
                coalesce(transactional_mails.facts ->> 'to', subscribers.email) AS email,
                subscribers.lang,
                subscribers.email_normal,
                subscribers.link_epoch,
                CASE
                    WHEN transactional_mails.kind <> 'confirmation' THEN true
                    WHEN topic = '' THEN subscribers.state = 'unconfirmed'
                    WHEN topic = 'topics' THEN subscribers.state = 'active'
                    WHEN topic IN ('digest', 'pause over')
                        THEN subscribers.state = 'active' AND coalesce(subscribers.paused_until <= now(), true)
                    ELSE true
                END AND subscribers.erased_at IS NULL AND NOT EXISTS (
                    SELECT FROM suppressions WHERE suppressions.email_normal = subscribers.email_normal
                ) AS wanted
            FROM picked
            JOIN transactional_mails ON transactional_mails.id = picked.id
            JOIN subscribers ON subscribers.id = transactional_mails.subscriber_id
        )

        UPDATE transactional_mails
        SET state = CASE WHEN judged.wanted THEN 'claimed' ELSE 'skipped' END,
            attempts = attempts + 1,
            claimed_at = clock_timestamp(),
            claimed_by = %(claim_id)s::uuid,
            settled_at = CASE WHEN judged.wanted THEN NULL ELSE now() END
        FROM judged
        WHERE transactional_mails.id = judged.id
        RETURNING
            transactional_mails.id, kind, subscriber_id, judged.email, created_at, facts, topic, judged.lang,
            judged.email_normal, judged.link_epoch, transactional_mails.state
        """,
        claim_id=claim_id,
        size=size,
    )
    taken = [{k: v for k, v in row.items() if k != "state"} for row in rows if row["state"] == "claimed"]
    return each(taken, ClaimedEmail), len(rows)


def record_outcome(tx: Tx, mail_id: int, claim_id: str, state: str, message_id: str, detail: str) -> int:
    """Record the outcome of a claimed email; only the claim's owner may."""
    return tx.run(
        """
        UPDATE transactional_mails
        SET state = %(state)s,
            message_id = nullif(%(message_id)s, ''),
            detail = %(detail)s,
            claimed_by = CASE WHEN %(state)s = 'pending' THEN NULL ELSE claimed_by END,
            claimed_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE claimed_at END,
            settled_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE now() END
        WHERE id = %(id)s AND claimed_by = %(claim_id)s::uuid AND state IN ('claimed', 'uncertain')
        """,
        id=mail_id,
        claim_id=claim_id,
        state=state,
        message_id=message_id,
        detail=detail,
    )


def expire_claims(tx: Tx, lease: timedelta) -> int:
    """Mark claims older than the lease as ``uncertain``: their worker is lost."""
    return tx.run(
        """
        UPDATE transactional_mails
        SET state = 'uncertain', detail = 'the worker was lost before the answer', settled_at = now()
        WHERE state = 'claimed' AND claimed_at < now() - %(lease)s
        """,
        lease=lease,
    )


def has_work(tx: Tx) -> bool:
    """Return whether any email is pending."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM transactional_mails WHERE state = 'pending')"))
