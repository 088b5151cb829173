"""The unsubscribe page of a step's email: it can stop only the sequence; the email program's button unsubscribes from all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.core import tokens
from mailer.core.db import Database
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from tests import web
from tests.factories import old
from tests.sequences import ends, had, join, merge, pass_days, steps
from tests.web import Web


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    """Ann is in two sequences and has had the first step of each."""
    made = web.make(tmp_path, database)
    merge(database, made.settings, [old(), *steps("hello", "more"), *steps("a", "b", name="course")])
    join(database, "ann")
    queue_due_steps(database, made.settings)
    return made


def page(newsletter: Web, issue: str) -> str:
    """The path of the unsubscribe page, as the email of this issue or step links to it."""
    with newsletter.database.transaction() as tx:
        send_id = tx.value("SELECT id FROM sends WHERE issue_key = %(issue)s", issue=issue)
    return f"/leave/{tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1), send_id or 0)}"


def test_only_the_sequence_of_the_email_stops(newsletter: Web) -> None:
    path = page(newsletter, "sequences/welcome/hello")
    assert "Stop this series" in newsletter.client.get(path).text
    assert ends(newsletter.database) == {"ann": ""}
    answer = newsletter.client.post(path, data={"only": "series"})
    assert "You’ll still get the issues." in answer.text
    pass_days(newsletter.database, 4)
    queue_due_steps(newsletter.database, newsletter.settings)
    assert sorted(had(newsletter.database)["ann"]) == ["a", "b", "hello"]
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT state FROM subscribers") == "active"
    assert "Stop this series" not in newsletter.client.get(path).text
    assert newsletter.client.post(path, data={"only": "series"}).status_code == 200


def test_the_page_of_an_issue_offers_no_series(newsletter: Web) -> None:
    assert "Stop this series" not in newsletter.client.get(page(newsletter, "2020-01-01-old")).text


def test_the_button_of_an_email_program_unsubscribes_from_everything(newsletter: Web) -> None:
    path = page(newsletter, "sequences/welcome/hello")
    newsletter.client.post(path, data={"List-Unsubscribe": "One-Click", "only": "series"})
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT state FROM subscribers") == "unsubscribed"


def test_a_forged_link_stops_nothing(newsletter: Web) -> None:
    path = page(newsletter, "sequences/welcome/hello")
    assert newsletter.client.post(f"{path[:-3]}abc", data={"only": "series"}).status_code == 400
    assert ends(newsletter.database) == {"ann": ""}
