"""The optional challenge of forms: a small sum, or another service's verdict; what was solved is worth nothing twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from mailer.core import tokens
from mailer.core.db import Database
from mailer.flows.subscribers import challenge
from mailer.webhooks import captcha
from tests import web
from tests.web import Web

ADA, BOB = "ada@example.org", "bob@example.org"
BITS = 8


def solved(sum_: str, bits: int = BITS) -> str:
    """What a browser finds."""
    answers = (f"{sum_}:{number}" for number in range(1 << 20))
    return next(one for one in answers if int.from_bytes(hashlib.sha256(one.encode()).digest()[:4]) >> (32 - bits) == 0)


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, challenge="work", challenge_bits=BITS)


def sum_of(page: str) -> str:
    return str(re.findall(r'data-sum="([^"]+)"', page)[0])


def post(newsletter: Web, email: str, work: str, path: str = "/subscribe") -> str:
    answer = newsletter.client.post(path, data={"email": email, "token": newsletter.form_token(), "work": work})
    assert answer.status_code == (200 if "Check your inbox" in answer.text else 403)
    return str(answer.text)


def test_a_solved_sum_opens_the_form_once(newsletter: Web) -> None:
    work = solved(sum_of(newsletter.client.get("/subscribe").text))
    assert "Check your inbox" in post(newsletter, ADA, work)
    assert newsletter.state(ADA) == "unconfirmed"
    again = post(newsletter, BOB, work)
    assert "Please click the button again" in again
    assert f'value="{BOB}"' in again
    assert newsletter.state(BOB) is None
    assert "Check your inbox" in post(newsletter, BOB, solved(sum_of(again)))


def test_what_is_not_solved_records_nothing_and_says_what_to_do(newsletter: Web) -> None:
    secret, now = newsletter.settings.need_secrets(), datetime.now(UTC)
    fresh = tokens.work_token(secret, now, BITS)
    unsolved = next(
        one for n in range(99) if not tokens.read_work(secret, one := f"{fresh}:{n}", now, challenge.MAX_CHALLENGE_AGE)
    )
    for work in (
        "",
        fresh,
        unsolved,
        "rubbish:1",
        solved(tokens.work_token(("another secret of some length",), now, BITS)),
        solved(tokens.work_token(secret, now - timedelta(hours=25), BITS)),
        solved(tokens.work_token(secret, now + timedelta(hours=1), BITS)),
        solved(tokens.form_token(secret, now)),
    ):
        page = post(newsletter, ADA, work)
        assert "without it, write to letter@example.org" in page, work
    assert newsletter.state(ADA) is None


def test_the_difficulty_is_signed(newsletter: Web) -> None:
    secret, now = newsletter.settings.need_secrets(), datetime.now(UTC)
    hard = tokens.work_token(secret, now, 28)
    assert tokens.read_work(secret, solved(hard), now, challenge.MAX_CHALLENGE_AGE) is None
    assert tokens.read_work(secret, solved(tokens.work_token(secret, now, BITS)), now, challenge.MAX_CHALLENGE_AGE)


def test_two_at_once_use_a_solution_once(newsletter: Web) -> None:
    work = solved(sum_of(newsletter.client.get("/subscribe").text))
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(challenge.is_passed(newsletter.database, newsletter.settings, work, None)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, False, True]


def test_the_form_for_the_own_page_asks_too(newsletter: Web) -> None:
    newsletter.client.post("/reader", data={"email": ADA, "token": newsletter.form_token()})
    assert newsletter.counted("transactional_emails") == 0
    work = solved(sum_of(newsletter.client.get("/reader").text))
    assert "Check your inbox" in post(newsletter, ADA, work, "/reader")


def test_only_these_pages_have_a_script_and_only_our_own(newsletter: Web) -> None:
    for path in ("/subscribe", "/reader"):
        page = newsletter.client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert re.search(r"; script-src 'sha256-[^']+' 'self';", policy)
        assert re.findall(r"<script[^>]*>", page.text) == ["<script>", '<script src="/-/work.js" type="module">']
    assert newsletter.client.get("/-/work.js").headers["content-type"].startswith("text/javascript")
    assert not re.search("script-src[^;]*'self'", newsletter.client.get("/leave/x").headers["content-security-policy"])


class Service(ThreadingHTTPServer):
    """Says of one answer that a person gave it; can be slow, broken, or talk nonsense."""

    daemon_threads, block_on_close = True, False  # who is slow is not waited for

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, list[str]]] = []
        self.mood = ""


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.server.asked.append(asked)
        if self.server.mood == "slow":
            time.sleep(20)
        said = json.dumps({"success": asked["response"][0].startswith("good") and asked["secret"] == ["sesame"]})
        body = {"nonsense": "[1, 2", "list": "[]"}.get(self.server.mood, said).encode()
        self.send_response({"broken": 500, "moved": 302}.get(self.server.mood, 200))
        if self.server.mood == "moved":
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone: that is the slow mood
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield service
    service.shutdown()
    service.server_close()


def hooked(folder: Path, database: Database, service: Service, trouble: str = "open") -> Web:
    return web.make(
        folder,
        database,
        challenge="hook",
        challenge_verify_url=f"http://127.0.0.1:{service.server_port}/verify",
        challenge_secret="sesame",
        challenge_site_key="key-1",
        challenge_script="https://challenges.example.com/api.js",
        challenge_on_error=trouble,
    )


def press(newsletter: Web, email: str, response: str) -> str:
    data = {"email": email, "token": newsletter.form_token(), "cf-turnstile-response": response}
    return str(newsletter.client.post("/subscribe", data=data).text)


def test_a_service_is_asked_and_believed(database: Database, tmp_path: Path, service: Service) -> None:
    newsletter = hooked(tmp_path, database, service)
    page = newsletter.client.get("/subscribe")
    assert '<div class="cf-turnstile" data-sitekey="key-1">' in page.text
    policy = page.headers["content-security-policy"]
    assert re.search(r"script-src 'sha256-[^']+' https://challenges\.example\.com;", policy)
    assert "Check your inbox" in press(newsletter, ADA, "good")
    assert "click the button again" in press(newsletter, BOB, "good")
    assert "click the button again" in press(newsletter, BOB, "bad")
    assert "click the button again" in press(newsletter, BOB, "")
    assert newsletter.state(BOB) is None
    assert [asked["response"] for asked in service.asked] == [["good"], ["bad"]]


@pytest.mark.parametrize("mood", ["broken", "nonsense", "list", "moved", "slow"])
@pytest.mark.parametrize("trouble", ["open", "closed"])
def test_trouble_with_the_service_opens_or_closes_as_set(
    database: Database, tmp_path: Path, service: Service, mood: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captcha, "TIMEOUT_SECONDS", 0.3)
    service.mood = mood
    newsletter = hooked(tmp_path, database, service, trouble)
    began = time.monotonic()
    page = press(newsletter, ADA, "good")
    assert time.monotonic() - began < 15
    assert ("Check your inbox" in page) == (trouble == "open")
    assert (newsletter.state(ADA) == "unconfirmed") == (trouble == "open")
    assert len(service.asked) == 1
