"""Sends: the emailing of one edition to one frozen audience, and its states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.core.db import Tx, each


class SendState(StrEnum):
    """``scheduled -> holding -> sending -> finished``; also ``paused``, ``stopped`` and ``cancelled``."""

    SCHEDULED = "scheduled"
    HOLDING = "holding"
    SENDING = "sending"
    FINISHED = "finished"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class Canceller(StrEnum):
    """Who cancelled a send."""

    NOBODY = ""
    MERGE = "merge"
    OPERATOR = "operator"


NOT_STARTED = (SendState.SCHEDULED, SendState.HOLDING)


@dataclass(frozen=True)
class Send:
    """A row of ``sends``; ``audience`` is the rule, ``audience_size`` its frozen count (None before the freeze)."""

    id: int
    issue_key: str
    edition_number: int
    edition_id: int
    digest: str
    subject: str
    state: SendState
    sender: str
    reply_to: str | None  # None: published before it was kept, so the newsletter's applies
    audience: str
    audience_size: int | None
    due_at: datetime
    gated: bool
    page_awaited_since: datetime | None
    page_checked_at: datetime | None
    open_wave: int
    watch_until: datetime | None
    deferred_until: datetime | None
    waiting_reason: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancelled_by: Canceller = Canceller.NOBODY
    chosen: bool = False  # by ``publish --issue``, whatever the issue itself asks for
    step_id: int | None = None  # of the sequence's step that it sends; None for an issue
    continuous: bool = False  # deliveries are still added to it

    @property
    def not_started(self) -> bool:
        """Whether it has not started, so that its text, time and audience may still change. Also while paused or stopped."""
        return self.started_at is None and self.state not in (SendState.FINISHED, SendState.CANCELLED)


_COLUMNS = """
    sends.id, sends.issue_key, sends.edition_number, sends.edition_id, editions.digest, editions.subject, sends.state,
    sends.sender, sends.reply_to, sends.audience, sends.audience_size, sends.due_at, sends.gated, sends.page_awaited_since,
    sends.page_checked_at, sends.open_wave, sends.watch_until, sends.deferred_until,
    sends.waiting_reason, sends.reason, sends.created_at, sends.started_at, sends.finished_at,
    sends.cancelled_by, sends.chosen, sends.step_id, sends.continuous
    FROM sends JOIN editions ON editions.id = sends.edition_id
"""


@dataclass(frozen=True)
class SendTerms:
    """What publishing decides about a send: the text, who it is from, to whom and when it goes."""

    edition_id: int
    state: SendState
    sender: str
    reply_to: str
    audience: str
    due_at: datetime


def create(tx: Tx, root: str, number: int, terms: SendTerms, gated: bool) -> int:
    """Create a send and return its id. Raises a unique violation when this edition of the issue already has one."""
    return int(
        tx.value(
            """
            INSERT INTO sends (issue_key, edition_number, edition_id, state, sender, reply_to, audience, due_at, gated)
            VALUES (
                %(root)s, %(number)s, %(edition_id)s, %(state)s, %(sender)s, %(reply_to)s, %(audience)s, %(due_at)s, %(gated)s
            )
            RETURNING id
            """,
            root=root,
            number=number,
            gated=gated,
            **vars(terms),
        )
    )


def list_all(tx: Tx) -> list[Send]:
    """All sends, newest first."""
    return _sends(tx.all(f"SELECT {_COLUMNS} ORDER BY sends.id DESC"))


def list_rules(tx: Tx) -> set[str]:
    """The audience rules of all sends."""
    return {row["audience"] for row in tx.all("SELECT DISTINCT audience FROM sends")}


def get(tx: Tx, send_id: int) -> Send | None:
    """One send, or None."""
    found = _sends(tx.all(f"SELECT {_COLUMNS} WHERE sends.id = %(id)s", id=send_id))
    return found[0] if found else None


def lock(tx: Tx, send_id: int) -> Send | None:
    """One send, locked until the end of the transaction, or None."""
    found = _sends(tx.all(f"SELECT {_COLUMNS} WHERE sends.id = %(id)s FOR UPDATE OF sends", id=send_id))
    return found[0] if found else None


def lock_continuous(tx: Tx, step_id: int) -> Send | None:
    """The send to which deliveries of a sequence's step are added, locked until the end of the transaction, or None."""
    where = "WHERE sends.step_id = %(id)s AND sends.continuous FOR UPDATE OF sends"
    found = _sends(tx.all(f"SELECT {_COLUMNS} {where}", id=step_id))
    return found[0] if found else None


