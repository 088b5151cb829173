"""A request's id is in its response, in the log lines of all that it causes, and in those of its emails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core import log
from mailer.core.db import Database
from mailer.fakes.fake_stripe import FakeStripe
from mailer.flows.billing import gifts
from mailer.flows.scheduled import subscriber_maintenance
from mailer.payments.models import CheckoutSession
from mailer.store.billing import gifts as gift_records
from tests import paying, web
from tests.paying import Shop
from tests.web import Web

ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.fixture
def logging() -> Iterator[None]:
    log.configure("info")
    yield
    log.configure("error")


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "two words", "line%0abreak"])
def test_each_response_has_an_id_and_two_have_different_ones(newsletter: Web, given: str) -> None:
    headers = {"X-Request-Id": given} if given else {}
    ids = [newsletter.client.get("/health/live", headers=headers).headers["X-Request-Id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
    assert len(set(ids)) == 2


def test_a_proxys_id_is_kept(newsletter: Web) -> None:
    assert newsletter.client.get("/nothing", headers={"X-Request-Id": ID}).headers["X-Request-Id"] == ID


def test_the_id_is_in_the_log_lines_of_the_request_and_of_its_email(
    newsletter: Web, logging: None, capfd: pytest.CaptureFixture[str]
) -> None:
    newsletter.client.headers["X-Request-Id"] = ID
    newsletter.subscribe("ada@example.org")
    newsletter.work()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    named = {line["event"] for line in lines if line.get("request") == ID}
    assert "transactional.accepted" in named
    assert named - {"transactional.accepted"}, "the request itself logged nothing with its id"


def test_a_turn_of_a_worker_ends_with_one_line_of_its_sums(
    newsletter: Web, logging: None, capfd: pytest.CaptureFixture[str]
) -> None:
    newsletter.send(7)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    [ended] = [line for line in lines if line["event"] == "send.turn_ended"]
    assert (ended["send"], ended["accepted"]) == (1, 7)
    assert ended["rate"] > 0


def read_facts(database: Database, topic_or_kind: str) -> list[dict[str, object]]:
    with database.transaction() as tx:
        rows = tx.all("SELECT facts FROM transactional_emails WHERE %(what)s IN (topic, kind) ORDER BY id", what=topic_or_kind)
    return [row["facts"] for row in rows]


def test_the_emails_of_one_digest_share_an_id_that_its_log_line_names(
    newsletter: Web, logging: None, capfd: pytest.CaptureFixture[str]
) -> None:
    newsletter.send(2)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET frequency = 'monthly', confirmed_at = now() - interval '2 months'")
        tx.run("DELETE FROM deliveries")
    next_month = (datetime.now(UTC).replace(day=1) + timedelta(days=32)).replace(day=2)
    assert subscriber_maintenance.queue_digests(newsletter.database, next_month) == 2
    ids = {facts["request"] for facts in read_facts(newsletter.database, "digest")}
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    [line] = [one for one in lines if one["event"] == "digest.queued" and one["frequency"] == "monthly"]
    assert ids == {line["request"]}
    assert re.fullmatch("[0-9a-f]{16}", line["request"])


def test_an_event_of_stripe_and_what_it_causes_have_the_id_of_its_request(
    database: Database, tmp_path: Path, logging: None, capfd: pytest.CaptureFixture[str]
) -> None:
    with FakeStripe(int(time.time())) as fake:
        shop = Shop(paying.settings(tmp_path, database, fake), database, fake)
        shop.add_subscriber()
        shop.buy()
        shop.client.headers["X-Request-Id"] = ID
        shop.hear()
    with database.transaction() as tx:
        assert {row["request"] for row in tx.all("SELECT request FROM stripe_events")} == {ID}
    [facts] = read_facts(database, "paid")
    assert facts["request"] == ID


def test_a_gifts_email_has_the_id_of_the_request_that_queued_it(database: Database) -> None:
    session = CheckoutSession(
        "cs_1", "", True, "cus_1", "ada@example.org", "", "yearly", 0, 5000, "eur", recipient="eve@example.org", giver="Ada"
    )
    with log.in_request(ID):
        assert gifts.record_paid_gift(database, session)
    assert [facts["request"] for facts in read_facts(database, "paid")] == [ID]
    with database.transaction() as tx, log.in_request("another"):
        tx.run("UPDATE transactional_emails SET state = 'accepted'")
        assert gift_records.requeue_emails(tx, tx.value("SELECT id FROM subscribers")) == 1
    assert [facts["request"] for facts in read_facts(database, "paid")] == [ID, "another"]
