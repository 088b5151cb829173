"""Bad actors at the door: limits, the firewall, held emails, and a bomber with many victims and many addresses of its own."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mailer.cli import cli
from mailer.core.db import Database
from mailer.flows.operations.api_keys import create_key
from mailer.flows.subscribers import signup, signup_limits
from mailer.store.subscribers.signup_limits import use
from tests import web
from tests.web import Web

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VICTIMS = [f"victim-{number}@example{number % 60}.org" for number in range(300)]
ADDRESSES = [f"198.51.{number % 50}.{number // 50 + 1}" for number in range(500)]


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


def ask(newsletter: Web, email: str, ip: str | None = None) -> signup.SignUp:
    return signup.sign_up(newsletter.database, email, evidence=signup.SignupEvidence(ip=ip), settings=newsletter.settings)


def states(newsletter: Web) -> Counter[str]:
    with newsletter.database.transaction() as tx:
        return Counter(row["state"] for row in tx.all("SELECT state FROM transactional_emails"))


def test_a_limit_lets_exactly_so_many_through_and_frees_itself(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        hour, wanted = timedelta(hours=1), [("a", "key", 5), ("b", "key", 7)]
        taken = [use(tx, wanted, hour) for _ in range(9)]
        assert taken == [""] * 5 + ["a"] * 4
        assert [use(tx, [("b", "key", 7)], hour) for _ in range(3)] == ["", "", "b"]
        assert use(tx, [("a", "other", 5)], hour) == ""
        tx.run("UPDATE limits SET used_until = used_until - interval '12 minutes'")
        assert [use(tx, [("a", "key", 5)], hour) for _ in range(2)] == ["", "a"]


@pytest.mark.parametrize(
    ("emails", "ips", "most", "why"),
    [
        ([f"r{n}@d{n}.org" for n in range(15)], ["203.0.113.7"] * 15, signup_limits.MAX_HOURLY_BY_IP, "IP address"),
        (
            [f"r{n}@d{n}.org" for n in range(40)],
            [f"203.0.113.{n}" for n in range(40)],
            signup_limits.MAX_HOURLY_BY_NETWORK,
            "network",
        ),
        ([f"r{n}@one.org" for n in range(55)], [None] * 55, signup_limits.MAX_HOURLY_BY_DOMAIN, "domain"),
    ],
)
def test_over_a_limit_emails_are_held_and_none_is_lost(
    newsletter: Web, emails: list[str], ips: list[str | None], most: int, why: str
) -> None:
    held = [ask(newsletter, email, ip).held for email, ip in zip(emails, ips, strict=True)]
    assert held[:most] == [""] * most
    assert all(why in reason for reason in held[most:])
    assert states(newsletter) == {"pending": most, "held": len(emails) - most}
    newsletter.work()
    assert len(newsletter.emails()) == most
    assert signup_limits.release_held(newsletter.database, None) == len(emails) - most
    newsletter.work()
    assert len({email.to for email in newsletter.emails()}) == len(emails)


def test_everybody_is_at_gmail(newsletter: Web) -> None:
    for number in range(55):
        assert ask(newsletter, f"r{number}@gmail.com").held == ""


@pytest.mark.parametrize("proxy", ["127.0.0.1", "::1", "10.1.2.3", "fd00::1"])
def test_clients_behind_a_proxy_that_is_not_trusted_share_the_limit_of_one_network(newsletter: Web, proxy: str) -> None:
    held = [ask(newsletter, f"r{number}@gmail.com", proxy).held for number in range(signup_limits.MAX_HOURLY_BY_NETWORK + 2)]
    assert held == [""] * signup_limits.MAX_HOURLY_BY_NETWORK + ["too many sign-ups in an hour by network"] * 2


def test_the_firewall_trips_by_itself_holds_everything_and_calms_down(newsletter: Web) -> None:
    for number in range(signup_limits.MIN_FIREWALL_SIGNUPS + 5):
        ask(newsletter, f"r{number}@d{number}.org", f"2001:db8:{number:x}::1")
    counted = states(newsletter)
    assert counted["held"] == 5
    wall, waiting, number = signup_limits.get_held_overview(newsletter.database)
    assert wall.active_since
    assert (len(waiting), number) == (5, 5)
    signup_limits.lower_calm_firewall(newsletter.database)
    assert signup_limits.get_held_overview(newsletter.database)[0].active_since
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE signup_minutes SET minute = minute - interval '2 hours'")
    signup_limits.lower_calm_firewall(newsletter.database)
    assert signup_limits.get_held_overview(newsletter.database)[0].active_since is None
    assert ask(newsletter, "later@example.org").held == ""
    assert states(newsletter)["held"] == 5
    with newsletter.database.transaction() as tx:
        told = [row["text"] for row in tx.all("SELECT text FROM notices ORDER BY id")]
    assert "is up" in told[0]
    assert "is down" in told[1]


def test_a_firewall_that_the_operator_put_up_stays_up_until_they_lower_it(newsletter: Web) -> None:
    assert signup_limits.set_firewall(newsletter.database, True)
    signup_limits.lower_calm_firewall(newsletter.database)
    assert signup_limits.get_held_overview(newsletter.database)[0].active_since
    assert "firewall is up" in ask(newsletter, "ada@example.org").held
    assert signup_limits.set_firewall(newsletter.database, False)
    assert ask(newsletter, "bob@example.org").held == ""


@pytest.mark.parametrize(
    ("ip", "network"),
    [("203.0.113.7", "203.0.113.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("8.8.8.8", "8.8.8.0/24"), ("127.0.0.1", ""),
     ("10.1.2.3", ""), ("::1", ""), ("fd00::1", ""), ("unknown", "")],
)  # fmt: skip
def test_neighbours_of_a_network_share_its_limit(ip: str, network: str) -> None:
    assert signup_limits.get_network(ip) == network


@pytest.mark.parametrize("most", [2, 3])
def test_everybody_together_has_a_limit_too(newsletter: Web, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(signup_limits, "MAX_HOURLY_OVERALL", most)
    held = [ask(newsletter, f"r{n}@d{n}.org", f"2001:db8:{n:x}::1").held for n in range(5)]
    assert held[:most] == [""] * most
    assert all("by everybody" in one for one in held[most:])


def test_a_busy_day_that_is_usual_does_not_trip_it(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO signup_minutes (minute, number)
            SELECT date_trunc('minute', now()) - make_interval(mins => n), 3 FROM generate_series(61, 20000) AS n
            """
        )
    for number in range(signup_limits.MIN_FIREWALL_SIGNUPS + 5):
        assert ask(newsletter, f"r{number}@d{number}.org").held == ""


