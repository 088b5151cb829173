"""Private links that end: with a new address, new links, a refund, or their time. Only unsubscribing stays possible."""

from __future__ import annotations

import base64
import hmac
import re
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from mailer.core import tokens
from mailer.core.db import json
from mailer.fakes.fake_stripe import FakeStripe
from mailer.flows.billing import gifts, paid_content, subscription_changes
from mailer.flows.subscribers import signup, subscriber_admin, unsubscribe_by_email
from mailer.flows.subscribers.signup import TokenResult
from mailer.flows.subscribers.subscriber_admin import SubscriberChanges
from mailer.store.billing import gifts as stored_gifts
from tests import web
from tests.integration.billing.test_paid_pages import gift_link, own, paying_subscriber
from tests.integration.billing.test_paid_pages import shop as shop
from tests.paying import Shop
from tests.web import Web

ADA, NEW = "ada@example.org", "ada@new.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
STALE = timedelta(hours=25)


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe(int(time.time())) as fake:
        yield fake


@pytest.fixture
def site(shop: Shop) -> Web:
    return Web(shop.settings, shop.database)


@pytest.fixture
def ada(shop: Shop) -> int:
    return paying_subscriber(shop)


def first_format(site: Web, subscriber_id: int, send_id: int) -> str:
    """An unsubscribe token as emails carried it before tokens named an address."""
    payload = struct.pack(">qq", subscriber_id, send_id)
    mac = hmac.digest(site.settings.need_secrets()[0].encode(), b"postmerge.leave\0" + payload, "sha256")[:16]
    return base64.urlsafe_b64encode(payload + mac).rstrip(b"=").decode()


def links(site: Web, ada: int) -> dict[str, str]:
    """The path that each kind of private link opens, sent to the subscriber's present address."""
    secrets, to, now = site.settings.need_secrets(), site.recipient(ada), datetime.now(UTC)
    return {
        "page by an issue": f"/reader/{tokens.unsubscribe_token(secrets, to, 1)}",
        "page by an issue of the first format": f"/reader/{first_format(site, ada, 1)}",
        "requested page": f"/reader/{tokens.page_token(secrets, to, now)}",
        "payments": f"/paid/{tokens.paid_token(secrets, to, now)}",
        "issues": f"/read/{tokens.reading_token(secrets, to)}",
        "feed": f"/read/{tokens.reading_token(secrets, to)}/feed.xml",
    }


def statuses(site: Web, paths: dict[str, str]) -> dict[str, bool]:
    return {name: site.client.get(path).status_code == 200 for name, path in paths.items()}


def change_by_api(site: Web, number: int, email: str = NEW) -> None:
    with site.database.transaction() as tx:
        before = tx.value("SELECT email FROM subscribers WHERE id = %(id)s", id=number)
    subscriber_admin.change_subscriber(site.database, str(before), SubscriberChanges(email=email))


def change_by_email(site: Web, number: int, email: str = NEW) -> None:
    page = f"/reader/{tokens.page_token(site.settings.need_secrets(), site.recipient(number), datetime.now(UTC))}"
    site.client.post(f"{page}/address", data={"email": email})
    site.work()
    sent = [path for one in site.emails() if one.to == email for path in web.paths(one.text, site.settings)]
    path = next(path for path in sent if path.startswith("/address/"))  # beside it, the address may get a notice
    assert "has been changed" in site.client.post(path).text


@pytest.mark.parametrize("change", [change_by_api, change_by_email])
def test_a_change_of_address_by_any_way_ends_every_link_sent_to_the_old_one(
    site: Web, ada: int, change: Callable[..., None]
) -> None:
    before = links(site, ada)
    assert all(statuses(site, before).values())
    change(site, ada)
    assert not any(statuses(site, before).values())
    after = {name: path for name, path in links(site, ada).items() if "first format" not in name}
    assert all(statuses(site, after).values())
    for action in ("choose", "export", "erase", "address", "pause", "leave", "links", "link"):
        assert site.client.post(f"{before['requested page']}/{action}", data={"email": ADA}).status_code == 400
    change(site, ada, ADA)
    assert not any(statuses(site, before).values())


