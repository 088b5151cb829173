"""``postmerge fence``: whether this database may send."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.core.settings import Settings
from mailer.flows.sending import fence as flow
from mailer.flows.sending.fence import Standing


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def fence(context: click.Context, json: bool) -> None:
    """Show whether the database matches its fence file. If it does not, nothing is sent.

    Examples: postmerge fence; postmerge fence accept
    """
    if context.invoked_subcommand is None:
        settings = load_settings()
        _show(settings, flow.look(open_database(settings), settings), json)


@fence.command()
@as_json
def accept(json: bool) -> None:
    """Accept this database as the live one, after a restore or on a new machine.

    Example: postmerge fence accept
    """
    settings = load_settings()
    _show(settings, flow.accept(open_database(settings), settings), json)


def _show(settings: Settings, found: Standing, json: bool) -> None:
    facts = _facts(settings, found)
    if json:
        return print_json(facts)
    if not settings.fence_folder:
        return out.print("The fence is off on this machine (POSTMERGE_FENCE=off).")
    if found.mark is None:
        return out.print("No fence yet. The first publish or `postmerge fence accept` creates it.")
    outside = "none" if found.outside is None else f"epoch {found.outside}"
    out.print(f"database    epoch {found.mark.epoch}, ledger {found.mark.id}")
    out.print(Text(f"fence file  {outside}, in {settings.fence_folder}"), soft_wrap=True)
    out.print(
        Text(found.trouble or "They match: this database may send.", style="red" if found.trouble else ""), soft_wrap=True
    )


def _facts(settings: Settings, found: Standing) -> dict[str, Any]:
    return {
        "ledger": found.mark.id if found.mark else None,
        "epoch": found.mark.epoch if found.mark else None,
        "outside": found.outside,
        "folder": str(settings.fence_folder or ""),
        "agree": not found.trouble,
        "trouble": found.trouble,
    }
