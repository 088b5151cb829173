"""Enrolments: who is in a sequence, which step is next and when; and the ledger of who had which step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.audience import Rule
from mailer.core.db import Tx, each
from mailer.store.sending.audiences import compile_rule
from mailer.store.subscribers.suppressions import IS_SUPPRESSED

CAP_PERIOD = timedelta(days=7)  # in which the emails to a subscriber are counted


@dataclass(frozen=True)
class DueEnrolment:
    """A subscriber for whom a step is due, with what decides whether it is sent; ``recent``: emails in ``CAP_PERIOD``.

    ``is_first``: they have had no step of this sequence; ``had_issue``: the issue that is the step's text.
    """

    subscriber_id: int
    is_active: bool
    is_suppressed: bool
    wants_every: bool
    paused_until: datetime | None
    in_audience: bool
    is_over: bool
    is_first: bool
    had_issue: bool
    recent: int


@dataclass(frozen=True)
class DueRules:
    """The rules of a sequence that are read when a step is due; ``stop`` None: nobody leaves by a rule.

    ``issue`` and ``edition_id`` are those of the issue that the step sends, if it is the last one.
    """

    audience: Rule
    stop: Rule | None
    stop_when_paid: bool
    issue: str = ""
    edition_id: int | None = None


def list_due(tx: Tx, step_id: int, rules: DueRules, limit: int) -> list[DueEnrolment]:
    """Lock and return up to ``limit`` subscribers for whom the step is due, those who wait longest first."""
    audience, values = compile_rule(rules.audience)
    stop, more = compile_rule(rules.stop) if rules.stop else ("false", {})
    stop_values = {f"stop_{name}": value for name, value in more.items()}
    for name in sorted(more, key=len, reverse=True):
        stop = stop.replace(f"%({name})s", f"%(stop_{name})s")
    rows = tx.all(
        f"""
        WITH due AS (
            SELECT subscriber_id, sequence_id
            FROM enrolments
            WHERE step_id = %(step_id)s AND ended_at IS NULL AND due_at <= now()
            ORDER BY due_at
            LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        )

        SELECT
            subscribers.id AS subscriber_id,
            subscribers.state = 'active' AS is_active,
            {IS_SUPPRESSED} AS is_suppressed,
            subscribers.frequency = 'every' AS wants_every,
            CASE WHEN subscribers.paused_until > now() THEN subscribers.paused_until END AS paused_until,
            {audience} AS in_audience,
            ({stop}) OR (%(stop_when_paid)s AND EXISTS (
                SELECT FROM entitlements WHERE entitlements.subscriber_id = subscribers.id AND entitlements.premium
            )) AS is_over,
            NOT EXISTS (
                SELECT FROM sequence_emails JOIN sequence_steps ON sequence_steps.id = sequence_emails.step_id
                WHERE sequence_emails.subscriber_id = subscribers.id AND sequence_steps.sequence_id = due.sequence_id
            ) AS is_first,
            %(issue)s <> '' AND EXISTS (
                SELECT FROM deliveries JOIN sends ON sends.id = deliveries.send_id
                WHERE deliveries.subscriber_id = subscribers.id AND deliveries.state <> 'skipped'
                    AND (sends.issue_key = %(issue)s OR sends.edition_id = %(edition_id)s)
            ) AS had_issue,
            (
                SELECT count(*) FROM deliveries
                WHERE deliveries.subscriber_id = subscribers.id AND deliveries.state <> 'skipped'
                    AND coalesce(deliveries.settled_at, now()) > now() - %(period)s
            )::int AS recent
        FROM due JOIN subscribers ON subscribers.id = due.subscriber_id
        ORDER BY subscribers.id
        """,
        step_id=step_id,
        limit=limit,
        period=CAP_PERIOD,
        stop_when_paid=rules.stop_when_paid,
        issue=rules.issue,
        edition_id=rules.edition_id,
        **values,
        **stop_values,
    )
    return each(rows, DueEnrolment)


def end(tx: Tx, step_id: int, reasons: Mapping[int, str]) -> None:
    """End enrolments that wait for a step; ``reasons`` by subscriber."""
    tx.run(
        """
        UPDATE enrolments SET ended_at = now(), end_reason = ended.reason
        FROM unnest(%(ids)s::bigint [], %(reasons)s::text []) AS ended (id, reason)
        WHERE enrolments.step_id = %(step_id)s AND enrolments.subscriber_id = ended.id AND ended_at IS NULL
        """,
        step_id=step_id,
        ids=list(reasons),
        reasons=list(reasons.values()),
    )


def postpone(tx: Tx, step_id: int, moments: Mapping[int, datetime]) -> None:
    """Look at these subscribers again later; ``moments`` by subscriber."""
    tx.run(
        """
        UPDATE enrolments SET due_at = later.moment
        FROM unnest(%(ids)s::bigint [], %(moments)s::timestamptz []) AS later (id, moment)
        WHERE enrolments.step_id = %(step_id)s AND enrolments.subscriber_id = later.id AND ended_at IS NULL
        """,
        step_id=step_id,
        ids=list(moments),
        moments=list(moments.values()),
    )


def queue(tx: Tx, step_id: int, send_id: int, subscriber_ids: Sequence[int]) -> int:
    """Add deliveries of a step to its send, for those who have not had it; return how many."""
    number = tx.run(
        """
        WITH added AS (
            INSERT INTO sequence_emails (subscriber_id, step_id, send_id)
            SELECT id, %(step_id)s, %(send_id)s FROM unnest(%(ids)s::bigint []) AS id
            ON CONFLICT DO NOTHING
            RETURNING subscriber_id
        )

        INSERT INTO deliveries (send_id, subscriber_id) SELECT %(send_id)s, subscriber_id FROM added
        """,
        step_id=step_id,
        send_id=send_id,
        ids=list(subscriber_ids),
    )
    tx.run(
        """
        UPDATE sends SET audience_size = audience_size + %(number)s,
            due_at = CASE
                WHEN (SELECT count(*) FROM deliveries WHERE send_id = sends.id AND state = 'pending') <= %(number)s THEN now()
                ELSE due_at
            END
        WHERE id = %(send_id)s
        """,
        send_id=send_id,
        number=number,
    )
    return number


def restart_from_future(tx: Tx, step_id: int) -> int:
    """Time those anew whose last step was queued in the future, as after a wrong system time; return how many."""
    return tx.run(
        """
        UPDATE enrolments SET last_at = now(), due_at = now() + sequence_steps.after
        FROM sequence_steps
        WHERE sequence_steps.id = %(step_id)s AND enrolments.step_id = %(step_id)s AND ended_at IS NULL
            AND enrolments.due_at > now() + sequence_steps.after AND enrolments.last_at > now()
        """,
        step_id=step_id,
    )


def skip(tx: Tx, step_id: int, subscriber_ids: Sequence[int]) -> None:
    """Record that these subscribers do not get a step."""
    tx.run(
        """
        INSERT INTO sequence_emails (subscriber_id, step_id) SELECT id, %(step_id)s FROM unnest(%(ids)s::bigint []) AS id
        ON CONFLICT DO NOTHING
        """,
        step_id=step_id,
        ids=list(subscriber_ids),
    )


def record_sent(tx: Tx, step_id: int, send_id: int, subscriber_ids: Sequence[int], reason: str) -> int:
    """Record in a restored ledger that a step was sent to those of whom it knows nothing; return how many."""
    number = tx.run(
        """
        WITH added AS (
            INSERT INTO sequence_emails (subscriber_id, step_id, send_id)
            SELECT subscribers.id, %(step_id)s, %(send_id)s FROM subscribers WHERE subscribers.id = ANY(%(ids)s::bigint [])
            ON CONFLICT DO NOTHING
            RETURNING subscriber_id
        )

        INSERT INTO deliveries (send_id, subscriber_id, state, detail, settled_at)
        SELECT %(send_id)s, subscriber_id, 'accepted', %(reason)s, now() FROM added
        """,
        step_id=step_id,
        send_id=send_id,
        ids=list(subscriber_ids),
        reason=reason,
    )
    tx.run("UPDATE sends SET audience_size = audience_size + %(number)s WHERE id = %(id)s", number=number, id=send_id)
    advance(tx, step_id, subscriber_ids, since_due=True)
    return number


def skip_due(tx: Tx, step_id: int) -> int:
    """Let all those for whom a step is due wait for the one after it; return how many."""
    rows = tx.all(
        "SELECT subscriber_id FROM enrolments WHERE step_id = %(id)s AND ended_at IS NULL AND due_at <= now() FOR UPDATE",
        id=step_id,
    )
    ids = [row["subscriber_id"] for row in rows]
    skip(tx, step_id, ids)
    advance(tx, step_id, ids, since_due=True)
    return len(ids)


_NEXT = """
    LEFT JOIN LATERAL (
        SELECT id, after FROM sequence_steps
        WHERE sequence_steps.sequence_id = moving.sequence_id AND removed_at IS NULL AND NOT EXISTS (
            SELECT FROM sequence_emails
            WHERE sequence_emails.subscriber_id = moving.subscriber_id AND sequence_emails.step_id = sequence_steps.id
        )
        ORDER BY position LIMIT 1
    ) AS next ON true
    WHERE enrolments.subscriber_id = moving.subscriber_id AND enrolments.sequence_id = moving.sequence_id
