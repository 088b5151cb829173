"""Sign-ups that nobody confirms do not fill the database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.flows.scheduled.subscriber_maintenance import apply_retention
from mailer.flows.subscribers import signup, signup_limits
from tests import web
from tests.web import Web


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, max_unconfirmed=3)


def test_the_oldest_unconfirmed_sign_ups_above_the_maximum_are_deleted(site: Web) -> None:
    signup.add_subscriber(site.database, site.settings, "active@example.org", [], confirmed=True)
    for number in range(5):
        signup.sign_up(site.database, f"r{number}@example.org", settings=site.settings)
    assert apply_retention(site.database, site.settings) == (2, 0)
    assert [site.state(f"r{number}@example.org") for number in range(5)] == [None, None, *["unconfirmed"] * 3]
    assert site.state("active@example.org") == "active"


@pytest.mark.parametrize(("days", "deleted"), [(59, 0), (61, 1)])
def test_a_held_email_keeps_no_sign_up_beyond_its_age(site: Web, days: int, deleted: int) -> None:
    signup_limits.set_firewall(site.database, True)
    assert signup.sign_up(site.database, "ada@example.org", settings=site.settings).held
    with site.database.transaction() as tx:
        tx.run("UPDATE subscribers SET created_at = created_at - %(age)s", age=timedelta(days=days))
        tx.run("ALTER TABLE consents DISABLE TRIGGER USER")
        tx.run("UPDATE consents SET at = at - %(age)s", age=timedelta(days=days))
    assert apply_retention(site.database, site.settings) == (deleted, 0)
