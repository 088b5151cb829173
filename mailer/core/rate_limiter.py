"""The rate limiter: how many emails may leave now, across all workers on all machines.

A token bucket in its virtual-scheduling form (GCRA): Redis stores the time of the next free slot, and a script grants slots
``1 / rate`` apart, so that emails leave evenly and no second has more than the account allows. Throttling cuts the rate,
which then grows back (AIMD). Without Redis, each worker limits itself to a safe share of the account's rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from mailer.core import log

logger = log.get("rate")

HEADROOM = 0.992  # share of the account's rate that is used, so that network jitter does not cause throttling
HORIZON_SECONDS = 0.2  # slots further in the future are not granted
LOCAL_RATE_DIVISOR = 10  # without Redis, a worker uses the account's rate divided by this
CUT_FACTOR = 0.85  # share of the rate that remains after throttling; at most one cut a second
GROWTH_PER_SECOND = 0.1  # share of the ceiling that is regained each second
QUOTA_RESERVE = 0.01  # share of the 24-hour quota that is reserved for transactional emails

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
class SendSlots:
    """``count`` emails may leave: the first after ``delay`` seconds, each following one ``gap`` seconds later."""

    count: int
    delay: float = 0.0
    gap: float = 0.0


class RateLimiter(Protocol):
    """What a delivery worker asks before it claims. Thread-safe."""

    def take_slots(self, wanted: int, rate: float, urgent: bool = False) -> SendSlots:
        """Grant at most ``wanted`` slots at ``rate`` a second; ``urgent`` emails leave at once and delay the others."""
        ...

    def reduce(self, rate: float) -> None:
        """Lower the rate, because the transport throttled an email."""
        ...


class SharedRateLimiter:
    """The rate limiter in Redis; falls back to a safe share of the rate while Redis is unavailable."""

    def __init__(self, redis_url: str, key: str = "postmerge:rate", local: RateLimiter | None = None) -> None:
        self._client = redis.Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._key = key
        self._take = self._client.register_script(_TAKE)
        self._cut = self._client.register_script(_CUT)
        self._local = local or LocalRateLimiter(LOCAL_RATE_DIVISOR)
        self._unavailable_until = 0.0

    def take_slots(self, wanted: int, rate: float, urgent: bool = False) -> SendSlots:
        """Slots of the rate that all workers share."""
        values = [wanted, max(0.01, rate * HEADROOM), HORIZON_SECONDS * 1e6, int(urgent), GROWTH_PER_SECOND]
        answer = self._call_redis(lambda: self._take(keys=[self._key], args=values))
        if answer is None:
            return self._local.take_slots(wanted, rate, urgent)
        granted, delay, gap = (float(part) for part in answer)
        return SendSlots(int(granted), delay / 1e6, gap / 1e6)

    def reduce(self, rate: float) -> None:
        """Cut the shared rate, at most once a second."""
        if self._call_redis(lambda: self._cut(keys=[self._key], args=[rate * HEADROOM, CUT_FACTOR])) is None:
            self._local.reduce(rate)

    def _call_redis(self, call: Callable[[], Any]) -> Any:
        if time.monotonic() < self._unavailable_until:
            return None
        try:
            return call()
        except redis.exceptions.RedisError as error:
            self._unavailable_until = time.monotonic() + 1
            logger.warning("rate.redis_unavailable", error=type(error).__name__)
            return None


class LocalRateLimiter:
    """The rate limiter of a single process: the rate divided by ``divisor``."""

    def __init__(self, divisor: float = 1) -> None:
        self._divisor = divisor
        self._next = 0.0
        self._factor = 1.0
        self._at = time.monotonic()

    def take_slots(self, wanted: int, rate: float, urgent: bool = False) -> SendSlots:
        """The same algorithm as in Redis, for this process alone."""
        now = time.monotonic()
        self._factor = min(1.0, self._factor + (now - self._at) * GROWTH_PER_SECOND)
        self._at = now
        gap = self._divisor / max(0.01, rate * HEADROOM * self._factor)
        slot = max(self._next, now - gap)
        count = wanted if urgent else max(0, min(wanted, math.floor((now + HORIZON_SECONDS - slot) / gap) + 1))
        self._next = slot + count * gap
        return SendSlots(count, 0 if urgent else max(0.0, slot - now), gap)

    def reduce(self, rate: float) -> None:
        """Cut the rate."""
        self._factor = max(0.05, self._factor * CUT_FACTOR)


class NoRateLimit:
    """The rate limiter of transports without limits, such as the outbox."""

    def take_slots(self, wanted: int, rate: float, urgent: bool = False) -> SendSlots:
        """Grant everything at once."""
        return SendSlots(wanted)

    def reduce(self, rate: float) -> None:
        """Do nothing: there is no rate."""
