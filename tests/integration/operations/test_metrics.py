"""Metrics: what a scrape says, that it reads few rows, and that dashboard and alerts ask only for what it has."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

import mailer
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from mailer.flows.operations.heartbeats import Heartbeat
from mailer.store.operations import metric_numbers
from tests import web
from tests.conftest import ROOT
from tests.processes import eventually
from tests.web import Web

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((MONITORING / "prometheus-alerts.yaml").read_text(encoding="utf-8"))
SELECTOR = re.compile(r"(postmerge_\w+)(?:\{([^}]*)\})?")
WORDS = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    work_counts.take_counts()
    return web.make(tmp_path, database)


def execute(database: Database, sql: str) -> None:
    with database.transaction() as tx:
        tx.script(sql)


def _client(newsletter: Web) -> TestClient:
    """A client with a key of its own."""
    key = api_keys.create_key(newsletter.database, secrets.token_hex(4), "read")
    return TestClient(newsletter.app(), headers={"Authorization": f"Token {key}"})


def scrape(newsletter: Web) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a scrape, by name and labels."""
    text = _client(newsletter).get("/metrics").text
    assert "@" not in text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return samples[f"postmerge_{name}", frozenset(labels.items())]


def test_a_scrape_has_what_was_done_and_what_is_due(newsletter: Web) -> None:
    newsletter.send(7)
    newsletter.subscribe("ada@example.org")
    _client(newsletter).get("/v1/ping")
    work_counts.set_gauge("ses_rate_allowed", 14)
    Heartbeat(newsletter.database, Settings(), "worker").beat()
    found = scrape(newsletter)
    assert value(found, "build_info", version=mailer.__version__) == 1
    assert value(found, "sends", state="finished") == 1
    assert value(found, "emails_total", outcome="accepted") == 7
    assert value(found, "signups_total") == 8
    assert value(found, "subscribers") == 8
    assert value(found, "queue_length", queue="transactional emails") == 1
    assert value(found, "queue_age_seconds", queue="transactional emails") >= 0
    assert value(found, "processes", kind="worker") == 1
    assert value(found, "heartbeat_age_seconds", kind="worker") < 60
    assert value(found, "ses_rate_allowed") == 14
    assert value(found, "api_request_duration_seconds_count", method="GET", status="2xx") == 1
    assert value(found, "api_request_duration_seconds_bucket", method="GET", status="2xx", le="+Inf") == 1
    assert value(found, "fence_agrees") == 1


def test_bounces_unsubscribes_and_standstills_are_counted(newsletter: Web) -> None:
    send_id = newsletter.send(3)
    execute(
        newsletter.database,
        "INSERT INTO delivery_events (send_id, subscriber_id, kind, at)"
        f" VALUES ({send_id}, 1, 'hard bounce', now()), ({send_id}, 2, 'complaint', now()), ({send_id}, 3, 'delivery', now());"
        "UPDATE subscribers SET state = 'unsubscribed' WHERE id = 1;"
        "INSERT INTO standstills (name, text, told_at) VALUES ('send 1', 'x', now()), ('worker', 'x', NULL);",
    )
    found = scrape(newsletter)
    assert value(found, "bounces_total", kind="hard bounce") == 1
    assert value(found, "complaints_total") == value(found, "deliveries_total") == value(found, "unsubscribes_total") == 1
    assert value(found, "standstills", kind="send") == 1
    assert value(found, "standstills", kind="worker") == 0


def test_a_gauge_is_replaced_and_counters_survive_compaction(newsletter: Web) -> None:
    heart = Heartbeat(newsletter.database, Settings(), "worker")
    for number in range(3):
        work_counts.set_gauge("ses_quota_left", 100 - number)
        work_counts.count("emails", "accepted", 2)
        heart.beat()
    execute(newsletter.database, "INSERT INTO tallies (kind, key, number) SELECT 'metric', 'x', 1 FROM generate_series(1, 600)")
    newsletter.work()
    found = scrape(newsletter)
    assert value(found, "ses_quota_left") == 98
    assert value(found, "emails_total", outcome="accepted") == 6


