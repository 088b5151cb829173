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
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python", "mail"))


def confirm_path(newsletter: Web) -> str:
    """The confirmation link of the newest email."""
    newsletter.work()
    return next(path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/"))


def unsubscribe_path(newsletter: Web, subscriber_id: int = 1, send_id: int = 0) -> str:
    return "/leave/" + tokens.unsubscribe_token(
        newsletter.settings.need_secrets(), newsletter.recipient(subscriber_id), send_id
    )


def active(newsletter: Web, email: str = ADA) -> int:
    signup.add_subscriber(newsletter.database, newsletter.settings, email, [], confirmed=True)
    with newsletter.database.transaction() as tx:
        return int(tx.value("SELECT id FROM subscribers WHERE email_normal = %(email)s", email=email))


def token_of(page: str) -> str:
    return str(re.findall(r'name="token" value="([^"]+)"', page)[0])


def test_somebody_subscribes_confirms_and_unsubscribes(newsletter: Web) -> None:
    answer = newsletter.client.post(
        "/subscribe", data={"email": ADA, "tag": ["Python", "mail"], "token": newsletter.form_token()}
    )
    assert answer.status_code == 200
    assert "Check your inbox" in answer.text
    assert newsletter.state(ADA) == "unconfirmed"
    assert len(newsletter.wake_ups) == 1
    path = confirm_path(newsletter)
    assert "<button" in newsletter.client.get(path).text
    assert newsletter.state(ADA) == "unconfirmed"
    assert "is confirmed" in newsletter.client.post(path).text
    assert newsletter.state(ADA) == "active"
    assert "already confirmed" in newsletter.client.post(path).text
    leaving = unsubscribe_path(newsletter)
    assert "<button" in newsletter.client.get(leaving).text
    assert newsletter.state(ADA) == "active"
    assert "You’ve unsubscribed" in newsletter.client.post(leaving).text
    assert newsletter.state(ADA) == "unsubscribed"
    with newsletter.database.transaction() as tx:
        kinds = [row["kind"] for row in tx.all("SELECT kind FROM consents ORDER BY id")]
        tags = tx.value("SELECT tags FROM subscribers")
    assert kinds == ["requested", "confirmed", "unsubscribed"]
    assert tags == ["mail", "python"]


def test_the_consent_holds_the_words_that_were_shown(newsletter: Web) -> None:
    page = newsletter.client.get("/subscribe").text
    newsletter.subscribe(ADA)
    with newsletter.database.transaction() as tx:
        row = tx.one("SELECT source, evidence FROM consents")
    assert row
    assert row["source"] == "form"
    sentences, _, privacy = row["evidence"]["wording"].rpartition(" Privacy policy: ")
    assert f'{sentences} <a href="{privacy}">Privacy policy</a>' in unescape(page)


@pytest.mark.parametrize("token", ["", "rubbish", "AAAA", "é", "x" * 5000])
def test_a_form_without_a_good_token_comes_back_filled_in_and_records_nothing(newsletter: Web, token: str) -> None:
    before = newsletter.dump()
    answer = newsletter.client.post("/subscribe", data={"email": ADA, "tag": ["python", "mail"], "token": token})
    assert answer.status_code == 403
    assert "Please click Subscribe again" in answer.text
    assert f'value="{ADA}"' in answer.text
    assert 'name="tag" value="python"' in answer.text
    assert 'name="tag" value="mail"' in answer.text
    assert newsletter.dump() == before
    assert newsletter.wake_ups == []
    assert tokens.check_form(
        newsletter.settings.need_secrets(), token_of(answer.text), datetime.now(UTC), timedelta(0), timedelta(seconds=5)
    )


def test_a_form_that_is_too_old_gets_a_fresh_token(newsletter: Web) -> None:
    stale = newsletter.form_token(timedelta(days=2))
    answer = newsletter.client.post("/subscribe", data={"email": ADA, "token": stale})
    assert "Please click Subscribe again" in answer.text
    assert token_of(answer.text) != stale
    assert newsletter.state(ADA) is None


def test_a_form_that_is_too_young_keeps_its_token_so_that_patience_helps(newsletter: Web) -> None:
    newsletter.client.get("/subscribe")  # the first request may take its time
    young = newsletter.form_token(timedelta(0))
    answer = newsletter.client.post("/subscribe", data={"email": ADA, "token": young})
    assert "Please click Subscribe again" in answer.text
    assert token_of(answer.text) == young
    assert newsletter.state(ADA) is None


def test_a_token_of_another_secret_is_worth_nothing(newsletter: Web) -> None:
    forged = tokens.form_token(("another secret of some length",), datetime.now(UTC) - timedelta(seconds=5))
    assert "click Subscribe again" in newsletter.client.post("/subscribe", data={"email": ADA, "token": forged}).text
    assert newsletter.state(ADA) is None


@pytest.mark.parametrize("path", ["/subscribe", "/reader"])
def test_who_fills_in_the_trap_is_asked_for_another_click_and_changes_nothing(newsletter: Web, path: str) -> None:
    before = newsletter.dump()
    data = {"email": ADA, "token": newsletter.form_token(), "website": "https://spam.example"}
    answer = newsletter.client.post(path, data=data)
    assert answer.status_code == 403
    assert "again so we know you’re not a bot" in answer.text
    assert "spam.example" not in answer.text  # so that a person whose browser filled it in gets through
    assert newsletter.dump() == before
    assert newsletter.wake_ups == []


def test_the_answer_is_the_same_whatever_the_state_of_the_address(newsletter: Web) -> None:
    left = active(newsletter, "left@example.org")
    newsletter.client.post(unsubscribe_path(newsletter, left))
    active(newsletter, "active@example.org")
    newsletter.subscribe("asked@example.org")
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('bounced@example.org', 'hard bounce')")
    answers, wake_ups = set(), []
    for email in ("new@example.org", "asked@example.org", "active@example.org", "left@example.org", "bounced@example.org"):
        before = len(newsletter.wake_ups)
        answer = newsletter.client.post("/subscribe", data={"email": email, "token": newsletter.form_token()})
        headers = {name: value for name, value in answer.headers.items() if name not in ("content-length", "x-request-id")}
        answers.add((answer.status_code, answer.text.replace(email, "X"), str(headers)))
        wake_ups.append(len(newsletter.wake_ups) - before)
    assert len(answers) == 1
    assert wake_ups == [1] * 5


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@example.org", "a b@example.org", "ada@example.org\nBcc: x@y.z", "a\0@b.cd"]
)
def test_a_bad_address_is_refused_with_one_sentence_and_kept_in_the_form(newsletter: Web, email: str) -> None:
    answer = newsletter.client.post("/subscribe", data={"email": email, "token": newsletter.form_token()})
    assert answer.status_code == 422
    assert answer.text.count('role="alert"') == 1
    assert f'value="{email.strip()}"' in unescape(answer.text)
    assert newsletter.counted("subscribers") == 0


