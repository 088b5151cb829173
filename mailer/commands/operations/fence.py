"""``postmerge fence``: whether this database is the ledger that may mail."""

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
    """Show the mark in the database and its twin outside; while they disagree nothing is mailed.

    Examples: postmerge fence; postmerge fence accept
    """
    if context.invoked_subcommand is None:
        settings = load_settings()
        _show(settings, flow.look(open_database(settings), settings), json)


@fence.command()
@as_json
def accept(json: bool) -> None:
    """Your word that this database is the ledger that shall mail from now on, after a restore or on a new machine.

    Example: postmerge fence accept
    """
    settings = load_settings()
    _show(settings, flow.accept(open_database(settings), settings), json)


def _show(settings: Settings, found: Standing, json: bool) -> None:
    facts = _facts(settings, found)
    if json:
        return print_json(facts)
    if not settings.fence_folder:
        return out.print("The fence is off (POSTMERGE_FENCE=off): this machine does not look at it.")
    if found.mark is None:
        return out.print("No fence yet: the first publish, or `postmerge fence accept`, makes both halves.")
    outside = "none" if found.outside is None else f"epoch {found.outside}"
    out.print(f"in the database  epoch {found.mark.epoch}, ledger {found.mark.id}")
    out.print(Text(f"outside          {outside}, in {settings.fence_folder}"), soft_wrap=True)
    out.print(
        Text(found.trouble or "They agree: this database may mail.", style="red" if found.trouble else ""), soft_wrap=True
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
