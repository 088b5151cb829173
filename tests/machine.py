"""How fast this machine is just now, so that limits of time hold on slow and busy machines as well."""

from __future__ import annotations

import time

LOOP_SECONDS = 0.055  # of ``measure_slowness``'s loop on the machine on which the tests' limits were chosen


def measure_slowness() -> float:
    """How much longer a plain loop takes than on the machine on which the limits were chosen, in wall time; at least 1."""
    began, total = time.perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return max(1.0, (time.perf_counter() - began) / LOOP_SECONDS)
