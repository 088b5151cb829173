"""Deliveries, the ledger: one row for each send and subscriber. Each change of state is one statement here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each
from mailer.core.tokens import Recipient
from mailer.store.subscribers import text_selection
from mailer.store.subscribers.suppressions import IS_SUPPRESSED

LAST_WAVE = 2  # 0: the first slice; 1: the rest; 2: those who come last in a warm-up

STATES = (
    "pending", "claimed", "accepted", "delivered", "skipped", "failed", "bounced", "complained", "uncertain",
)  # fmt: skip


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this claim may send; ``variant`` names the text for entitlement and language ("": the original)."""

    subscriber_id: int
    email: str
    variant: str
    email_normal: str
    link_epoch: int

    @property
    def recipient(self) -> Recipient:
        """Whom the links in this email are for."""
        return Recipient(self.subscriber_id, self.email_normal, self.link_epoch)


@dataclass(frozen=True)
class Settlement:
    """The outcome of one claimed delivery. ``counted``: whether it counts as an attempt (throttled and halted: no)."""

    subscriber_id: int
    state: str
    message_id: str = ""
    detail: str = ""
    counted: bool = True


def claim(
    tx: Tx, send_id: int, claim_id: str, size: int, texts: Mapping[str, str] = text_selection.ONE_TEXT
) -> tuple[list[ClaimedDelivery], int]:
    """Claim up to ``size`` pending deliveries of a running send; returns them and how many rows were touched.

    ``texts`` (``text_selection.build_parameters``) names the edition's variants; each subscriber gets the one that fits their
    entitlement and language now.

    Subscribers who unsubscribed, paused or were suppressed since the freeze are settled as ``skipped`` and not returned.
    If no rows were touched, nothing is pending (or other workers have claimed the rest, or the send is not running).
    Raises a unique violation when an address would receive the send twice.
    """
    rows = tx.all(
        f"""
        WITH picked AS (
            SELECT send_id, subscriber_id
            FROM deliveries
            WHERE send_id = %(send_id)s
                AND state = 'pending'
                AND wave <= (SELECT open_wave FROM sends WHERE sends.id = %(send_id)s AND sends.state = 'sending')
            ORDER BY wave, subscriber_id
            LIMIT %(size)s
            FOR UPDATE SKIP LOCKED
        ),

        judged AS (
            SELECT
                picked.subscriber_id,
                subscribers.email,
                subscribers.email_normal,
                subscribers.link_epoch,
                hashtextextended(subscribers.email_normal, 0) AS address_hash,
                subscribers.state = 'active' AS active,
                {text_selection.VARIANT} AS variant,
                coalesce(subscribers.paused_until > now(), false) AS paused,
                {IS_SUPPRESSED} AS suppressed
            FROM picked
            JOIN subscribers ON subscribers.id = picked.subscriber_id
            LEFT JOIN entitlements ON entitlements.subscriber_id = picked.subscriber_id
        )

        UPDATE deliveries
        SET state = CASE WHEN judged.active AND NOT judged.suppressed AND NOT judged.paused THEN 'claimed' ELSE 'skipped' END,
            detail = CASE
                WHEN NOT judged.active THEN 'unsubscribed after the audience was frozen'
                WHEN judged.paused THEN 'paused after the audience was frozen'
                WHEN judged.suppressed THEN 'suppressed after the audience was frozen'
                ELSE ''
            END,
            attempts = deliveries.attempts + 1,
            claimed_at = clock_timestamp(),
            claimed_by = %(claim_id)s::uuid,
            address_hash = judged.address_hash,
            variant = judged.variant,
            settled_at = CASE WHEN judged.active AND NOT judged.suppressed AND NOT judged.paused THEN NULL ELSE now() END
        FROM judged
        WHERE deliveries.send_id = %(send_id)s AND deliveries.subscriber_id = judged.subscriber_id
        RETURNING
            deliveries.subscriber_id, judged.email, coalesce(judged.variant, '') AS variant, judged.email_normal,
            judged.link_epoch, deliveries.state
        """,
        send_id=send_id,
        claim_id=claim_id,
        size=size,
        **texts,
    )
    claimed = [{name: value for name, value in row.items() if name != "state"} for row in rows if row["state"] == "claimed"]
    return each(claimed, ClaimedDelivery), len(rows)


