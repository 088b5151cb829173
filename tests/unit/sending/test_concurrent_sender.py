"""The wire carries a fixed number at once and hands each item back once, however answers come in."""

from __future__ import annotations

import asyncio
import random
import time

from mailer.flows.sending.concurrent_sender import GROUP_WAIT_SECONDS, ConcurrentSender


def test_each_item_comes_back_once_with_its_own_result_and_never_more_than_the_size_are_carried() -> None:
    chance = random.Random(7)
    now = most = 0

    async def send(item: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(chance.random() * 0.01)
        now -= 1
        return item * 2

    came: list[tuple[int, int]] = []
    waiting = list(range(400))
    with ConcurrentSender(12, send) as wire:
        while waiting or wire.in_flight:
            came += wire.collect_results()
            count = wire.free_slots
            wire.start(waiting[:count])
            del waiting[:count]
    assert sorted(came) == [(item, item * 2) for item in range(400)]
    assert most == 12


def test_one_that_hangs_holds_the_others_back_for_a_moment_only() -> None:
    async def send(item: float) -> str:
        await asyncio.sleep(item)
        return "there"

    with ConcurrentSender(4, send) as wire:
        wire.start([1.0, 0.0, 0.0, 0.0])
        started = time.monotonic()
        first = wire.collect_results()
        assert time.monotonic() - started < GROUP_WAIT_SECONDS + 0.5
        assert [item for item, _ in first] == [0.0] * len(first)
        assert 1 <= len(first) <= 3


def test_leaving_waits_for_what_is_still_carried() -> None:
    done: list[int] = []

    async def send(item: int) -> None:
        await asyncio.sleep(0.05)
        done.append(item)

    with ConcurrentSender(3, send) as wire:
        wire.start([1, 2, 3])
    assert sorted(done) == [1, 2, 3]


def test_nothing_on_the_wire_is_answered_at_once() -> None:
    async def send(item: int) -> int:
        return item

    with ConcurrentSender(2, send) as wire:
        assert wire.collect_results() == []
