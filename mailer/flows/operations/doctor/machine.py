"""The doctor on this machine: settings, Postgres, Redis and the system time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import redis

from mailer.core import migrate
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.operations.doctor.checkups import Checkup, advise, fine, wrong
from mailer.flows.sending.fence import read_fence
from mailer.store.operations import database_facts

MAX_TIME_DIFFERENCE_SECONDS = 60.0  # AWS refuses signatures that are five minutes off
_REDIS_TIMEOUT_SECONDS = 3.0


def examine_settings(settings: Settings) -> Iterator[Checkup]:
    """Check what emails and pages need from the settings."""
    yield _check_transport(settings)
    yield _check_secret(settings)
    if settings.sender:
        yield fine("sender", settings.sender)
    else:
        yield wrong("sender", "No sender is set.", 'POSTMERGE_SENDER="Name <address@your.domain>"')
    if settings.postal_address:
        yield fine("postal address", settings.postal_address)
    else:
        yield wrong(
            "postal address", "None is set, and the law requires it in every email.", 'POSTMERGE_POSTAL_ADDRESS="Street, City"'
        )


def _check_transport(settings: Settings) -> Checkup:
    if settings.transport == "outbox":
        found = f"Emails are written to files in {settings.outbox}; none is sent."
        return advise("transport", found, "To send emails: POSTMERGE_TRANSPORT=ses")
    return fine("transport", settings.transport)


def _check_secret(settings: Settings) -> Checkup:
    try:
        number = len(settings.need_secrets())
    except PostmergeError as error:
        return wrong("secret", str(error), "POSTMERGE_SECRET=$(openssl rand -hex 32)")
    return fine("secret", "set" if number == 1 else f"set, and {number - 1} older")


def examine_services(settings: Settings) -> Iterator[Checkup]:
    """Check Postgres with its migrations and fence, Redis, and the time."""
    if not settings.database_url:
        yield wrong("database", "DATABASE_URL is not set.", "DATABASE_URL=postgresql://user:password@host:5432/name")
    else:
        database = Database(settings.database_url)
        try:
            yield from _examine_database(database, settings)
        finally:
            database.close()
    yield _check_redis(settings)


def _examine_database(database: Database, settings: Settings) -> Iterator[Checkup]:
    try:
        missing = migrate.pending(database)
        with database.transaction() as tx:
            before = time.time()
            facts = database_facts.read(tx)
    except PostmergeError as error:
        yield wrong("database", str(error), "Check DATABASE_URL, and that Postgres runs and may be reached from here.")
        return
    if facts.version < database_facts.MIN_VERSION:
        found = f"Postgres {facts.version}, which is too old."
        yield wrong("database", found, f"Upgrade Postgres to {database_facts.MIN_VERSION} or later.")
    elif missing:
        yield wrong("database", f"{len(missing)} migrations are missing, first {missing[0]}.", "postmerge migrate")
    else:
        yield fine("database", f"Postgres {facts.version}, all migrations applied")
        yield _check_fence(database, settings)
    yield compare_times("system time", "the database", facts.now, before)


def _check_fence(database: Database, settings: Settings) -> Checkup:
    if not settings.fence_place:
        found = "The fence is off on this machine, which is right for a CI runner only."
        return advise("fence", found, "On workers: remove POSTMERGE_FENCE=off")
    try:
        problem = read_fence(database, settings).problem
    except PostmergeError as error:
        return wrong("fence", str(error), "postmerge fence")
    return wrong("fence", problem, "postmerge fence") if problem else fine("fence", "this database may send")


def _check_redis(settings: Settings) -> Checkup:
    example = "REDIS_URL=redis://host:6379/0"
    if not settings.redis_url:
        return wrong("Redis", "REDIS_URL is not set, so workers cannot start.", example)
    try:
        limits = {"socket_timeout": _REDIS_TIMEOUT_SECONDS, "socket_connect_timeout": _REDIS_TIMEOUT_SECONDS}
        with redis.Redis.from_url(settings.redis_url, **limits) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        where = urlsplit(settings.redis_url).hostname or "that address"
        fix = f"Check REDIS_URL ({example}), and that Redis or Valkey runs and may be reached from here."
        return wrong("Redis", f"No answer from {where} ({type(error).__name__}).", fix)
    return fine("Redis", "answers")


def compare_times(name: str, whose: str, theirs: datetime, ours: float | None = None) -> Checkup:
    """Compare this machine's time, in seconds since 1970, with another one's."""
    difference = (datetime.fromtimestamp(ours or time.time(), UTC) - theirs).total_seconds()
    if abs(difference) <= MAX_TIME_DIFFERENCE_SECONDS:
        return fine(name, f"within {max(1, round(abs(difference)))} s of {whose}")
    found = f"This machine is {abs(difference):,.0f} s {'ahead of' if difference > 0 else 'behind'} {whose}."
    return wrong(name, found, "sudo timedatectl set-ntp true")
