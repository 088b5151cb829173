"""Warm-up: the daily volume of sends grows by a plan, so that mailbox providers get to know a new domain.

Each day allows a number of emails, which the claims of all workers share: it is used in the transaction of the claim, so that
a killed worker neither exceeds nor loses any. The volume grows only after a day on which most of it was used and whose
outcomes were good; bad ones end the day, and a provider that defers pauses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailer.core import audience, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused
from mailer.core.i18n import local_time
from mailer.flows.sending.circuit_breakers import COMPLAINTS, HARD, SOFT
from mailer.store.operations import notices
from mailer.store.sending import audiences, deliveries, sends, warmups
from mailer.store.sending.sends import SendState
from mailer.store.sending.warmups import WarmupDay, WarmupPlan

logger = log.get("warmup")

WAITS = "the warm-up"  # the waiting reason of a send begins so: it is planned, and no standstill
RECENT = timedelta(days=90)  # who got an email, confirmed or used their page within this time is sent first
MAX_WARMUP_DAYS = 365
DEFERRAL_PAUSE = timedelta(hours=1)
_MAX_DEFERRED_SHARE = 0.05  # of the emails, by one domain
_MIN_DEFERRED = 10
_MIN_USED_SHARE = 0.5  # of a day's volume, or the next day does not grow


@dataclass(frozen=True)
class WarmupState:
    """The plan and today; ``volumes`` are those of all days of the plan."""

    plan: WarmupPlan
    day: WarmupDay
    volumes: tuple[int, ...]

    @property
    def left(self) -> int:
        """How many emails today still allows; 0 while it is paused."""
        return 0 if self.day.paused else max(0, self.day.volume - self.day.used)

    def count_days(self, emails: int) -> int:
        """Count the days that so many emails take, today included, if all goes well."""
        rest, days = emails - max(0, self.day.volume - self.day.used), 1
        for volume in self.volumes[self.day.place + 1 :]:
            if rest <= 0:
                break
            rest, days = rest - volume, days + 1
        return days

    def describe(self) -> str:
        """Describe today in a sentence or two."""
        said = (
            f"Warm-up, day {self.day.place + 1} of {self.plan.days}: {self.day.used:,} of {self.day.volume:,} emails of today"
            " are used."
        )
        if self.day.paused and self.day.paused_until:
            said += f" Paused until {local_time.moment(self.day.paused_until)}: {self.day.reason}."
        return said


def start_warmup(database: Database, first_volume: int, days: int) -> WarmupState:
    """Start a warm-up towards all subscribers. Raises BadInput, and Refused if one runs or the list is too small for one."""
    if first_volume < 1 or not 2 <= days <= MAX_WARMUP_DAYS:
        raise BadInput(f"Give at least 1 email for the first day, and 2 to {MAX_WARMUP_DAYS} days.")
    with database.transaction() as tx:
        target = audiences.count(tx, audience.Everyone())
        if target <= first_volume:
            raise Refused(f"A send has {target:,} subscribers at most, which the first day allows: no warm-up is needed.")
        if not warmups.start(tx, first_volume, days, target):
            raise Refused("A warm-up runs already: `postmerge warmup status` shows it, `postmerge warmup stop` ends it.")
        for send in sends.list_all(tx):
            if send.audience_size and send.state not in (SendState.FINISHED, SendState.CANCELLED):
                order_audience(tx, send.id)
                if send.open_wave:
                    sends.set_wave(tx, send.id, deliveries.LAST_WAVE)
        state = _read(tx)
    assert state
    logger.info("warmup.started", first=first_volume, days=days, target=target)
    return state


def stop_warmup(database: Database) -> bool:
    """End the warm-up; return whether one ran. Sends that wait for it continue."""
    with database.transaction() as tx:
        ended = warmups.end(tx)
        sends.clear_backoffs(tx, WAITS)
    if ended:
        logger.info("warmup.stopped")
    return ended


def read_warmup(database: Database) -> WarmupState | None:
    """Return the warm-up, or None if there is none. Writes nothing."""
    with database.transaction() as tx:
        return _read(tx)


def is_active(tx: Tx) -> bool:
    """Return whether there is a warm-up."""
    return warmups.get_plan(tx) is not None


def order_audience(tx: Tx, send_id: int) -> None:
    """Let a frozen audience begin with subscribers who are known to want the emails, if there is a warm-up."""
    if is_active(tx):
        warmups.mark_last_wave(tx, send_id, deliveries.LAST_WAVE, RECENT)


def lock_allowance(tx: Tx) -> int | None:
    """Return how many emails today still allows (None: any number); other claims wait until the transaction ends."""
    if (day := _open_day(tx)) is None:
        return None
    return 0 if day.paused else max(0, day.volume - day.used)


def use_allowance(tx: Tx, emails: int) -> None:
    """Take emails from today's volume; a negative number gives back what did not leave."""
    if emails:
        warmups.add_used(tx, _zone(), emails)


