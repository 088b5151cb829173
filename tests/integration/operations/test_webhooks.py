"""Webhooks: written with the event, signed, tried again for three days, never into a private network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mailer.cli import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.operations import api_keys, webhooks
from mailer.flows.subscribers import signup
from mailer.store.operations import webhook_outbox
from mailer.webhooks import signed_post
from tests import web
from tests.web import Web


class Target:
    """A server that records what it gets and answers as configured."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer = 200
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(target.answer)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, webhook_networks="127.0.0.0/8")


@pytest.fixture
def api(newsletter: Web) -> TestClient:
    return newsletter.holder(api_keys.DEFAULT_REQUESTS_PER_MINUTE)


def hook(api: TestClient, url: str, *types: str) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", json={"url": url, "event_types": list(types)})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def make_due(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE webhook_messages SET due_at = now() WHERE state = 'pending'")
        tx.run("UPDATE webhooks SET paused_until = NULL")


def test_an_event_is_told_once_signed_as_in_standard_webhooks(newsletter: Web, api: TestClient, target: Target) -> None:
    made = hook(api, target.url, "subscriber.confirmed")
    signup.add_subscriber(newsletter.database, newsletter.settings, "ada@example.org", [], confirmed=True)
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 1
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 0
    [(headers, body)] = target.got
    facts = json.loads(body)
    assert facts["event_type"] == "subscriber.confirmed"
    assert facts["data"]["subscriber"] == api.get("/v1/subscribers/ada@example.org").json()["id"]
    assert b"ada@" not in body
    key = base64.b64decode(made["signing_key"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


def test_an_event_that_is_rolled_back_is_told_to_nobody(newsletter: Web, api: TestClient, target: Target) -> None:
    hook(api, target.url, "subscriber.created")
    with contextlib.suppress(RuntimeError), newsletter.database.transaction() as tx:
        tx.run("INSERT INTO subscribers (email, email_normal) VALUES ('a@b.org', 'a@b.org')")
        assert tx.value("SELECT count(*) FROM webhook_messages") == 1
        raise RuntimeError
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 0
    assert newsletter.counted("events") == 0


def test_a_refused_message_is_tried_again_with_growing_gaps_and_can_be_replayed(
    newsletter: Web, api: TestClient, target: Target
) -> None:
    made = hook(api, target.url, "subscriber.created")
    target.answer = 500
    signup.sign_up(newsletter.database, "ada@example.org")
    for _ in range(3):
        assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 1
        assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 0
        make_due(newsletter)
    [one] = api.get(f"/v1/webhooks/{made['id']}/attempts").json()["results"]
    assert (one["status"], one["attempt_count"], one["error_message"]) == ("pending", 3, "answered 500")
    assert newsletter.counted("webhook_attempts") == 3
    target.answer = 204
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    [one] = api.get(f"/v1/webhooks/{made['id']}/attempts?status=success").json()["results"]
    assert api.post(f"/v1/webhooks/{made['id']}/attempts/{one['id']}/replay").status_code == 204
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    assert len({headers["webhook-id"] for headers, _ in target.got}) == 1
    assert len(target.got) == 5


def fail(newsletter: Web, target: Target, number: int = 1, now: datetime | None = None) -> None:
    """So many attempts in a row, each when it is due."""
    for _ in range(number):
        make_due(newsletter)
        assert webhooks.deliver_messages(newsletter.database, newsletter.settings, now) == 1


def message(newsletter: Web) -> dict[str, Any]:
    with newsletter.database.transaction() as tx:
        return tx.one("SELECT state, attempts, due_at FROM webhook_messages ORDER BY id LIMIT 1") or {}


def test_the_gaps_grow_and_span_three_days(newsletter: Web, api: TestClient, target: Target) -> None:
    hook(api, target.url, "subscriber.created")
    target.answer = 500
    signup.sign_up(newsletter.database, "ada@example.org")
    now, gaps = datetime.now(UTC), []
    for number in range(1, 14):
        fail(newsletter, target, now=now)
        one = message(newsletter)
        assert (one["state"], one["attempts"]) == ("pending", number)
        gaps.append(one["due_at"] - now)
    assert gaps == sorted(gaps)
    assert gaps[0] == timedelta(seconds=5)
    assert timedelta(hours=71) < sum(gaps, timedelta()) < timedelta(hours=74)
    fail(newsletter, target, now=now)
    assert (message(newsletter)["state"], message(newsletter)["attempts"], len(target.got)) == ("failed", 14, 14)
    make_due(newsletter)
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 0


@pytest.mark.parametrize("late", [True, False])
def test_a_message_is_due_again_when_its_gap_is_over_and_not_before(
    newsletter: Web, api: TestClient, target: Target, late: bool
) -> None:
    hook(api, target.url, "subscriber.created")
    target.answer = 500
    signup.sign_up(newsletter.database, "ada@example.org")
    fail(newsletter, target, 3)
    with newsletter.database.transaction() as tx:
        tx.run(f"UPDATE webhook_messages SET due_at = due_at - interval '{'121' if late else '100'} seconds'")
        tx.run("UPDATE webhooks SET paused_until = NULL")
    assert webhooks.has_work(newsletter.database) is late
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == late


def test_a_dead_target_is_switched_off_with_a_notice(newsletter: Web, api: TestClient, target: Target) -> None:
    made = hook(api, target.url, "subscriber.created")
    other = hook(api, target.url + "/other", "subscriber.created")
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE webhooks SET enabled = false WHERE url LIKE '%/other'")
    target.answer = 503
    signup.sign_up(newsletter.database, "ada@example.org")
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE webhooks SET failing_since = now() - interval '73 hours'")
    make_due(newsletter)
    webhooks.deliver_messages(newsletter.database, newsletter.settings, datetime.now(UTC))
    assert api.get(f"/v1/webhooks/{made['id']}").json()["status"] == "disabled"
    with newsletter.database.transaction() as tx:
        assert "was disabled" in tx.value("SELECT text FROM notices")
    posted = len(target.got)
    signup.sign_up(newsletter.database, "bob@example.org")
    nothing_is_posted(newsletter, target)
    switch(api, made, "enabled")
    target.answer = 200
    make_due(newsletter)
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) >= 1
    assert len(target.got) > posted
    assert api.get(f"/v1/webhooks/{other['id']}").json()["status"] == "disabled"


def nothing_is_posted(newsletter: Web, target: Target) -> None:
    posted = len(target.got)
    make_due(newsletter)
    assert not webhooks.has_work(newsletter.database)
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 0
    assert len(target.got) == posted


def switch(api: TestClient, made: dict[str, Any], status: str) -> None:
    changed = api.patch(f"/v1/webhooks/{made['id']}", json={"status": status})
    assert changed.json() == {**made, "status": status}


def test_a_change_of_a_webhook_keeps_what_it_does_not_name(api: TestClient) -> None:
    body = {"url": "https://example.org/", "event_types": ["subscriber.created"], "status": "disabled", "description": "d"}
    made = api.post("/v1/webhooks", json=body).json()
    changes: list[dict[str, Any]] = [
        {"url": "https://example.com/"}, {"description": "e"}, {"event_types": []}, {"signing_key": "whsec_AAAA"},
    ]  # fmt: skip
    for change in changes:
        made |= change
        assert api.patch(f"/v1/webhooks/{made['id']}", json=change).json() == made


@pytest.mark.parametrize("when", ["before the event", "before the first attempt", "between two attempts"])
def test_a_webhook_that_is_switched_off_by_hand_is_posted_to_no_more(
    newsletter: Web, api: TestClient, target: Target, when: str
) -> None:
    made = hook(api, target.url, "subscriber.created")
    target.answer = 500
    if when == "before the event":
        switch(api, made, "disabled")
    signup.sign_up(newsletter.database, "ada@example.org")
    if when == "between two attempts":
        fail(newsletter, target)
    switch(api, made, "disabled")
    nothing_is_posted(newsletter, target)


def test_a_target_that_is_gone_is_switched_off_at_once_and_another_goes_on(
    newsletter: Web, api: TestClient, target: Target
) -> None:
    gone, good = hook(api, target.url, "subscriber.created"), hook(api, "http://127.0.0.2:1/", "subscriber.created")
    target.answer = 410
    for name in ("ada", "bob"):
        signup.sign_up(newsletter.database, f"{name}@example.org")
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    statuses = {one["id"]: api.get(f"/v1/webhooks/{one['id']}").json()["status"] for one in (gone, good)}
    assert statuses == {gone["id"]: "disabled", good["id"]: "enabled"}
    posted = len(target.got)
    make_due(newsletter)
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    assert len(target.got) == posted


@pytest.mark.parametrize(("hours", "status"), [(71, "enabled"), (73, "disabled")])
def test_a_target_is_dead_after_three_days_without_an_answer(
    newsletter: Web, api: TestClient, target: Target, hours: int, status: str
) -> None:
    made = hook(api, target.url, "subscriber.created")
    target.answer = 500
    signup.sign_up(newsletter.database, "ada@example.org")
    fail(newsletter, target)
    with newsletter.database.transaction() as tx:
        tx.run(f"UPDATE webhooks SET failing_since = failing_since - interval '{hours} hours'")
    fail(newsletter, target)
    assert api.get(f"/v1/webhooks/{made['id']}").json()["status"] == status


def test_a_target_that_took_one_message_has_its_three_days_again(newsletter: Web, api: TestClient, target: Target) -> None:
    made = hook(api, target.url, "subscriber.created")
    for answer in (500, 200, 500):
        target.answer = answer
        signup.sign_up(newsletter.database, f"ada-{newsletter.counted('subscribers')}@example.org")
        make_due(newsletter)
        webhooks.deliver_messages(newsletter.database, newsletter.settings)
        with newsletter.database.transaction() as tx:
            tx.run("UPDATE webhooks SET failing_since = failing_since - interval '50 hours'")
    assert api.get(f"/v1/webhooks/{made['id']}").json()["status"] == "enabled"


@pytest.mark.parametrize(("age", "is_free"), [("0 seconds", False), ("110 seconds", False), ("130 seconds", True)])
def test_a_message_of_a_worker_that_died_is_posted_after_its_lease(
    newsletter: Web, api: TestClient, target: Target, age: str, is_free: bool
) -> None:
    hook(api, target.url, "subscriber.created")
    signup.sign_up(newsletter.database, "ada@example.org")
    with newsletter.database.transaction() as tx:
        assert len(webhook_outbox.claim(tx, 10, webhooks.LEASE)) == 1
        tx.run(f"UPDATE webhook_messages SET claimed_at = claimed_at - interval '{age}'")
    assert webhooks.has_work(newsletter.database) is is_free
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == is_free
    assert len(target.got) == is_free


def test_each_webhook_is_told_what_it_asked_for_and_no_other(newsletter: Web, api: TestClient, target: Target) -> None:
    for path, types in (("/a", ["subscriber.created"]), ("/b", ["subscriber.confirmed"]), ("/c", ["email.sent"])):
        hook(api, target.url + path, *types)
    signup.add_subscriber(newsletter.database, newsletter.settings, "ada@example.org", [], confirmed=True)
    while webhooks.deliver_messages(newsletter.database, newsletter.settings):
        pass
    told = sorted(json.loads(body)["event_type"] for _, body in target.got)
    assert told == ["subscriber.confirmed", "subscriber.created"]


def test_a_test_message_says_that_it_is_one(newsletter: Web, api: TestClient, target: Target) -> None:
    made = hook(api, target.url, "email.sent")
    assert api.post(f"/v1/webhooks/{made['id']}/test?event_type=email.sent").status_code == 204
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    assert json.loads(target.got[0][1])["data"] == {"test": True}


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://10.0.0.1/x", "http://[::1]/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/",
     "http://0.0.0.0/", "ftp://example.org/", "http://user:pw@example.org/", "http://", "https://exa mple.org"],
)  # fmt: skip
def test_an_address_in_a_private_network_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        signed_post.check_target(url, [])


