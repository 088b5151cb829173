"""Sends: one mailing of one edition to one frozen audience, and the states it goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.core.db import Tx, each


class State(StrEnum):
    """``scheduled -> holding -> sending -> finished``, and three ways aside."""

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


NOT_STARTED = (State.SCHEDULED, State.HOLDING)


@dataclass(frozen=True)
class Send:
    """A row of ``sends``; ``audience`` is the rule, ``audience_size`` its frozen count (None before the freeze)."""

    id: int
    issue_key: str
    edition_number: int
    edition_id: int
    digest: str
    subject: str
    state: State
    sender: str
    audience: str
    audience_size: int | None
    due_at: datetime
    gated: bool
    page_awaited_since: datetime | None
    page_looked_at: datetime | None
    open_wave: int
    look_until: datetime | None
    rests_until: datetime | None
    waits_for: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancelled_by: Canceller = Canceller.NOBODY
    chosen: bool = False  # by ``publish --issue``, whatever the issue itself asks for

    @property
    def waits(self) -> bool:
        """Has it not begun, so that its text, time and audience may still change? Also while it is paused or stopped."""
        return self.started_at is None and self.state not in (State.FINISHED, State.CANCELLED)


_COLUMNS = """
    sends.id, sends.issue_key, sends.edition_number, sends.edition_id, editions.digest, editions.subject, sends.state,
    sends.sender, sends.audience, sends.audience_size, sends.due_at, sends.gated, sends.page_awaited_since,
    sends.page_looked_at, sends.open_wave, sends.look_until, sends.rests_until,
    sends.waits_for, sends.reason, sends.created_at, sends.started_at, sends.finished_at,
    sends.cancelled_by, sends.chosen
    FROM sends JOIN editions ON editions.id = sends.edition_id
"""


def create(
    tx: Tx, root: str, number: int, edition_id: int, state: State, sender: str, audience: str, due_at: datetime, gated: bool
) -> int:
    """A new send; its id. Raises a unique violation when the issue's edition has one already."""
    return int(
        tx.value(
            """
            INSERT INTO sends (issue_key, edition_number, edition_id, state, sender, audience, due_at, gated)
            VALUES (%(root)s, %(number)s, %(edition_id)s, %(state)s, %(sender)s, %(audience)s, %(due_at)s, %(gated)s)
            RETURNING id
            """,
            root=root,
            number=number,
            edition_id=edition_id,
            state=state,
            sender=sender,
            audience=audience,
            due_at=due_at,
            gated=gated,
        )
    )


def every(tx: Tx) -> list[Send]:
    """All sends, newest first."""
    return _sends(tx.all(f"SELECT {_COLUMNS} ORDER BY sends.id DESC"))


def get(tx: Tx, send_id: int) -> Send | None:
    """One send, or None."""
    found = _sends(tx.all(f"SELECT {_COLUMNS} WHERE sends.id = %(id)s", id=send_id))
    return found[0] if found else None


def lock(tx: Tx, send_id: int) -> Send | None:
    """One send, locked until the transaction ends, or None."""
    found = _sends(tx.all(f"SELECT {_COLUMNS} WHERE sends.id = %(id)s FOR UPDATE OF sends", id=send_id))
    return found[0] if found else None