def move(tx: Tx, send_id: int, source: Iterable[SendState], target: SendState, reason: str = "") -> bool:
    """Set the state to ``target`` if it is one of ``source``; returns whether it was. Also ends a back-off."""
    return bool(
        tx.run(
            """
            UPDATE sends
            SET state = %(target)s,
                reason = %(reason)s,
                deferred_until = NULL,
                waiting_reason = '',
                started_at = CASE WHEN %(target)s = 'sending' THEN coalesce(started_at, now()) ELSE started_at END,
                finished_at = CASE WHEN %(target)s = 'finished' THEN now() ELSE finished_at END
            WHERE id = %(id)s AND state = ANY(%(source)s)
            """,
            id=send_id,
            source=[str(state) for state in source],
            target=target,
            reason=reason,
        )
    )


def set_canceller(tx: Tx, send_id: int, canceller: Canceller) -> None:
    """Record who cancelled a send. A cancellation by the operator is not overwritten."""
    tx.run(
        "UPDATE sends SET cancelled_by = %(by)s WHERE id = %(id)s AND state = 'cancelled' AND cancelled_by <> 'operator'",
        id=send_id,
        by=canceller,
    )


def rearm(tx: Tx, cancelled: Send, terms: SendTerms, gated: bool) -> bool:
    """Reactivate a cancelled send that never started; its audience has to be frozen again.

    Returns False when the send has changed since ``cancelled`` was read.
    """
    changed = tx.run(
        """
        UPDATE sends
        SET edition_id = %(edition_id)s, state = %(state)s, sender = %(sender)s, reply_to = %(reply_to)s,
            audience = %(audience)s, audience_size = NULL, frozen_at = NULL, due_at = %(due_at)s, gated = %(gated)s,
            page_awaited_since = NULL, page_checked_at = NULL, reason = '', cancelled_by = ''
        WHERE id = %(id)s AND started_at IS NULL AND state = 'cancelled' AND cancelled_by = %(by)s
        """,
        id=cancelled.id,
        by=cancelled.cancelled_by,
        gated=gated,
        **vars(terms),
    )
    return bool(changed)


def set_chosen(tx: Tx, send_id: int, chosen: bool) -> None:
    """Record whether the operator chose the issue with ``publish --issue``."""
    tx.run("UPDATE sends SET chosen = %(chosen)s WHERE id = %(id)s", id=send_id, chosen=chosen)


def revise(tx: Tx, send_id: int, terms: SendTerms) -> None:
    """Change the edition, sender, time and audience rule of a send that has not started."""
    tx.run(
        """
        UPDATE sends
        SET edition_id = %(edition_id)s, state = %(state)s, sender = %(sender)s, reply_to = %(reply_to)s,
            audience = %(audience)s, due_at = %(due_at)s, page_awaited_since = NULL, page_checked_at = NULL
        WHERE id = %(id)s AND started_at IS NULL AND state NOT IN ('finished', 'cancelled')
        """,
        id=send_id,
        **vars(terms),
    )


def set_frozen(tx: Tx, send_id: int, size: int | None) -> None:
    """Record the size of the frozen audience; None when it is no longer frozen."""
    tx.run(
        """
        UPDATE sends
        SET audience_size = %(size)s, frozen_at = CASE WHEN %(size)s::int IS NULL THEN NULL ELSE now() END
        WHERE id = %(id)s
        """,
        id=send_id,
        size=size,
    )


def list_due(tx: Tx) -> list[Send]:
    """Sends that are due to start and are not backing off."""
    return _sends(
        tx.all(
            f"""
            SELECT {_COLUMNS}
            WHERE sends.state IN ('scheduled', 'holding')
                AND sends.due_at <= now()
                AND coalesce(sends.deferred_until, now()) <= now()
            ORDER BY sends.id
            """
        )
    )


def list_running(tx: Tx) -> list[Send]:
    """Sends in the state ``sending``."""
    return _sends(tx.all(f"SELECT {_COLUMNS} WHERE sends.state = 'sending' ORDER BY sends.id"))


def list_with_pending(tx: Tx) -> list[int]:
    """Ids of running sends that have pending deliveries and are not backing off."""
    rows = tx.all(
        """
        SELECT id
        FROM sends
        WHERE state = 'sending'
            AND coalesce(deferred_until, now()) <= now()
            AND EXISTS (
                SELECT FROM deliveries
                WHERE send_id = sends.id AND deliveries.state = 'pending' AND deliveries.wave <= sends.open_wave
            )
        ORDER BY id
        """
    )
    return [row["id"] for row in rows]


