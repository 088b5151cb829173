"""``postmerge init``: a newsletter in a folder of its own."""

from __future__ import annotations

import contextlib
import locale
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.text import Text

from mailer.commands.common import out
from mailer.commands.plurals import count
from mailer.commands.publishing import scaffold
from mailer.core import settings
from mailer.core.errors import BadInput, PostmergeError

_PLUGIN_LINE = 'PLUGINS = [*PLUGINS, "mailer.editions.plugin"]'


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", default=None, help="The newsletter's name.")
@click.option("--sentence", default=None, help="What it is about, in one sentence.")
@click.option("--language", default=None, metavar="CODE", help="The language of its issues, such as en or pt-BR.")
@click.option("--zone", default=None, help="Its time zone, such as Europe/Berlin.")
@click.option("--sender", default=None, metavar="'NAME <ADDRESS>'", help="The sender of its emails.")
@click.option("--postal-address", default=None, help="The address in the footer of each email, which the law requires.")
@click.option("--site-url", default=None, metavar="URL", help="The address of its web archive.")
@click.option("--ci", type=click.Choice(scaffold.CI_KINDS), default=None, help="Where merging it publishes it.")
@click.option(
    "--pin",
    default="",
    metavar="COMMIT",
    help="The commit or tag of Postmerge that its workflow uses (default: the one this program is from).",
)
@click.option("--yes", is_flag=True, help="Ask nothing: use the proposed value for what is not given.")
def init(
    folder: Path,
    name: str | None,
    sentence: str | None,
    language: str | None,
    zone: str | None,
    sender: str | None,
    postal_address: str | None,
    site_url: str | None,
    ci: str | None,
    pin: str,
    yes: bool,
) -> None:
    """Start a newsletter in FOLDER (default: here), or add what an existing Pelican site lacks. Changes no file that is there.

    Example: postmerge init my-newsletter
    """
    folder = folder.absolute()
    if folder.exists() and not os.access(folder, os.W_OK):
        raise BadInput(f"{folder} cannot be written: choose another folder, or change its permissions. Nothing was changed.")
    with _say_when_stopped():
        ask = _Questions(asks=not yes and sys.stdin.isatty())
        name = ask.value("Name of the newsletter", name, _propose_name(folder), _clean)
        newsletter = scaffold.Newsletter(
            name=name,
            sentence=ask.value("What it is about, in one sentence", sentence, "", _clean_or_empty).rstrip("."),
            language=ask.value("Language", language, _propose_language(), _check_language),
            zone=ask.value("Time zone", zone, _propose_zone(), _check_zone),
            sender=ask.value("Sender of its emails", sender, _propose_sender(name), _check_sender),
            postal_address=ask.value(
                "Postal address for the footer (the law asks for one)", postal_address, "", _clean_or_empty
            ),
            site_url=ask.value("Address of the web archive", site_url, "http://127.0.0.1:8025", _check_url),
            ci=ask.value("Where merging publishes it (github, gitlab, server, none)", ci, "github", _check_ci),
            pin=pin,
        )
        written = scaffold.write_files(folder, newsletter, datetime.now(UTC))
    _make_repository(folder)
    _show(folder, written, newsletter)


@contextlib.contextmanager
def _say_when_stopped() -> Iterator[None]:
    try:
        yield
    except (click.Abort, KeyboardInterrupt):
        out.print("\nStopped. Nothing was changed.")
        raise


class _Questions:
    """Asks for what was not given, and again for what cannot be used; without a terminal it takes the proposal."""

    def __init__(self, asks: bool) -> None:
        self._asks = asks

    def value(self, question: str, given: str | None, proposal: str, check: Callable[[str], str]) -> str:
        """Return what was given, answered or proposed. Raises BadInput for a given value that cannot be used."""
        if given or not self._asks or given == "":
            return check(given or proposal)
        while True:
            answer = click.prompt(question, default=proposal, show_default=bool(proposal))
            try:
                return check(answer)
            except BadInput as error:
                out.print(Text(str(error), "yellow"), soft_wrap=True)


