"""`postmerge plan`, `publish` and `sequences`: what operators read about sequences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer.cli import cli
from mailer.commands.publishing import remote_publish
from mailer.core.db import Database
from mailer.core.edition import Finding
from mailer.flows.operations.api_keys import create_key
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from mailer.workbench.review import Change, Review, render_review
from tests import web
from tests.factories import add_subscribers, old, settings
from tests.integration.editions.test_sequence_files import RULES, STEPS, build
from tests.sequences import join, merge, steps


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
    assert "sequence welcome: start; subscribers in it: 0; the existing list gets nothing\n" in shown
    assert "  more: add; due 3 days after the step before\n" in shown
    call("publish", "--built")
    join(database, "ann")
    queue_due_steps(database, settings(site))
    build(site, {"02-more.md": "Title: More\nAfter: 5d\n\nAnother text.\n"}, RULES + "backfill = true\n")
    shown = call("plan", "--built")
    assert "sequence welcome: change; subscribers in it: 1; Backfill: existing subscribers that are enrolled: 3\n" in shown
    assert (
        "  more: edit; now due 5 days after the step before; waiting for it: 1; new text for those who have not had it;"
        " had it, and are not emailed again: 0\n" in shown
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


def test_check_names_what_is_wrong_in_a_sequence(site: Path) -> None:
    assert "[sequence]" not in CliRunner().invoke(cli, ["check"]).output
    (site / "content/sequences/welcome/02-more.md").rename(site / "content/sequences/welcome/03-more.md")
    (site / "content/sequences/welcome/sequence.toml").write_text("")
    result = CliRunner().invoke(cli, ["check", "content/sequences/welcome/01-hello.md"])
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.endswith("[sequence]")]
    assert [line.split(": error: ")[0] for line in lines] == [
        "content/sequences/welcome/03-more.md:1:1", "content/sequences/welcome/sequence.toml:1:1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "told", "enrolled"),
    [("admin", "subscribers in it: 1", 1), ("publish", "subscribers in it: not shown to this key", None),
     ("review", "subscribers in it: fewer than 50", None)],
)  # fmt: skip
def test_a_server_says_what_a_merge_does_as_far_as_the_key_may_know(
    database: Database, tmp_path: Path, scope: str, told: str, enrolled: int | None
) -> None:
    newsletter = web.make(tmp_path, database)
    merge(database, newsletter.settings, [old(), *steps("hello", "more")])
    join(database, "ann")
    changed = [old(), *steps("hello", "more", text="mended")]
    with web.served(newsletter.app()) as url:
        server = remote_publish.Server(url, create_key(database, "ci", scope))
        order, _ = remote_publish.hand_over(server, changed, "", (), False)
        facts = remote_publish.plan(server, order, [])
        if scope != "review":
            remote_publish.publish(server, order, [])
            assert remote_publish.plan(server, order, [])["sequences"] == []
    assert facts["sequences"][0]["enrolled"] == enrolled
    assert remote_publish.planned(facts)[0] == f"sequence welcome: change; {told}"
    wrong = Finding("error", "content/sequences/course/sequence.toml", 1, "There is no `trigger`.")
    change = Change("content/sequences/welcome/01-hello.md", changed[1], None)
    made = Review(
        [change], [], remote_publish.make_outlook(facts, changed), "", "UTC", newsletter.settings.hold, "main",
        sequence_errors=[wrong],
    )  # fmt: skip
    report = render_review(made)
    assert "is a step of the sequence `welcome`, sent to each subscriber when it is due." in report
    assert f"- sequence welcome: change; {told}\n  - hello: edit; new text for those who have not had it;" in report
    assert "Until then the sequence stays as it is." in report