def settle(tx: Tx, send_id: int, claim_id: str, settlements: Sequence[Settlement]) -> int:
    """Write the outcomes of a claim in one statement; returns how many rows changed.

    Only the claim's owner can settle a row, and only while it is ``claimed``, or ``uncertain`` because the answer came
    late: the answer is the proof.
    """
    return tx.run(
        """
        UPDATE deliveries
        SET state = outcome.state,
            message_id = nullif(outcome.message_id, ''),
            detail = outcome.detail,
            attempts = CASE WHEN outcome.counted THEN deliveries.attempts ELSE deliveries.attempts - 1 END,
            claimed_at = CASE WHEN outcome.state = 'pending' THEN NULL ELSE deliveries.claimed_at END,
            claimed_by = CASE WHEN outcome.state = 'pending' THEN NULL ELSE deliveries.claimed_by END,
            settled_at = CASE WHEN outcome.state = 'pending' THEN NULL ELSE now() END
        FROM unnest(
            %(ids)s::bigint [], %(states)s::text [], %(message_ids)s::text [], %(details)s::text [], %(counted)s::bool []
        ) AS outcome (subscriber_id, state, message_id, detail, counted)
        WHERE deliveries.send_id = %(send_id)s
            AND deliveries.subscriber_id = outcome.subscriber_id
            AND deliveries.claimed_by = %(claim_id)s::uuid
            AND deliveries.state IN ('claimed', 'uncertain')
        """,
        send_id=send_id,
        claim_id=claim_id,
        ids=[one.subscriber_id for one in settlements],
        states=[one.state for one in settlements],
        message_ids=[one.message_id for one in settlements],
        details=[one.detail for one in settlements],
        counted=[one.counted for one in settlements],
    )


def was_sent_to_present_address(tx: Tx, send_id: int, subscriber_id: int) -> bool:
    """Return whether a send's email went to the address that the subscriber has now.

    Where the ledger does not say (an email outside any send), only if they never had another address.
    """
    return bool(
        tx.value(
            """
            SELECT coalesce(
                (
                    SELECT deliveries.address_hash = hashtextextended(subscribers.email_normal, 0)
                    FROM deliveries
                    WHERE deliveries.send_id = %(send_id)s AND deliveries.subscriber_id = subscribers.id
                ),
                NOT EXISTS (SELECT FROM consents WHERE consents.subscriber_id = subscribers.id AND consents.kind = 'address')
            )
            FROM subscribers
            WHERE id = %(id)s
            """,
            send_id=send_id,
            id=subscriber_id,
        )
    )


def expire_claims(tx: Tx, lease: timedelta) -> int:
    """Mark claims older than the lease as ``uncertain``: their worker is gone, so their outcome is unknown."""
    return tx.run(
        """
        UPDATE deliveries
        SET state = 'uncertain', detail = 'the worker was lost before the answer', settled_at = now()
        WHERE state = 'claimed' AND claimed_at < now() - %(lease)s
        """,
        lease=lease,
    )


def mark_first_wave(tx: Tx, send_id: int, size: int) -> int:
    """Put ``size`` deliveries into wave 0, preferring subscribers who received the last finished send; returns how many."""
    return tx.run(
        """
        WITH last_send AS (
            SELECT id FROM sends WHERE state = 'finished' AND step_id IS NULL ORDER BY finished_at DESC LIMIT 1
        ),

        chosen AS (
            SELECT fresh.subscriber_id
            FROM deliveries AS fresh
            LEFT JOIN deliveries AS earlier
                ON earlier.subscriber_id = fresh.subscriber_id
                AND earlier.send_id = (SELECT id FROM last_send)
                AND earlier.state IN ('accepted', 'delivered')
            WHERE fresh.send_id = %(send_id)s
            ORDER BY earlier.subscriber_id IS NULL, hashint8(fresh.subscriber_id)
            LIMIT %(size)s
        )

        UPDATE deliveries
        SET wave = 0
        FROM chosen
        WHERE deliveries.send_id = %(send_id)s AND deliveries.subscriber_id = chosen.subscriber_id
        """,
        send_id=send_id,
        size=size,
    )


def has_unsettled_in_wave(tx: Tx, send_id: int, wave: int) -> bool:
    """Whether any delivery of this wave is still unsettled. Each state has its index: both at once would use neither."""
    return bool(
        tx.value(
            """
            SELECT
                EXISTS (SELECT FROM deliveries WHERE send_id = %(send_id)s AND wave = %(wave)s AND state = 'pending')
                OR EXISTS (SELECT FROM deliveries WHERE send_id = %(send_id)s AND wave = %(wave)s AND state = 'claimed')
            """,
            send_id=send_id,
            wave=wave,
        )
    )


