"""Shared by all commands: consoles, options, settings, the database, stop signals."""

from __future__ import annotations

import json as jsonlib
import re
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import click
from rich.console import Console

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Unavailable
from mailer.core.migrate import need_current
from mailer.core.settings import Settings, load

# Addresses, tags, titles and errors come from outside, so markup is off. Colours are set with ``Text`` or ``style``.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

_START_TIMEOUT, _START_PAUSE = 60.0, 0.5  # seconds
_STARTING = re.compile("database system is (starting up|shutting down|in recovery|not yet accepting)")

as_json = click.option("--json", "json", is_flag=True, help="Print JSON.")


def load_settings(process: str = "") -> Settings:
    """Settings from the environment; a long-running ``process`` uses their log level, a command logs only errors."""
    settings = load()
    log.configure(settings.log_level if process else "error", settings.sentry_dsn, process)
    return settings


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
        raise BadInput("REDIS_URL is not set: set it to the URL of Redis or Valkey, or use `make run`, which starts its own.")


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
        threading.Thread(target=_at_eof, args=(stopping,), daemon=True).start()
    return stopping


def _at_eof(stopping: threading.Event) -> None:
    sys.stdin.read()
    stopping.set()