def test_the_operator_looks_releases_drops_and_switches(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", newsletter.database.url)
    monkeypatch.setenv("POSTMERGE_SECRET", newsletter.settings.secret)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["subscribers", *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "up" in run("firewall", "up")
    for name in ("ada", "bob", "eve"):
        ask(newsletter, f"{name}@example.org", "203.0.113.7")
    shown = run("held")
    assert "ada@example.org" in shown
    assert "203.0.113.7" in shown
    assert "1 email" in run("release", "1", "--yes")
    assert "1 email" in run("drop", "2", "--yes")
    assert states(newsletter) == {"pending": 1, "skipped": 1, "held": 1}
    assert "down" in run("firewall", "down")
    assert run("release", "--all", "--yes").startswith("1 email")


async def bomb(newsletter: Web, key: str, number: int) -> Counter[int]:
    """So many sign-ups, eight at once, each from one of the bomber's addresses, by form and by API."""
    dice = random.Random(20261124)
    app = newsletter.app()
    gate = asyncio.Semaphore(8)
    clients = {
        ip: httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(ip, 1)), base_url="http://testserver")
        for ip in ADDRESSES
    }

    async def one(victim: str, ip: str, by_form: bool) -> int:
        async with gate:
            if by_form:
                answer = await clients[ip].post(
                    "/subscribe", data={"email": spelled(victim, dice), "token": newsletter.form_token()}
                )
            else:
                answer = await clients[ip].post(
                    "/v1/subscribers",
                    json={"email_address": victim, "ip_address": ip},
                    headers={"Authorization": f"Token {key}"},
                )
            return answer.status_code

    jobs = [one(dice.choice(VICTIMS), dice.choice(ADDRESSES), dice.random() < 0.7) for _ in range(number)]
    answers = Counter(await asyncio.gather(*jobs))
    for client in clients.values():
        await client.aclose()
    return answers


def spelled(email: str, dice: random.Random) -> str:
    """The same address in other clothes."""
    return dice.choice([email, email.upper(), f" {email} ", email.title()])


def test_a_bomber_gets_no_victim_more_than_one_email(newsletter: Web) -> None:
    key = create_key(newsletter.database, "bomber")
    answers = asyncio.run(bomb(newsletter, key, 10_000))
    assert answers[200] > 6000
    assert not [status for status in answers if status >= 500]
    newsletter.work()
    signup_limits.release_held(newsletter.database, None)
    newsletter.work()
    each = Counter(email.to.lower() for email in newsletter.emails())
    assert set(each.values()) == {1}
    assert set(each) <= set(VICTIMS)
    assert newsletter.counted("subscribers") == len(each) == 300
    assert signup_limits.get_held_overview(newsletter.database)[0].active_since


