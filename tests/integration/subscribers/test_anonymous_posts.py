"""Nothing a stranger posts changes an active subscriber, beyond an email to that subscriber."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI

from mailer.core import tokens
from mailer.core.db import Database
from mailer.flows.billing import gifts, stripe_sync
from mailer.flows.subscribers import signup, unsubscribe_by_email
from mailer.payments.models import CheckoutSession, Subscription
from tests import web
from tests.web import Web

ADA = "ada@example.org"
TOPICS = ("python", "mail")
# What a stranger fills into every field that any of our forms and bodies has.
FIELDS = {
    **dict.fromkeys(("email", "email_address", "meant", "sure", "recipient", "to", "from", "address"), ADA),
    **{name: ["python", "board-members", "[/foo]"] for name in ("tag", "tags")},
    **dict.fromkeys(("lang", "language"), "de"),
    **dict.fromkeys(
        ("source", "referrer", "referrer_url", "page", "utm_source", "notes", "name", "giver"), "https://evil.example"
    ),
    **dict.fromkeys(("type", "state", "kind"), "unsubscribed"),
    **{"frequency": "monthly", "months": "3", "plan": "monthly", "List-Unsubscribe": "One-Click", "website": ""},
}
EVIDENCE = ("subscribers", "consents", "entitlements", "suppressions", "customers")


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    newsletter = web.make(tmp_path, database, topics=TOPICS)
    signup.add_subscriber(database, newsletter.settings, ADA, ["beginners"], confirmed=True)
    with database.transaction() as tx:
        tx.run("UPDATE subscribers SET metadata = '{\"city\": \"Köln\"}', referrer_url = 'https://example.org'")
    return newsletter


def kept(database: Database) -> str:
    """All that is known about subscribers, but for emails that wait for them."""
    with database.transaction() as tx:
        return repr([tx.all(f"SELECT to_jsonb({table})::text AS whole FROM {table} ORDER BY 1") for table in EVIDENCE])


def emails(database: Database) -> list[tuple[str, list[str]]]:
    with database.transaction() as tx:
        return [
            (row["topic"], row["facts"].get("tags", []))
            for row in tx.all("SELECT topic, facts FROM transactional_emails ORDER BY id")
        ]


def tags(newsletter: Web, email: str = ADA) -> list[str]:
    with newsletter.database.transaction() as tx:
        return list(tx.value("SELECT tags FROM subscribers WHERE email_normal = %(email)s", email=email))


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path that may change something."""
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        waiting += getattr(getattr(route, "original_router", None), "routes", [])
        for method in {"POST", "PUT", "PATCH", "DELETE"} & set(getattr(route, "methods", None) or ()):
            yield method, str(getattr(route, "path", ""))
    for path, verbs in app.openapi()["paths"].items():
        yield from ((verb.upper(), path) for verb in verbs if verb != "get")


def test_no_open_operation_changes_an_active_subscriber(newsletter: Web) -> None:
    """Each is tried as a form and as JSON, with an address for an id, and with tokens that are signed for something else."""
    secret, now, before = newsletter.settings.need_secrets(), datetime.now(UTC), kept(newsletter.database)
    forged = tokens.confirm_token(("x" * 20,), newsletter.recipient(1), 1, now)
    wrong = ("x", tokens.form_token(secret, now), tokens.canary_token(secret, 1, 1), forged)
    tried = set()
    for method, path in operations(newsletter.app()):
        tried.add(path)
        for token in wrong if "token" in path else wrong[:1]:
            address = re.sub(r"\{(token)[^}]*\}", token, path).replace("{action}", "choose").replace("{verb}", "leave")
            address = re.sub(r"\{[^}]+\}", ADA, address)
            newsletter.client.request(method, address, data={**FIELDS, "token": newsletter.form_token()})
            newsletter.client.request(method, address, json=FIELDS)
            assert kept(newsletter.database) == before, (method, path)
    assert {"/subscribe", "/reader", "/join", "/confirm/{token}", "/v1/subscribers", "/webhooks/ses"} <= tried
    assert len(tried) > 20
    assert sorted(emails(newsletter.database)) == [("page", []), ("page", []), ("topics", ["python"])], "the forms took it"


def test_an_email_from_an_active_subscribers_address_changes_nothing(newsletter: Web) -> None:
    before = kept(newsletter.database)
    for subject in ("unsubscribe", "Unsubscribe " + "A" * 43, "subscribe python"):
        raw = f"From: {ADA}\r\nTo: leave@example.org\r\nSubject: {subject}\r\n\r\nunsubscribe\r\n"
        unsubscribe_by_email.process_email(newsletter.database, newsletter.settings, raw.encode())
    assert kept(newsletter.database) == before


def test_a_gift_to_an_active_subscriber_changes_nothing_until_they_accept(newsletter: Web) -> None:
    before = kept(newsletter.database)
    session = CheckoutSession(
        "cs_1", "", True, "cus_1", "giver@example.org", "", "yearly", 0, 5000, "eur", ADA, "Eve", 12, "de", "pi_1"
    )
    assert gifts.record_paid_gift(newsletter.database, session)
    assert kept(newsletter.database) == before
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT facts ->> 'lang' FROM transactional_emails") == "de"


