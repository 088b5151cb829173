"""``postmerge fence``: whether this database may send."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.core.settings import Settings
from mailer.flows.sending.fence import FenceStatus, accept_database, read_fence


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def fence(context: click.Context, json: bool) -> None:
    """Show whether the database matches its fence file. If it does not, nothing is sent.

    Examples: postmerge fence; postmerge fence accept
    """
    if context.invoked_subcommand is None:
        settings = load_settings()
        _show(settings, read_fence(open_database(settings), settings), json)


@fence.command()
@as_json
def accept(json: bool) -> None:
    """Accept this database as the live one, after a restore or on a new machine.

    Example: postmerge fence accept
    """
    settings = load_settings()
    _show(settings, accept_database(open_database(settings), settings), json)


def _show(settings: Settings, found: FenceStatus, json: bool) -> None:
    facts = _facts(settings, found)
    if json:
        return print_json(facts)
    if not settings.fence_folder:
        return out.print("The fence is off on this machine (POSTMERGE_FENCE=off).")
    if found.row is None:
        return out.print("No fence yet. The first publish or `postmerge fence accept` creates it.")
    outside = "none" if found.file_epoch is None else f"epoch {found.file_epoch}"
    out.print(f"database    epoch {found.row.epoch}, ledger {found.row.id}")
    out.print(Text(f"fence file  {outside}, in {settings.fence_folder}"), soft_wrap=True)
    out.print(
        Text(found.problem or "They match: this database may send.", style="red" if found.problem else ""), soft_wrap=True
    )


def _facts(settings: Settings, found: FenceStatus) -> dict[str, Any]:
    return {
        "ledger": found.row.id if found.row else None,
        "epoch": found.row.epoch if found.row else None,
        "outside": found.file_epoch,
        "folder": str(settings.fence_folder or ""),
        "agree": not found.problem,
        "trouble": found.problem,
    }
