"""The budget: how many mails may leave now, for all workers on all machines together.

A token bucket in its virtual-scheduling form (GCRA): Redis keeps the moment of the next free slot, and a script hands out
slots one ``1 / rate`` apart, so that mails leave evenly and no second holds more than the account allows. On throttling the
rate is cut and grows back (AIMD). Without Redis each worker paces itself at a safe share of the account's rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from mailer.core import log

events = log.get("budget")

HEADROOM = 0.992  # of the account's rate, so that jitter on the line does not lead to throttling
HORIZON = 0.2  # seconds; slots further ahead are not handed out
SAFE_SHARE = 10  # without Redis a worker takes the account's rate divided by this
CUT = 0.85  # of the rate is left after throttling, at most one cut a second
GROWTH = 0.1  # of the ceiling comes back each second
RESERVE = 0.01  # of the 24 hours' quota is kept for single mails

_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local wanted, ceiling, horizon, urgent = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local state = redis.call('HMGET', KEYS[1], 'next', 'rate', 'at')
local rate = math.min(tonumber(state[2]) or ceiling, ceiling)
local since = (now - (tonumber(state[3]) or now)) / 1000000
rate = math.min(ceiling, rate + since * ceiling * tonumber(ARGV[5]))
local gap = 1000000 / rate
local slot = math.max(tonumber(state[1]) or 0, now - gap)
local granted = wanted
if not urgent then
    granted = math.max(0, math.min(wanted, math.floor((now + horizon - slot) / gap) + 1))
end
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', slot + granted * gap), 'rate', tostring(rate))
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], 3600)
local delay = urgent and 0 or math.max(0, slot - now)
return {granted, string.format('%.0f', delay), string.format('%.0f', gap)}
"""
_CUT = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local state = redis.call('HMGET', KEYS[1], 'rate', 'cut')
if now - (tonumber(state[2]) or 0) < 1000000 then return 0 end
local rate = math.max(1, (tonumber(state[1]) or tonumber(ARGV[1])) * tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'rate', tostring(rate), 'cut', string.format('%.0f', now))
return 1
"""


@dataclass(frozen=True)
class Grant:
    """``count`` mails may leave: the first after ``delay`` seconds, each next one ``gap`` seconds later."""

    count: int
    delay: float = 0.0
    gap: float = 0.0


class Budget(Protocol):
    """What deliver asks before it claims; safe to call from many threads."""

    def take(self, wanted: int, rate: float, urgent: bool = False) -> Grant:
        """Slots for ``wanted`` mails at most, at ``rate`` a second; an ``urgent`` one leaves at once, the others make room."""
        ...

    def throttled(self, rate: float) -> None:
        """The other side asked for less."""
        ...


class Shared:
    """The budget in Redis; falls back to a safe share of the rate while Redis cannot be asked."""

    def __init__(self, redis_url: str, key: str = "postmerge:budget", alone: Budget | None = None) -> None:
        self._client = redis.Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._key = key
        self._take = self._client.register_script(_TAKE)
        self._cut = self._client.register_script(_CUT)
        self._alone = alone or Alone(SAFE_SHARE)
        self._away_until = 0.0

    def take(self, wanted: int, rate: float, urgent: bool = False) -> Grant:
        """Slots from all workers' common budget."""
        values = [wanted, max(0.01, rate * HEADROOM), HORIZON * 1e6, int(urgent), GROWTH]
        answer = self._ask(lambda: self._take(keys=[self._key], args=values))
        if answer is None:
            return self._alone.take(wanted, rate, urgent)
        granted, delay, gap = (float(part) for part in answer)
        return Grant(int(granted), delay / 1e6, gap / 1e6)

    def throttled(self, rate: float) -> None:
        """Cut the common rate, at most once a second."""
        if self._ask(lambda: self._cut(keys=[self._key], args=[rate * HEADROOM, CUT])) is None:
            self._alone.throttled(rate)

    def _ask(self, call: Callable[[], Any]) -> Any:
        if time.monotonic() < self._away_until:
            return None
        try:
            return call()
        except redis.exceptions.RedisError as error:
            self._away_until = time.monotonic() + 1
            events.warning("budget.alone", error=type(error).__name__)
            return None


class Alone:
    """One process's own budget: the rate divided by ``share``."""

    def __init__(self, share: float = 1) -> None:
        self._share = share
        self._next = 0.0
        self._factor = 1.0
        self._at = time.monotonic()

    def take(self, wanted: int, rate: float, urgent: bool = False) -> Grant:
        """The same rule as in Redis, in this process alone."""
        now = time.monotonic()
        self._factor = min(1.0, self._factor + (now - self._at) * GROWTH)
        self._at = now
        gap = self._share / max(0.01, rate * HEADROOM * self._factor)
        slot = max(self._next, now - gap)
        count = wanted if urgent else max(0, min(wanted, math.floor((now + HORIZON - slot) / gap) + 1))
        self._next = slot + count * gap
        return Grant(count, 0 if urgent else max(0.0, slot - now), gap)

    def throttled(self, rate: float) -> None:
        """Cut the rate."""
        self._factor = max(0.05, self._factor * CUT)


class Unlimited:
    """For transports without limits, such as the outbox."""

    def take(self, wanted: int, rate: float, urgent: bool = False) -> Grant:
        """Everything at once."""
        return Grant(wanted)

    def throttled(self, rate: float) -> None:
        """Nothing to cut."""