def test_a_name_that_turns_private_later_is_refused_when_it_is_used(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is public when it is checked, and private when it is posted to."""
    url = target.url.replace("127.0.0.1", "rebind.example.org")
    signed_post.check_target(url, [])
    real = socket.getaddrinfo
    asked: list[str] = []

    def lying(host: str, port: int, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lying)
    attempt = signed_post.post(url, "secret", "msg_1", b"{}", [])
    assert "private network" in attempt.error
    assert target.got == []
    assert asked == ["rebind.example.org"]


def test_a_redirect_is_not_followed(target: Target) -> None:
    target.answer = 302
    attempt = signed_post.post(target.url, "secret", "msg_1", b"{}", signed_post.parse_networks("127.0.0.0/8"))
    assert attempt.status == 302
    assert "not followed" in attempt.error
    assert len(target.got) == 1


def test_the_command_line_shows_and_replays_what_failed(newsletter: Web, api: TestClient, target: Target) -> None:
    made = hook(api, target.url, "subscriber.created")
    target.answer = 410
    signup.sign_up(newsletter.database, "ada@example.org")
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    env = {"DATABASE_URL": newsletter.database.url}

    def told(*words: str) -> str:
        return CliRunner().invoke(cli, ["webhooks", *words], env=env, catch_exceptions=False).stdout

    [failed] = json.loads(told("attempts", made["id"], "--json"))
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert "1 message queued again" in told("replay", made["id"])
    body = {"status": "enabled", "url": target.url, "event_types": ["subscriber.created"]}
    assert api.patch(f"/v1/webhooks/{made['id']}", json=body).status_code == 200
    target.answer = 200
    webhooks.deliver_messages(newsletter.database, newsletter.settings)
    [again] = json.loads(told("attempts", made["id"], "--json"))
    assert (again["state"], len(target.got)) == ("delivered", 2)


class SilentTarget:
    """A server that accepts connections and never answers, until it is closed."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/hook"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentTarget]:
    monkeypatch.setattr(signed_post, "TIMEOUT_SECONDS", 3.0)
    made = SilentTarget()
    yield made
    made.socket.close()


