"""Standstills: a process that does not run, a send that waits, events that stopped, a queue that does not move or grows.

Every process looks for them with its heartbeat, so that a dead scheduler is noticed too; a lock lets one look at a time. The
operator gets one notice of each, and one when it is over. POSTMERGE_PING_URL is called only while there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.i18n.local_time import moment
from mailer.core.settings import Settings
from mailer.flows.sending.warmup import WAITS
from mailer.store.operations import due_work, heartbeats, metric_numbers, notices, standstills

logger = log.get("standstill")

SILENCE = timedelta(seconds=30)  # a process that was not seen for so long is down
STUCK = timedelta(seconds=20)  # due work of which nothing moved for so long
OLD = timedelta(minutes=15)  # due work may be so old although some of it moves; a send may take hours
GROWTH_WINDOW = timedelta(seconds=20)  # a queue that grew for so long, and again a little later, grows
MIN_GROWN_AGE_SECONDS = 20.0  # younger work is late for nobody
SAMPLE_INTERVAL = timedelta(seconds=8)  # a little less than between two heartbeats of a process
EVENT_SILENCE = timedelta(seconds=20)  # SES reports within seconds that it sent an email
SILENCES_WHEN_SENT_IS_TOLD = {1: EVENT_SILENCE}
# Where SES never told that, only the servers' answers can be missed, which take long for a few.
SILENCES = {100: EVENT_SILENCE, 10: timedelta(seconds=30), 1: timedelta(minutes=15)}  # by the number of emails
PING_INTERVAL = timedelta(seconds=55)
_TOLD_AFTER = timedelta(seconds=15)  # a send that waits for a moment is nothing to tell
_OVER_AFTER = timedelta(seconds=25)  # a standstill that was not found for so long is over
_NEEDED = {
    "worker": "no email is sent",
    "scheduler": "no scheduled send starts",
    "serve": "forms and unsubscribe links do not respond",
    "events": "bounces and complaints are not processed",
}
_ALWAYS_NEEDED = ("worker", "scheduler")  # the others are optional: one that never ran is not missed

Found = tuple[str, str]  # the standstill's name, and a sentence about it


def check_standstills(database: Database, settings: Settings) -> bool:
    """Look for standstills and write notices; return whether POSTMERGE_PING_URL is to be called. Raises Unavailable."""
    with database.transaction() as tx:
        if not standstills.try_lock(tx):
            return False
        found = dict(_find_standstills(tx, settings))
        standstills.record_seen(tx, found)
        for one in standstills.take_untold(tx, list(_NEEDED), _TOLD_AFTER):
            logger.error("standstill.found", name=one.name, text=one.text)
            notices.add(tx, one.text)
        for one in standstills.take_ended(tx, _OVER_AFTER):
            logger.info("standstill.over", name=one.name)
            notices.add(tx, f"This is over: {one.text}")
        return not standstills.count_open(tx) and standstills.claim_ping(tx, PING_INTERVAL)


def _find_standstills(tx: Tx, settings: Settings) -> Iterator[Found]:
    now = tx.value("SELECT now()")
    missing = list(_find_missing_processes(tx, now))
    yield from missing
    waiting = standstills.list_waiting_sends(tx)
    yield from _find_waiting_sends(waiting)
    yield from _find_silent_events(tx, settings)
    if not any(name in _ALWAYS_NEEDED for name, _ in missing):
        yield from _find_queues(tx, settings, now, bool(waiting))


def _find_missing_processes(tx: Tx, now: datetime) -> Iterator[Found]:
    running, last_seen = heartbeats.list_running(tx, SILENCE), heartbeats.list_last_seen(tx)
    first = min((group.started_at for group in running), default=None)
    for kind in _NEEDED.keys() - {group.kind for group in running}:
        since = last_seen.get(kind, first if kind in _ALWAYS_NEEDED else None)
        if since and now - max(since, first or since) > SILENCE:  # after a reboot, the others have as long to start
            yield kind, f"No process `postmerge {kind}` has run since {moment(since)}, so {_NEEDED[kind]}: start it again."


def _find_waiting_sends(waiting: Sequence[tuple[int, str, str]]) -> Iterator[Found]:
    for send_id, key, reason in waiting:
        if not reason.startswith(WAITS):
            yield f"send {send_id}", f"Send {send_id} of {key} is waiting: {reason}"


def _find_silent_events(tx: Tx, settings: Settings) -> Iterator[Found]:
    """Sends whose emails SES accepted, and about which no event came for a while although events are set up."""
    if settings.transport == "ses" and (settings.sqs_queue_url or settings.sns_topic):
        silences = SILENCES_WHEN_SENT_IS_TOLD if standstills.are_sent_events_known(tx) else SILENCES
        for send_id in standstills.list_sends_without_events(tx, silences):
            yield (
                f"events of send {send_id}",
                f"SES accepted emails of send {send_id}, but no event about it arrives: check `postmerge events`, its queue,"
                " and the configuration set (`postmerge doctor`).",
            )


def _find_queues(tx: Tx, settings: Settings, now: datetime, sends_wait: bool) -> Iterator[Found]:
    moved, waiting = heartbeats.list_moved(tx), metric_numbers.count_queued(tx)
    open_names = {one.name for one in standstills.list_open(tx)}
    for kind, since in due_work.list_oldest(tx).items():
        if (kind == due_work.SENDS and sends_wait) or (kind == due_work.PAYMENTS and not settings.stripe_key):
            continue
        name = f"queue {kind}"
        if now - max(since, moved.get(kind, since)) > STUCK:
            yield name, f"Nothing moves in the queue of {kind} since {moment(max(since, moved.get(kind, since)))}."
        elif kind != due_work.SENDS and (
            now - since > OLD or _grows(tx, kind, since, waiting.get(kind), now, name in open_names)
        ):
            yield name, f"The queue of {kind} grows: the oldest has been due since {moment(since)}."


def _grows(tx: Tx, kind: str, since: datetime, waiting: int | None, now: datetime, did: bool) -> bool:
    """Whether the oldest work gets older and what waits gets more; ``did``: whether it grew before.

    A burst that is worked off gets older too, but not more. Of events, only the age is known.
    """
    standstills.add_sample(tx, kind, since, waiting, SAMPLE_INTERVAL)
    before, age = standstills.get_sample(tx, kind, GROWTH_WINDOW), (now - since).total_seconds()
    if before is None or age < MIN_GROWN_AGE_SECONDS or age - before.age < (now - before.at).total_seconds() / 2:
        return False
    if waiting is None or before.waiting is None:
        return True
    return waiting > before.waiting or (did and waiting == metric_numbers.MAX_COUNTED)
