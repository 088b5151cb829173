"""Shell completion of keys: of the issues in the content folder, and of the sends in the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from mailer.commands.common import load_settings, open_database
from mailer.core.settings import Settings

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., object])
_ID = re.compile(r"^Id:[ \t]*(\S.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_MAX_SEARCHED_BYTES = 4096  # of a file, searched for its key


def complete_issue(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete an issue's key, or its path if a path was begun. Says nothing where something is wrong."""
    try:
        found = _list_issues(load_settings(), "/" in incomplete)
        return sorted({one for one in found if one.startswith(incomplete)}, reverse=True)
    except Exception:
        return []


def complete_send(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the key of an issue that was sent or waits. Says nothing where something is wrong."""
    from mailer.flows.sending.send_status import list_sent_keys

    try:
        return [key for key in list_sent_keys(open_database(load_settings())) if key.startswith(incomplete)]
    except Exception:
        return []


def send_argument(required: bool = True) -> Callable[[_COMMAND], _COMMAND]:
    """Return the decorator for the argument SEND, which is completed."""
    more: dict[str, Any] = {} if required else {"default": ""}
    return click.argument("send", required=required, shell_complete=complete_send, **more)


def _list_issues(settings: Settings, as_paths: bool) -> Iterator[str]:
    for path in settings.content.rglob("*.md"):
        yield str(path) if as_paths else _find_key(path)


def _find_key(path: Path) -> str:
    with path.open("rb") as file:
        found = _ID.search(file.read(_MAX_SEARCHED_BYTES).decode("utf-8", "replace"))
    return found[1] if found else path.stem
