"""`postmerge plan`, `publish` and `sequences`: what operators read about sequences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer.cli import cli
from mailer.core.db import Database
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from tests.factories import add_subscribers, settings
from tests.integration.editions.test_sequence_files import RULES, STEPS, build
from tests.sequences import join


@pytest.fixture
def site(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built site with a sequence, and the environment for commands in it."""
    build(tmp_path, STEPS)
    environ = {
        "DATABASE_URL": database_url, "POSTMERGE_SENDER": "The Letter <letter@example.org>", "COLUMNS": "200",
        "POSTMERGE_POSTAL_ADDRESS": "1 Example Street", "POSTMERGE_SECRET": "0123456789abcdef0123456789abcdef",
        "POSTMERGE_FENCE": "off",
    }  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*args: str) -> str:
    """What a command prints; it has to succeed."""
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.output
    return result.output


def test_plan_says_what_a_merge_does_to_those_in_a_sequence(site: Path, database: Database) -> None:
    add_subscribers(database, 3)
    shown = call("plan", "--built")
    assert "sequence welcome: start; 0 subscribers in it; the existing list gets nothing\n" in shown
    assert "  more: add; due 3 days after the step before\n" in shown
    call("publish", "--built")
    join(database, "ann")
    queue_due_steps(database, settings(site))
    build(site, {"02-more.md": "Title: More\nAfter: 5d\n\nAnother text.\n"}, RULES + "backfill = true\n")
    shown = call("plan", "--built")
    assert "sequence welcome: change; 1 subscriber in it; Backfill: 3 existing subscribers would be enrolled\n" in shown
    assert (
        "  more: edit; 1 subscriber waits for it, and it is now due 5 days after the step before; new text for those who have"
        " not had it; the 0 who had it are not emailed again\n" in shown
    )
    facts = json.loads(call("plan", "--built", "--json"))["sequences"]
    assert [(one["name"], one["action"], one["enrolled"], one["backfill"]) for one in facts] == [("welcome", "change", 1, 3)]


def test_sequences_lists_steps_and_stops_one(site: Path, database: Database) -> None:
    assert call("sequences").startswith("No sequences yet")
    call("publish", "--built")
    join(database, "ann", "ben")
    queue_due_steps(database, settings(site))
    shown = call("sequences")
    assert "welcome  running, by confirmed: 2 subscribers in it\n" in shown
    assert "01 hello (at once): 0 waiting, 2 queued so far\n" in shown
    assert "02 more (3 days): 2 waiting, 0 queued so far\n" in shown
    call("sequences", "stop", "welcome")
    join(database, "cat")
    assert queue_due_steps(database, settings(site)) == 0
    [facts] = json.loads(call("sequences", "--json"))
    assert (facts["state"], facts["enrolled"]) == ("stopped", 2), "a stopped sequence enrols nobody"
    call("publish", "--built")
    assert "stopped" in call("sequences"), "publishing does not resume it"
    assert call("sequences", "resume", "welcome") == "Sequence 'welcome' runs.\n"
    assert "There is no sequence 'x'" in CliRunner().invoke(cli, ["sequences", "stop", "x"]).exception.args[0]  # type: ignore[union-attr]
