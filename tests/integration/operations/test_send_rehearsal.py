from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer.cli import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import environment
from mailer.flows.operations import send_rehearsal
from mailer.flows.operations.send_rehearsal import rehearse_send
from mailer.flows.sending.send_status import list_send_statuses
from tests.factories import add_subscribers, edition, old, settings


def test_a_rehearsal_emails_made_up_subscribers_and_does_not_touch_the_real_ledger(database: Database, tmp_path: Path) -> None:
    add_subscribers(database, 7)
    before, told = dict(os.environ), []
    size = send_rehearsal.count_audience(database, edition())
    found = rehearse_send(settings(tmp_path), edition(), 250, progress=lambda done, of: told.append((done, of)))
    assert size == 7
    assert (found.subscribers, found.accepted, found.twice, found.missing, found.broken) == (250, 250, 0, 0, {})
    assert found.uncertain == found.responses_lost
    assert found.passed
    assert found.largest > found.html > 300
    assert told[-1] == (250, 250)
    assert list_send_statuses(database) == []
    assert dict(os.environ) == before


def test_what_breaks_is_named(tmp_path: Path) -> None:
    found = rehearse_send(
        settings(tmp_path), edition(), 40, faults=[{"kind": "reject", "next": 3}, {"kind": "error_after", "next": 2}]
    )
    assert not found.passed
    assert found.accepted == 37
    assert (found.uncertain, found.responses_lost, found.twice, found.missing) == (2, 2, 0, 0)
    [(why, number)] = found.broken.items()
    assert number == 3
    assert "SES refused the message" in why


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda conf: send_rehearsal.find_edition([old()], "nothing"), "No issue has the key or path 'nothing'"),
        (lambda conf: rehearse_send(conf, edition(), 0), "at least one subscriber"),
    ],
)
def test_bad_input(tmp_path: Path, call: object, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        call(settings(tmp_path))  # type: ignore[operator]


def test_an_audience_of_nobody_is_bad_input(database: Database) -> None:
    with pytest.raises(BadInput, match="is empty: add subscribers, or give `--subscribers`"):
        send_rehearsal.count_audience(database, edition())


def test_the_command_builds_asks_the_ledger_and_prints_facts(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_subscribers(database, 12)
    issues = tmp_path / "content" / "issues"
    issues.mkdir(parents=True)
    (issues / "2026-11-24-hello.md").write_text("Title: Hello\nDate: 2026-11-24\n\nA first line.\n")
    conf = settings(tmp_path, database_url, content=tmp_path / "content")
    for name, value in environment(conf).items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(cli, ["rehearse", "2026-11-24-hello", "--no-faults", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["subscribers"], facts["accepted"], facts["passed"], facts["account"]) == (12, 12, True, None)
