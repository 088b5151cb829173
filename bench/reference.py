"""Make the pages of ``docs/reference`` that say what the code says: settings, front matter, commands, checks,
outcomes of emails, retention.

.venv/bin/python -m bench.reference
.venv/bin/python -m bench.reference --check
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mailer.checks import CHECKS
from mailer.cli import cli
from mailer.editions.source.fields import FIELDS
from mailer.exchange.email_outcomes import BOUNCES, COMPLAINTS, EFFECTS, SUPPRESSED_COMPLAINTS, EventKind
from mailer.store.operations.table_retention import RULES

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
_MADE = "<!-- Made by `python -m bench.reference`: change the code, then run it again. -->"
_COMPLETION = r"""
## Completion

The Tab key completes commands, options, and the keys and paths of issues once your shell's startup file has this line:

| shell | file | line |
|---|---|---|
| bash | `~/.bashrc` | `eval "$(_POSTMERGE_COMPLETE=bash_source postmerge)"` |
| zsh | `~/.zshrc` | `eval "$(_POSTMERGE_COMPLETE=zsh_source postmerge)"` |
| fish | `~/.config/fish/completions/postmerge.fish` | `_POSTMERGE_COMPLETE=fish_source postmerge \| source` |
"""
_KINDS = {
    "issue": "An issue",
    "step": "A step of a sequence",
    "paid": "Text for paid subscribers",
    "audio": "Recordings",
    "Pelican": "Pelican's own",
}


def pages() -> dict[str, str]:
    """The text of each page, by its file's name."""
    return {
        "settings.md": _page("Settings", _settings()),
        "front-matter.md": _page("Front matter", _front_matter()),
        "commands.md": _page("Commands", _commands()),
        "checks.md": _page("Checks", _checks()),
        "email-outcomes.md": _page("Outcomes of emails", _outcomes()),
        "retention.md": _page("How long data is kept", _retention()),
    }


def _page(title: str, lines: Iterator[str]) -> str:
    return "\n".join([f"# {title}", "", _MADE, "", *lines]).rstrip() + "\n"


def _settings() -> Iterator[str]:
    """The variables of ``.env.example`` with its comments."""
    yield "Settings come from the environment, and in development from `.env`: see [.env.example](../../.env.example)."
    yield "What is on or off also takes 1, true and yes, or 0, false and no."
    yield ""
    yield "| variable | what it does | default |"
    yield "|---|---|---|"
    said: list[str] = []
    names: list[str] = []
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").split("\n"):
        if line.startswith("#"):
            if names:
                said, names = [], []
            said.append(line[1:].strip())
        elif match := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            yield f"| `{match[1]}` | {_cell(' '.join(said))} | {f'`{match[2]}`' if match[2] else ''} |"
            names.append(match[1])
        else:
            said, names = [], []


def _front_matter() -> Iterator[str]:
    yield "The fields at the head of an issue. Names are read in any case; a misspelt one is pointed out with its line."
    for kind, title in _KINDS.items():
        yield from ("", f"## {title}", "", "| field | what it does | without it |", "|---|---|---|")
        yield from (f"| `{one.shown}:` | {_cell(one.does)} | {_cell(one.without)} |" for one in FIELDS if one.kind == kind)


def _outcomes() -> Iterator[str]:
    yield "What SES reports about an email, and what each report does. In whatever order they arrive, an email has the state of"
    yield "the report furthest down in this table."
    yield from ("", "| report | state | meaning | suppression | circuit breaker |", "|---|---|---|---|---|")
    for kind, effect in EFFECTS.items():
        state = _code(effect.state, "unchanged")
        yield f"| {kind} | {state} | {effect.meaning} | {effect.suppression} | {effect.breaker} |"
    yield from ("", "## Bounces", "", "| type | subtype | report |", "|---|---|---|")
    yield from (f"| `{type_}` | {_code(subtype, 'any other')} | {kind} |" for (type_, subtype), kind in BOUNCES.items())
    yield ""
    yield "A `Transient` bounce with the subtype `General` is an automatic reply if it has no delivery status notification."
    yield from ("", "## Complaints", "", "| type of feedback | report |", "|---|---|")
    yield from (f"| {_code(feedback, 'any other, or none')} | {kind} |" for feedback, kind in COMPLAINTS.items())
    subtypes = ", ".join(f"`{subtype}`" for subtype in SUPPRESSED_COMPLAINTS)
    yield ""
    yield f"With one of the subtypes {subtypes}, a complaint is a {EventKind.PROVIDER_SUPPRESSION}, whatever the feedback."


def _code(text: str, otherwise: str) -> str:
    return f"`{text}`" if text else otherwise


def _commands() -> Iterator[str]:
    yield "Every command exits with 0 when it is done, 1 when it refused or failed, and 2 for wrong usage."
    yield from _COMPLETION.split("\n")
    context = click.Context(cli, info_name="postmerge")
    for name in cli.list_commands(context):
        if command := cli.get_command(context, name):
            yield from _command(command, context, name, "##")


def _command(command: click.Command, parent: click.Context, name: str, mark: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    text, *examples = re.split(r"\s+Examples?:\s+", command.help or "", maxsplit=1)
    yield from ("", f"{mark} `{context.command_path}`", "", " ".join(text.split()))
    options = [record for one in command.params if (record := one.get_help_record(context))]
    if options:
        yield from ("", "| option | what it does |", "|---|---|")
        yield from (f"| `{_cell(names)}` | {_cell(' '.join(said.split()))} |" for names, said in options)
    for found in examples:
        yield from ("", "```text", *re.split(r";\s+", " ".join(found.split())), "```")
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            if found := command.get_command(context, below):
                yield from _command(found, context, below, "###")


def _checks() -> Iterator[str]:
    yield "What `postmerge check` finds. Errors end it with exit code 1, and keep an issue from being sent."
    yield "In an issue that says `Send: no`, as each imported one does, faults of its text are warnings."
    yield from ("", "| id | level | what it finds |", "|---|---|---|")
    yield from (f"| `{one.id}` | {one.level} | {_cell(one.about)} |" for one in CHECKS.values())


def _retention() -> Iterator[str]:
    yield "Every table of the database, and how long its rows are kept. The scheduler deletes old rows in the background."
    yield from ("", "| table | kept |", "|---|---|")
    yield from (f"| `{table}` | {_cell(rule.kept)} |" for table, rule in RULES.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages, or check them."""
    made = pages()
    if "--check" in sys.argv:
        stale = [name for name, text in made.items() if _read(FOLDER / name) != text]
        sys.exit(f"Not up to date: {', '.join(stale)}: run `python -m bench.reference`." if stale else 0)
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    main()