def quota_returns_at(tx: Tx, emails: int) -> tuple[int, datetime | None]:
    """Of the oldest ``emails`` sent in the last 24 hours: how many there are, and when the last of them is 24 h old."""
    row = tx.all(
        """
        SELECT count(*)::int AS emails, max(settled_at) + interval '24 hours' AS at
        FROM (
            SELECT of_send.settled_at
            FROM sends
            CROSS JOIN LATERAL ( -- for all sends at once, the planner would read the whole ledger
                SELECT settled_at
                FROM deliveries
                WHERE send_id = sends.id
                    AND settled_at > now() - interval '24 hours'
                    AND deliveries.state IN ('accepted', 'delivered', 'bounced', 'complained', 'uncertain')
                ORDER BY settled_at
                LIMIT %(emails)s
            ) AS of_send
            WHERE started_at IS NOT NULL AND coalesce(finished_at, now()) > now() - interval '24 hours'
            ORDER BY 1
            LIMIT %(emails)s
        ) AS oldest
        """,
        emails=emails,
    )[0]
    return row["emails"], row["at"]


def count_pending(tx: Tx, send_id: int) -> int:
    """How many deliveries of a send are pending."""
    return int(tx.value("SELECT count(*) FROM deliveries WHERE send_id = %(send_id)s AND state = 'pending'", send_id=send_id))


def delete_frozen(tx: Tx, send_id: int) -> int:
    """Delete the frozen audience of a send that has not started; returns how many rows."""
    return tx.run("DELETE FROM deliveries WHERE send_id = %(send_id)s AND state = 'pending'", send_id=send_id)


@dataclass(frozen=True)
class Count:
    """How many deliveries of a send are in a state."""

    send_id: int
    state: str
    number: int


def count_by_state(tx: Tx, send_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """How many deliveries each send has in each state; 0 where it has none. Those of old sends are not counted again."""
    rows = tx.all(
        """
        SELECT send_id, state, number FROM delivery_sums WHERE send_id = ANY(%(ids)s)
        UNION ALL
        SELECT asked.id, counted.state, counted.number
        FROM (SELECT unnest(%(ids)s::bigint []) EXCEPT SELECT send_id FROM delivery_sums) AS asked (id)
        CROSS JOIN LATERAL ( -- for all at once, the planner would read the whole ledger
            SELECT state, count(*)::int AS number FROM deliveries WHERE send_id = asked.id GROUP BY state
        ) AS counted
        """,
        ids=list(send_ids),
    )
    table = {send_id: dict.fromkeys(STATES, 0) for send_id in send_ids}
    for one in each(rows, Count):
        table[one.send_id][one.state] = one.number
    return table


def sum_up_old_send(tx: Tx, age: timedelta) -> bool:
    """Store the counts of one send that finished at least so long ago; return False if there is none left.

    Changes of old deliveries wait meanwhile (``forget_sums``), so that no count misses one.
    """
    tx.script("LOCK TABLE delivery_sums IN SHARE ROW EXCLUSIVE MODE")
    return bool(
        tx.run(
            """
            INSERT INTO delivery_sums (send_id, state, number)
            SELECT send_id, state, count(*)::int FROM deliveries
            WHERE send_id = (
                SELECT id FROM sends
                WHERE state = 'finished' AND NOT continuous AND finished_at < now() - %(age)s
                    AND NOT EXISTS (SELECT FROM delivery_sums WHERE delivery_sums.send_id = sends.id)
                    AND EXISTS (SELECT FROM deliveries WHERE deliveries.send_id = sends.id)
                ORDER BY id LIMIT 1
            )
            GROUP BY send_id, state
            """,
            age=age,
        )
    )


def forget_sums(tx: Tx, send_ids: Sequence[int]) -> None:
    """Let the deliveries of these sends be counted again, because some of them change: call it before that."""
    tx.run("DELETE FROM delivery_sums WHERE send_id = ANY(%(ids)s::bigint [])", ids=list(send_ids))


@dataclass(frozen=True)
class Health:
    """A send's rows, the emails sent, and how many of those ended badly. Each subscriber counts once."""

    rows: int
    emails: int
    hard: int
    soft: int
    complaints: int


def read_health(tx: Tx, send_id: int) -> Health:
    """Count a send's outcomes for the circuit breakers."""
    row = tx.one(
        """
        SELECT
            count(*)::int AS rows,
            count(*) FILTER (WHERE state IN ('accepted', 'delivered', 'bounced', 'complained'))::int AS emails,
            count(*) FILTER (WHERE event_kind = 'hard bounce' AND state = 'bounced')::int AS hard,
            count(*) FILTER (WHERE event_kind IN ('soft bounce', 'general bounce') AND state = 'bounced')::int AS soft,
            count(*) FILTER (WHERE state = 'complained')::int AS complaints
        FROM deliveries
        WHERE send_id = %(send_id)s
        """,
        send_id=send_id,
    )
    assert row
    return Health(**row)


def analyze(tx: Tx) -> None:
    """Update the planner's statistics after a freeze: without it, claims scan the table (70 times slower, measured)."""
    tx.script("ANALYZE deliveries")
