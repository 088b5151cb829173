"""The warm-up: its plan (one row, or none while it is off) and its days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class WarmupPlan:
    """``first_volume`` emails on the first day, ``target`` on the last of so many ``days``."""

    first_volume: int
    days: int
    target: int
    started_at: datetime


@dataclass(frozen=True)
class WarmupDay:
    """A day: its place in the plan from 0, how many emails it allows and how many were claimed.

    ``watched_since`` and ``used_before``: which outcomes count, and how many emails had been claimed then. ``paused``: is
    ``paused_until`` still to come?
    """

    place: int
    volume: int
    used: int
    watched_since: datetime
    used_before: int
    paused_until: datetime | None
    reason: str
    paused: bool


@dataclass(frozen=True)
class BadOutcomes:
    """How many emails bounced and how many were reported as spam."""

    hard: int
    soft: int
    complaints: int


_DAY = """
    SELECT
        place, volume, used, watched_since, used_before, paused_until, reason,
        coalesce(paused_until > now(), false) AS paused
    FROM warmup_days
"""
_TODAY = "(now() AT TIME ZONE %(zone)s)::date"


def start(tx: Tx, first_volume: int, days: int, target: int) -> bool:
    """Switch the warm-up on; return False if it is on."""
    started = tx.run(
        """
        INSERT INTO warmup (first_volume, days, target) VALUES (%(first)s, %(days)s, %(target)s) ON CONFLICT DO NOTHING
        """,
        first=first_volume,
        days=days,
        target=target,
    )
    if started:
        tx.run("DELETE FROM warmup_days")
    return bool(started)


def end(tx: Tx) -> bool:
    """Switch the warm-up off and forget its days; return whether it was on."""
    tx.run("DELETE FROM warmup_days")
    return bool(tx.run("DELETE FROM warmup"))


def get_plan(tx: Tx) -> WarmupPlan | None:
    """Return the plan, or None while there is no warm-up."""
    rows = tx.all("SELECT first_volume, days, target, started_at FROM warmup")
    return each(rows, WarmupPlan)[0] if rows else None


def get_day(tx: Tx, zone: str, lock: bool = False) -> WarmupDay | None:
    """Return today in the zone if it has begun; with ``lock``, other claims wait until the transaction ends."""
    rows = tx.all(f"{_DAY} WHERE day = {_TODAY} {'FOR UPDATE' if lock else ''}", zone=zone)
    return each(rows, WarmupDay)[0] if rows else None


def get_last_day(tx: Tx) -> WarmupDay | None:
    """Return the latest day that has begun, or None."""
    rows = tx.all(f"{_DAY} ORDER BY day DESC LIMIT 1")
    return each(rows, WarmupDay)[0] if rows else None


def add_day(tx: Tx, zone: str, place: int, volume: int) -> None:
    """Begin today, unless another process was faster."""
    tx.run(
        f"""
        INSERT INTO warmup_days (day, place, volume) VALUES ({_TODAY}, %(place)s, %(volume)s) ON CONFLICT DO NOTHING
        """,
        zone=zone,
        place=place,
        volume=volume,
    )


def get_midnight(tx: Tx, zone: str) -> datetime:
    """Return when today ends in the zone."""
    end_of_day: datetime = tx.value(f"SELECT ({_TODAY} + 1)::timestamp AT TIME ZONE %(zone)s", zone=zone)
    return end_of_day


def add_used(tx: Tx, zone: str, emails: int) -> None:
    """Add to today's emails; a negative number gives back what did not leave."""
    tx.run(f"UPDATE warmup_days SET used = greatest(0, used + %(emails)s) WHERE day = {_TODAY}", zone=zone, emails=emails)


def pause_day(tx: Tx, zone: str, until: datetime, reason: str) -> None:
    """Send nothing more until then. Outcomes so far do not count again."""
    tx.run(
        f"""
        UPDATE warmup_days
        SET paused_until = %(until)s, reason = %(reason)s, watched_since = %(until)s, used_before = used
        WHERE day = {_TODAY}
        """,
        zone=zone,
        until=until,
        reason=reason,
    )


def count_bad_outcomes(tx: Tx, since: datetime) -> BadOutcomes:
    """Count the bounces and complaints that were reported since then."""
    row = tx.one(
        """
        SELECT
            count(*) FILTER (WHERE facts ->> 'kind' = 'hard bounce')::int AS hard,
            count(*) FILTER (WHERE facts ->> 'kind' IN ('soft bounce', 'general bounce'))::int AS soft,
            count(*) FILTER (WHERE type = 'subscriber.complained')::int AS complaints
        FROM events
        WHERE type IN ('subscriber.bounced', 'subscriber.complained') AND send_id IS NOT NULL AND at >= %(since)s
        """,
        since=since,
    )
    assert row
    return BadOutcomes(**row)


def find_deferring_domain(tx: Tx, since: datetime) -> tuple[str, int]:
    """Return the domain that deferred emails to the most subscribers since then, and to how many; ('', 0) if none did.

    A full mailbox is its owner's matter and does not count.
    """
    rows = tx.all(
        """
        SELECT split_part(subscribers.email_normal, '@', 2) AS domain, count(DISTINCT subscribers.id)::int AS number
        FROM events
        JOIN subscribers ON subscribers.id = events.subscriber_id AND subscribers.erased_at IS NULL
        WHERE events.type = 'subscriber.deferred' AND events.send_id IS NOT NULL AND events.at >= %(since)s
            AND EXISTS (
                SELECT FROM delivery_events
                WHERE delivery_events.send_id = events.send_id AND delivery_events.subscriber_id = events.subscriber_id
                    AND delivery_events.kind = 'delay' AND delivery_events.subtype <> 'MailboxFull'
            )
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1
        """,
        since=since,
    )
    return (rows[0]["domain"], rows[0]["number"]) if rows else ("", 0)


def mark_last_wave(tx: Tx, send_id: int, wave: int, recent: timedelta) -> int:
    """Put subscribers without recent evidence into the last wave, so that the others are sent first; return how many.

    Evidence: an email arrived, they confirmed their subscription, or they used their page.
    """
    return tx.run(
        """
        UPDATE deliveries
        SET wave = %(wave)s
        FROM subscribers
        WHERE deliveries.send_id = %(send_id)s AND deliveries.state = 'pending' AND deliveries.wave > 0
            AND subscribers.id = deliveries.subscriber_id
            AND coalesce(subscribers.active_at, '-infinity') < now() - %(recent)s
            AND NOT EXISTS (
                SELECT FROM deliveries AS earlier
                WHERE earlier.subscriber_id = deliveries.subscriber_id AND earlier.send_id <> deliveries.send_id
                    AND earlier.state IN ('accepted', 'delivered') AND earlier.settled_at > now() - %(recent)s
            )
            AND NOT EXISTS (
                SELECT FROM consents
                WHERE consents.subscriber_id = deliveries.subscriber_id AND consents.kind = 'confirmed'
                    AND consents.at > now() - %(recent)s
            )
        """,
        send_id=send_id,
        wave=wave,
        recent=recent,
    )
