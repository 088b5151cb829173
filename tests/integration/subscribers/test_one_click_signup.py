"""One click to subscribe: the form's script, forms without JavaScript, and other origins."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from api.common.request_origin import list_own_origins
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.subscribers import signup_limits
from tests import web
from tests.web import Web

ADA, SITE, OTHER = "ada@example.org", "https://news.example.org", "https://evil.example"
JSON = {"Accept": "application/json"}


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Web:
    origins = ("https://www.example.org",)
    return web.make(tmp_path, database, site_url=SITE, api_url="https://api.example.net", form_origins=origins)


def post(site: Web, email: str = ADA, origin: str = SITE, token: str = "", path: str = "/subscribe") -> Response:
    """What a browser posts from a page of this origin, on another domain than the API's."""
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer: Response = site.client.post(path, data={"email": email, "token": token}, headers=headers)
    return answer


@pytest.mark.parametrize("origin", [SITE, "https://www.example.org", "https://api.example.net"])
def test_a_form_of_a_configured_site_on_another_domain_subscribes_without_a_token(site: Web, origin: str) -> None:
    answer = post(site, origin=origin)
    assert (answer.status_code, "Check your inbox" in answer.text) == (200, True)
    assert site.state(ADA) == "unconfirmed"


@pytest.mark.parametrize("headers", [{}, {"Origin": OTHER}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}])
def test_without_a_token_what_does_not_come_from_our_pages_needs_another_click(site: Web, headers: dict[str, str]) -> None:
    answer = site.client.post("/subscribe", data={"email": ADA}, headers=headers)
    assert (answer.status_code, "One more click" in answer.text) == (403, True)
    assert site.counted("subscribers") == site.counted("limits") == 0


def test_a_form_posted_at_once_is_not_shown_again(site: Web) -> None:
    assert "Check your inbox" in post(site, token=site.form_token(timedelta(0))).text
    assert "Check your inbox" in post(site, token=site.form_token(timedelta(0)), path="/reader").text
    assert post(site, path="/reader").status_code == 403  # it is on our pages only, so it has a token


def test_without_a_token_only_a_few_posts_an_hour_need_no_other_click(site: Web) -> None:
    site.client = TestClient(site.app(), client=("203.0.113.7", 4711))
    number = signup_limits.MAX_HOURLY_UNPROVEN_BY_IP
    answers = [post(site, f"r{one}@d{one}.org") for one in range(number + 2)]
    assert [answer.status_code for answer in answers] == [200] * number + [403] * 2
    assert site.counted("transactional_emails") == number
    assert post(site, "patient@example.org", token=site.form_token()).status_code == 200


def test_while_the_firewall_is_up_a_form_without_a_token_needs_another_click(site: Web) -> None:
    signup_limits.set_firewall(site.database, up=True)
    assert post(site).status_code == 403
    assert site.counted("transactional_emails") == 0


def test_a_token_used_too_often_needs_another_click_from_our_own_pages_too(site: Web) -> None:
    token = site.form_token(timedelta(0))
    assert [post(site, f"r{one}@d{one}.org", token=token).status_code for one in range(7)][-2:] == [403, 403]


def test_the_script_gets_a_token_and_then_an_answer_to_show(site: Web) -> None:
    token = site.client.get("/subscribe/token", headers={"Origin": SITE}).json()["token"]
    answer = site.client.post("/subscribe", data={"email": ADA, "token": token}, headers={**JSON, "Origin": SITE})
    said = answer.json()
    assert (answer.status_code, said["recorded"], said["title"]) == (200, True, "Check your inbox")
    assert ADA in said["message"]
    assert len(site.wake_ups) == 1


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        ({"email": "ada"}, 422, "address"),
        ({"email": "ada@gmial.com"}, 422, "Did you mean ada@gmail.com?"),
        ({"email": ADA, "tag": "a\0b"}, 422, "topics"),
        ({"email": ADA, "website": "x"}, 403, "click Subscribe again"),
        ({"email": ADA, "token": ""}, 403, "click Subscribe again"),
    ],
)
def test_what_is_not_recorded_never_looks_like_success(site: Web, data: dict[str, str], status: int, words: str) -> None:
    data = {"token": site.form_token(), **data}
    page, answer = site.client.post("/subscribe", data=data), site.client.post("/subscribe", data=data, headers=JSON)
    assert (page.status_code, answer.status_code) == (status, status)
    assert "Check your inbox" not in page.text + answer.text
    said = answer.json()
    assert (said["recorded"], words in said["message"]) == (False, True)
    assert said["needs_page"] == (status == 403)
    assert site.counted("subscribers") == 0


def test_the_answer_for_the_script_is_the_same_whatever_the_state_of_the_address(site: Web) -> None:
    with site.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('bounced@example.org', 'hard bounce')")
    answers = set()
    for email in ("new@example.org", "new@example.org", "bounced@example.org"):
        answer = site.client.post("/subscribe", data={"email": email, "token": site.form_token()}, headers=JSON)
        answers.add((answer.status_code, answer.text.replace(email, "X")))
    assert len(answers) == 1


@pytest.mark.parametrize(("origin", "is_allowed"), [(SITE, True), ("https://www.example.org", True), (OTHER, False)])
def test_only_scripts_of_configured_origins_may_read_the_token_and_the_answer(site: Web, origin: str, is_allowed: bool) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answer in (
        site.client.options("/subscribe", headers=asks),
        site.client.options("/subscribe/token", headers=asks | {"Access-Control-Request-Method": "GET"}),
        site.client.get("/subscribe/token", headers={"Origin": origin}),
        site.client.post("/subscribe", data={"email": ADA}, headers={**JSON, "Origin": origin}),
    ):
        assert answer.headers.get("access-control-allow-origin") == (origin if is_allowed else None)
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/", "/reader", "/v1/subscribers", "/health", "/leave/x", "/subscribe/"])
def test_no_other_page_can_be_read_by_scripts_of_other_origins(site: Web, path: str) -> None:
    for answer in (
        site.client.get(path, headers={"Origin": SITE}),
        site.client.options(path, headers={"Origin": SITE, "Access-Control-Request-Method": "GET"}),
    ):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/api/emails/embed-subscribe/letter", "/api/emails/embed-subscribe/any-name"])
def test_a_form_made_for_buttondown_subscribes_at_its_path(site: Web, path: str) -> None:
    data = {"email": ADA, "embed": "1", "tag": "python"}
    assert site.client.post(path, data=data, headers={"Origin": SITE}).status_code == 200
    assert site.state(ADA) == "unconfirmed"
    assert site.client.post(path, data={"email": "bob@example.org"}, headers={"Origin": OTHER}).status_code == 403
    assert site.client.get(path).headers["location"] == "/subscribe"
    asks = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
    assert site.client.options(path, headers=asks).headers["access-control-allow-origin"] == SITE


def test_origins_are_compared_as_browsers_write_them() -> None:
    settings = Settings(
        site_url="https://Straße.example/news",
        api_url="https://api.example:443",
        form_origins=("http://x.test:80", "https://y:8443"),
    )
    assert list_own_origins(settings) == {
        "https://xn--strae-oqa.example", "https://api.example", "http://x.test", "https://y:8443",
    }  # fmt: skip
