"""What this process did since its heartbeat last recorded it: counters for metrics, and the proof that work moves."""

from __future__ import annotations

import threading
from collections import Counter

Counts = Counter[tuple[str, str]]

DURATION_BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "+Inf")  # seconds
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})

_counts: Counts = Counter()
_gauges: dict[str, int] = {}
_lock = threading.Lock()


def count(name: str, label: str = "", number: int = 1) -> None:
    """Add to a counter. Labels are few: an outcome or a kind, never an id."""
    with _lock:
        _counts[name, label] += number


def count_request(method: str, status: int, seconds: float) -> None:
    """Count a request to the API and its duration."""
    series = f"{method if method in _METHODS else 'other'} {status // 100}xx"
    bucket = next(limit for limit in DURATION_BUCKETS if seconds <= float(limit))
    count("api_requests", f"{series} {bucket}")
    count("api_milliseconds", series, round(seconds * 1000))


def set_gauge(name: str, number: float) -> None:
    """Set a number that is the same for all processes, such as a limit of the account."""
    with _lock:
        _gauges[name] = round(number)


def take_gauges() -> dict[str, int]:
    """Return the gauges that were set since the last call."""
    global _gauges
    with _lock:
        taken, _gauges = _gauges, {}
    return taken


def take_counts() -> Counts:
    """Return the counts and begin again at 0."""
    global _counts
    with _lock:
        taken, _counts = _counts, Counter()
    return taken


def put_back(counts: Counts) -> None:
    """Add counts again that could not be recorded."""
    with _lock:
        _counts.update(counts)