"""


def advance(tx: Tx, step_id: int, subscriber_ids: Sequence[int], since_due: bool = False) -> None:
    """Let subscribers for whom a step was queued wait for the next one that they have not had, or finish.

    ``since_due``: the step was queued when it was due, not now.
    """
    queued_at = "least(now(), moving.due_at)" if since_due else "now()"
    tx.run(
        f"""
        UPDATE enrolments
        SET last_at = {queued_at}, step_id = next.id, due_at = {queued_at} + next.after,
            ended_at = CASE WHEN next.id IS NULL THEN now() END,
            end_reason = CASE WHEN next.id IS NULL THEN 'finished' ELSE '' END
        FROM enrolments AS moving {_NEXT}
            AND moving.step_id = %(step_id)s AND moving.ended_at IS NULL AND moving.subscriber_id = ANY(%(ids)s::bigint [])
        """,
        step_id=step_id,
        ids=list(subscriber_ids),
    )


def pass_over(tx: Tx, step_id: int) -> int:
    """Keep a new step from those who wait for a later one already; return how many."""
    return tx.run(
        """
        INSERT INTO sequence_emails (subscriber_id, step_id)
        SELECT enrolments.subscriber_id, new.id
        FROM sequence_steps AS new
        JOIN sequence_steps AS waited ON waited.sequence_id = new.sequence_id AND waited.position > new.position
        JOIN enrolments ON enrolments.step_id = waited.id AND enrolments.ended_at IS NULL
        WHERE new.id = %(step_id)s
        ON CONFLICT DO NOTHING
        """,
        step_id=step_id,
    )


def realign(tx: Tx, sequence_id: int, retimed: Sequence[int]) -> int:
    """Let everybody in a sequence that changed wait for the first step that they have not had; return how many moved.

    Who waits for the same step keeps the moment, unless its time changed (``retimed``: ids of steps).
    """
    return tx.run(
        f"""
        UPDATE enrolments
        SET step_id = next.id, due_at = moving.last_at + next.after,
            ended_at = CASE WHEN next.id IS NULL THEN now() END,
            end_reason = CASE WHEN next.id IS NULL THEN 'finished' ELSE '' END
        FROM enrolments AS moving {_NEXT}
            AND moving.ended_at IS NULL
            AND moving.step_id = ANY(SELECT id FROM sequence_steps WHERE sequence_steps.sequence_id = %(sequence_id)s)
            AND (next.id IS DISTINCT FROM moving.step_id OR next.id = ANY(%(retimed)s::bigint []))
        """,
        sequence_id=sequence_id,
        retimed=list(retimed),
    )


def count_waiting(tx: Tx, sequence_id: int) -> dict[int, int]:
    """How many subscribers wait for each step, by its id; 0 for none."""
    rows = tx.all(
        """
        SELECT id, (SELECT count(*) FROM enrolments WHERE step_id = sequence_steps.id AND ended_at IS NULL)::int AS number
        FROM sequence_steps WHERE sequence_id = %(id)s
        """,
        id=sequence_id,
    )
    return {row["id"]: row["number"] for row in rows}


def count_queued(tx: Tx, sequence_id: int) -> dict[int, int]:
    """How many subscribers each step was queued for, by its id; 0 for none."""
    rows = tx.all(
        """
        SELECT id, (SELECT coalesce(sum(audience_size), 0) FROM sends WHERE step_id = sequence_steps.id)::int AS number
        FROM sequence_steps WHERE sequence_id = %(id)s
        """,
        id=sequence_id,
    )
    return {row["id"]: row["number"] for row in rows}


def count_ended(tx: Tx, sequence_id: int) -> dict[str, int]:
    """How many enrolments ended for which reason."""
    rows = tx.all(
        """
        SELECT end_reason, count(*)::int AS number FROM enrolments
        WHERE sequence_id = %(id)s AND ended_at IS NOT NULL
        GROUP BY end_reason ORDER BY end_reason
        """,
        id=sequence_id,
    )
    return {row["end_reason"]: row["number"] for row in rows}


def is_enrolled_by_send(tx: Tx, subscriber_id: int, send_id: int) -> bool:
    """Whether a send is a step of a sequence that the subscriber is still in."""
    return bool(
        tx.value(
            f"SELECT EXISTS (SELECT FROM enrolments WHERE {_OF_SEND})",
            subscriber_id=subscriber_id,
            send_id=send_id,
        )
    )


def end_by_send(tx: Tx, subscriber_id: int, send_id: int, reason: str) -> bool:
    """End the enrolment in the sequence of which a send is a step; return whether there was one that had not ended."""
    return bool(
        tx.run(
            f"UPDATE enrolments SET ended_at = now(), end_reason = %(reason)s WHERE {_OF_SEND}",
            subscriber_id=subscriber_id,
            send_id=send_id,
            reason=reason,
        )
    )


_OF_SEND = """
    subscriber_id = %(subscriber_id)s AND ended_at IS NULL AND sequence_id = (
        SELECT sequence_steps.sequence_id FROM sends JOIN sequence_steps ON sequence_steps.id = sends.step_id
        WHERE sends.id = %(send_id)s
    )
"""