def test_new_links_end_all_earlier_ones_but_those_that_unsubscribe(site: Web, ada: int) -> None:
    for page in ("page by an issue", "requested page", "payments"):
        before = links(site, ada)
        answer = site.client.post(f"{before[page]}/links")
        assert "The old ones no longer work" in answer.text
        assert not re.search(r"/(reader|paid|read)/[\w-]{40,}", answer.text)  # whoever clicked gets nothing new here
        assert not any(statuses(site, before).values()), page
    site.work()
    [requested] = [one.text for one in site.emails() if "find your private links" in one.text]
    [newest] = [path for path in web.paths(requested, site.settings) if path.startswith("/paid/")]
    assert site.client.get(newest).status_code == 200
    old = before["page by an issue"].rpartition("/")[2]
    assert site.client.post(f"/leave/{old}").status_code == 200
    assert site.state(ADA) == "unsubscribed"


def test_new_links_end_a_change_of_address_and_a_confirmation_that_are_on_their_way(site: Web, ada: int) -> None:
    secrets, to, now = site.settings.need_secrets(), site.recipient(ada), datetime.now(UTC)
    page = f"/reader/{tokens.page_token(secrets, to, now)}"
    site.client.post(f"{page}/address", data={"email": NEW})
    site.work()
    [move] = [p for email in site.emails() if email.to == NEW for p in web.paths(email.text, site.settings) if "/address/" in p]
    confirm = tokens.confirm_token(secrets, to, 1, now)
    site.client.post(f"{page}/links")
    assert site.client.post(move).status_code == 400
    assert signup.confirm_signup(site.database, site.settings, confirm) is TokenResult.INVALID
    assert site.state(ADA) == "active"


@pytest.mark.parametrize("kind", ["page", "one-click", "email"])
def test_the_unsubscribe_link_of_a_former_address_does_nothing_and_says_so(site: Web, ada: int, kind: str) -> None:
    token = tokens.unsubscribe_token(site.settings.need_secrets(), site.recipient(ada), 1)
    change_by_api(site, ada)
    before = site.dump()
    if kind == "email":
        raw = f"From: {ADA}\r\nTo: unsubscribe@example.org\r\nSubject: leave {token}\r\n\r\n".encode()
        outcome = unsubscribe_by_email.process_email(site.database, site.settings, raw)
        assert outcome is unsubscribe_by_email.UnsubscribeEmailOutcome.OTHER_ADDRESS
    else:
        answer = site.client.post(f"/leave/{token}", data=ONE_CLICK if kind == "one-click" else {})
        assert answer.status_code == 200
        assert "no longer send issues to the address" in answer.text
    assert site.dump() == before
    assert site.state(NEW) == "active"
    site.client.post("/leave/" + tokens.unsubscribe_token(site.settings.need_secrets(), site.recipient(ada), 1))
    assert site.state(NEW) == "unsubscribed"


@pytest.mark.parametrize("in_ledger", [True, False])
def test_an_unsubscribe_link_of_the_first_format_still_unsubscribes_only_the_address_it_went_to(
    site: Web, in_ledger: bool
) -> None:
    send_id = site.send(2) if in_ledger else 0
    for number in (1, 2):
        signup.add_subscriber(site.database, site.settings, f"subscriber-{number}@example.org", [], confirmed=True)
    one_click = site.client.post(f"/leave/{first_format(site, 1, send_id)}", data=ONE_CLICK)
    assert (one_click.status_code, site.state("subscriber-1@example.org")) == (200, "unsubscribed")
    change_by_api(site, 2)
    answer = site.client.post(f"/leave/{first_format(site, 2, send_id)}", data=ONE_CLICK)
    assert (answer.status_code, site.state(NEW)) == (200, "active")
    assert "nothing to unsubscribe" in answer.text
    change_by_api(site, 2, "subscriber-2@example.org")
    site.client.post(f"/leave/{first_format(site, 2, send_id)}", data=ONE_CLICK)
    assert site.state("subscriber-2@example.org") == ("unsubscribed" if in_ledger else "active")


def test_money_moves_only_by_a_link_of_the_last_day_and_the_page_offers_a_new_one(site: Web, shop: Shop, ada: int) -> None:
    old = own(shop, ada, STALE)
    page = site.client.get(old)
    assert page.status_code == 200
    assert "Send me the link" in page.text
    assert "/read/" not in page.text
    assert f"{old}/card" not in page.text
    before = list(shop.fake.books.charged)
    for verb in ("card", "withdraw", "resume", "stay"):
        answer = site.client.post(f"{old}/{verb}")
        assert answer.status_code == 409
        assert "more than a day old" in answer.text
    assert site.client.get(f"{old}/withdraw").status_code == 409
    assert list(shop.fake.books.charged) == before
    site.client.post(f"{old}/link")
    site.work()
    email = next(email for email in site.emails() if "find your private links" in email.text)
    [fresh] = [path for path in web.paths(email.text, site.settings) if path.startswith("/paid/")]
    assert "/read/" in site.client.get(fresh).text
    assert site.client.post(f"{fresh}/card").status_code == 303