def test_no_query_of_a_scrape_reads_the_deliveries_of_finished_sends(newsletter: Web) -> None:
    send_id = newsletter.send(30)
    execute(
        newsletter.database,
        "INSERT INTO subscribers (email, email_normal, state)"
        " SELECT format('x%s@example.org', n), format('x%s@example.org', n), 'active' FROM generate_series(1, 5000) AS n;"
        "ANALYZE subscribers",
    )
    execute(
        newsletter.database,
        f"INSERT INTO deliveries (send_id, subscriber_id, state) SELECT {send_id}, id, 'delivered' FROM subscribers"
        " ON CONFLICT DO NOTHING; ANALYZE deliveries",
    )
    client = _client(newsletter)

    def rows_read() -> int:
        with newsletter.database.transaction() as tx:
            tx.value("SELECT pg_stat_force_next_flush()")
        with newsletter.database.transaction() as tx:
            return int(tx.value("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'deliveries'"))

    before = rows_read()
    for _ in range(5):
        assert client.get("/metrics").status_code == 200
    assert rows_read() - before < 100


def test_a_long_queue_is_not_counted_to_its_end(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_numbers, "MAX_COUNTED", 5)
    for number in range(7):
        newsletter.subscribe(f"reader{number}@example.org")
    assert value(scrape(newsletter), "queue_length", queue="transactional emails") == 5


def _list_expressions() -> Iterator[tuple[str, str]]:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def test_each_expression_asks_for_metrics_and_labels_that_a_scrape_has(newsletter: Web) -> None:
    _client(newsletter).get("/v1/ping")
    work_counts.set_gauge("ses_rate_allowed", 14)
    work_counts.set_gauge("ses_quota_left", 50_000)
    Heartbeat(newsletter.database, Settings(), "worker").beat()
    found = scrape(newsletter)
    for name, expression in _list_expressions():
        selectors = SELECTOR.findall(expression)
        assert selectors, f"{name} asks for no metric"
        for metric, given in selectors:
            series = [dict(labels) for sample, labels in found if sample == metric]
            assert series, f"{name}: no scrape has {metric}"
            for label, values in WORDS.findall(given):
                has = any(re.fullmatch(values, one.get(label, "")) for one in series)
                assert has, f"{name}: no {metric} has {label}={values}"


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (apt install prometheus)")
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(MONITORING / "prometheus-alerts.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus (apt install prometheus)")
def test_prometheus_evaluates_each_expression_on_a_real_scrape(newsletter: Web, tmp_path: Path) -> None:
    work_counts.set_gauge("ses_rate_allowed", 14)
    work_counts.set_gauge("ses_quota_left", 50_000)
    Heartbeat(newsletter.database, Settings(), "worker").beat()
    key, port = api_keys.create_key(newsletter.database, "prometheus", "read"), find_free_port()
    with web.served(newsletter.app()) as url:
        job = {
            "job_name": "postmerge",
            "authorization": {"type": "Token", "credentials": key},
            "static_configs": [{"targets": [url.removeprefix("http://")]}],
        }
        conf = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(conf))
        options = (f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path / 'data'}")
        server = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: bool(_query(port, "rate(postmerge_signups_total[1m])")), 60, "two scrapes")
            for name, expression in _list_expressions():
                found = _query(port, re.sub(r"\s+[<>=]+\s+[\d.]+$", "", expression))  # without an alert's threshold
                assert found, f"{name} is empty"
        finally:
            server.kill()
            server.wait()


def _query(port: int, expression: str) -> list[Any]:
    """The result of a query; empty while Prometheus starts."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return []
        raise AssertionError(f"{expression}: {error.read().decode()}") from error
    except OSError:
        return []


def test_every_alert_says_what_to_do_and_the_dashboard_has_no_empty_panel() -> None:
    rules: list[Any] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in ("page", "ticket") for rule in rules)
    assert all(panel["targets"] for panel in DASHBOARD["panels"] if panel["type"] != "row")
