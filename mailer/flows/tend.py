"""Tending: what the clock does. Everything here is found in the ledger, so nothing is lost when a process or Redis is."""

from __future__ import annotations

from dataclasses import dataclass

from mailer import log
from mailer.db import Database
from mailer.flows.publish import freeze
from mailer.settings import Settings
from mailer.store import deliveries, sends, transactional_mails
from mailer.store.sends import Send, State

events = log.get("tend")


@dataclass(frozen=True)
class Bells:
    """Which doorbells to ring: sends with pending work, and whether transactional mails wait."""

    sends: tuple[int, ...]
    transactional: bool


def tend(database: Database, settings: Settings) -> Bells:
    """One round: start what is due, give up lost claims, finish what is done, and say where work waits.

    Safe to run twice and at once: each change is a compare-and-set or runs under the send's lock.
    """
    with database.transaction() as tx:
        due = sends.due(tx)
    for send in due:
        _start(database, send)
    _give_up(database, settings)
    _finish(database)
    with database.transaction() as tx:
        return Bells(tuple(sends.with_work(tx)), transactional_mails.has_work(tx))


def _start(database: Database, send: Send) -> None:
    """A held send begins; a scheduled one freezes its audience first, so that who joined until now is in it."""
    with database.transaction() as tx:
        locked = sends.lock(tx, send.id)
        if locked is None or locked.state not in sends.NOT_STARTED or locked.due_at != send.due_at:
            return
        frozen = locked.state is State.SCHEDULED
        size = freeze(tx, send.id, locked.audience) if frozen else (locked.audience_size or 0)
        if frozen:
            deliveries.analyze(tx)
        if size == 0:
            sends.move(tx, send.id, sends.NOT_STARTED, State.STOPPED, "its audience was nobody when it was due")
        else:
            sends.move(tx, send.id, sends.NOT_STARTED, State.SENDING)
    events.info("send.started" if size else "send.stopped", send=send.id, audience=size)


def _give_up(database: Database, settings: Settings) -> None:
    with database.transaction() as tx:
        lost = deliveries.expire(tx, settings.claim_lease)
        lost += transactional_mails.expire(tx, settings.claim_lease)
    if lost:
        events.warning("delivery.uncertain", mails=lost)


def _finish(database: Database) -> None:
    with database.transaction() as tx:
        done = [send_id for send_id in sends.without_work(tx) if sends.move(tx, send_id, [State.SENDING], State.FINISHED)]
    for send_id in done:
        events.info("send.finished", send=send_id)
