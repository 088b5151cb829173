"""Forms posted from other sites, forms posted again and again, and proxies that nobody trusts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.common import dependencies
from mailer.core import log, settings, tokens
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.subscribers import challenge, signup, signup_limits
from tests import web
from tests.web import Web

ADA = "ada@example.org"


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Web:
    origins = {"site_url": "https://news.example.org", "api_url": "https://api.example.org"}
    return web.make(tmp_path, database, form_origins=("https://www.example.org",), **origins)


CASES = [
    ({}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "http://127.0.0.1"}, True),
    ({"Sec-Fetch-Site": "same-site", "Origin": "https://news.example.org"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://API.example.org"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://www.example.org"}, True),
    ({"Origin": "https://www.example.org"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example.org"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "nonsense"}, False),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "https://news.example.org.evil.example"}, False),
]


@pytest.mark.parametrize(("headers", "is_accepted"), CASES)
def test_a_form_posted_from_another_site_needs_one_more_click_on_our_own_page(
    site: Web, headers: dict[str, str], is_accepted: bool
) -> None:
    answer = site.client.post("/subscribe", data={"email": ADA, "token": site.form_token()}, headers=headers)
    assert ("Check your inbox" in answer.text) is is_accepted
    assert ("Please click Subscribe again" in answer.text and f'value="{ADA}"' in answer.text) is not is_accepted
    assert site.counted("transactional_emails") == is_accepted


@pytest.mark.parametrize("path", ["/reader", "/join"])
def test_no_other_form_is_accepted_from_another_site_either(site: Web, path: str) -> None:
    signup.add_subscriber(site.database, site.settings, ADA, [], confirmed=True)
    site.client.post(path, data={"email": ADA, "token": site.form_token()}, headers={"Origin": "https://evil.example"})
    assert site.counted("transactional_emails") == site.counted("limits") == 0


def test_a_change_of_address_from_another_site_needs_one_more_click_on_our_own_page(site: Web) -> None:
    signup.add_subscriber(site.database, site.settings, ADA, [], confirmed=True)
    token = tokens.page_token(site.settings.need_secrets(), site.recipient(1), datetime.now(UTC))
    new = {"email": "new@example.org"}
    answer = site.client.post(f"/reader/{token}/address", data=new, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, "Please click the button again" in answer.text) == (403, True)
    assert 'value="new@example.org"' in answer.text
    assert site.counted("transactional_emails") == site.counted("limits") == 0
    site.client.post(f"/reader/{token}/address", data=new)
    assert site.counted("transactional_emails") == 1


def test_an_origin_that_is_no_url_is_another_site(site: Web) -> None:
    answer = site.client.post("/subscribe", data={"email": ADA, "token": site.form_token()}, headers={"Origin": "http://[x"})
    assert (answer.status_code, "Please click Subscribe again" in answer.text) == (403, True)


def test_one_forms_token_is_accepted_so_many_times_and_then_needs_another_click(site: Web) -> None:
    token = site.form_token()
    answers = [
        site.client.post("/subscribe", data={"email": f"r{number}@d{number}.org", "token": token}).text
        for number in range(challenge.MAX_FORM_USES + 2)
    ]
    assert ["Check your inbox" in text for text in answers] == [True] * challenge.MAX_FORM_USES + [False] * 2
    assert site.counted("transactional_emails") == challenge.MAX_FORM_USES
    assert token not in answers[-1]


def test_origins_that_are_none_are_refused_at_the_start() -> None:
    assert settings.load({"POSTMERGE_FORM_ORIGINS": "https://WWW.example.org, http://x.test:8080"}).form_origins == (
        "https://www.example.org",
        "http://x.test:8080",
    )
    for value in ("www.example.org", "https://www.example.org/form", "*"):
        with pytest.raises(BadInput, match="POSTMERGE_FORM_ORIGINS"):
            settings.load({"POSTMERGE_FORM_ORIGINS": value})


def test_a_proxy_that_is_not_trusted_is_logged_once_and_its_clients_stay_limited(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dependencies._warn_of_proxy.cache_clear()
    site = web.make(tmp_path, database)
    client = TestClient(site.app(), client=("127.0.0.1", 4711))
    assert "warning" not in client.get("/health").json()
    log.configure("info")
    try:
        for number in range(signup_limits.MAX_HOURLY_BY_NETWORK + 2):
            data = {"email": f"r{number}@d{number}.org", "token": site.form_token()}
            client.post("/subscribe", data=data, headers={"X-Forwarded-For": f"198.51.{number}.7"})
    finally:
        log.configure("error")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    [warning] = [line for line in lines if line["event"] == "proxy.untrusted"]
    assert (warning["peer"], "POSTMERGE_TRUSTED_PROXIES" in warning["fix"]) == ("127.0.0.1", True)
    assert "POSTMERGE_TRUSTED_PROXIES" in client.get("/health").json()["warning"]
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM transactional_emails WHERE state = 'held'") == 2
    dependencies._warn_of_proxy.cache_clear()


@pytest.mark.parametrize(
    ("url", "proxies", "is_warned"), [("https", "", True), ("https", "10.0.0.1/32", False), ("http", "", False)]
)
def test_a_site_with_https_and_no_trusted_proxy_is_warned_at_the_start(
    url: str, proxies: str, is_warned: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("info")
    try:
        dependencies.warn_without_proxies(settings.Settings(api_url=f"{url}://x.example", trusted_proxies=proxies))
    finally:
        log.configure("error")
    assert ("proxy.none_trusted" in capfd.readouterr().err) is is_warned