def queue_messages(newsletter: Web, where: str, number: int) -> None:
    """So many messages for each webhook of this condition, all of them due for an hour."""
    with newsletter.database.transaction() as tx:
        tx.run(
            f"""
            INSERT INTO webhook_messages (webhook_id, type, body, due_at)
            SELECT webhooks.id, 'subscriber.created', '{{}}', now() - interval '1 hour'
            FROM webhooks CROSS JOIN generate_series(1, %(number)s) WHERE {where.replace("%", "%%")}
            """,
            number=number,
        )
        tx.script("ANALYZE webhook_messages; ANALYZE webhooks")


def wait_until_posted(target: Target, number: int, seconds: float) -> float:
    started = time.monotonic()
    while len(target.got) < number and time.monotonic() - started < seconds:
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.mark.slow
def test_dead_targets_delay_no_other_webhook(newsletter: Web, api: TestClient, target: Target, silent: SilentTarget) -> None:
    for number in range(10):
        hook(api, f"{silent.url}/{number}", "subscriber.confirmed")
    hook(api, target.url, "subscriber.created")
    queue_messages(newsletter, "url NOT LIKE '%/hook'", 200)
    stopping = threading.Event()
    work = partial(webhooks.deliver_messages, newsletter.database, newsletter.settings, stopping=stopping)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(1, 4):
            signup.sign_up(newsletter.database, f"ada-{number}@example.org")
            assert wait_until_posted(target, number, 2.5) < 2, number
    finally:
        stopping.set()
        worker.join()


