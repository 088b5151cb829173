"""An address that a subscriber gave up, or that was erased: only its owner subscribes it, and nothing of before comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from mailer.core import addresses
from mailer.flows.subscribers import erasure, imports, signup, subscriber_admin
from mailer.flows.subscribers.imports import ImportRequest
from mailer.flows.subscribers.subscriber_admin import Rejected, SubscriberChanges
from mailer.store.subscribers import subscribers
from tests import web
from tests.integration.billing.test_paid_pages import paying_subscriber
from tests.integration.billing.test_paid_pages import shop as shop
from tests.integration.subscribers.test_private_links import ADA, NEW, change_by_api, change_by_email, links, statuses
from tests.integration.subscribers.test_private_links import fake as fake
from tests.integration.subscribers.test_private_links import site as site
from tests.paying import Shop
from tests.web import Web


def ask(site: Web, email: str = ADA) -> None:
    """Somebody writes the address into the form."""
    signup.sign_up(site.database, email, settings=site.settings)


def confirm(site: Web) -> None:
    site.work()
    found = [path for one in site.emails() if one.to == ADA for path in web.paths(one.text, site.settings)]
    assert site.client.post(next(path for path in found if path.startswith("/confirm/"))).status_code == 200


def add(site: Web, kind: str = "regular", collision: str = "no_op") -> object:
    changes = SubscriberChanges(email=ADA, kind=kind)
    return subscriber_admin.add_subscriber(site.database, site.settings, changes, collision)


def overwrite(site: Web) -> object:
    ask(site)
    return add(site, collision="overwrite")


def activate(site: Web) -> object:
    ask(site)
    return subscriber_admin.change_subscriber(site.database, ADA, SubscriberChanges(kind="regular"), settings=site.settings)


def move_another(site: Web) -> object:
    with site.database.transaction() as tx:
        subscribers.activate(tx, subscribers.add(tx, "eve@example.org", "eve@example.org", []))
    return subscriber_admin.change_subscriber(
        site.database, "eve@example.org", SubscriberChanges(email=ADA), settings=site.settings
    )


def by_hand(site: Web, why: str = "") -> str:
    return signup.add_subscriber(site.database, site.settings, ADA, [], confirmed=True, why=why)


def import_after_asking(site: Web) -> object:
    ask(site)
    path = site.settings.build.parent / "list.csv"
    path.write_text(f"email,state\n{ADA},active\n")
    return imports.apply_import(site.database, site.settings, ImportRequest(path, evidence="they asked"))


WAYS: dict[str, Callable[[Web], object]] = {
    "the API, as regular": add,
    "the API over an unconfirmed sign-up": overwrite,
    "the API's change to regular": activate,
    "the API's change of another's address": move_another,
    "by hand": by_hand,
    "an import after an unconfirmed sign-up": import_after_asking,
}


@pytest.mark.parametrize("then", ["moved", "moved and erased", "erased"])
@pytest.mark.parametrize("way", WAYS)
def test_nobody_but_its_owner_subscribes_an_address_that_was_given_up(shop: Shop, site: Web, way: str, then: str) -> None:
    known = paying_subscriber(shop)
    if then.startswith("moved"):
        change_by_api(site, known)
    if then.endswith("erased"):
        erasure.erase_subscriber(site.database, site.settings, known)
    with contextlib.suppress(Rejected):
        WAYS[way](site)
    assert site.state(ADA) in (None, "unconfirmed")
    if then == "moved":
        assert site.state(NEW) == "active"


def test_a_payment_with_a_former_address_asks(shop: Shop, site: Web) -> None:
    change_by_api(site, paying_subscriber(shop))
    shop.buy(ADA)
    shop.hear()
    assert (site.state(ADA), site.state(NEW)) == ("unconfirmed", "active")


def test_the_owner_subscribes_a_former_address_by_confirming_it(shop: Shop, site: Web) -> None:
    change_by_email(site, paying_subscriber(shop))
    ask(site)
    confirm(site)
    assert (site.state(ADA), site.state(NEW)) == ("active", "active")
    assert "is active" in by_hand(site)
    with pytest.raises(Rejected, match="already exists"):
        add(site)


@pytest.mark.parametrize("way", ["by hand", "confirmed"])
def test_with_a_former_address_neither_links_nor_rights_come_back(shop: Shop, site: Web, way: str) -> None:
    known = paying_subscriber(shop)
    before = links(site, known)
    change_by_api(site, known)
    if way == "by hand":
        assert "is active" in by_hand(site, "wrote from this address on 3 May; Ada gave it to her son")
    else:
        ask(site)
        confirm(site)
    shop.work()
    shop.hear()
    assert (shop.entitlement(ADA).premium, shop.entitlement(NEW).premium) == (False, True)
    assert not any(statuses(site, before).values())
    dump = site.dump()
    token = before["page by an issue"].rpartition("/")[2]
    for path in (f"/leave/{token}", f"/read/{token}", *(f"{before['requested page']}/{act}" for act in ("erase", "export"))):
        site.client.post(path)
    assert site.dump() == dump
    with site.database.transaction() as tx:
        owner = subscribers.find(tx, ADA)
        assert owner
        assert owner.id != known
        if way == "by hand":
            told = tx.value("SELECT evidence ->> 'evidence' FROM consents WHERE subscriber_id = %(id)s", id=owner.id)
            assert str(told).startswith("wrote from this address")


def test_a_subscriber_goes_back_to_their_own_former_address(shop: Shop, site: Web) -> None:
    known = paying_subscriber(shop)
    change_by_api(site, known)
    subscriber_admin.change_subscriber(site.database, NEW, SubscriberChanges(email=ADA), settings=site.settings)
    assert (site.state(ADA), site.state(NEW)) == ("active", None)


@pytest.mark.parametrize("written", ["Ada@Straße.de", "ADA@xn--strae-oqa.DE"])
def test_a_former_address_is_known_in_each_spelling_of_its_domain(shop: Shop, site: Web, written: str) -> None:
    known = paying_subscriber(shop)
    change_by_api(site, known, written)
    change_by_api(site, known, NEW)
    with site.database.transaction() as tx:
        straße, strasse = (
            erasure.find_status(tx, site.settings, addresses.normal(one)) for one in ("ada@straße.de", "ada@strasse.de")
        )
    assert erasure.get_asking_reason(straße) == erasure.MOVED
    assert not erasure.get_asking_reason(strasse)
