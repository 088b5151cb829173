"""A new POSTMERGE_SECRET in front of the old one: what the old one signed still works, and the new one signs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer.core import tokens
from mailer.core.db import Database
from mailer.flows.subscribers import erasure, imports, signup
from mailer.flows.subscribers.imports import ImportRequest
from tests import web
from tests.web import Web

ADA, EVE = "ada@example.org", "eve@example.org"
OLD, NEW = "an-old-secret-of-32-characters-01", "a-new-secret-of-32-characters-023"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, secret=OLD)


def with_secret(newsletter: Web, secret: str) -> Web:
    """The same newsletter after a restart with another POSTMERGE_SECRET."""
    return Web(replace(newsletter.settings, secret=secret), newsletter.database)


def links(newsletter: Web, number: int = 0) -> list[str]:
    return web.paths(newsletter.emails()[number].text, newsletter.settings)


def erase(newsletter: Web, email: str, complained: bool = False) -> None:
    with newsletter.database.transaction() as tx:
        if complained:
            tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=email)
    assert erasure.erase_by_email(newsletter.database, newsletter.settings, email)


def test_links_of_sent_emails_and_open_forms_work_after_a_rotation_and_end_with_their_secret(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    [confirm] = [path for path in links(newsletter) if path.startswith("/confirm/")]
    form = newsletter.form_token()
    without = with_secret(newsletter, NEW)
    assert without.client.post(confirm).status_code == 400
    rotated = with_secret(newsletter, f"{NEW}, {OLD}")
    assert rotated.client.post(confirm).status_code == 200
    assert newsletter.state(ADA) == "active"
    rotated.client.post("/subscribe", data={"email": EVE, "token": form})
    assert newsletter.state(EVE) == "unconfirmed"
    rotated.work()
    [newer] = [path for path in links(rotated) if path.startswith("/confirm/")]
    assert with_secret(newsletter, OLD).client.post(newer).status_code == 400
    assert without.client.post(newer).status_code == 200


def test_the_first_secret_signs_every_kind_of_token(newsletter: Web) -> None:
    both, now = with_secret(newsletter, f"{NEW}\n{OLD}").settings.need_secrets(), datetime.now(UTC)
    assert both == (NEW, OLD)
    token = tokens.form_token(both, now)
    assert tokens.check_form((NEW,), token, now, timedelta(0), timedelta(1))
    assert not tokens.check_form((OLD,), token, now, timedelta(0), timedelta(1))


def test_who_was_erased_under_an_older_secret_stays_erased(newsletter: Web) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, ADA, [], confirmed=True)
    erase(newsletter, ADA, complained=True)
    signup.add_subscriber(newsletter.database, newsletter.settings, EVE, [], confirmed=True)
    erase(newsletter, EVE)
    rotated = with_secret(newsletter, f"{NEW},{OLD}")
    rotated.subscribe(ADA)
    assert newsletter.counted("transactional_emails") == 0
    assert "suppressed" in signup.add_subscriber(newsletter.database, rotated.settings, ADA, [], confirmed=True)
    path = newsletter.settings.build.parent / "list.csv"
    path.write_text(f"email\n{ADA}\n{EVE}\n")
    done = imports.apply_import(newsletter.database, rotated.settings, ImportRequest(path, evidence="yes"))
    assert done.reasons == {"erased": 2}
    rotated.subscribe(EVE)
    rotated.work()
    [confirm] = [path for path in links(rotated) if path.startswith("/confirm/")]
    rotated.client.post(confirm)
    assert newsletter.state(EVE) == "active"
    assert newsletter.counted("erased") == 1  # hers is forgotten, the complaint is not


def test_a_request_repeated_after_a_rotation_is_not_processed_again(newsletter: Web) -> None:
    rotated, key = with_secret(newsletter, f"{NEW}, {OLD}"), ""
    answers = []
    for site in (newsletter, rotated, rotated):
        client = site.holder(base_url="http://127.0.0.1") if not key else TestClient(site.app(), base_url="http://127.0.0.1")
        key = key or str(client.headers["Authorization"])
        client.headers.update({"Authorization": key, "Idempotency-Key": "one"})
        answers.append(client.post("/v1/notes", json={"text": "Called back.", "model_type": "subscriber", "model_id": "x"}))
    assert [one.headers.get("Idempotency-Replayed") for one in answers] == [None, "true", "true"]
    assert len({one.text for one in answers}) == 1
