"""Addresses at the door: email servers asked of a real DNS server that misbehaves, typing errors, roles, throw-away domains."""

from __future__ import annotations

import asyncio
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import httpx
import pytest
from fastapi.testclient import TestClient

from mailer.core import addresses, tokens
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.tokens import Recipient
from mailer.flows.subscribers import email_domain_check, signup, signup_limits
from tests import web
from tests.web import Web

RECORDS = {
    ("good.example", "MX"): "10 mail.good.example.",
    ("null.example", "MX"): "0 .",
    ("web.example", "A"): "8.8.4.4",
}


class Dns(socketserver.BaseRequestHandler):
    """A name server: good, null, web and empty exist; gone does not; broken fails; silent says nothing."""

    asked: list[str] = []  # noqa: RUF012

    def handle(self) -> None:
        wire, socket = self.request
        question = dns.message.from_wire(wire)
        name = question.question[0].name.to_text().rstrip(".")
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked.append(name)
        if name.endswith("silent.example"):
            return
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if name == "gone.example":
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif name == "broken.example":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif data := RECORDS.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, data))
        socket.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[dns.resolver.Resolver]:
    Dns.asked = []
    email_domain_check._backed_off.clear()
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Dns) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = server.server_address[1]
        monkeypatch.setattr(email_domain_check, "DNS_TIMEOUT_SECONDS", 1.0)
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)
        yield resolver
        server.shutdown()


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, check_dns=True)


@pytest.mark.parametrize(
    ("domain", "takes"),
    [("good", True), ("web", True), ("null", False), ("gone", False), ("empty", False), ("broken", None), ("silent", None)],
)
def test_dns_is_believed_when_it_is_sure(resolver: dns.resolver.Resolver, domain: str, takes: bool | None) -> None:
    started = time.monotonic()
    assert email_domain_check.query_dns(f"{domain}.example") is takes
    assert time.monotonic() - started < email_domain_check.DNS_TIMEOUT_SECONDS + 1


def test_a_domain_without_email_is_refused_and_trouble_refuses_nobody(newsletter: Web, resolver: dns.resolver.Resolver) -> None:
    def post(email: str) -> tuple[int, str]:
        answer = newsletter.client.post("/subscribe", data={"email": email, "token": newsletter.form_token()})
        return answer.status_code, answer.text

    status, page = post("ada@gone.example")
    assert (status, "doesn’t accept email" in page, 'value="ada@gone.example"' in page) == (422, True, True)
    for domain in ("good", "broken", "silent"):
        assert post(f"ada@{domain}.example")[0] == 200
    assert newsletter.counted("subscribers") == 3


def test_each_domain_is_asked_for_once_in_a_while(newsletter: Web, resolver: dns.resolver.Resolver) -> None:
    for name in ("ada", "bob", "eve"):
        signup.sign_up(newsletter.database, f"{name}@good.example", settings=newsletter.settings)
        with pytest.raises(BadInput):
            signup.sign_up(newsletter.database, f"{name}@null.example", settings=newsletter.settings)
        signup.sign_up(newsletter.database, f"{name}@silent.example", settings=newsletter.settings)
    assert [Dns.asked.count(f"{name}.example") for name in ("good", "null")] == [1, 1]
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE email_domains SET asked_at = now() - interval '8 days'")
    signup.sign_up(newsletter.database, "new@good.example", settings=newsletter.settings)
    assert Dns.asked.count("good.example") == 2


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ada@gmial.com", "ada@gmail.com"),
        ("ada@gmai.com", "ada@gmail.com"),
        ("ada@gmaill.com", "ada@gmail.com"),
        ("ada@gmail.con", "ada@gmail.com"),
        ("ada@hotmial.com", "ada@hotmail.com"),
        ("ada@example.con", "ada@example.com"),
        ("Ada@Outlok.com", "ada@outlook.com"),
        ("ada@gmail.com", ""),
        ("ada@mail.com", ""),
        ("ada@gmx.at", ""),
        ("ada@example.org", ""),
        ("ada@ail.com", ""),
        ("ada", ""),
        ("", ""),
    ],
)
def test_typing_errors_are_suggested_and_right_ones_left_alone(typed: str, meant: str) -> None:
    assert addresses.suggestion(typed) == meant


