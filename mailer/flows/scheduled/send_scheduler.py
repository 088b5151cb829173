"""Periodic jobs for sends. All state is in the ledger, so nothing is lost with a process or with Redis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput
from mailer.core.i18n import local_time
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import freeze_audience
from mailer.flows.scheduled import page_gate
from mailer.flows.sending import circuit_breakers, warmup
from mailer.flows.sending.send_control import halt_send
from mailer.store.operations import notices
from mailer.store.sending import deliveries, sends
from mailer.store.sending.sends import NOT_STARTED, Send, SendState
from mailer.store.subscribers import lifted_suppressions
from mailer.store.transactional import transactional_emails

logger = log.get("scheduler")


@dataclass(frozen=True)
class WantedWakeUps:
    """Which workers to wake: for which sends, and whether for the transactional emails."""

    sends: tuple[int, ...]
    transactional: bool


def advance_sends(database: Database, settings: Settings, start: bool = True) -> WantedWakeUps:
    """Run one round: start due sends (if ``start``), expire claims, open waves, finish sends, and report where work is pending.

    Safe to run concurrently: each change is a compare-and-set or runs under the send's lock.
    """
    with database.transaction() as tx:
        sends.clear_ended_backoffs(tx)
        due = sends.list_due(tx) if start else []
    for send in due:
        if not _pause_late(database, settings, send) and page_gate.check_page(database, send, settings.site_url):
            _start_send(database, settings, send)
    _expire_claims(database, settings)
    _open_waves(database, settings)
    _finish_sends(database, settings)
    with database.transaction() as tx:
        transactional = transactional_emails.has_work(tx) or lifted_suppressions.has_due_removals(tx)
        return WantedWakeUps(tuple(sends.list_with_pending(tx)), transactional)


def _start_send(database: Database, settings: Settings, send: Send) -> None:
    """Start a due send; a scheduled one freezes its audience now, so that it includes the latest subscribers."""
    with database.transaction() as tx:
        locked = page_gate.lock_unchanged(tx, send)
        if locked is None:
            return
        frozen = locked.state is SendState.SCHEDULED
        try:
            size = freeze_audience(tx, settings, send.id, locked.audience) if frozen else (locked.audience_size or 0)
        except BadInput as error:  # for example, a segment deleted meanwhile
            halt_send(tx, locked, SendState.STOPPED, str(error))
            return
        if frozen:
            deliveries.analyze(tx)
        if size == 0:
            halt_send(tx, locked, SendState.STOPPED, "its audience was empty when it was due")
        elif sends.move(tx, send.id, NOT_STARTED, SendState.SENDING):
            logger.info("send.started", send=send.id, audience=size)


def _pause_late(database: Database, settings: Settings, send: Send) -> bool:
    """Pause a send that became due while no scheduler ran, if that is too long ago; returns whether it did."""
    if not (late := _late_reason(send, settings)):
        return False
    with database.transaction() as tx:
        if locked := page_gate.lock_unchanged(tx, send):
            halt_send(tx, locked, SendState.PAUSED, late)
    return True


def _late_reason(send: Send, settings: Settings) -> str:
    """Why a due send is too late to start, or "" if it may. A send whose page was checked lately is not late."""
    behind = datetime.now(UTC) - max(send.due_at, send.page_checked_at or send.due_at)
    if behind <= settings.max_lateness:
        return ""
    hours = behind / timedelta(hours=1)
    return (
        f"it was due at {local_time.moment(send.due_at)}, but no scheduler ran for {hours:.0f} hours:"
        f" send it now with `postmerge resume {send.id}`, or drop it with `postmerge stop {send.id}`"
    )


def _expire_claims(database: Database, settings: Settings) -> None:
    with database.transaction() as tx:
        lost = deliveries.expire_claims(tx, settings.claim_lease)
        lost += transactional_emails.expire_claims(tx, settings.claim_lease)
    if lost:
        logger.warning("delivery.uncertain", emails=lost)


def _open_waves(database: Database, settings: Settings) -> None:
    """Once the first wave is sent, watch its outcomes for a while; then open the second wave."""
    with database.transaction() as tx:
        staged = [send for send in sends.list_running(tx) if send.open_wave == 0]
        for send in staged:
            if deliveries.has_unsettled_in_wave(tx, send.id, 0):
                continue
            if send.watch_until is None and settings.first_slice_wait:
                sends.set_wave(tx, send.id, 0, settings.first_slice_wait)
                logger.info("send.watching_first_wave", send=send.id)
            elif (send.watch_until is None or send.watch_until <= datetime.now(UTC)) and not _trip_circuit_breakers(tx, send):
                sends.set_wave(tx, send.id, deliveries.LAST_WAVE)
                logger.info("send.second_wave_opened", send=send.id)


def check_circuit_breakers(database: Database) -> None:
    """Stop running sends whose outcomes are too bad or impossible, and pause a warm-up with bad ones."""
    warmup.check_outcomes(database)
    with database.transaction() as tx:
        running = sends.list_running(tx)
        for send in running:
            _trip_circuit_breakers(tx, send)


def _trip_circuit_breakers(tx: Tx, send: Send) -> bool:
    """Stop a send whose outcomes are too bad or impossible; returns whether it did. The same outcomes do so only once."""
    if not (reason := circuit_breakers.find_stop_reason(tx, send)):
        return False
    if halt_send(tx, send, SendState.STOPPED, reason):
        circuit_breakers.acknowledge_outcomes(tx, send)
    return True


def _finish_sends(database: Database, settings: Settings) -> None:
    with database.transaction() as tx:
        for send_id in sends.list_settled(tx):
            send = sends.lock(tx, send_id)
            if send is None:
                continue
            if not _trip_circuit_breakers(tx, send) and sends.move(tx, send_id, [SendState.SENDING], SendState.FINISHED):
                logger.info("send.finished", send=send_id)
                if settings.notify_url:
                    notices.add(tx, _describe_finished(tx, send))


def _describe_finished(tx: Tx, send: Send) -> str:
    """Describe a finished send in one sentence; its events may still come."""
    counts = deliveries.count_by_state(tx, [send.id])[send.id]
    parts = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    return (
        f"Send {send.id} of {send.issue_key} has finished: {send.audience_size or 0:,} in the audience, {parts or 'no emails'}."
        f" `postmerge report {send.id}` shows the outcomes."
    )
