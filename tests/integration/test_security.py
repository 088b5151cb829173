"""What strangers try at our doors; docs/security.md names each threat and its test."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer import settings as settings_module
from mailer.db import Database
from mailer.errors import BadInput
from mailer.flows import mail_domains, members
from mailer.flows.members import Wish
from mailer.flows.signup import add_subscriber
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


def test_an_address_changed_by_a_key_is_evidence_and_the_old_end_is_told(letter: Web) -> None:
    add_subscriber(letter.database, letter.settings, ADA, [], confirmed=True)
    assert members.change(letter.database, ADA, Wish(email="new@example.org", ip=STRANGER))
    with letter.database.transaction() as tx:
        row = tx.one("SELECT source, host(ip) AS ip, evidence FROM consents WHERE kind = 'address'")
    assert row == {"source": "api", "ip": STRANGER, "evidence": {"before": ADA, "after": "new@example.org"}}
    letter.work()
    [told] = letter.mails()
    assert told.to == ADA
    assert "new@example.org" in told.text
    for number in range(6):
        members.change(letter.database, "1", Wish(email=f"new-{number}@example.org"))
    letter.work()
    assert len(letter.mails()) == 3


def test_the_old_addresss_link_confirms_no_new_address(letter: Web) -> None:
    letter.subscribe(ADA)
    letter.work()
    [old] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/confirm/")]
    with letter.database.transaction() as tx:
        tx.run("UPDATE transactional_mails SET created_at = created_at - interval '11 minutes'")
    assert members.change(letter.database, ADA, Wish(email="new@example.org"))
    assert letter.client.post(old).status_code == 400
    assert letter.state("new@example.org") == "unconfirmed"
    letter.work()
    newest = letter.mails()[0]
    assert newest.to == "new@example.org"
    [own] = [path for path in web.paths(newest.text, letter.settings) if path.startswith("/confirm/")]
    assert letter.client.post(own).status_code == 200
    assert letter.state("new@example.org") == "active"


def test_changes_of_addresses_keep_to_the_limits_of_sign_ups(letter: Web) -> None:
    for number in range(12):
        add = Wish(email=f"own-{number}@gmail.com", ip=STRANGER)
        assert members.add(letter.database, letter.settings, add)
        with letter.database.transaction() as tx:
            tx.run("UPDATE transactional_mails SET created_at = created_at - interval '11 minutes'")
        members.change(letter.database, add.email or "", Wish(email=f"victim-{number}@gmail.com", ip=STRANGER))
    letter.work()
    assert len([mail for mail in letter.mails() if mail.to.startswith("victim")]) <= 10


def test_a_key_asks_nobody_who_complained_and_was_erased(letter: Web) -> None:
    add_subscriber(letter.database, letter.settings, ADA, [], confirmed=True)
    with letter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('ada@example.org', 'complaint')")
    assert members.remove(letter.database, letter.settings, ADA)
    members.add(letter.database, letter.settings, Wish(email=ADA))
    letter.work()
    assert letter.mails() == []


def test_a_key_is_refused_domains_without_mail_as_the_form_is(letter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_mail(database: Database, email_normal: str) -> None:
        raise BadInput("The domain takes no mail.")

    monkeypatch.setattr(mail_domains, "need_mail", no_mail)
    asking = web.make(letter.settings.build.parent, letter.database, ask_dns=True)
    with pytest.raises(members.Rejected, match="takes no mail"):
        members.add(asking.database, asking.settings, Wish(email=ADA))
    assert letter.state(ADA) is None