def test_the_form_suggests_and_never_insists(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    token = newsletter.form_token()
    asked = newsletter.client.post("/subscribe", data={"email": "ada@gmial.com", "tag": "python", "token": token})
    assert "Did you mean" in asked.text
    assert 'name="meant" value="ada@gmail.com"' in asked.text
    assert newsletter.counted("subscribers") == 0
    kept = {"email": "ada@gmial.com", "tag": "python", "token": token, "sure": "ada@gmial.com"}
    assert "Check your inbox" in newsletter.client.post("/subscribe", data=kept).text
    assert newsletter.state("ada@gmial.com") == "unconfirmed"
    newsletter.client.post("/subscribe", data={**kept, "meant": "ada@gmail.com"})
    assert newsletter.state("ada@gmail.com") == "unconfirmed"


@pytest.mark.parametrize(
    ("email", "flags"),
    [
        ("info@example.org", ["role"]),
        ("info+news@example.org", ["role"]),
        ("ada@mailinator.com", ["disposable"]),
        ("postmaster@sub.mailinator.com", ["disposable", "role"]),
        ("informer@example.org", []),
    ],
)
def test_role_and_disposable_addresses_are_flagged(database: Database, tmp_path: Path, email: str, flags: list[str]) -> None:
    assert addresses.flags(email) == flags
    newsletter = web.make(tmp_path, database)
    newsletter.subscribe(email)
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT flags FROM subscribers") == flags
    refusing = web.make(tmp_path, database, disposable="refuse").settings
    if "disposable" in flags:
        with pytest.raises(BadInput, match="disposable address"):
            signup.sign_up(database, email, settings=refusing)


def test_two_ways_of_writing_an_address_are_one_subscriber(database: Database) -> None:
    for email in ("Ada@Bücher.example", "ada@xn--bcher-kva.example", " ADA@BÜCHER.EXAMPLE "):
        signup.sign_up(database, email)
    signup.sign_up(database, "ada+news@bücher.example", evidence=signup.SignupEvidence("cli"))
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM subscribers") == 2


def test_a_silent_name_server_does_not_slow_down_one_click_unsubscribes(
    newsletter: Web, resolver: dns.resolver.Resolver
) -> None:
    """120 clients sign up with domains that the name server says nothing about."""
    proxied = web.make(newsletter.settings.build.parent, newsletter.database, check_dns=True, trusted_proxies="127.0.0.0/8")
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), Recipient(1, "bob@example.org"))

    async def attack(url: str) -> float:
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
            posts = [asyncio.create_task(client.post("/subscribe", **request(number))) for number in range(120)]
            while len(Dns.asked) < email_domain_check.MAX_CONCURRENT_LOOKUPS:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            answer = await client.post(f"/leave/{token}", data={"List-Unsubscribe": "One-Click"})
            took = time.monotonic() - began
            assert answer.status_code == 200
            assert {post.status_code for post in await asyncio.gather(*posts)} == {200}
        return took

    def request(number: int) -> dict[str, Any]:
        data = {"email": f"ada@d{number}.silent.example", "token": newsletter.form_token()}
        return {"data": data, "headers": {"X-Forwarded-For": f"198.51.{number}.7"}}

    with web.served(proxied.app()) as url:
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # other tests may have the processors
        assert asyncio.run(attack(url)) < 2.5 * busy  # it was 4.46 s
    assert len(set(Dns.asked)) < 30
    assert newsletter.counted("subscribers") == 120


def test_who_is_over_a_limit_makes_us_ask_no_name_server(newsletter: Web, resolver: dns.resolver.Resolver) -> None:
    client = TestClient(newsletter.app(), client=("203.0.113.7", 4711))
    for number in range(signup_limits.MAX_HOURLY_BY_IP + 5):
        client.post("/subscribe", data={"email": f"ada@d{number}.example", "token": newsletter.form_token()})
    assert len(set(Dns.asked)) == signup_limits.MAX_HOURLY_BY_IP