def list_settled(tx: Tx) -> list[int]:
    """Ids of running sends whose deliveries are all settled."""
    rows = tx.all(
        """
        SELECT id
        FROM sends
        WHERE state = 'sending'
            AND NOT continuous
            AND NOT EXISTS (SELECT FROM deliveries WHERE send_id = sends.id AND deliveries.state = 'pending')
            AND NOT EXISTS (SELECT FROM deliveries WHERE send_id = sends.id AND deliveries.state = 'claimed')
        ORDER BY id
        """
    )
    return [row["id"] for row in rows]


def back_off(tx: Tx, send_id: int, pause: timedelta, waiting_reason: str) -> None:
    """Neither start nor claim for the time of ``pause``; ``waiting_reason`` says why. Other sends are not changed."""
    tx.run(
        """
        UPDATE sends SET deferred_until = now() + %(pause)s, waiting_reason = %(waiting_reason)s
        WHERE id = %(id)s AND state IN ('scheduled', 'holding', 'sending')
        """,
        id=send_id,
        pause=pause,
        waiting_reason=waiting_reason,
    )


def await_page(tx: Tx, send_id: int, pause: timedelta, waiting_reason: str) -> None:
    """Like ``back_off``, and record that the issue's page was not live yet."""
    back_off(tx, send_id, pause, waiting_reason)
    tx.run(
        "UPDATE sends SET page_awaited_since = coalesce(page_awaited_since, now()), page_checked_at = now() WHERE id = %(id)s",
        id=send_id,
    )


def open_gate(tx: Tx, send_id: int) -> None:
    """Let the send start without checking the issue's page."""
    tx.run("UPDATE sends SET gated = false WHERE id = %(id)s", id=send_id)


def clear_ended_backoffs(tx: Tx) -> int:
    """Clear the back-offs that have ended; returns how many."""
    return tx.run("UPDATE sends SET deferred_until = NULL, waiting_reason = '' WHERE deferred_until <= now()")


def clear_backoffs(tx: Tx, reason: str) -> int:
    """End the back-offs whose waiting reason begins so; return how many."""
    return tx.run(
        "UPDATE sends SET deferred_until = NULL, waiting_reason = '' WHERE starts_with(waiting_reason, %(reason)s)",
        reason=reason,
    )


def set_due(tx: Tx, send_id: int, due_at: datetime) -> None:
    """Set when the send starts; waiting for its page begins again."""
    tx.run(
        "UPDATE sends SET due_at = %(due_at)s, page_awaited_since = NULL, page_checked_at = NULL WHERE id = %(id)s",
        id=send_id,
        due_at=due_at,
    )


def set_wave(tx: Tx, send_id: int, open_wave: int, look: timedelta | None = None) -> None:
    """Set which wave may be claimed and, with ``look``, for how long the outcomes so far are watched."""
    tx.run(
        "UPDATE sends SET open_wave = %(wave)s, watch_until = now() + %(look)s WHERE id = %(id)s",
        id=send_id,
        wave=open_wave,
        look=look,
    )


@dataclass(frozen=True)
class AcknowledgedOutcomes:
    """Outcomes that no longer count for a send's circuit breakers, because the operator knew of them when resuming it."""

    emails: int
    hard: int
    soft: int
    complaints: int


def get_acknowledged(tx: Tx, send_id: int) -> AcknowledgedOutcomes:
    """The outcomes that no longer count; all 0 for a send that no circuit breaker has stopped."""
    row = tx.one(
        """
        SELECT acknowledged_emails AS emails, acknowledged_hard AS hard, acknowledged_soft AS soft,
            acknowledged_complaints AS complaints
        FROM sends
        WHERE id = %(id)s
        """,
        id=send_id,
    )
    return AcknowledgedOutcomes(**row) if row else AcknowledgedOutcomes(0, 0, 0, 0)


def set_acknowledged(tx: Tx, send_id: int, known: AcknowledgedOutcomes) -> None:
    """Let the circuit breakers count only outcomes beyond these."""
    tx.run(
        """
        UPDATE sends
        SET acknowledged_emails = %(emails)s, acknowledged_hard = %(hard)s, acknowledged_soft = %(soft)s,
            acknowledged_complaints = %(complaints)s
        WHERE id = %(id)s
        """,
        id=send_id,
        **vars(known),
    )


def backoff_seconds(tx: Tx, send_id: int) -> float:
    """How long the send still backs off; 0 when it does not."""
    value = tx.value(
        "SELECT extract(epoch FROM greatest(deferred_until - now(), interval '0')) FROM sends WHERE id = %(id)s", id=send_id
    )
    return float(value or 0)


def _sends(rows: list[dict[str, object]]) -> list[Send]:
    typed = [{"state": SendState(str(row["state"])), "cancelled_by": Canceller(str(row["cancelled_by"]))} for row in rows]
    return each([{**row, **more} for row, more in zip(rows, typed, strict=True)], Send)