def test_whoever_pays_with_an_active_subscribers_address_changes_neither_tags_nor_language(newsletter: Web) -> None:
    before = kept(newsletter.database)
    fetched = Subscription("sub_1", "cus_1", "monthly", "active", 500, "eur", 1, 0, ADA, lang="de")
    with newsletter.database.transaction() as tx:
        assert stripe_sync._find_or_add_by_address(tx, fetched).email == ADA
    assert kept(newsletter.database) == before


def test_tags_come_to_a_new_subscriber_when_the_link_confirms_them(newsletter: Web) -> None:
    answer = subscribe(newsletter, "new@example.org", "Python", "board-members", "[/foo]")
    assert answer == 200
    assert tags(newsletter, "new@example.org") == []
    assert "Topics: python" in " ".join(newest(newsletter).split())
    assert newsletter.client.post(link(newsletter)).status_code == 200
    assert (newsletter.state("new@example.org"), tags(newsletter, "new@example.org")) == ("active", ["python"])


def test_a_second_form_for_somebody_who_has_not_confirmed_adds_no_tags_to_the_first(newsletter: Web) -> None:
    subscribe(newsletter, "new@example.org", "python")
    first = link(newsletter)
    subscribe(newsletter, "new@example.org", "mail")
    newsletter.client.post(first)
    assert tags(newsletter, "new@example.org") == ["python"]


def test_a_reminder_asks_about_the_tags_of_the_form(newsletter: Web) -> None:
    subscribe(newsletter, "new@example.org", "python")
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE inbox_emails SET created_at = now() - interval '1 hour'")
        known = int(tx.value("SELECT id FROM subscribers WHERE email_normal = 'new@example.org'"))
    assert signup.send_reminder(newsletter.database, newsletter.settings, known)
    assert emails(newsletter.database) == [("", ["python"]), ("", ["python"])]


def test_an_active_subscriber_gets_more_tags_only_by_the_link_in_their_own_email(newsletter: Web) -> None:
    before = kept(newsletter.database)
    subscribe(newsletter, ADA, "python", "board-members")
    assert kept(newsletter.database) == before
    assert emails(newsletter.database) == [("topics", ["python"])]
    path = link(newsletter)
    newsletter.client.get(path)
    assert kept(newsletter.database) == before
    newsletter.client.post(path)
    assert tags(newsletter) == ["beginners", "python"]
    with newsletter.database.transaction() as tx:
        last = tx.one("SELECT kind, evidence FROM consents ORDER BY id DESC LIMIT 1")
    assert last
    assert (last["kind"], last["evidence"]["tags"], last["evidence"]["before"]) == ("chosen", ["python"], ["beginners"])
    after = kept(newsletter.database)
    newsletter.client.post(path)
    assert kept(newsletter.database) == after


def test_the_link_about_topics_does_not_bring_back_who_unsubscribed(newsletter: Web) -> None:
    subscribe(newsletter, ADA, "python")
    path = link(newsletter)
    newsletter.client.post("/leave/" + tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1)))
    assert newsletter.client.post(path).status_code == 400
    assert (newsletter.state(ADA), tags(newsletter)) == ("unsubscribed", ["beginners"])


@pytest.mark.parametrize("asked", [(), ("beginners",), ("board-members",), ("[/foo]", "x" * 100)])
def test_an_active_subscriber_is_not_emailed_about_tags_they_have_or_that_are_not_on_offer(
    newsletter: Web, asked: tuple[str, ...]
) -> None:
    assert subscribe(newsletter, ADA, *asked) == 200
    assert emails(newsletter.database) == []


def test_an_active_subscriber_is_not_bombed_with_emails_about_topics(newsletter: Web) -> None:
    for _ in range(5):
        subscribe(newsletter, ADA, "python")
        subscribe(newsletter, ADA, "mail")
    assert len(emails(newsletter.database)) == 1


def test_tags_that_subscribers_may_choose_themselves_are_on_offer_too(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO tags (name, subscriber_editable) VALUES ('cycling', true), ('vip', false)")
    subscribe(newsletter, ADA, "cycling", "vip")
    assert emails(newsletter.database) == [("topics", ["cycling"])]


def test_the_answer_does_not_tell_whether_an_address_is_active(newsletter: Web) -> None:
    def answer(email: str) -> tuple[int, str]:
        data = {"email": email, "tag": ["python", "vip"], "token": newsletter.form_token()}
        found = newsletter.client.post("/subscribe", data=data)
        return found.status_code, found.text.replace(email, "")

    assert answer(ADA) == answer("new@example.org")


def test_the_operators_own_tags_are_given_at_once(newsletter: Web) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, ADA, ["vip"], confirmed=False)
    signup.add_subscriber(newsletter.database, newsletter.settings, "new@example.org", ["vip"], confirmed=False)
    assert (tags(newsletter), tags(newsletter, "new@example.org")) == (["beginners", "vip"], ["vip"])


def subscribe(newsletter: Web, email: str, *asked: str) -> int:
    data = {"email": email, "tag": asked, "token": newsletter.form_token()}
    return int(newsletter.client.post("/subscribe", data=data).status_code)


def newest(newsletter: Web) -> str:
    newsletter.work()
    return newsletter.emails()[0].text


def link(newsletter: Web) -> str:
    """The link to confirm in the newest email."""
    return next(path for path in web.paths(newest(newsletter), newsletter.settings) if path.startswith("/confirm/"))
