"""``postmerge stripe setup``: shows first, changes only what differs, keeps modes and accounts apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.fakes.fake_stripe import FakeStripe
from mailer.flows.billing.stripe_setup import apply_setup, plan_setup
from mailer.store.billing import stripe_events
from tests import paying
from tests.conftest import ROOT


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe() as fake:
        yield fake


@pytest.fixture
def settings(database: Database, tmp_path: Path, fake: FakeStripe) -> Settings:
    shutil.copy(ROOT / "docs" / "plans.example.toml", tmp_path / "plans.toml")
    return paying.settings(tmp_path, database, fake, plans=tmp_path / "plans.toml", api_url="https://api.example.org")


def test_it_shows_first_and_then_makes_all_once(database: Database, settings: Settings, fake: FakeStripe) -> None:
    found = plan_setup(database, settings)
    assert {one.action for one in found.changes} == {"make"}
    assert [path for method, path in fake.calls if method != "GET"] == []
    assert apply_setup(database, settings, found) == ["STRIPE_WEBHOOK_SECRET=whsec_fake_signing_secret"]
    assert fake.unkeyed == []
    prices = fake.books.of("price")
    assert {(one["lookup_key"], one["unit_amount"]) for one in prices} == {
        ("postmerge_monthly", 500), ("postmerge_yearly", 5000), ("postmerge_kind", 800), ("postmerge_founder", 20000),
    }  # fmt: skip
    again = plan_setup(database, settings)
    assert again.open == [], [(one.what, one.action) for one in again.open]


def test_answers_that_get_lost_make_nothing_twice(database: Database, settings: Settings, fake: FakeStripe) -> None:
    fake.lose_answers(6)
    apply_setup(database, settings, plan_setup(database, settings))
    assert len(fake.books.of("product")) == 4
    assert len(fake.books.of("price")) == 4
    assert len(fake.books.of("webhook_endpoint")) == 1


def test_another_amount_is_another_price_and_the_old_one_is_closed(
    database: Database, settings: Settings, fake: FakeStripe
) -> None:
    apply_setup(database, settings, plan_setup(database, settings))
    original = settings.plans.read_text()
    settings.plans.write_text(original.replace("price = 5.00", "price = 6.00"))
    [change] = plan_setup(database, settings).open
    assert (change.action, change.what, change.detail) == ("change", "price monthly", "€6.00 every month")
    apply_setup(database, settings, plan_setup(database, settings))
    assert plan_setup(database, settings).open == []
    settings.plans.write_text(original)
    apply_setup(database, settings, plan_setup(database, settings))
    monthly = [one for one in fake.books.of("price") if one["metadata"]["postmerge_plan"] == "monthly"]
    assert sorted((one["unit_amount"], one["active"]) for one in monthly) == [(500, True), (600, False)]
    assert plan_setup(database, settings).open == []


def test_a_plan_that_is_gone_from_the_file_is_closed(database: Database, settings: Settings, fake: FakeStripe) -> None:
    apply_setup(database, settings, plan_setup(database, settings))
    settings.plans.write_text(settings.plans.read_text().partition("[plans.founder]")[0])
    assert {one.action for one in plan_setup(database, settings).open} == {"retire"}
    apply_setup(database, settings, plan_setup(database, settings))
    assert not any(one["active"] for one in fake.books.of("price") if one["metadata"]["postmerge_plan"] == "founder")
    assert plan_setup(database, settings).open == []


def test_a_product_that_was_deleted_at_stripe_is_made_again(database: Database, settings: Settings, fake: FakeStripe) -> None:
    apply_setup(database, settings, plan_setup(database, settings))
    for one in [*fake.books.of("product"), *fake.books.of("price")]:
        if one["metadata"]["postmerge_plan"] == "yearly":
            one["active"] = False
    apply_setup(database, settings, plan_setup(database, settings))
    assert plan_setup(database, settings).open == []


def test_without_https_the_way_for_development_is_named(database: Database, settings: Settings) -> None:
    local = type(settings)(**{**vars(settings), "api_url": "http://127.0.0.1:8025"})
    [note] = [one for one in plan_setup(database, local).changes if one.what == "webhook"]
    assert note.action == "note"
    assert "stripe listen --forward-to http://127.0.0.1:8025/webhooks/stripe" in note.detail


def test_another_account_or_mode_is_refused(database: Database, settings: Settings) -> None:
    with database.transaction() as tx:
        stripe_events.bind_account(tx, "acct_other", False)
    with pytest.raises(Refused, match="belongs to the Stripe account acct_other in test mode"):
        plan_setup(database, settings)


def test_no_file_and_no_key_are_one_sentence_each(database: Database, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no"):
        plan_setup(database, type(settings)(**{**vars(settings), "plans": tmp_path / "none.toml"}))
    with pytest.raises(BadInput, match="STRIPE_SECRET_KEY is not set"):
        plan_setup(database, type(settings)(**{**vars(settings), "stripe_key": ""}))
