"""The wire carries a fixed number at once and hands each item back once, however answers come in."""

from __future__ import annotations

import asyncio
import random
import time

from mailer.flows.sending.concurrent_sender import PATIENCE, Wire


def test_each_item_comes_back_once_with_its_own_result_and_never_more_than_the_size_are_carried() -> None:
    chance = random.Random(7)
    now = most = 0

    async def carry(item: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(chance.random() * 0.01)
        now -= 1
        return item * 2

    came: list[tuple[int, int]] = []
    waiting = list(range(400))
    with Wire(12, carry) as wire:
        while waiting or wire.busy:
            came += wire.collect()
            count = wire.free
            wire.put(waiting[:count])
            del waiting[:count]
    assert sorted(came) == [(item, item * 2) for item in range(400)]
    assert most == 12


def test_one_that_hangs_holds_the_others_back_for_a_moment_only() -> None:
    async def carry(item: float) -> str:
        await asyncio.sleep(item)
        return "there"

    with Wire(4, carry) as wire:
        wire.put([1.0, 0.0, 0.0, 0.0])
        started = time.monotonic()
        first = wire.collect()
        assert time.monotonic() - started < PATIENCE + 0.5
        assert [item for item, _ in first] == [0.0] * len(first)
        assert 1 <= len(first) <= 3


def test_leaving_waits_for_what_is_still_carried() -> None:
    done: list[int] = []

    async def carry(item: int) -> None:
        await asyncio.sleep(0.05)
        done.append(item)

    with Wire(3, carry) as wire:
        wire.put([1, 2, 3])
    assert sorted(done) == [1, 2, 3]


def test_nothing_on_the_wire_is_answered_at_once() -> None:
    async def carry(item: int) -> int:
        return item

    with Wire(2, carry) as wire:
        assert wire.collect() == []
