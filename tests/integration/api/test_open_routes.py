"""No operation open to a stranger, a free subscriber or an API key shows a word of premium text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from mailer.core import public_ids, tokens
from mailer.core.db import Database
from mailer.core.edition import Edition, Variant
from mailer.core.errors import Refused
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.editions.source import paid_leaks
from mailer.flows.operations.api_keys import SCOPES, create_key
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import issue_overview
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.store.billing import entitlement_records
from mailer.transports.outbox import Outbox
from tests import factories, web
from tests.web import Web

SECRET = "The ledger of the second winter names eleven cellars under the old brewery yard"
FREE = "Everybody reads this paragraph about the beginnings of winter"

# Doors without a key, each with what can stand behind it. A new one fails the test until it is written down here.
OPEN = {
    "/subscribe", "/subscribe/token", "/api/emails/embed-subscribe/{newsletter}", "/reader", "/cancel", "/withdraw",
    "/join", "/join/thanks", "/docs", "/openapi.json", "/health", "/health/live", "/health/ready",
    "/receipts/keys.json", "/receipts/{digest}.json", "/receipts/{digest}",
    "/previews/{address}", "/previews/{address}/{path:path}",
    # by a signed link of one's own, whatever one has paid
    "/confirm/{token}", "/leave/{token}", "/leave/{token}/canary", "/leave/test", "/leave/test/canary",
    "/reader/{token}", "/address/{token}", "/canary/{token}", "/gift/{token}", "/reviewers/{token}",
    "/paid/{token}", "/paid/{token}/leave", "/paid/{token}/withdraw", "/exports/{token}",
}  # fmt: skip
KEYED = {"/metrics"}  # with a key, though they are no part of the API
PAID = {"/read/{token}", "/read/{token}/feed.xml", "/read/{token}/{key:path}"}
DEVELOPMENT = {"/outbox", "/outbox/{email_id}", "/outbox/{email_id}/html", "/outbox/{email_id}/raw", "/ledger"}


def edition(**more: Any) -> Edition:
    free, body = f"<p>{FREE}</p>", f"<p>{FREE}</p><p>{SECRET}.</p>"
    paid = Variant(
        "premium", "More", f'<html><body>{body}<a href="{UNSUBSCRIBE_URL}">x</a></body></html>', f"{SECRET} {UNSUBSCRIBE_URL}",
        body, hashlib.sha256(body.encode()).hexdigest(),
    )  # fmt: skip
    return factories.edition(body=free, variants=(paid,), **more)


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    newsletter = web.make(tmp_path, database)
    factories.add_subscribers(database, 2)
    with database.transaction() as tx:
        entitlement_records.save(tx, 1, "paying", True, None)
    adopt_issues(database, newsletter.settings, [factories.old()])
    factories.bind_stripe(database)
    outbox = Outbox(newsletter.settings.outbox)
    [send] = publish(database, newsletter.settings, [factories.old(), edition()], [], outbox, Request()).send_ids
    advance_sends(database, newsletter.settings)
    deliver_send(database, newsletter.settings, outbox, send)
    return newsletter


def routes(app: FastAPI) -> Iterator[str]:
    """All paths that answer a GET and stand in no description of the API."""
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        waiting += getattr(getattr(route, "original_router", None), "routes", [])
        if not (isinstance(route, APIRoute) and route.include_in_schema) and "GET" in (getattr(route, "methods", None) or ()):
            yield str(getattr(route, "path", ""))


def detector() -> paid_leaks.LeakDetector:
    return paid_leaks.of_editions([edition()])


def test_every_operation_without_a_key_is_known(newsletter: Web) -> None:
    found = set(routes(newsletter.app())) - {"/{rest:path}"}
    assert found - {"/v1/{rest:path}"} == OPEN | KEYED | PAID | DEVELOPMENT
    assert not set(routes(newsletter.app(outbox=None))) & DEVELOPMENT


def test_no_open_operation_and_no_free_subscribers_link_shows_premium_text(newsletter: Web) -> None:
    secret, now, to = newsletter.settings.need_secrets(), datetime.now(UTC), newsletter.recipient(2)
    made = {
        "confirm": tokens.confirm_token(secret, to, 1, now), "leave": tokens.unsubscribe_token(secret, to),
        "reader": tokens.page_token(secret, to, now), "address": tokens.address_token(secret, to, 1, now),
        "canary": tokens.canary_token(secret, 2, 1), "gift": tokens.gift_token(secret, to, 1),
        "paid": tokens.paid_token(secret, to, now),
    }  # fmt: skip
    for path in OPEN:
        answer = newsletter.client.get(path.replace("{token}", made.get(path.split("/")[1], "")))
        assert answer.status_code in (200, 303, 404), path
        assert detector().find(path, answer.text) == []
    assert {newsletter.client.get(path).status_code for path in KEYED} == {401}
    for path in PAID:
        address = path.replace("{token}", tokens.reading_token(secret, to)).replace("{key:path}", "2026-11-24-hello")
        answer = newsletter.client.get(address)
        assert answer.status_code == 403
        assert detector().find(path, answer.text) == []
    subscriber = f"/read/{tokens.reading_token(secret, newsletter.recipient(1))}/2026-11-24-hello"
    assert detector().find(
        subscriber, newsletter.client.get(subscriber).text
    )  # and who pays reads it: the detector would have seen it


@pytest.mark.parametrize("scope", SCOPES)
def test_no_answer_of_the_api_holds_premium_text_whatever_the_key(newsletter: Web, scope: str) -> None:
    key = {"Authorization": f"Token {create_key(newsletter.database, 'one', scope)}"}
    public = public_ids.public("em", issue_overview.issue_number("2026-11-24-hello"))
    read = set()
    for path, verbs in newsletter.app().openapi()["paths"].items():
        if "get" not in verbs:
            continue
        address = path.replace("{id_or_issue}", "2026-11-24-hello").replace("{username}", "letter").replace("{id}", public)
        answer = newsletter.client.get(re.sub(r"\{[^}]+\}", "1", address), headers=key)
        assert detector().find(path, answer.text) == []
        if FREE in answer.text:
            read.add(path)
    assert read == (set() if scope in ("publish", "review") else {"/v1/emails/{id}", "/v1/emails/{id}/renders"})


@pytest.mark.parametrize("field", ["title", "subject", "preheader", "html", "text", "url", "path", "source"])
def test_what_the_ledger_would_show_is_searched_by_the_publish_itself(database: Database, tmp_path: Path, field: str) -> None:
    """Also of editions that were sent from another machine, whose check may have been left out."""
    settings = factories.settings(tmp_path, database.url)
    factories.add_subscribers(database, 1)
    factories.bind_stripe(database)
    adopt_issues(database, settings, [factories.old()])
    known = edition()
    planted = replace(known, **{field: f"{getattr(known, field)} {SECRET}"})  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"Paid text would become public: .+ contains paid text from issues/2026-11-24-hello.md"):
        publish(database, settings, [factories.old(), planted], [], Outbox(settings.outbox), Request())
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM sends") == 0


def test_an_old_title_that_quotes_a_new_secret_is_no_way_out(database: Database, tmp_path: Path) -> None:
    settings = factories.settings(tmp_path, database.url)
    factories.add_subscribers(database, 1)
    factories.bind_stripe(database)
    adopt_issues(database, settings, [factories.old()])
    with pytest.raises(Refused, match="the ledger's entry of 2020-01-01-old"):
        publish(database, settings, [factories.old(title=SECRET), edition()], [], Outbox(settings.outbox), Request())
