"""Every route that takes a token, with every kind of token: each opens its own pages and no other, and robots open no form."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.web import forms
from mailer.core import tokens
from mailer.fakes.fake_stripe import FakeStripe
from mailer.flows.billing import paid_content
from mailer.store.billing import gifts
from mailer.store.subscribers import subscribers
from mailer.store.transactional import test_emails
from tests.integration.api.test_open_routes import DEVELOPMENT, OPEN, PAID, routes
from tests.integration.billing.test_paid_pages import join, own, paying_subscriber
from tests.integration.billing.test_paid_pages import shop as shop
from tests.paying import Shop
from tests.web import Web

ADA = "ada@example.org"
# The kinds of token that open each address; ``paid`` is a subscriber's own page, ``reading`` is known to every feed reader.
GET = {
    "/confirm/{token}": {"confirm"}, "/leave/{token}": {"leave"}, "/leave/{token}/canary": {"leave"},
    "/reader/{token}": {"leave", "page"}, "/address/{token}": {"address"}, "/canary/{token}": {"canary"},
    "/gift/{token}": {"gift"}, "/paid/{token}": {"paid"}, "/paid/{token}/leave": {"paid"}, "/paid/{token}/withdraw": {"paid"},
    "/reviewers/{token}": {"reviewer"},
    "/exports/{token}": {"export"}, "/read/{token}": {"reading"}, "/read/{token}/feed.xml": {"reading"},
    "/read/{token}/2026-11-24-hello": {"reading"},
}  # fmt: skip
POST = {
    "/confirm/{token}": {"confirm"}, "/leave/{token}": {"leave"}, "/address/{token}": {"address"}, "/gift/{token}": {"gift"},
    "/reviewers/{token}": {"reviewer"},
    **{f"/paid/{{token}}/{verb}": {"paid"} for verb in
       ("card", "link", "links", "withdraw", "pause", "resume", "leave", "stay")},
    **{f"/reader/{{token}}/{action}": {"leave", "page"} for action in
       ("choose", "pause", "resume", "leave", "link", "links", "address", "export", "erase")},
}  # fmt: skip
WHOLE = {f"/reader/{{token}}/{action}": {"page"} for action in ("address", "export", "erase")}  # not for a forwarded issue


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe(int(time.time())) as fake:
        yield fake


def made(shop: Shop, subscriber: int) -> dict[str, str]:
    """A good token of each kind, about one subscriber who pays."""
    secret, now, to = shop.settings.need_secrets(), datetime.now(UTC), shop.recipient(subscriber)
    with shop.database.transaction() as tx:
        gift = gifts.add(tx, "cs_1", subscriber, "yearly", 12, 5000, "eur", "pi_1")
        reviewer = test_emails.add_reviewer(tx, ADA, ADA)
    return {
        "leave": tokens.unsubscribe_token(secret, to, 1), "confirm": tokens.confirm_token(secret, to, 1, now),
        "paid": tokens.paid_token(secret, to, now),
        "reading": paid_content.get_link_token(shop.database, shop.settings, subscriber),
        "gift": tokens.gift_token(secret, to, gift), "page": tokens.page_token(secret, to, now),
        "address": tokens.address_token(secret, to, 1, now), "canary": tokens.canary_token(secret, subscriber, 1),
        "form": tokens.form_token(secret, now), "work": tokens.work_token(secret, now, 1),
        "export": tokens.export_token(secret, subscriber, 1, now),
        "reviewer": tokens.reviewer_token(secret, reviewer, now),
        "preview": tokens.preview_ids(secret, "draft")[0],
        "preview.reading": tokens.preview_reading_token(secret, tokens.preview_ids(secret, "draft")[0]),
    }  # fmt: skip


def test_every_route_with_a_token_is_in_the_table(shop: Shop) -> None:
    known = {path for path in OPEN | PAID if "{token}" in path}
    assert known <= set(routes(Web(shop.settings, shop.database).app()))
    assert {path.replace("{key:path}", "2026-11-24-hello") for path in known} == set(GET)
    assert not any("{token}" in path for path in DEVELOPMENT)


def test_a_token_opens_the_pages_of_its_own_purpose_and_changes_nothing_elsewhere(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    newsletter, kinds = Web(shop.settings, shop.database), made(shop, subscriber)
    assert all(kinds.values())
    before, charged = newsletter.dump(), list(shop.fake.books.charged)
    for method, table in (("GET", GET), ("POST", POST | WHOLE)):
        for path, own_kinds in table.items():
            for kind in kinds.keys() - own_kinds:
                answer = newsletter.client.request(method, path.replace("{token}", kinds[kind]))
                refused = answer.status_code in (400, 403, 404) or (path in WHOLE and answer.status_code == 422)
                assert refused, (method, path, kind, answer.status_code)
    assert newsletter.dump() == before
    assert shop.fake.books.charged == charged
    for path, own_kinds in GET.items():
        for kind in own_kinds - {"export"}:
            answer = newsletter.client.get(path.replace("{token}", kinds[kind]))
            nothing_mailed = path.endswith("2026-11-24-hello") and "Issue not found" in answer.text
            assert answer.status_code == 200 or nothing_mailed, (path, kind)


def test_the_link_of_a_private_feed_does_not_name_its_subscriber_at_the_checkout(shop: Shop) -> None:
    subscriber = shop.add_subscriber()
    secret, to = shop.settings.need_secrets(), shop.recipient(subscriber)
    for token, known in (
        (tokens.paid_token(secret, to, datetime.now(UTC)), True),
        (tokens.reading_token(secret, to), False),
        ("x", False),
    ):
        status, address = join(shop, plan="yearly", t=token)
        assert status == 303
        session = shop.fake.books.get(address.rpartition("/")[2])
        assert (session.get("customer_email") == ADA) is known
        assert (f'name="t" value="{token}"' in shop.client.get(f"/join?t={token}").text) is known


@pytest.mark.parametrize(
    ("age", "is_person"),
    [(timedelta(0), False), (timedelta(seconds=30), False), (timedelta(seconds=90), True), (timedelta(hours=23), True),
     (timedelta(hours=25), False), (-timedelta(minutes=1), False), (None, False)],
    ids=str,
)  # fmt: skip
def test_a_robot_that_posts_at_once_opens_no_form(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, age: timedelta | None, is_person: bool
) -> None:
    monkeypatch.setattr(forms, "MIN_FORM_AGE", timedelta(minutes=1))  # two seconds pass too soon on a busy machine
    newsletter = Web(shop.settings, shop.database)
    with shop.database.transaction() as tx:
        subscribers.activate(tx, subscribers.add(tx, ADA, ADA, []))
    token = "x" if age is None else newsletter.form_token(age)
    newsletter.client.post("/subscribe", data={"email": "new@example.org", "token": token})
    assert (newsletter.state("new@example.org") is not None) is is_person
    emails = newsletter.counted("transactional_emails")
    newsletter.client.post("/reader", data={"email": ADA, "token": token})
    assert newsletter.counted("transactional_emails") - emails == is_person
    status, _ = join(shop, token=token)
    assert (status == 303) is is_person
    assert len(shop.fake.books.of("checkout.session")) == is_person


def test_no_answer_of_the_server_may_be_framed(shop: Shop) -> None:
    site: Path = shop.settings.site_folder
    site.mkdir(parents=True)
    (site / "index.html").write_text("<p>The archive</p>")
    paths = ("/", "/index.html", "/nothing", "/health", "/v1/ping", "/v1/nothing", "/subscribe", "/leave/x", "/openapi.json",
             "/join", "/outbox", own(shop, shop.add_subscriber()), "/-/desk.css")  # fmt: skip
    for path in paths:
        headers = shop.client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
