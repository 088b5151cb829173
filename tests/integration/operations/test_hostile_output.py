"""Whatever comes from outside is printed as it is: markup of the terminal library and emoji codes in it mean nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer.cli import cli, main
from mailer.commands import cli_output, common
from mailer.commands.billing import stripe
from mailer.commands.cli_findings import show_findings
from mailer.commands.operations import rehearse
from mailer.commands.publishing import build_steps
from mailer.core.db import Database
from mailer.core.edition import Finding, SendIntent
from mailer.flows.billing.stripe_setup import SetupChange, SetupPlan
from mailer.flows.operations.send_rehearsal import RehearsalResult
from mailer.flows.publishing import publish
from mailer.flows.subscribers import segment_admin
from mailer.store.events import rejected_events
from mailer.store.transactional import transactional_emails
from mailer.transports import make_transport
from tests import factories

HOSTILE = "[/foo] [red]x[/red] :bomb: [link=x]y"


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.out, "width", 500)


@pytest.fixture
def hostile(database: Database, tmp_path: Path) -> Database:
    """A ledger in which every text that somebody else can write is hostile."""
    settings = factories.settings(tmp_path, database.url)
    factories.add_subscribers(database, 1, (HOSTILE,))
    edition = factories.edition(HOSTILE, subject=HOSTILE, title=HOSTILE)
    request = publish.Request(HOSTILE)
    publish.publish(database, settings, [edition], [], make_transport(settings), request)
    with database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'uncertain', attempts = 1, claimed_at = now(), detail = %(text)s", text=HOSTILE)
        tx.run("UPDATE sends SET state = 'stopped', reason = %(text)s", text=HOSTILE)
        tx.run("INSERT INTO webhooks (url, event_types, secret) VALUES (%(t)s, ARRAY[%(t)s], '')", t=HOSTILE)
        tx.run("INSERT INTO webhook_messages (webhook_id, type, body) VALUES (1, %(t)s, '{}')", t=HOSTILE)
        tx.run("INSERT INTO webhook_attempts (message_id, milliseconds, error) VALUES (1, 1, %(t)s)", t=HOSTILE)
        rejected_events.add(tx, "queue", HOSTILE, HOSTILE)
        transactional_emails.queue(tx, "confirmation", 1, facts={"held": HOSTILE}, held=True)
    segment_admin.define_segment(database, HOSTILE, "everyone")
    return database


@pytest.mark.parametrize(
    "words",
    [
        ["subscribers", "list"],
        ["subscribers", "show", "subscriber-1@example.org"],
        ["subscribers", "held"],
        ["segments"],
        ["webhooks", "list"],
        ["webhooks", "attempts", "1"],
        ["events", "--unread"],
        ["status"],
        ["report", HOSTILE],
        ["uncertain"],
        ["resume", HOSTILE, "--yes"],
        ["cancel", HOSTILE],
    ],
    ids=lambda words: words[0],
)
def test_every_command_prints_hostile_values_as_they_are(hostile: Database, words: list[str]) -> None:
    done = CliRunner().invoke(cli, words, env={"DATABASE_URL": hostile.url}, catch_exceptions=False)
    assert (done.exit_code, HOSTILE in done.output) == (0, True), done.output


def test_a_plan_and_what_publishing_did_print_hostile_values_as_they_are(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = factories.settings(tmp_path, database.url)
    factories.add_subscribers(database, 1)
    edition = factories.edition(HOSTILE, subject=HOSTILE, send=SendIntent.YES)
    found, request = [factories.old(), edition], publish.Request(HOSTILE)
    cli_output.plan(
        common.out, publish.preview_publish(database, settings, found, [], make_transport(settings), request), everything=True
    )
    assert capsys.readouterr().out.count(HOSTILE) >= 2
    cli_output.published(common.out, publish.publish(database, settings, found, [], make_transport(settings), request))
    assert capsys.readouterr().out.count(HOSTILE) == 2


def test_findings_and_rehearsals_and_plans_at_stripe_print_hostile_values_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_findings(common.out, [Finding("error", f"{HOSTILE}.md", 1, HOSTILE)])
    found = RehearsalResult(HOSTILE, HOSTILE, 1, 1, 0, 0, 0, 0, 0, 1.0, 1, 999_999, {HOSTILE: 1}, {HOSTILE: 1})
    rehearse._print_result(found, None)
    stripe._show_set_up(SetupPlan(HOSTILE, True, (SetupChange("make", HOSTILE, HOSTILE),)))
    assert capsys.readouterr().out.count(HOSTILE) == 8


def test_an_error_prints_hostile_values_as_they_are(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setattr(sys, "argv", ["postmerge", "status", HOSTILE])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith(f"error: There is no send {HOSTILE!r}")


def test_the_line_of_progress_shows_a_hostile_file_name_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown: list[str] = []

    def build(_options: object, progress: object = None) -> None:
        assert callable(progress)
        progress(HOSTILE)
        shown.append(str(line.renderable.text))

    line = common.err.status("")
    monkeypatch.setattr(common.err, "_force_terminal", True)
    monkeypatch.setattr(common.err, "status", lambda _text: line)
    monkeypatch.setattr("mailer.editions.build", build)
    build_steps.build_site(factories.settings(tmp_path))
    assert shown == [HOSTILE]