def move(tx: Tx, send_id: int, source: Iterable[State], target: State, reason: str = "") -> bool:
    """Compare and set: to ``target`` when the send is in one of ``source``; whether it was. Ends what it waited for."""
    return bool(
        tx.run(
            """
            UPDATE sends
            SET state = %(target)s,
                reason = %(reason)s,
                rests_until = NULL,
                waits_for = '',
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
    """Note who cancelled a send; what the operator cancelled stays theirs."""
    tx.run(
        "UPDATE sends SET cancelled_by = %(by)s WHERE id = %(id)s AND state = 'cancelled' AND cancelled_by <> 'operator'",
        id=send_id,
        by=canceller,
    )


def rearm(
    tx: Tx, cancelled: Send, edition_id: int, state: State, sender: str, audience: str, due_at: datetime, gated: bool
) -> bool:
    """Bring back a cancelled send of which nothing left, as if it were new; its audience is to be frozen again.

    Returns whether the send was still as it is given.
    """
    changed = tx.run(
        """
        UPDATE sends
        SET edition_id = %(edition_id)s, state = %(state)s, sender = %(sender)s, audience = %(audience)s,
            audience_size = NULL, frozen_at = NULL, due_at = %(due_at)s, gated = %(gated)s, page_awaited_since = NULL,
            page_looked_at = NULL, reason = '', cancelled_by = ''
        WHERE id = %(id)s AND started_at IS NULL AND state = 'cancelled' AND cancelled_by = %(by)s
        """,
        id=cancelled.id,
        by=cancelled.cancelled_by,
        edition_id=edition_id,
        state=state,
        sender=sender,
        audience=audience,
        due_at=due_at,
        gated=gated,
    )
    return bool(changed)


def set_chosen(tx: Tx, send_id: int, chosen: bool) -> None:
    """Note whether the operator chose the issue with ``publish --issue``."""
    tx.run("UPDATE sends SET chosen = %(chosen)s WHERE id = %(id)s", id=send_id, chosen=chosen)


def revise(tx: Tx, send_id: int, edition_id: int, state: State, sender: str, audience: str, due_at: datetime) -> None:
    """Give a send that has not started another edition, time or audience rule."""
    tx.run(
        """
        UPDATE sends
        SET edition_id = %(edition_id)s, state = %(state)s, sender = %(sender)s, audience = %(audience)s,
            due_at = %(due_at)s, page_awaited_since = NULL, page_looked_at = NULL
        WHERE id = %(id)s AND started_at IS NULL AND state NOT IN ('finished', 'cancelled')
        """,
        id=send_id,
        edition_id=edition_id,
        state=state,
        sender=sender,
        audience=audience,
        due_at=due_at,
    )


def set_frozen(tx: Tx, send_id: int, size: int | None) -> None:
    """Note how many readers the frozen audience has; None when it was thawed again."""
    tx.run(
        """
        UPDATE sends
        SET audience_size = %(size)s, frozen_at = CASE WHEN %(size)s::int IS NULL THEN NULL ELSE now() END
        WHERE id = %(id)s
        """,
        id=send_id,
        size=size,
    )


def due(tx: Tx) -> list[Send]:
    """Sends that wait for a moment that has come, and do not rest."""
    return _sends(
        tx.all(
            f"""
            SELECT {_COLUMNS}
            WHERE sends.state IN ('scheduled', 'holding')
                AND sends.due_at <= now()
                AND coalesce(sends.rests_until, now()) <= now()
            ORDER BY sends.id
            """
        )
    )


def running(tx: Tx) -> list[Send]:
    """Sends in the state ``sending``."""
    return _sends(tx.all(f"SELECT {_COLUMNS} WHERE sends.state = 'sending' ORDER BY sends.id"))


def with_work(tx: Tx) -> list[int]:
    """Ids of running sends that have pending deliveries and do not rest."""
    rows = tx.all(
        """
        SELECT id
        FROM sends
        WHERE state = 'sending'
            AND coalesce(rests_until, now()) <= now()
            AND EXISTS (
                SELECT FROM deliveries
                WHERE send_id = sends.id AND deliveries.state = 'pending' AND deliveries.wave <= sends.open_wave
            )
        ORDER BY id
        """
    )
    return [row["id"] for row in rows]


def without_work(tx: Tx) -> list[int]:
    """Ids of running sends whose deliveries are all settled."""
    rows = tx.all(
        """
        SELECT id
        FROM sends
        WHERE state = 'sending'
            AND NOT EXISTS (
                SELECT FROM deliveries WHERE send_id = sends.id AND deliveries.state IN ('pending', 'claimed')
            )
        ORDER BY id
        """
    )
    return [row["id"] for row in rows]


def rest(tx: Tx, send_id: int, pause: timedelta, waits_for: str) -> None:
    """No start and no claims for a while; ``waits_for`` says why. Nothing for a send that is over or stands still."""
    tx.run(
        """
        UPDATE sends SET rests_until = now() + %(pause)s, waits_for = %(waits_for)s
        WHERE id = %(id)s AND state IN ('scheduled', 'holding', 'sending')
        """,
        id=send_id,
        pause=pause,
        waits_for=waits_for,
    )


def await_page(tx: Tx, send_id: int, pause: timedelta, waits_for: str) -> None:
    """Like ``rest``, and note that the issue's page was looked for in vain."""
    rest(tx, send_id, pause, waits_for)
    tx.run(
        "UPDATE sends SET page_awaited_since = coalesce(page_awaited_since, now()), page_looked_at = now() WHERE id = %(id)s",
        id=send_id,
    )


def open_gate(tx: Tx, send_id: int) -> None:
    """Start without looking for the issue's page."""
    tx.run("UPDATE sends SET gated = false WHERE id = %(id)s", id=send_id)


def rested(tx: Tx) -> int:
    """Forget what sends waited for when their rest is over; how many."""
    return tx.run("UPDATE sends SET rests_until = NULL, waits_for = '' WHERE rests_until <= now()")


def set_due(tx: Tx, send_id: int, due_at: datetime) -> None:
    """Start at another moment; waiting for the page begins anew."""
    tx.run(
        "UPDATE sends SET due_at = %(due_at)s, page_awaited_since = NULL, page_looked_at = NULL WHERE id = %(id)s",
        id=send_id,
        due_at=due_at,
    )


def set_wave(tx: Tx, send_id: int, open_wave: int, look: timedelta | None = None) -> None:
    """Which wave may be claimed; with ``look``, how long the outcomes so far are watched."""
    tx.run(
        "UPDATE sends SET open_wave = %(wave)s, look_until = now() + %(look)s WHERE id = %(id)s",
        id=send_id,
        wave=open_wave,
        look=look,
    )


@dataclass(frozen=True)
class Excused:
    """Outcomes that no longer count for a send's brakes, because the operator knew of them when it went on."""

    mails: int
    hard: int
    soft: int
    complaints: int


def excused(tx: Tx, send_id: int) -> Excused:
    """What no longer counts; all 0 for a send that no brake ever stopped."""
    row = tx.one(
        """
        SELECT excused_mails AS mails, excused_hard AS hard, excused_soft AS soft, excused_complaints AS complaints
        FROM sends
        WHERE id = %(id)s
        """,
        id=send_id,
    )
    return Excused(**row) if row else Excused(0, 0, 0, 0)


def excuse(tx: Tx, send_id: int, known: Excused) -> None:
    """From now on the brakes count only what comes on top of this."""
    tx.run(
        """
        UPDATE sends
        SET excused_mails = %(mails)s, excused_hard = %(hard)s, excused_soft = %(soft)s, excused_complaints = %(complaints)s
        WHERE id = %(id)s
        """,
        id=send_id,
        **vars(known),
    )


def seconds_to_rest(tx: Tx, send_id: int) -> float:
    """How long the send still rests; 0 when it does not."""
    value = tx.value(
        "SELECT extract(epoch FROM greatest(rests_until - now(), interval '0')) FROM sends WHERE id = %(id)s", id=send_id
    )
    return float(value or 0)


def _sends(rows: list[dict[str, object]]) -> list[Send]:
    typed = [{"state": State(str(row["state"])), "cancelled_by": Canceller(str(row["cancelled_by"]))} for row in rows]
    return each([{**row, **more} for row, more in zip(rows, typed, strict=True)], Send)