def wait_for_allowance(database: Database, send_id: int) -> None:
    """Let a send wait until the warm-up allows more, and say until when."""
    with database.transaction() as tx:
        day = _open_day(tx)
        if day is None or not deliveries.count_pending(tx, send_id):
            return
        until = warmups.get_midnight(tx, _zone())
        if day.used < day.volume and day.paused_until:
            until = min(until, day.paused_until)
        why = f"is paused ({day.reason})" if day.paused else f"allows {day.volume:,} emails today, which are used"
        wait = max(timedelta(seconds=1), until - datetime.now(UTC))
        sends.back_off(tx, send_id, wait, f"{WAITS} {why}; continues at {local_time.moment(until)}")
    logger.info("send.waits_for_warmup", send=send_id, seconds=int(wait.total_seconds()))


def check_outcomes(database: Database) -> None:
    """End or pause the day if its outcomes are bad, with a notice."""
    with database.transaction() as tx:
        if not is_active(tx) or (day := _open_day(tx)) is None or day.paused:
            return
        until, reason = _find_trouble(tx, day)
        if not reason:
            return
        warmups.pause_day(tx, _zone(), until, reason)
        notices.add(
            tx, f"The warm-up is paused until {local_time.moment(until)}, and its volume does not grow tomorrow: {reason}."
        )
    logger.warning("warmup.paused", reason=reason)


def _find_trouble(tx: Tx, day: WarmupDay) -> tuple[datetime, str]:
    """Return until when to pause, and why; '' if all is well."""
    midnight, emails = warmups.get_midnight(tx, _zone()), day.used - day.used_before
    found = warmups.count_bad_outcomes(tx, day.watched_since)
    for breaker, number in ((HARD, found.hard), (SOFT, found.soft), (COMPLAINTS, found.complaints)):
        if breaker.is_tripped(number, emails):
            return midnight, f"{number:,} {breaker.name} in {emails:,} emails exceed {breaker.max_share:.1%}"
    domain, number = warmups.find_deferring_domain(tx, day.watched_since)
    if number >= _MIN_DEFERRED and number > _MAX_DEFERRED_SHARE * emails:
        return min(midnight, datetime.now(UTC) + DEFERRAL_PAUSE), f"{domain} defers {number:,} of {emails:,} emails"
    return midnight, ""


def _read(tx: Tx) -> WarmupState | None:
    if (plan := warmups.get_plan(tx)) is None:
        return None
    volumes = tuple(_compute_volume(plan, place) for place in range(plan.days))
    if (day := warmups.get_day(tx, _zone())) is None:
        place = min(_choose_place(warmups.get_last_day(tx)), plan.days - 1)
        day = WarmupDay(place, volumes[place], 0, datetime.now(UTC), 0, None, "", paused=False)
    return WarmupState(plan, day, volumes)


def _open_day(tx: Tx) -> WarmupDay | None:
    """Return today, locked, which begins now if it has not; None without a warm-up, and when its last day is past."""
    if (plan := warmups.get_plan(tx)) is None:
        return None
    if day := warmups.get_day(tx, _zone(), lock=True):
        return day
    place = _choose_place(warmups.get_last_day(tx))
    if place < plan.days:
        warmups.add_day(tx, _zone(), place, _compute_volume(plan, place))
        return warmups.get_day(tx, _zone(), lock=True)
    if warmups.end(tx):
        notices.add(tx, f"The warm-up is over: sends of {plan.target:,} emails a day and more are not limited any longer.")
        logger.info("warmup.over")
    return None


def _choose_place(last: WarmupDay | None) -> int:
    if last is None:
        return 0
    return last.place + (not last.reason and last.used >= _MIN_USED_SHARE * last.volume)


def _compute_volume(plan: WarmupPlan, place: int) -> int:
    """Grow by the same factor each day."""
    factor: float = (plan.target / plan.first_volume) ** (place / (plan.days - 1))
    return round(plan.first_volume * factor)


def _zone() -> str:
    return local_time.zone().key