def test_a_webhook_has_one_message_in_flight_until_its_target_accepts_one_and_then_a_few(
    newsletter: Web, api: TestClient, target: Target
) -> None:
    hook(api, target.url, "subscriber.created")
    queue_messages(newsletter, "true", 50)
    with newsletter.database.transaction() as tx:
        assert len(webhook_outbox.claim(tx, 64, webhooks.LEASE)) == 1
        assert webhook_outbox.claim(tx, 64, webhooks.LEASE) == []
        assert not webhook_outbox.has_work(tx, webhooks.LEASE)
        webhook_outbox.record_success(tx, 1, webhooks.MAX_IN_FLIGHT)
        assert len(webhook_outbox.claim(tx, 64, webhooks.LEASE)) == webhooks.MAX_IN_FLIGHT - 1
        assert webhook_outbox.claim(tx, 64, webhooks.LEASE) == []
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE webhook_messages SET state = 'pending'")
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == len(target.got) == 50


def test_every_webhook_gets_its_first_message_before_another_gets_its_second(
    newsletter: Web, api: TestClient, target: Target
) -> None:
    for number in range(5):
        hook(api, f"{target.url}/{number}", "subscriber.created")
    queue_messages(newsletter, "url LIKE '%/0'", 50)
    queue_messages(newsletter, "url NOT LIKE '%/0'", 1)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE webhooks SET max_in_flight = 8")
        assert len({one.webhook_id for one in webhook_outbox.claim(tx, 5, webhooks.LEASE)}) == 5


def pause_of(newsletter: Web) -> timedelta | None:
    with newsletter.database.transaction() as tx:
        found: timedelta | None = tx.value("SELECT paused_until - now() FROM webhooks")
    return found


