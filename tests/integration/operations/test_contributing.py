"""CONTRIBUTING.md tells the truth: its SQL runs on the schema; the commands and paths that it and the ADRs name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from mailer.cli import cli
from mailer.core.db import Database
from tests.conftest import ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
STATEMENTS = [
    statement.strip()
    for block in re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
    for statement in block.split(";")
    if statement.strip()
]


def test_each_statement_of_the_guide_runs_on_the_schema(database: Database) -> None:
    assert len(STATEMENTS) >= 5
    with database.transaction() as tx:
        for statement in STATEMENTS:
            assert statement.startswith("SELECT ")
            assert tx.all(statement) == []


def _commands() -> Iterator[tuple[str, list[str]]]:
    for line in re.findall(r"(?:^\$ |`)(postmerge [^`\n#]+)", GUIDE, re.MULTILINE):
        _, name, *words = line.split()
        yield name, [word for word in words if word.startswith("--")]


@pytest.mark.parametrize(("name", "options"), [one for one in _commands() if not one[0].startswith("--")])
def test_each_command_of_the_guide_exists_with_its_options(name: str, options: list[str]) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert set(options) <= known


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", *(f"docs/adr/{one.name}" for one in ADRS)])
def test_each_path_that_a_document_names_exists(page: str) -> None:
    named = re.findall(r"`((?:mailer|api|tests|docs|bench)/[\w/.-]+)`", (ROOT / page).read_text(encoding="utf-8"))
    assert [path for path in named if "NNNN" not in path and not (ROOT / path).exists()] == []
