"""Shared by all commands: consoles, options, settings, the database, stop signals."""

from __future__ import annotations

import fcntl
import json as jsonlib
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from mailer.core import i18n, log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Unavailable
from mailer.core.i18n import local_time
from mailer.core.migrate import need_current
from mailer.core.setting_values import read_env_file
from mailer.core.settings import Settings, load


class _WholeLines(Console):
    """A console that breaks no line of a sentence in a pipe or a file, however long."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **more: Any) -> None:
        """Print as ``Console`` does; tables keep their own width."""
        is_prose = all(isinstance(one, (str, Text)) for one in objects)
        whole = is_prose and not self.is_terminal if soft_wrap is None else soft_wrap
        super().print(*objects, soft_wrap=whole, **more)


# Addresses, tags, titles and errors come from outside, so markup is off. Colours are set with ``Text`` or ``style``.
out = _WholeLines(highlight=False, markup=False, emoji=False)
err = _WholeLines(stderr=True, highlight=False, markup=False, emoji=False)

RUNNING_HOME, RUNNING_SETTINGS = Path(".postmerge/default"), "settings"  # of `postmerge up` in this folder
_START_TIMEOUT, _START_PAUSE = 60.0, 0.5  # seconds
_STARTING = re.compile("database system is (starting up|shutting down|in recovery|not yet accepting)")

assume_yes = click.option("--yes", is_flag=True, help="Skip the confirmation prompt.")
as_json = click.option("--json", "json", is_flag=True, help="Print JSON.")


MAX_SUMMARY_CHARS = 200  # of a command in a list; longer than a sentence, so that none is cut


class Group(click.Group):
    """A group whose list of commands shows whole sentences, wrapped."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their first sentences."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(MAX_SUMMARY_CHARS)) for name, one in found if one and not one.hidden]
            )


def load_settings(process: str = "") -> Settings:
    """Settings from the environment; a long-running ``process`` uses their log level, a command logs only errors.

    A command without DATABASE_URL uses the settings of the `postmerge up` that runs in this folder, if one does.
    """
    settings = load()
    if not process and not settings.database_url and (running := load_running()):
        settings = load(running=running)
    use_site(settings)
    log.configure(settings.log_level if process else "error", settings.sentry_dsn, process)
    return settings


def use_site(settings: Settings) -> None:
    """Show texts and times as the newsletter has them: with its own words, in its zone."""
    i18n.use_words(settings.words)
    local_time.use_zone(lambda: _find_zone(settings))


def _find_zone(settings: Settings) -> str:
    from mailer.editions import site_zone  # imports Pelican, which most commands don't need

    return site_zone(settings.config)


def load_running() -> dict[str, str]:
    """The settings of the `postmerge up` that runs in this folder; empty if none does."""
    path = RUNNING_HOME / RUNNING_SETTINGS
    try:
        with (RUNNING_HOME / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_env_file(path) if path.is_file() else {}
    except OSError:
        pass
    return {}


def open_database(settings: Settings) -> Database:
    """Open the database, whose schema must be current. Waits while Postgres is starting. Raises Refused or Unavailable."""
    database = Database(settings.need_database(), keep=settings.connections)
    until = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            need_current(database)
            return database
        except Unavailable as error:
            if time.monotonic() > until or not _STARTING.search(str(error)):
                raise
            time.sleep(_START_PAUSE)


def need_redis(settings: Settings) -> None:
    """Raise BadInput when REDIS_URL is not set."""
    if not settings.redis_url:
        raise BadInput(
            "REDIS_URL is not set: set it to the URL of Redis or Valkey, or use `postmerge up`, which starts its own."
        )


def confirm(question: str, yes: bool) -> None:
    """Ask before something that cannot be undone, unless ``yes``. Raises BadInput where nobody can answer."""
    if yes:
        return
    if not has_terminal():
        raise BadInput(f"Nothing was changed: this asks {question!r}, and there is no terminal to answer. Add --yes.")
    click.confirm(question, abort=True, err=True)


def confirm_word(warning: str, word: str, yes: bool) -> None:
    """Ask to type a word before something dangerous, unless ``yes``. Raises BadInput if nobody can, or another is typed."""
    if yes:
        return
    if not has_terminal():
        raise BadInput(f"Nothing was changed: {warning} There is no terminal to confirm it. Add --yes.")
    if click.prompt(f"{warning} Type {word} to continue", err=True) != word:
        raise BadInput("Nothing was changed.")


def has_terminal() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty()


def print_json(facts: Any) -> None:
    """Print data as JSON."""
    click.echo(jsonlib.dumps(facts, indent=2, default=str, ensure_ascii=False))


def stop_signal(until_eof: bool) -> threading.Event:
    """Return an event that is set by SIGTERM or SIGINT or, with ``until_eof``, when standard input closes."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if until_eof:
        threading.Thread(target=_terminate_at_eof, daemon=True).start()
    return stopping


def _terminate_at_eof() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
