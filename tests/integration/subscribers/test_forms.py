"""The public forms, from the first press to the last: what they record, what they say, what they never do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from mailer.core import log, tokens
from mailer.core.db import Database
from mailer.flows.subscribers import signup
from tests import web
from tests.web import Web

ADA = "ada@example.org"
CRAFTED = '"><script>alert(1)</script>'


@pytest.fixture
def letter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python", "mail"))


def confirm_path(letter: Web) -> str:
    """The confirmation link of the newest email."""
    letter.work()
    return next(path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/confirm/"))


def leave_path(letter: Web, subscriber_id: int = 1, send_id: int = 0) -> str:
    return "/leave/" + tokens.leave_token(letter.settings.need_secrets(), subscriber_id, send_id)


def active(letter: Web, email: str = ADA) -> int:
    signup.add_subscriber(letter.database, letter.settings, email, [], confirmed=True)
    with letter.database.transaction() as tx:
        return int(tx.value("SELECT id FROM subscribers WHERE email_normal = %(email)s", email=email))


def token_of(page: str) -> str:
    return str(re.findall(r'name="token" value="([^"]+)"', page)[0])


def test_somebody_subscribes_confirms_and_leaves(letter: Web) -> None:
    answer = letter.client.post("/subscribe", data={"email": ADA, "tag": ["Python", "mail"], "token": letter.form_token()})
    assert answer.status_code == 200
    assert "Check your inbox" in answer.text
    assert letter.state(ADA) == "unconfirmed"
    assert len(letter.rung) == 1
    path = confirm_path(letter)
    assert "<button" in letter.client.get(path).text
    assert letter.state(ADA) == "unconfirmed"
    assert "is confirmed" in letter.client.post(path).text
    assert letter.state(ADA) == "active"
    assert "already confirmed" in letter.client.post(path).text
    leaving = leave_path(letter)
    assert "<button" in letter.client.get(leaving).text
    assert letter.state(ADA) == "active"
    assert "You’ve unsubscribed" in letter.client.post(leaving).text
    assert letter.state(ADA) == "left"
    with letter.database.transaction() as tx:
        kinds = [row["kind"] for row in tx.all("SELECT kind FROM consents ORDER BY id")]
        tags = tx.value("SELECT tags FROM subscribers")
    assert kinds == ["requested", "confirmed", "left"]
    assert tags == ["mail", "python"]


def test_the_consent_holds_the_words_that_were_shown(letter: Web) -> None:
    page = letter.client.get("/subscribe").text
    letter.subscribe(ADA)
    with letter.database.transaction() as tx:
        row = tx.one("SELECT source, evidence FROM consents")
    assert row
    assert row["source"] == "form"
    assert row["evidence"]["wording"] in unescape(page)


@pytest.mark.parametrize("token", ["", "rubbish", "AAAA", "é", "x" * 5000])
def test_a_form_without_a_good_token_comes_back_filled_in_and_records_nothing(letter: Web, token: str) -> None:
    before = letter.dump()
    answer = letter.client.post("/subscribe", data={"email": ADA, "tag": ["python", "mail"], "token": token})
    assert answer.status_code == 200
    assert "Please click Subscribe again" in answer.text
    assert f'value="{ADA}"' in answer.text
    assert 'name="tag" value="python"' in answer.text
    assert 'name="tag" value="mail"' in answer.text
    assert letter.dump() == before
    assert letter.rung == []
    assert tokens.check_form(
        letter.settings.need_secrets(), token_of(answer.text), datetime.now(UTC), timedelta(0), timedelta(seconds=5)
    )


def test_a_form_that_is_too_old_gets_a_fresh_token(letter: Web) -> None:
    stale = letter.form_token(timedelta(days=2))
    answer = letter.client.post("/subscribe", data={"email": ADA, "token": stale})
    assert "Please click Subscribe again" in answer.text
    assert token_of(answer.text) != stale
    assert letter.state(ADA) is None


def test_a_form_that_is_too_young_keeps_its_token_so_that_patience_helps(letter: Web) -> None:
    young = letter.form_token(timedelta(0))
    answer = letter.client.post("/subscribe", data={"email": ADA, "token": young})
    assert "Please click Subscribe again" in answer.text
    assert token_of(answer.text) == young
    assert letter.state(ADA) is None


def test_a_token_of_another_secret_is_worth_nothing(letter: Web) -> None:
    forged = tokens.form_token(("another secret of some length",), datetime.now(UTC) - timedelta(seconds=5))
    assert "click Subscribe again" in letter.client.post("/subscribe", data={"email": ADA, "token": forged}).text
    assert letter.state(ADA) is None


def test_a_robot_in_the_trap_sees_success_and_changes_nothing(letter: Web) -> None:
    person = letter.client.post("/subscribe", data={"email": "grace@example.org", "token": letter.form_token()})
    before = letter.dump()
    robot = letter.client.post(
        "/subscribe", data={"email": ADA, "token": letter.form_token(), "website": "https://spam.example"}
    )
    assert robot.text == person.text.replace("grace@example.org", ADA)
    assert letter.dump() == before
    assert len(letter.rung) == 1


def test_the_answer_is_the_same_whatever_the_state_of_the_address(letter: Web) -> None:
    left = active(letter, "left@example.org")
    letter.client.post(leave_path(letter, left))
    active(letter, "active@example.org")
    letter.subscribe("asked@example.org")
    with letter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('bounced@example.org', 'hard bounce')")
    answers, rings = set(), []
    for email in ("new@example.org", "asked@example.org", "active@example.org", "left@example.org", "bounced@example.org"):
        before = len(letter.rung)
        answer = letter.client.post("/subscribe", data={"email": email, "token": letter.form_token()})
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        answers.add((answer.status_code, answer.text.replace(email, "X"), str(headers)))
        rings.append(len(letter.rung) - before)
    assert len(answers) == 1
    assert rings == [1] * 5


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@example.org", "a b@example.org", "ada@example.org\nBcc: x@y.z", "a\0@b.cd"]
)
def test_a_bad_address_is_refused_with_one_sentence_and_kept_in_the_form(letter: Web, email: str) -> None:
    answer = letter.client.post("/subscribe", data={"email": email, "token": letter.form_token()})
    assert answer.status_code == 422
    assert answer.text.count('role="alert"') == 1
    assert f'value="{email.strip()}"' in unescape(answer.text)
    assert letter.counted("subscribers") == 0


@pytest.mark.parametrize("tags", [["x" * 101], ["a\0b"], ["bell\x07"], [f"tag {n}" for n in range(21)]])
def test_tags_that_no_page_of_ours_wrote_are_refused(letter: Web, tags: list[str]) -> None:
    answer = letter.client.post("/subscribe", data={"email": ADA, "tag": tags, "token": letter.form_token()})
    assert answer.status_code == 422
    assert answer.text.count('role="alert"') == 1
    assert "aria-invalid" not in answer.text  # the address is right
    assert f'value="{ADA}"' in answer.text
    assert letter.counted("subscribers") == 0


def test_what_people_type_never_becomes_markup(letter: Web) -> None:
    for data in (
        {"email": CRAFTED},
        {"email": CRAFTED, "token": letter.form_token()},
        {"email": ADA, "tag": CRAFTED},
        {"email": CRAFTED, "website": "x"},
        {"email": ADA, "token": CRAFTED},
    ):
        answer = letter.client.post("/subscribe", data=data)
        assert "<script" not in answer.text
        assert "alert(1)" not in answer.text or "&lt;script" in answer.text
    assert "<script" not in letter.client.get("/subscribe", params={"tag": CRAFTED}).text
    assert "<script" not in letter.client.get(f"/confirm/{CRAFTED}").text
    assert "<script" not in letter.client.get(f"/leave/{CRAFTED}").text
    letter.client.post("/subscribe", data={"email": ADA, "tag": "<b>bold</b>", "token": letter.form_token()})
    assert "<b>" not in letter.client.get("/ledger").text


@pytest.mark.parametrize("kind", ["confirm", "leave"])
@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 54, "A" * 5000, "%00", "é", "..%2f.."])
def test_a_forged_or_broken_link_says_so_and_changes_nothing(letter: Web, kind: str, token: str) -> None:
    active(letter)
    before = letter.dump()
    assert letter.client.get(f"/{kind}/{token}").status_code in (400, 404)
    assert letter.client.post(f"/{kind}/{token}").status_code in (400, 404, 405)
    assert letter.dump() == before


def test_an_invalid_confirmation_shows_the_way_to_ask_again(letter: Web) -> None:
    old = tokens.confirm_token(letter.settings.need_secrets(), active(letter), 1, datetime.now(UTC) - timedelta(days=8))
    for answer in (letter.client.get(f"/confirm/{old}"), letter.client.post(f"/confirm/{old}")):
        assert answer.status_code == 400
        assert 'href="/subscribe"' in answer.text


def test_an_old_confirmation_link_does_not_bring_back_who_left(letter: Web) -> None:
    letter.subscribe(ADA)
    path = confirm_path(letter)
    letter.client.post(path)
    letter.client.post(leave_path(letter))
    assert letter.client.post(path).status_code == 400
    assert letter.state(ADA) == "left"


def test_one_click_works_without_cookies_or_redirect_and_twice(letter: Web) -> None:
    path = leave_path(letter, active(letter))
    for _ in range(2):
        answer = letter.client.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert len(answer.text) < 100
        assert "set-cookie" not in answer.headers
        assert letter.state(ADA) == "left"
    with letter.database.transaction() as tx:
        sources = [row["source"] for row in tx.all("SELECT source FROM consents WHERE kind = 'left'")]
    assert sources == ["one-click"]


BODIES: tuple[dict[str, Any], ...] = (
    {"files": {"List-Unsubscribe": (None, "One-Click")}},
    {"content": b"--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    {"content": b"\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    {},
)


@pytest.mark.parametrize("body", BODIES)
def test_leaving_takes_multipart_and_even_a_body_that_cannot_be_read(letter: Web, body: dict[str, Any]) -> None:
    path = leave_path(letter, active(letter))
    assert letter.client.post(path, **body).status_code == 200
    assert letter.state(ADA) == "left"


def test_one_click_with_a_forged_token_is_refused_in_plain_words(letter: Web) -> None:
    answer = letter.client.post("/leave/forged", data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_scanner_that_opens_every_link_confirms_and_unsubscribes_nobody(letter: Web) -> None:
    letter.send()
    letter.subscribe(ADA)
    letter.work()
    before = letter.dump(without=("scanner_visits",))
    waiting = [
        path for mail in letter.mails() for path in web.paths(mail.raw.decode() + mail.html + mail.text, letter.settings)
    ]
    waiting += [path for mail in letter.mails() for path in web.paths(str(mail.headers), letter.settings)]
    assert {path.split("/")[1] for path in waiting} >= {"confirm", "leave"}
    seen: set[str] = set()
    while waiting and len(seen) < 200:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            letter.client.head(path)
            waiting += web.paths(letter.client.get(path).text, letter.settings)
    assert letter.dump(without=("scanner_visits",)) == before
    assert letter.state(ADA) == "unconfirmed"
    assert letter.state("reader-1@example.org") == "active"


@pytest.mark.parametrize("path", ["/subscribe", "/confirm/x", "/leave/x", "/v1/subscribers", "/nowhere"])
def test_huge_bodies_are_refused_before_they_are_read(letter: Web, path: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"email=" + b"x" * 10_000

    whole = letter.client.post(path, content=b"x" * 70_000, headers={"Content-Type": "application/x-www-form-urlencoded"})
    chunked = letter.client.post(path, content=endless(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert [whole.status_code, chunked.status_code] == [413, 413]
    assert "64 KB" in whole.text


def test_half_a_body_of_a_client_that_went_away_is_not_taken_for_the_whole(letter: Web) -> None:
    sent: list[Message] = []
    half = f"token={letter.form_token()}&email=ada@example.or".encode()
    arriving: list[Message] = [{"type": "http.request", "body": half, "more_body": True}, {"type": "http.disconnect"}]
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"500")]
    scope = {"type": "http", "method": "POST", "path": "/subscribe", "query_string": b"", "headers": headers}

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(letter.app()(scope, receive, send))
    assert sent == []
    assert letter.counted("subscribers") == 0


def test_when_postgres_is_away_the_address_stays_in_the_form(letter: Web) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    client = TestClient(letter.app(database=away), follow_redirects=False)
    answer = client.post("/subscribe", data={"email": ADA, "tag": "python", "token": letter.form_token()})
    assert answer.status_code == 503
    assert f'value="{ADA}"' in answer.text
    assert 'value="python"' in answer.text
    assert answer.text.count('role="alert"') == 1
    assert "127.0.0.1" not in answer.text
    assert client.get("/subscribe").status_code == 200
    leaving = leave_path(letter)
    assert client.get(leaving).status_code == 200
    for answer in (client.post(leaving), client.post(leaving, data={"List-Unsubscribe": "One-Click"})):
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_forms_and_token_pages_have_strict_headers_and_no_cookie(letter: Web) -> None:
    letter.subscribe(ADA)
    path = confirm_path(letter)
    for answer in (
        letter.client.get("/subscribe"),
        letter.client.post("/subscribe", data={"email": ADA}),
        letter.client.get(path),
        letter.client.post(path),
        letter.client.get(leave_path(letter)),
        letter.client.post(leave_path(letter)),
        letter.client.post(leave_path(letter), data={"List-Unsubscribe": "One-Click"}),
        letter.client.get("/leave/x"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert "set-cookie" not in answer.headers
        if answer.headers["content-type"].startswith("text/html"):
            assert re.search(r'<html lang="en"', answer.text)
            assert "<script" not in answer.text
            assert not re.search(r'\sstyle="|\son\w+="', answer.text)


def test_no_address_is_in_the_logs_even_when_something_breaks(
    letter: Web, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("debug")
    try:
        letter.subscribe(ADA)
        letter.client.post(confirm_path(letter))
        letter.client.post(leave_path(letter))
        letter.subscribe("not an address")

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(f"Key (email_normal)=({ADA}) is broken")

        monkeypatch.setattr(signup, "sign_up", broken)
        answer = letter.client.post("/subscribe", data={"email": ADA, "token": letter.form_token()})
    finally:
        log.configure("error")
    written = capfd.readouterr().err
    assert answer.status_code == 500
    assert ADA not in answer.text
    assert "subscriber.confirmed" in written
    assert "request.broke" in written
    assert "ada" not in written
    assert "not an address" not in written


def test_where_somebody_asked_from_is_the_sockets_address_whatever_headers_say(letter: Web) -> None:
    client = TestClient(letter.app(), client=("192.0.2.7", 4711))
    headers = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    client.post("/subscribe", data={"email": ADA, "token": letter.form_token()}, headers=headers)
    with letter.database.transaction() as tx:
        assert tx.value("SELECT host(ip) FROM consents") == "192.0.2.7"


def test_the_confirmation_email_reads_well_everywhere(letter: Web) -> None:
    letter.subscribe(ADA)
    path = confirm_path(letter)
    [mail] = letter.mails()
    assert mail.kind == "confirmation"
    assert '<html lang="en" dir="ltr">' in mail.html
    assert re.findall(r"<table(?! role=\"presentation\")", mail.html) == []
    assert "prefers-color-scheme: dark" in mail.html
    for part in (mail.html, mail.text):
        assert path in part
        assert "1 Example Street" in part
        assert web.SITE_NAME in part
