"""The sign-up form's own fields, from the form to metadata, to export, to erasure."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from mailer.core.form_fields import read_fields
from mailer.flows.operations import api_keys
from mailer.flows.subscribers import erasure, exports, signup
from mailer.flows.subscribers.subscriber_admin import find_subscriber
from tests import web
from tests.web import Web

ADA = "ada@example.org"
FIELDS = read_fields(
    [
        {"name": "name", "label": {"en": "Your name", "de": "Ihr <Name>"}, "required": True},
        {"name": "company", "label": "Company", "max_chars": 10},
        {"name": "role", "label": "Role", "choices": ["Editor", "Engineer"]},
    ]
)
ANSWERS = {"metadata__name": "Ada Byron", "metadata__company": "Analytical", "metadata__role": "Engineer"}
KEPT = {"name": "Ada Byron", "company": "Analytical", "role": "Engineer"}


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    newsletter = web.make(tmp_path, database)
    newsletter.client = TestClient(newsletter.app(form_fields=FIELDS), base_url="http://127.0.0.1", follow_redirects=False)
    return newsletter


def subscribe(newsletter: Web, **more: str) -> int:
    data = {"email": ADA, "token": newsletter.form_token(), **ANSWERS, **more}
    return int(newsletter.client.post("/subscribe", data=data).status_code)


def confirm(newsletter: Web) -> None:
    newsletter.work()
    [path] = [one for one in web.paths(newsletter.emails()[0].text, newsletter.settings) if one.startswith("/confirm/")]
    newsletter.client.post(path)


def metadata(newsletter: Web) -> object:
    found = find_subscriber(newsletter.database, ADA)
    return found.metadata if found else None


def test_answers_become_metadata_when_the_address_is_confirmed(newsletter: Web, tmp_path: Path) -> None:
    assert subscribe(newsletter) == 200
    assert metadata(newsletter) == {}
    confirm(newsletter)
    assert metadata(newsletter) == KEPT
    exports.export_to_path(newsletter.database, tmp_path / "all.csv")
    assert "Analytical" in (tmp_path / "all.csv").read_text(encoding="utf-8")


def test_answers_wait_with_the_latest_email_also_after_a_reminder(newsletter: Web) -> None:
    subscribe(newsletter)
    with newsletter.database.transaction() as tx:
        tx.run("DELETE FROM inbox_emails")
        number = tx.value("SELECT id FROM subscribers")
    assert signup.send_reminder(newsletter.database, newsletter.settings, number)
    confirm(newsletter)
    assert metadata(newsletter) == KEPT


def test_a_form_changes_no_metadata_of_an_active_subscriber(newsletter: Web) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, ADA, [], confirmed=True)
    with newsletter.database.transaction() as tx:
        tx.run("""UPDATE subscribers SET metadata = '{"company": "Own"}'""")
    assert subscribe(newsletter) == 200
    assert metadata(newsletter) == {"company": "Own"}


def test_an_erased_subscribers_answers_are_gone_before_and_after_the_confirmation(newsletter: Web) -> None:
    for is_confirmed in (False, True):
        subscribe(newsletter)
        if is_confirmed:
            confirm(newsletter)
        with newsletter.database.transaction() as tx:
            number = tx.value("SELECT id FROM subscribers WHERE email_normal = %(email)s", email=ADA)
        erasure.erase_subscriber(newsletter.database, newsletter.settings, number)
        assert "Analytical" not in newsletter.dump()
        with newsletter.database.transaction() as tx:
            tx.run("DELETE FROM inbox_emails")


@pytest.mark.parametrize(
    ("answers", "sentence", "is_marked"),
    [
        ({"metadata__age": "36"}, "This form has a field we don’t know", False),
        ({"metadata__company": "x" * 11}, "“Company” is too long. Please use at most 10 characters.", True),
        ({"metadata__role": "Boss"}, "Please choose one of the options for “Role”.", True),
        ({"metadata__name": ""}, "Please fill in “Your name”.", True),
    ],
)
def test_an_answer_that_cannot_be_kept_comes_back_with_a_sentence(
    newsletter: Web, answers: dict[str, str], sentence: str, is_marked: bool
) -> None:
    data = {"email": ADA, "token": newsletter.form_token(), **ANSWERS, **answers}
    answer = newsletter.client.post("/subscribe", data=data)
    assert answer.status_code == 422
    assert sentence in unescape(answer.text)
    assert ('aria-invalid="true" aria-describedby="error"' in answer.text) is is_marked
    assert f'value="{ADA}"' in answer.text
    said = newsletter.client.post("/subscribe", data=data, headers={"Accept": "application/json"}).json()
    assert (said["recorded"], sentence in said["message"]) == (False, True)
    assert newsletter.counted("subscribers") == 0


def test_every_field_has_its_label_in_the_language_of_the_page(newsletter: Web) -> None:
    page = newsletter.client.get("/subscribe?lang=de").text
    labels = dict(re.findall(r'<label for="own-(\w+)">(.*?)</label>', page))
    assert labels == {"name": "Ihr &lt;Name&gt;", "company": "Company (optional)", "role": "Role (optional)"}
    assert re.findall(r'name="(metadata__\w+)"', page) == list(ANSWERS)
    assert re.findall(r"<option>(\w+)</option>", page) == ["Editor", "Engineer"]


REFUSED = [
    ({"role": "Pilot"}, "options"),
    ({"company": "Analytical Engines"}, "too long"),
    ({"company": 7}, "must be a string"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
@pytest.mark.parametrize("way", ["create", "update", "in bulk"])
def test_the_api_refuses_metadata_that_the_form_would_refuse(
    newsletter: Web, way: str, given: dict[str, object], said: str
) -> None:
    client = newsletter.client
    client.headers["Authorization"] = f"Token {api_keys.create_key(newsletter.database, 'ci', 'admin')}"
    free = {"name": "Ada", "role": "Editor", "anything": 7}  # not all fields, and a name that is not declared
    known = client.post("/v1/subscribers", json={"email_address": ADA, "metadata": free})
    assert known.status_code == 201
    if way == "create":
        answer = client.post("/v1/subscribers", json={"email_address": "bob@example.org", "metadata": given})
    elif way == "update":
        answer = client.patch(f"/v1/subscribers/{ADA}", json={"metadata": given})
    else:
        action = {"type": "apply_metadata", "metadata": {"ids": [known.json()["id"]], "metadata": given}}
        answer = client.post("/v1/bulk_actions", json=action)
    assert (answer.status_code, answer.json()["code"]) == (400, "metadata_invalid")
    assert said in answer.json()["detail"]
    assert metadata(newsletter) == free
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM subscribers") == 1