@pytest.mark.parametrize("tags", [["x" * 101], ["a\0b"], ["bell\x07"], [f"tag {n}" for n in range(21)]])
def test_tags_that_no_page_of_ours_wrote_are_refused(newsletter: Web, tags: list[str]) -> None:
    answer = newsletter.client.post("/subscribe", data={"email": ADA, "tag": tags, "token": newsletter.form_token()})
    assert answer.status_code == 422
    assert answer.text.count('role="alert"') == 1
    assert "aria-invalid" not in answer.text  # the address is right
    assert f'value="{ADA}"' in answer.text
    assert newsletter.counted("subscribers") == 0


def test_what_people_type_never_becomes_markup(newsletter: Web) -> None:
    def is_clean(text: str) -> bool:
        """The only script is the one that follows the choice of light or dark."""
        return text.count("<script") == 1 and "alert" not in text.partition("<script")[2].partition("</script>")[0]

    for data in (
        {"email": CRAFTED},
        {"email": CRAFTED, "token": newsletter.form_token()},
        {"email": ADA, "tag": CRAFTED},
        {"email": CRAFTED, "website": "x"},
        {"email": ADA, "token": CRAFTED},
    ):
        answer = newsletter.client.post("/subscribe", data=data)
        assert is_clean(answer.text)
        assert "alert(1)" not in answer.text or "&lt;script" in answer.text
    assert is_clean(newsletter.client.get("/subscribe", params={"tag": CRAFTED}).text)
    assert is_clean(newsletter.client.get(f"/confirm/{CRAFTED}").text)
    assert is_clean(newsletter.client.get(f"/leave/{CRAFTED}").text)
    newsletter.client.post("/subscribe", data={"email": ADA, "tag": "<b>bold</b>", "token": newsletter.form_token()})
    assert "<b>" not in newsletter.client.get("/ledger").text


