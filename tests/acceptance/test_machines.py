"""Two web servers, two workers and two schedulers on machines of their own, whose links are cut and which stop and vanish."""

from __future__ import annotations

import random

import pytest

from bench.machines import draw, run
from bench.network import can_run

pytestmark = pytest.mark.slow


def test_the_same_seed_draws_the_same_faults() -> None:
    first, second = (draw(random.Random(7), 60) for _ in range(2))
    assert first == second
    assert {fault.kind for fault in first} == {"cut", "stop", "lose"}
    assert [fault.at for fault in first] == sorted(fault.at for fault in first)


def test_cut_links_and_stopped_machines_double_nobody_and_lose_nobody() -> None:
    if problem := can_run():
        pytest.skip(f"network namespaces cannot be used here: {problem}")
    found = run(seed=20261130, subscribers=1500, away=12)
    assert found.wrong == ()
    assert len(found.faults) == 7
    assert found.sign_ups > 10
    assert found.accepted > 1500