def test_a_bomber_who_comes_back_for_weeks_gets_its_victim_no_more_than_three_emails_a_day_and_five_a_month(
    newsletter: Web,
) -> None:
    """Every eleven minutes for two hours, then every day for five weeks; the operator releases whatever is held."""
    per_day = []
    for day in range(35):
        before = newsletter.counted("transactional_emails")
        for _ in range(11 if day == 0 else 1):
            ask(newsletter, VICTIMS[0], ADDRESSES[day])
            with newsletter.database.transaction() as tx:
                tx.run("UPDATE inbox_emails SET created_at = created_at - interval '11 minutes'")
        per_day.append(newsletter.counted("transactional_emails") - before)
        with newsletter.database.transaction() as tx:
            tx.run("UPDATE inbox_emails SET created_at = created_at - interval '1 day'")
    assert (per_day[:3], sum(per_day[3:29]), max(per_day[29:])) == ([3, 1, 1], 0, 1)
    signup_limits.release_held(newsletter.database, None)
    newsletter.work()
    assert {email.to for email in newsletter.emails()} == {VICTIMS[0]}
    assert len(newsletter.emails()) == sum(per_day)


def test_a_person_gets_through_where_a_bomber_was(newsletter: Web) -> None:
    for _ in range(30):
        ask(newsletter, "victim@example.org", "203.0.113.7")
    client = TestClient(newsletter.app(), client=("192.0.2.9", 4711))
    client.post("/subscribe", data={"email": "ada@example.net", "token": newsletter.form_token()})
    newsletter.work()
    assert "ada@example.net" in {email.to for email in newsletter.emails()}


def test_one_ip_address_neither_raises_the_firewall_nor_uses_up_what_everybody_shares(newsletter: Web) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, "ada@example.org", [], confirmed=True)
    client = TestClient(newsletter.app(), client=("203.0.113.7", 4711))
    for number in range(80):
        client.post("/subscribe", data={"email": f"r{number}@d{number}.org", "token": newsletter.form_token()})
    assert signup_limits.get_held_overview(newsletter.database)[0].active_since is None
    with newsletter.database.transaction() as tx:
        assert int(tx.value("SELECT sum(number) FROM signup_minutes")) == signup_limits.MAX_HOURLY_BY_IP
        assert tx.value("SELECT count(*) FROM limits WHERE scope = 'domain'") == signup_limits.MAX_HOURLY_BY_IP
    assert ask(newsletter, "bob@example.net", "192.0.2.9").held == ""


def test_a_full_limit_on_a_network_or_an_inbox_uses_up_no_limit_after_it(newsletter: Web) -> None:
    def counted() -> dict[str, int]:
        with newsletter.database.transaction() as tx:
            return {row["scope"]: row["number"] for row in tx.all("SELECT scope, count(*) AS number FROM limits GROUP BY 1")}

    for number in range(signup_limits.MAX_HOURLY_BY_NETWORK + 5):
        ask(newsletter, f"r{number}@d{number}.org", f"203.0.113.{number}")
    assert counted()["domain"] == signup_limits.MAX_HOURLY_BY_NETWORK
    for number in range(5):
        ask(newsletter, f"victim+{number}@other.org", f"198.51.{number}.1")
    assert counted()["domain"] == signup_limits.MAX_HOURLY_BY_NETWORK + 1
    assert newsletter.state("victim+1@other.org") is None


def test_what_is_held_for_one_client_is_limited_and_the_rest_is_refused_with_a_sentence(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signup_limits, "MAX_HOURLY_HELD_BY_IP", 3)
    client = TestClient(newsletter.app(), client=("203.0.113.7", 4711))
    answers = [
        client.post("/subscribe", data={"email": f"r{number}@d{number}.org", "token": newsletter.form_token()})
        for number in range(signup_limits.MAX_HOURLY_BY_IP + 5)
    ]
    assert [answer.status_code for answer in answers] == [200] * 13 + [429] * 2
    assert "Please try again in an hour" in answers[-1].text
    assert newsletter.counted("subscribers") == 13


def test_an_inbox_gets_at_most_one_held_email_an_hour_and_its_owner_still_gets_through(newsletter: Web) -> None:
    for number in range(signup_limits.MAX_HOURLY_BY_IP):
        ask(newsletter, f"r{number}@d{number}.org", "203.0.113.7")
    for _ in range(5):
        ask(newsletter, "victim@example.org", "203.0.113.7")
    assert states(newsletter) == {"pending": signup_limits.MAX_HOURLY_BY_IP, "held": 1}


def test_subscribers_asking_for_their_links_are_limited_by_inbox_alone_and_never_held(newsletter: Web) -> None:
    number = signup_limits.MAX_HOURLY_BY_IP + 5
    for place in range(number):
        signup.add_subscriber(newsletter.database, newsletter.settings, f"r{place}@d{place}.org", [], confirmed=True)
    signup_limits.set_firewall(newsletter.database, True)
    client = TestClient(newsletter.app(), client=("203.0.113.7", 4711))
    for place in [*range(number), 0, 0, 0, 0]:
        client.post("/reader", data={"email": f"r{place}@d{place}.org", "token": newsletter.form_token()})
    assert states(newsletter) == {"pending": number + 2}
    with newsletter.database.transaction() as tx:
        assert {row["scope"] for row in tx.all("SELECT scope FROM limits")} == {"form"}
    assert newsletter.counted("signup_minutes") == 0