@pytest.mark.parametrize("kind", ["confirm", "leave"])
@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 54, "A" * 5000, "%00", "é", "..%2f.."])
def test_a_forged_or_broken_link_says_so_and_changes_nothing(newsletter: Web, kind: str, token: str) -> None:
    active(newsletter)
    before = newsletter.dump()
    assert newsletter.client.get(f"/{kind}/{token}").status_code in (400, 404)
    assert newsletter.client.post(f"/{kind}/{token}").status_code in (400, 404, 405)
    assert newsletter.dump() == before


def test_an_invalid_confirmation_shows_the_way_to_ask_again(newsletter: Web) -> None:
    old = tokens.confirm_token(
        newsletter.settings.need_secrets(), newsletter.recipient(active(newsletter)), 1, datetime.now(UTC) - timedelta(days=8)
    )
    for answer in (newsletter.client.get(f"/confirm/{old}"), newsletter.client.post(f"/confirm/{old}")):
        assert answer.status_code == 400
        assert 'href="/subscribe"' in answer.text


def test_an_old_confirmation_link_does_not_bring_back_who_left(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    path = confirm_path(newsletter)
    newsletter.client.post(path)
    newsletter.client.post(unsubscribe_path(newsletter))
    assert newsletter.client.post(path).status_code == 400
    assert newsletter.state(ADA) == "unsubscribed"


def test_one_click_works_without_cookies_or_redirect_and_twice(newsletter: Web) -> None:
    path = unsubscribe_path(newsletter, active(newsletter))
    for _ in range(2):
        answer = newsletter.client.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert len(answer.text) < 100
        assert "set-cookie" not in answer.headers
        assert newsletter.state(ADA) == "unsubscribed"
    with newsletter.database.transaction() as tx:
        sources = [row["source"] for row in tx.all("SELECT source FROM consents WHERE kind = 'unsubscribed'")]
    assert sources == ["one-click"]


BODIES: tuple[dict[str, Any], ...] = (
    {"files": {"List-Unsubscribe": (None, "One-Click")}},
    {"content": b"--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    {"content": b"\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    {},
)


@pytest.mark.parametrize("body", BODIES)
def test_leaving_takes_multipart_and_even_a_body_that_cannot_be_read(newsletter: Web, body: dict[str, Any]) -> None:
    path = unsubscribe_path(newsletter, active(newsletter))
    assert newsletter.client.post(path, **body).status_code == 200
    assert newsletter.state(ADA) == "unsubscribed"


def test_one_click_with_a_forged_token_is_refused_in_plain_words(newsletter: Web) -> None:
    answer = newsletter.client.post("/leave/forged", data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_scanner_that_opens_every_link_confirms_and_unsubscribes_nobody(newsletter: Web) -> None:
    newsletter.send()
    newsletter.subscribe(ADA)
    newsletter.work()
    before = newsletter.dump(without=("scanner_visits",))
    waiting = [
        path
        for email in newsletter.emails()
        for path in web.paths(email.raw.decode() + email.html + email.text, newsletter.settings)
    ]
    waiting += [path for email in newsletter.emails() for path in web.paths(str(email.headers), newsletter.settings)]
    assert {path.split("/")[1] for path in waiting} >= {"confirm", "leave"}
    seen: set[str] = set()
    while waiting and len(seen) < 200:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            newsletter.client.head(path)
            waiting += web.paths(newsletter.client.get(path).text, newsletter.settings)
    assert newsletter.dump(without=("scanner_visits",)) == before
    assert newsletter.state(ADA) == "unconfirmed"
    assert newsletter.state("subscriber-1@example.org") == "active"


@pytest.mark.parametrize("path", ["/subscribe", "/confirm/x", "/leave/x", "/v1/subscribers", "/nowhere"])
def test_huge_bodies_are_refused_before_they_are_read(newsletter: Web, path: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"email=" + b"x" * 10_000

    client = newsletter.holder()  # without a key, the API would refuse the request before its body
    whole = client.post(path, content=b"x" * 70_000, headers={"Content-Type": "application/x-www-form-urlencoded"})
    chunked = client.post(path, content=endless(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert [whole.status_code, chunked.status_code] == [413, 413]
    assert "64 KB" in whole.text


def test_half_a_body_of_a_client_that_went_away_is_not_taken_for_the_whole(newsletter: Web) -> None:
    sent: list[Message] = []
    half = f"token={newsletter.form_token()}&email=ada@example.or".encode()
    arriving: list[Message] = [{"type": "http.request", "body": half, "more_body": True}, {"type": "http.disconnect"}]
    headers = [(b"host", b"x"), (b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"500")]
    scope = {"type": "http", "method": "POST", "path": "/subscribe", "query_string": b"", "headers": headers}

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(newsletter.app()(scope, receive, send))
    assert sent == []
    assert newsletter.counted("subscribers") == 0


def test_when_postgres_is_away_the_address_stays_in_the_form(newsletter: Web) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    client = TestClient(newsletter.app(database=away), follow_redirects=False)
    answer = client.post("/subscribe", data={"email": ADA, "tag": "python", "token": newsletter.form_token()})
    assert answer.status_code == 503
    assert f'value="{ADA}"' in answer.text
    assert 'value="python"' in answer.text
    assert answer.text.count('role="alert"') == 1
    assert "127.0.0.1" not in answer.text
    assert client.get("/subscribe").status_code == 200
    leaving = unsubscribe_path(newsletter)
    assert client.get(leaving).status_code == 200
    for answer in (client.post(leaving), client.post(leaving, data={"List-Unsubscribe": "One-Click"})):
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_forms_and_token_pages_have_strict_headers_and_no_cookie(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    path = confirm_path(newsletter)
    for answer in (
        newsletter.client.get("/subscribe"),
        newsletter.client.post("/subscribe", data={"email": ADA}),
        newsletter.client.get(path),
        newsletter.client.post(path),
        newsletter.client.get(unsubscribe_path(newsletter)),
        newsletter.client.post(unsubscribe_path(newsletter)),
        newsletter.client.post(unsubscribe_path(newsletter), data={"List-Unsubscribe": "One-Click"}),
        newsletter.client.get("/leave/x"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert re.search(r"script-src 'sha256-[\w+/]{43}=';", policy)
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert "set-cookie" not in answer.headers
        if answer.headers["content-type"].startswith("text/html"):
            assert re.search(r'<html lang="en"', answer.text)
            assert answer.text.count("<script") == 1  # of light and dark
            assert not re.search(r'\sstyle="|\son\w+="', answer.text)


def test_no_address_is_in_the_logs_even_when_something_breaks(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("debug")
    try:
        newsletter.subscribe(ADA)
        newsletter.client.post(confirm_path(newsletter))
        newsletter.client.post(unsubscribe_path(newsletter))
        newsletter.subscribe("not an address")

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(f"Key (email_normal)=({ADA}) is broken")

        monkeypatch.setattr(signup, "sign_up", broken)
        answer = newsletter.client.post("/subscribe", data={"email": ADA, "token": newsletter.form_token()})
    finally:
        log.configure("error")
    written = capfd.readouterr().err
    assert answer.status_code == 500
    assert ADA not in answer.text
    assert "subscriber.confirmed" in written
    assert "request.broke" in written
    assert "ada" not in written
    assert "not an address" not in written


def test_where_somebody_asked_from_is_the_sockets_address_whatever_headers_say(newsletter: Web) -> None:
    client = TestClient(newsletter.app(), client=("192.0.2.7", 4711))
    headers = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    client.post("/subscribe", data={"email": ADA, "token": newsletter.form_token()}, headers=headers)
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT host(ip) FROM consents") == "192.0.2.7"


def test_the_confirmation_email_reads_well_everywhere(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    path = confirm_path(newsletter)
    [email] = newsletter.emails()
    assert email.kind == "confirmation"
    assert '<html lang="en" dir="ltr">' in email.html
    assert re.findall(r"<table(?! role=\"presentation\")", email.html) == []
    assert "prefers-color-scheme: dark" in email.html
    for part in (email.html, email.text):
        assert path in part
        assert "1 Example Street" in part
        assert web.SITE_NAME in part