def test_a_target_that_fails_again_and_again_is_left_alone_for_longer_and_longer(
    newsletter: Web, api: TestClient, target: Target
) -> None:
    made = hook(api, target.url, "subscriber.created")
    target.answer = 500
    signup.sign_up(newsletter.database, "ada@example.org")
    fail(newsletter, target)
    assert pause_of(newsletter) is None
    for failing, pause in (("0 seconds", 5), ("1 minute", 30), ("2 hours", 600)):
        with newsletter.database.transaction() as tx:
            tx.run(f"UPDATE webhooks SET failing_since = now() - interval '{failing}'")
        fail(newsletter, target)
        assert timedelta(seconds=pause - 2) < (pause_of(newsletter) or timedelta()) < timedelta(seconds=pause + 2)
        with newsletter.database.transaction() as tx:
            tx.run("UPDATE webhook_messages SET due_at = now()")
        assert not webhooks.has_work(newsletter.database)
        assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 0
    target.answer = 200
    webhooks.send_test_message(newsletter.database, 1, "subscriber.created")
    assert webhooks.deliver_messages(newsletter.database, newsletter.settings) == 2
    assert pause_of(newsletter) is None
    assert api.get(f"/v1/webhooks/{made['id']}").json()["status"] == "enabled"


def test_a_claim_reads_nothing_of_the_backlog_of_dead_targets(newsletter: Web, api: TestClient, target: Target) -> None:
    for number in range(10):
        hook(api, f"http://127.0.0.1:1/{number}", "subscriber.confirmed")
    hook(api, target.url, "subscriber.created")
    queue_messages(newsletter, "url NOT LIKE '%/hook'", 2000)
    queue_messages(newsletter, "url LIKE '%/hook'", 5)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE webhooks SET max_in_flight = 8, paused_until = now() + interval '1 minute' WHERE url NOT LIKE '%/hook'")
        tx.run("UPDATE webhooks SET max_in_flight = 8 WHERE url LIKE '%/hook'")
    with newsletter.database.transaction() as tx:
        plan = tx.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {webhook_outbox.CLAIM}", size=64)
    read = [node["Actual Rows"] * node["Actual Loops"] for node in scans(plan[0]["Plan"])]
    assert len(read) >= 4
    assert max(read) <= 11, read


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The scans of a plan, with the rows that a filter removed counted as read."""
    if "Scan" in node["Node Type"] and node["Node Type"] not in ("CTE Scan", "Subquery Scan"):
        yield {**node, "Actual Rows": node["Actual Rows"] + node.get("Rows Removed by Filter", 0)}
    for below in node.get("Plans", ()):
        yield from scans(below)


def test_a_target_that_answers_byte_by_byte_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_post, "MAX_ANSWER_SECONDS", 0.3)
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with contextlib.suppress(OSError), server.accept()[0] as connected:
            for _ in range(100):
                connected.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.05)

    threading.Thread(target=drip, daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    attempt = signed_post.post(url, "secret", "msg_1", b"{}", signed_post.parse_networks("127.0.0.0/8"))
    server.close()
    assert attempt.error.startswith("no answer")
    assert attempt.milliseconds < 3000


@pytest.mark.slow
def test_healthy_webhooks_stay_under_two_seconds_beside_a_hundred_thousand_messages_of_dead_ones(
    newsletter: Web, api: TestClient, target: Target, silent: SilentTarget
) -> None:
    """Two workers, as in production, the targets silent until the real timeout, and an event every half second."""
    for number in range(10):
        hook(api, f"{silent.url}/{number}", "subscriber.confirmed")
    for number in range(3):
        hook(api, f"{target.url}/{number}", "subscriber.created")
    queue_messages(newsletter, "event_types = '{subscriber.confirmed}'", 10_000)
    stopping = threading.Event()

    def work() -> None:
        while not stopping.wait(0.2):
            webhooks.deliver_messages(newsletter.database, newsletter.settings, stopping=stopping)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        slowest = 0.0
        for number in range(1, 31):
            signup.sign_up(newsletter.database, f"ada-{number}@example.org")
            slowest = max(slowest, wait_until_posted(target, 3 * number, 5))
            time.sleep(0.5)
        assert slowest < 2
        assert len(target.got) == 90
    finally:
        stopping.set()
        for worker in workers:
            worker.join()
