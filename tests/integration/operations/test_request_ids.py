"""A request's id is in its response, in the log lines of all that it causes, and in those of its emails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.core import log
from mailer.core.db import Database
from tests import web
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
