"""Commands that cannot be undone ask first, and want ``--yes`` where nobody can answer."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mailer import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.operations import api_keys
from mailer.flows.subscribers import segment_admin, signup
from tests.web import Web, make

IRREVERSIBLE = (
    ("subscribers", "erase", "ada@example.org"),
    ("subscribers", "drop", "--all"),
    ("subscribers", "release", "--all"),
    ("segments", "remove", "early"),
    ("keys", "revoke", "old"),
    ("paid", "refund", "ada@example.org"),
    ("paid", "pause-all", "--until", "2099-01-01"),
    ("paid", "resume-all"),
)


@pytest.fixture
def newsletter(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    made = make(tmp_path, database)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("POSTMERGE_SECRET", made.settings.secret)
    signup.add_subscriber(database, made.settings, "ada@example.org", [], confirmed=True)
    segment_admin.define_segment(database, "early", "everyone", None)
    for name in ("old", "new"):
        api_keys.create_key(database, name, "admin", 0)
    return made


@pytest.mark.parametrize("words", IRREVERSIBLE, ids=" ".join)
def test_without_a_terminal_nothing_happens_until_yes_is_added(newsletter: Web, words: tuple[str, ...]) -> None:
    before = newsletter.dump()
    refused = CliRunner().invoke(cli.cli, list(words))
    assert isinstance(refused.exception, BadInput)
    assert str(refused.exception).startswith("Nothing was changed: this asks ")
    assert str(refused.exception).endswith("Add --yes.")
    assert newsletter.dump() == before


def test_with_yes_it_is_done_and_at_a_terminal_no_is_heeded(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    before = newsletter.dump()
    monkeypatch.setattr("mailer.commands.common.has_terminal", lambda: True)
    asked = CliRunner().invoke(cli.cli, ["segments", "remove", "early"], input="n\n")
    assert (asked.exit_code, newsletter.dump()) == (1, before)
    assert "Remove the segment 'early' and its rule?" in asked.output
    done = CliRunner().invoke(cli.cli, ["subscribers", "erase", "ada@example.org", "--yes"])
    assert (done.exit_code, newsletter.state("ada@example.org")) == (0, None), done.output


def test_every_command_that_cannot_be_undone_is_known_here() -> None:
    """A new command with such a name asks, too, or is listed with what guards it."""
    guarded = {"stop", "cancel", "resume", "paid take-back", "fence accept", "webhooks replay",
               "sequences stop", "sequences resume", "warmup stop"}  # fmt: skip  # undone by other commands
    names = {"erase", "drop", "release", "remove", "revoke", "refund", "delete", "accept", "replay", "take-back", "stop",
             "cancel", "resume", "pause-all", "resume-all"}  # fmt: skip
    found = {name for name in _list_commands(cli.cli, "") if name.split()[-1] in names}
    assert found == guarded | {" ".join(words[:2]) for words in IRREVERSIBLE}


def _list_commands(group: click.Group, before: str) -> list[str]:
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        whole = f"{before} {name}".strip()
        found += [whole, *(_list_commands(command, whole) if isinstance(command, click.Group) else [])]
    return found
