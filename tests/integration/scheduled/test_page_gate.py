"""The gate while others act: fetching a page takes long, and what happened meanwhile holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, publish
from mailer.flows.scheduled import page_gate
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import send_control
from tests.factories import edition, old, settings
from tests.integration.publishing.test_publish import Limits
from tests.integration.sending.test_send_control import begin, only, run


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path)


def meanwhile(monkeypatch: pytest.MonkeyPatch, digest: str, act: Callable[[], object]) -> None:
    """The page shows this digest; while it is fetched, ``act`` happens."""

    def fetch(_url: str, _site_url: str) -> str:
        act()
        return digest

    monkeypatch.setattr(page_gate, "fetch_live_digest", fetch)


def test_a_text_that_was_merged_while_its_page_was_fetched_is_not_mailed_unseen(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue = edition()
    begin(database, conf, 5, issue, gate=True)
    mended = replace(issue, body="<p>mended</p>", digest="d" * 64)
    meanwhile(monkeypatch, issue.digest, lambda: publish(database, conf, [old(), mended], [], Limits(), Request()))
    advance_sends(database, conf)
    assert (only(database).send.state, only(database).send.digest) == ("holding", "d" * 64)
    meanwhile(monkeypatch, "d" * 64, lambda: None)
    advance_sends(database, conf)
    assert only(database).send.state == "sending"


def test_the_operators_word_holds_although_the_page_was_just_being_fetched(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, conf, 5, gate=True)
    run(database, "UPDATE sends SET page_awaited_since = now() - interval '2 hours', page_checked_at = now()")
    meanwhile(monkeypatch, "", lambda: send_control.resume_send(database, str(send_id), gate=False))
    advance_sends(database, conf)
    assert (only(database).send.state, only(database).send.waiting_reason) == ("holding", "")
    advance_sends(database, conf)
    assert only(database).send.state == "sending"


def test_a_send_that_another_scheduler_started_is_not_held_back(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(database, conf, 5, gate=True)
    start = "UPDATE sends SET state = 'sending', started_at = now()"
    meanwhile(monkeypatch, "", lambda: run(database, start))
    advance_sends(database, conf)
    assert (only(database).send.state, only(database).send.waiting_reason, only(database).send.deferred_until) == (
        "sending",
        "",
        None,
    )


def test_a_send_that_was_moved_while_its_page_was_fetched_waits_for_its_new_time(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(database, conf, 5, gate=True)
    move = "UPDATE sends SET due_at = now() + interval '1 hour'"
    meanwhile(monkeypatch, "", lambda: run(database, move))
    advance_sends(database, conf)
    assert (only(database).send.state, only(database).send.deferred_until) == ("holding", None)
    assert only(database).send.due_at - only(database).send.created_at > timedelta(minutes=50)
