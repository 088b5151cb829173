from __future__ import annotations

import random

import pytest

from bench.chaos import KINDS, draw, run

pytestmark = pytest.mark.slow


def test_the_same_seed_draws_the_same_faults_and_each_kind_comes_before_any_comes_again() -> None:
    first, second = (draw(random.Random(7), 2 * len(KINDS), []) for _ in range(2))
    assert first == second
    assert {fault.kind for fault in first[: len(KINDS)]} == set(KINDS)
    assert [fault.at for fault in first] == sorted(fault.at for fault in first)


def test_one_fault_of_each_kind_in_one_send_doubles_nobody_and_loses_nobody() -> None:
    [one] = run(faults=len(KINDS), seed=20261124, smallest=1500, largest=1500, each=len(KINDS))
    assert set(one.faults) == set(KINDS)
    assert one.wrong == ()
    assert one.accepted > 1500 - one.allowed
