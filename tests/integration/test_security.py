"""What strangers try at our doors; docs/security.md names each threat and its test."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer import settings as settings_module
from mailer.db import Database
from mailer.errors import BadInput
from tests import web
from tests.web import Web

ADA = "ada@example.org"
PROXY, OTHER, STRANGER, VICTIM = "10.0.0.5", "10.0.0.6", "198.51.100.7", "203.0.113.9"


@pytest.fixture
def letter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


def asked_from(letter: Web, peer: str, *forwarded: str) -> str:
    """The address that the evidence holds."""
    client = TestClient(letter.app(), client=(peer, 4711))
    headers = [("X-Forwarded-For", value) for value in forwarded]
    client.post("/subscribe", data={"email": ADA, "token": letter.form_token()}, headers=headers)
    with letter.database.transaction() as tx:
        return str(tx.value("SELECT host(ip) FROM consents ORDER BY id DESC LIMIT 1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        (STRANGER, [VICTIM], STRANGER),  # who is no proxy of ours may write what they like
        (PROXY, [STRANGER], STRANGER),
        (PROXY, [f"{VICTIM}, {STRANGER}"], STRANGER),  # the left part is what the stranger wrote
        (PROXY, [VICTIM, STRANGER], STRANGER),  # the same in two headers
        (PROXY, [f"{VICTIM}, {STRANGER}, {OTHER}"], STRANGER),  # two proxies of ours in a row
        (PROXY, [f"{STRANGER}:49152"], STRANGER),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]:443"], "2001:db8::7"),
        (PROXY, [f"::ffff:{STRANGER}"], STRANGER),
        (f"::ffff:{PROXY}", [STRANGER], STRANGER),
        (PROXY, [], PROXY),
        (PROXY, [f"{VICTIM}, rubbish"], PROXY),  # behind what cannot be read nothing is believed
        (PROXY, [f"{VICTIM}, {OTHER}, unknown, {OTHER}"], OTHER),
        (PROXY, [f"{OTHER}, {OTHER}"], OTHER),
        (PROXY, [",".join([VICTIM] * 5000)], VICTIM),
    ],
)
def test_only_our_own_proxies_say_where_a_request_is_from(
    database: Database, tmp_path: Path, peer: str, forwarded: list[str], found: str
) -> None:
    letter = web.make(tmp_path, database, trusted_proxies="10.0.0.0/8, 2001:db8:1::/48")
    assert asked_from(letter, peer, *forwarded) == found


def test_without_trusted_proxies_no_header_is_believed(letter: Web) -> None:
    assert asked_from(letter, PROXY, STRANGER) == PROXY


def test_a_network_that_cannot_be_read_is_refused_at_the_start() -> None:
    with pytest.raises(BadInput, match="POSTMERGE_TRUSTED_PROXIES"):
        settings_module.load({"POSTMERGE_TRUSTED_PROXIES": "10.0.0.0/8, everybody"})


def test_behind_tls_every_answer_says_to_stay_there(letter: Web, tmp_path: Path, database: Database) -> None:
    paths = ("/subscribe", "/leave/x", "/v1/ping", "/health", "/nothing", "/-/desk.css")
    assert all("strict-transport-security" not in letter.client.get(path).headers for path in paths)
    behind = web.make(tmp_path, database, api_url="https://news.example.org")
    for path in paths:
        assert behind.client.get(path).headers["strict-transport-security"] == "max-age=31536000", path
