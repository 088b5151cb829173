"""The generated pages of docs/reference say what the code says, and nothing is left out."""

from __future__ import annotations

import click
import pytest

from bench import reference
from mailer.cli import cli

PAGES = reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "run `python -m bench.reference`"


def test_every_command_is_on_its_page_with_an_example() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        section = PAGES["commands.md"].partition(f"## `postmerge {name}`\n")[2].partition("\n## ")[0]
        assert "```text\npostmerge " in section, name
