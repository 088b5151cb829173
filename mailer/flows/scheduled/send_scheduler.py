"""Tending: what the clock does. Everything here is found in the ledger, so nothing is lost when a process or Redis is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import freeze
from mailer.flows.scheduled import page_gate
from mailer.flows.sending import circuit_breakers
from mailer.flows.sending.send_control import halt
from mailer.store.sending import deliveries, sends
from mailer.store.sending.sends import NOT_STARTED, Send, State
from mailer.store.transactional import transactional_mails

events = log.get("tend")


@dataclass(frozen=True)
class Bells:
    """Which doorbells to ring: sends with pending work, and whether transactional mails wait."""

    sends: tuple[int, ...]
    transactional: bool


def tend(database: Database, settings: Settings) -> Bells:
    """One round: start what is due, give up lost claims, open waves, finish what is done, and say where work waits.

    Safe to run twice and at once: each change is a compare-and-set or runs under the send's lock.
    """
    with database.transaction() as tx:
        sends.rested(tx)
        due = sends.due(tx)
    for send in due:
        if not _hold_late(database, settings, send) and page_gate.is_open(database, send):
            _start(database, settings, send)
    _give_up(database, settings)
    _open_waves(database, settings)
    _finish(database)
    with database.transaction() as tx:
        return Bells(tuple(sends.with_work(tx)), transactional_mails.has_work(tx))


def _start(database: Database, settings: Settings, send: Send) -> None:
    """A held send begins; a scheduled one freezes its audience first, so that who joined until now is in it."""
    with database.transaction() as tx:
        locked = page_gate.still(tx, send)
        if locked is None:
            return
        frozen = locked.state is State.SCHEDULED
        try:
            size = freeze(tx, settings, send.id, locked.audience) if frozen else (locked.audience_size or 0)
        except BadInput as error:  # a segment that has gone since
            halt(tx, locked, State.STOPPED, str(error))
            return
        if frozen:
            deliveries.analyze(tx)
        if size == 0:
            halt(tx, locked, State.STOPPED, "its audience was nobody when it was due")
        elif sends.move(tx, send.id, NOT_STARTED, State.SENDING):
            events.info("send.started", send=send.id, audience=size)


def _hold_late(database: Database, settings: Settings, send: Send) -> bool:
    """Pause a send that is due when everything was off for too long; whether it was so."""
    if not (late := _late(send, settings)):
        return False
    with database.transaction() as tx:
        if locked := page_gate.still(tx, send):
            halt(tx, locked, State.PAUSED, late)
    return True


def _late(send: Send, settings: Settings) -> str:
    """Why a send is not started although it is due; "" when it may be. Whoever looked for its page was not off."""
    behind = datetime.now(UTC) - max(send.due_at, send.page_looked_at or send.due_at)
    if behind <= settings.max_lateness:
        return ""
    hours = behind / timedelta(hours=1)
    return (
        f"it was due at {send.due_at:%Y-%m-%d %H:%M} UTC and nothing ran for {hours:.0f} hours:"
        f" send it now with `postmerge resume {send.id}`, or leave it with `postmerge stop {send.id}`"
    )


def _give_up(database: Database, settings: Settings) -> None:
    with database.transaction() as tx:
        lost = deliveries.expire(tx, settings.claim_lease)
        lost += transactional_mails.expire(tx, settings.claim_lease)
    if lost:
        events.warning("delivery.uncertain", mails=lost)


def _open_waves(database: Database, settings: Settings) -> None:
    """When the first slice is out, its outcomes are watched for a while; then the rest follows."""
    with database.transaction() as tx:
        staged = [send for send in sends.running(tx) if send.open_wave == 0]
        for send in staged:
            if deliveries.wave_open(tx, send.id, 0):
                continue
            if send.look_until is None and settings.first_slice_wait:
                sends.set_wave(tx, send.id, 0, settings.first_slice_wait)
                events.info("send.looks", send=send.id)
            elif (send.look_until is None or send.look_until <= datetime.now(UTC)) and not _braked(tx, send):
                sends.set_wave(tx, send.id, 1)
                events.info("send.goes_on", send=send.id)


def watch(database: Database) -> None:
    """Now and then: stop sends whose outcomes are too bad or impossible."""
    with database.transaction() as tx:
        running = sends.running(tx)
        for send in running:
            _braked(tx, send)


def _braked(tx: Tx, send: Send) -> bool:
    """Stop a send whose outcomes are too bad or impossible; whether it was so. Told once, they do not stop it again."""
    if not (reason := circuit_breakers.reason(tx, send)):
        return False
    if halt(tx, send, State.STOPPED, reason):
        circuit_breakers.excuse(tx, send)
    return True


def _finish(database: Database) -> None:
    with database.transaction() as tx:
        for send_id in sends.without_work(tx):
            send = sends.lock(tx, send_id)
            if send is None:
                continue
            if not _braked(tx, send) and sends.move(tx, send_id, [State.SENDING], State.FINISHED):
                events.info("send.finished", send=send_id)
