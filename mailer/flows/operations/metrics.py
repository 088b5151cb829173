"""Metrics for Prometheus, read from the ledger: the same numbers whichever web server is asked.

Counters are sums of tallies, which triggers and the processes' heartbeats add to. After a kill -9, what a process did since
its last heartbeat (10 s) is missing from them; the ledger itself has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

import mailer
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.core.telemetry.work_counts import DURATION_BUCKETS
from mailer.flows.operations.heartbeats import KINDS
from mailer.flows.operations.standstills import SILENCE
from mailer.flows.sending.fence import read_fence
from mailer.store.operations import due_work, heartbeats, metric_numbers
from mailer.store.sending import counters, ledger_queries
from mailer.store.sending.sends import SendState

_OUTCOMES = ("accepted", "throttled", "retry", "uncertain", "refused", "halt")
_BY_LABEL = {
    "emails": ("Attempts to send an issue to a subscriber, by outcome.", "outcome", _OUTCOMES),
    "transactional_emails": ("Attempts to send a transactional email, by outcome.", "outcome", _OUTCOMES),
    "ses_events": (
        "Messages about emails from SES, by what became of them.",
        "result",
        ("recorded", "duplicates", "unknown", "rejected", "ignored"),
    ),
    "webhook_attempts": ("Attempts to post a message to a webhook.", "result", ("accepted", "rejected")),
    "payment_jobs": ("Pieces of work on payments that were done.", "", ("",)),
    "bulk_batches": ("Batches of bulk actions that were done.", "", ("",)),
}  # counters of ``work_counts``: help, label, and the values that are always shown
_EVENTS = {
    "signups": ("Subscribers who signed up or were added.", "subscriber.created"),
    "confirmations": ("Subscribers who became active.", "subscriber.confirmed"),
    "unsubscribes": ("Subscribers who unsubscribed.", "subscriber.unsubscribed"),
    "deliveries": ("Emails of sends that SES reported as delivered.", "subscriber.delivered"),
    "complaints": ("Complaints about emails of sends.", "subscriber.complained"),
}
_BOUNCE_KINDS = ("hard bounce", "soft bounce", "general bounce", "content bounce")
_STANDSTILLS = (*KINDS, "send", "queue")
_QUEUES = (
    due_work.SENDS,
    due_work.TRANSACTIONAL,
    due_work.EVENTS,
    due_work.WEBHOOKS,
    due_work.PAYMENTS,
    due_work.BULK_ACTIONS,
)


class LedgerCollector(Collector):
    """Reads everything in one transaction when it is scraped. Raises Unavailable."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        with self._database.transaction() as tx:
            counted, events = metric_numbers.read_counters(tx, "metric"), metric_numbers.read_counters(tx, "event")
            gauges = metric_numbers.read_counters(tx, "gauge")
            now, running = tx.value("SELECT now()"), heartbeats.list_running(tx, SILENCE)
            last_seen, due = heartbeats.list_last_seen(tx), due_work.list_oldest(tx)
            queued, sends = metric_numbers.count_queued(tx), ledger_queries.count_sends_by_state(tx)
            standstills, webhooks = metric_numbers.count_standstills(tx), metric_numbers.count_webhooks(tx)
            subscribers = counters.count_subscribers(tx)
        yield _gauge("build_info", "The version of this process.", "version", {mailer.__version__: 1})
        yield from _make_counters(counted, events)
        yield _make_request_histogram(counted)
        yield _gauge("sends", "Sends in each state.", "state", {**{str(state): 0 for state in SendState}, **sends})
        yield _gauge(
            "queue_length", f"Rows that wait in each queue, at most {metric_numbers.MAX_COUNTED} of each.", "queue", queued
        )
        ages = {queue: max(0.0, (now - due[queue]).total_seconds()) if queue in due else 0.0 for queue in _QUEUES}
        yield _gauge("queue_age_seconds", "How long the oldest work of each queue has been due.", "queue", ages)
        yield _gauge("processes", "Processes that run.", "kind", _count_processes(running))
        seen = {kind: (now - when).total_seconds() for kind, when in last_seen.items()}
        yield _gauge("heartbeat_age_seconds", "Time since a process of each kind was last seen.", "kind", seen)
        yield _gauge("standstills", "Standstills now.", "kind", {**dict.fromkeys(_STANDSTILLS, 0), **standstills})
        yield _gauge("webhooks", "Webhooks in each state.", "state", webhooks)
        yield _gauge("subscribers", "Subscribers in any state.", "", {"": subscribers})
        stopped = {"": sends.get(str(SendState.STOPPED), 0)}
        yield _gauge("circuit_breakers_open", "Sends that a circuit breaker or the operator stopped.", "", stopped)
        for name, text in (
            ("ses_rate_allowed", "Emails a second that SES allows."),
            ("ses_quota_left", "Emails that SES allows in the current 24 hours."),
        ):
            if name in gauges:
                yield _gauge(name, text, "", {"": gauges[name]})
        yield from self._collect_fence()

    def _collect_fence(self) -> Iterator[Metric]:
        """Yield the state of the fence if its half is a file: reading it from S3 or Redis would make a scrape slow."""
        if self._settings.fence_place and "://" not in self._settings.fence_place:
            try:
                agrees = not read_fence(self._database, self._settings).problem
            except PostmergeError:
                agrees = False
            yield _gauge("fence_agrees", "Whether the fence allows sending, seen from this process.", "", {"": int(agrees)})


def _make_counters(counted: Mapping[str, int], events: Mapping[str, int]) -> Iterator[Metric]:
    for name, (text, label, values) in _BY_LABEL.items():
        keys = {value: f"{name} {value}".strip() for value in values}
        yield _counter(name, text, label, {value: counted.get(key, 0) for value, key in keys.items()})
    for name, (text, event) in _EVENTS.items():
        yield _counter(name, text, "", {"": events.get(event, 0)})
    bounces = {kind: events.get(f"subscriber.bounced {kind}", 0) for kind in _BOUNCE_KINDS}
    yield _counter("bounces", "Bounces of emails of sends.", "kind", bounces)


def _make_request_histogram(counted: Mapping[str, int]) -> Metric:
    """Build the histogram of API requests from counters such as ``api_requests GET 2xx 0.1``, one for each bucket."""
    family = HistogramMetricFamily(
        "postmerge_api_request_duration_seconds", "Durations of requests to the API.", labels=["method", "status"]
    )
    series = {(method, status) for method in ("GET", "POST", "PATCH", "DELETE") for status in ("2xx", "4xx", "5xx")}
    series |= {tuple(key.split(" ")[1:3]) for key in counted if key.startswith("api_requests ")}  # type: ignore[misc]
    for method, status in sorted(series):
        total, buckets = 0, []
        for limit in DURATION_BUCKETS:
            total += counted.get(f"api_requests {method} {status} {limit}", 0)
            buckets.append((limit, float(total)))
        seconds = counted.get(f"api_milliseconds {method} {status}", 0) / 1000
        family.add_metric([method, status], buckets=buckets, sum_value=seconds)
    return family


def _count_processes(running: list[heartbeats.ProcessGroup]) -> dict[str, int]:
    return {kind: sum(group.number for group in running if group.kind == kind) for kind in KINDS}


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _fill(CounterMetricFamily(f"postmerge_{name}", text, labels=[label] if label else []), values)


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _fill(GaugeMetricFamily(f"postmerge_{name}", text, labels=[label] if label else []), values)


def _fill(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    for value, number in values.items():
        family.add_metric([value] if value else [], number)
    return family