def _clean(text: str) -> str:
    if not (cleaned := _clean_or_empty(text)):
        raise BadInput("The newsletter needs a name: give it with `--name`.")
    return cleaned


def _clean_or_empty(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _check_language(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", text):
        raise BadInput(f"{text!r} is not a language: give a code such as en, de or pt-BR.")
    return text


def _check_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise BadInput(f"{text!r} is not a time zone: give one such as Europe/Berlin, America/New_York or UTC.") from error
    return text


def _check_sender(text: str) -> str:
    return settings.load({"POSTMERGE_SENDER": _clean_or_empty(text)}).sender


def _check_url(text: str) -> str:
    return settings.load({"POSTMERGE_SITE_URL": text.strip()}).site_url


def _check_ci(text: str) -> str:
    if text not in scaffold.CI_KINDS:
        raise BadInput(f"{text!r} is none of {', '.join(scaffold.CI_KINDS)}.")
    return text


def _propose_name(folder: Path) -> str:
    words = re.sub(r"[-_\s]+", " ", folder.name).strip()
    return words[:1].upper() + words[1:] or "My newsletter"


def _propose_language() -> str:
    code = (locale.getlocale()[0] or "").split("_")[0].lower()
    return code if re.fullmatch(r"[a-z]{2,3}", code) and code != "c" else "en"


def _propose_zone() -> str:
    """The machine's zone: TZ, or the file that /etc/localtime names."""
    with_zone = os.environ.get("TZ", "") or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    try:
        return _check_zone(with_zone.removeprefix("Etc/"))
    except BadInput:
        return "UTC"


def _propose_sender(name: str) -> str:
    found = _git("config", "--get", "user.email")
    address = found.stdout.strip() if found else ""
    shown = name.replace('"', "'")
    return f"{shown} <{address if '@' in address else 'newsletter@example.org'}>"


def _git(*words: str) -> subprocess.CompletedProcess[str] | None:
    """Run git; None if it is not installed."""
    if not shutil.which("git"):
        return None
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607


def _make_repository(folder: Path) -> None:
    """Make a git repository, unless the folder is inside one already or git is missing."""
    inside = _git("-C", str(folder), "rev-parse")
    if inside is None:
        out.print(Text("git is not installed: install it, and run `git init` here.", "yellow"))
    elif inside.returncode:
        made = _git("init", "-q", "-b", "main", str(folder))
        if made and made.returncode:
            raise PostmergeError(f"The files are written, but `git init` failed: {made.stderr.strip()}")


def _show(folder: Path, written: scaffold.Written, newsletter: scaffold.Newsletter) -> None:
    for name in written.new:
        out.print(Text.assemble(("+ ", "green"), name))
    if written.kept:
        out.print(Text(f"{count(len(written.kept), 'file')} kept as before: {', '.join(written.kept)}."), soft_wrap=True)
    for line in _list_advice(folder, written, newsletter):
        out.print(Text(line, "yellow"), soft_wrap=True)
    if not written.new:
        out.print("Nothing was missing, and nothing was changed.")
        return
    here = folder == Path.cwd()
    out.print("\nNext:")
    steps = [] if here else [f"cd {_shown(folder)}"]
    for step in [*steps, "postmerge up", 'postmerge new "Your first title"', *(["git add ."] if here else [])]:
        out.print(Text(f"  {step}", "bold"))


def _list_advice(folder: Path, written: scaffold.Written, newsletter: scaffold.Newsletter) -> list[str]:
    advice = []
    config = folder / "pelicanconf.py"
    if "pelicanconf.py" in written.kept and "mailer." not in config.read_text("utf-8", errors="replace"):
        advice.append(f"Add this line at the end of pelicanconf.py, so that its issues can be sent:\n  {_PLUGIN_LINE}")
    if missing := scaffold.list_missing_ignores(folder):
        advice.append(f"Add to .gitignore, which keeps secrets and builds out of git: {', '.join(missing)}")
    if not newsletter.postal_address and ".env" in written.new:
        advice.append("No postal address was given: before the first send, put it into .env and the workflow.")
    return advice


def _shown(folder: Path) -> str:
    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))