def test_an_old_link_still_stops_what_is_charged(site: Web, shop: Shop, ada: int) -> None:
    assert site.client.post(f"{own(shop, ada, STALE)}/pause").status_code == 200
    assert site.client.post(f"{own(shop, ada)}/resume").status_code == 200
    assert site.client.post(f"{own(shop, ada, STALE)}/leave").status_code == 200


def test_no_page_makes_an_old_link_fresh(site: Web, shop: Shop, ada: int) -> None:
    token = own(shop, ada, STALE).rpartition("/")[2]
    assert re.findall(r'/paid/([\w-]+)|name="t" value="([^"]+)"', site.client.get(f"/join?t={token}").text)[0][1] == token
    secrets, issued = site.settings.need_secrets(), datetime.now(UTC) - timedelta(hours=23)
    page = site.client.get(f"/reader/{tokens.page_token(secrets, site.recipient(ada), issued)}").text
    [linked] = set(re.findall(r'href="/paid/([\w-]+)"', page))
    claim = tokens.read_paid(secrets, linked)
    assert claim
    assert claim.issued
    assert abs(claim.issued - issued) < timedelta(seconds=1)
    issue = tokens.unsubscribe_token(secrets, site.recipient(ada), 1)
    assert "/paid/" not in site.client.get(f"/reader/{issue}").text


@pytest.mark.parametrize("way", ["withdrawn by the subscriber", "refunded by the operator", "refunded at Stripe"])
def test_a_refund_ends_the_private_feed_and_all_other_links(site: Web, shop: Shop, ada: int, way: str) -> None:
    before = links(site, ada)
    if way == "withdrawn by the subscriber":
        assert "withdrawn" in site.client.post(f"{before['payments']}/withdraw").text
    elif way == "refunded by the operator":
        subscription_changes.refund_payment(site.database, site.settings, ada, None, end=True)
    else:
        [charge] = shop.fake.books.of("charge")
        with shop.fake.lock:
            shop.fake.books.refund(str(charge["id"]), None)
    shop.hear()
    assert not any(statuses(site, before).values())
    site.work()
    newest = [path for email in site.emails() for path in web.paths(email.text, site.settings) if path.startswith("/paid/")]
    assert site.client.get(newest[0]).status_code == 200  # the email about it has a link that works
    with site.database.transaction() as tx:
        tx.run("UPDATE entitlements SET premium = true, until = NULL")
    assert site.client.get(before["feed"]).status_code == 403  # also after they pay again
    assert site.client.get(f"/read/{paid_content.get_link_token(site.database, site.settings, ada)}").status_code == 200


def test_a_gift_moves_to_the_new_address_with_its_subscriber(site: Web, shop: Shop) -> None:
    grace = shop.add_subscriber("grace@example.org")
    with shop.database.transaction() as tx:
        gift = stored_gifts.add(tx, "cs_1", grace, "yearly", 12, 5000, "eur", "pi_1")
        tx.run(
            """
            INSERT INTO transactional_emails (kind, subscriber_id, facts, state)
            VALUES ('paid', %(id)s, %(facts)s, 'accepted')
            """,
            id=grace,
            facts=json(
                {"gift": gift, "label": "View gift", "subject": "A gift for you", "sentences": ["A year."], "lang": "en"}
            ),
        )
    old = gift_link(shop, gift)
    change_by_api(site, grace)
    assert site.client.post(old).status_code == 404
    assert gifts.accept_gift(shop.database, shop.settings, old.rpartition("/")[2])[0] is TokenResult.INVALID
    site.work()
    emails = [email for email in site.emails() if email.to == NEW]
    [new] = [path for email in emails for path in web.paths(email.text, site.settings) if "/gift/" in path]
    assert site.client.post(new).status_code == 200
    assert shop.entitlement(NEW).premium


def test_a_gift_waits_for_its_recipient_whatever_becomes_of_their_other_links(site: Web, shop: Shop) -> None:
    grace = shop.add_subscriber("grace@example.org")
    with shop.database.transaction() as tx:
        gift = stored_gifts.add(tx, "cs_1", grace, "yearly", 12, 5000, "eur", "pi_1")
    link = gift_link(shop, gift)
    page = tokens.page_token(site.settings.need_secrets(), site.recipient(grace), datetime.now(UTC))
    site.client.post(f"/reader/{page}/links")
    assert site.client.post(link).status_code == 200
