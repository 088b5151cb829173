"""Backfills: enrol subscribers in a sequence whose trigger happened before it was there."""

from __future__ import annotations

from mailer.core.audience import Both, Rule, Tag
from mailer.core.db import Tx
from mailer.store.sending.audiences import MAILABLE, compile_rule


def count(tx: Tx, sequence_id: int, audience: Rule, trigger: str, tag: str) -> int:
    """How many existing subscribers a backfill would enrol; ``sequence_id`` is 0 for a new sequence."""
    chosen, values = _compile_backfill(audience, trigger, tag)
    return int(
        tx.value(
            f"""
            SELECT count(*) {chosen} AND NOT EXISTS (
                SELECT FROM enrolments
                WHERE enrolments.subscriber_id = subscribers.id AND enrolments.sequence_id = %(sequence_id)s
            )
            """,
            sequence_id=sequence_id,
            **values,
        )
    )


def enrol(tx: Tx, sequence_id: int, audience: Rule, trigger: str, tag: str) -> int:
    """Enrol the existing subscribers for whom the trigger has happened already; return how many."""
    chosen, values = _compile_backfill(audience, trigger, tag)
    return tx.run(
        f"""
        INSERT INTO enrolments (subscriber_id, sequence_id, step_id, due_at)
        SELECT chosen.id, first.sequence_id, first.id, now() + first.after
        FROM (SELECT subscribers.id {chosen}) AS chosen
        CROSS JOIN (
            SELECT id, sequence_id, after FROM sequence_steps
            WHERE sequence_id = %(sequence_id)s AND removed_at IS NULL
            ORDER BY position LIMIT 1
        ) AS first
        ON CONFLICT DO NOTHING
        """,
        sequence_id=sequence_id,
        **values,
    )


def _compile_backfill(audience: Rule, trigger: str, tag: str) -> tuple[str, dict[str, object]]:
    where, values = compile_rule(Both(audience, Tag(tag)) if tag else audience)
    if trigger == "paid":
        where += """
            AND EXISTS (
                SELECT FROM entitlements WHERE entitlements.subscriber_id = subscribers.id AND entitlements.state = 'paying'
            )"""
    return MAILABLE.replace("{rule}", where), values
