"""``postmerge fence``: whether this database may send."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, confirm_word, err, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.settings import Settings
from mailer.flows.operations import restored_ledger
from mailer.flows.operations.restored_ledger import AcceptedLedger, OpenSend
from mailer.flows.sending.fence import FenceStatus, read_fence
from mailer.transports.s3_fence import open_fence_store


@click.group(cls=Group, invoke_without_command=True)
@as_json
@click.pass_context
def fence(context: click.Context, json: bool) -> None:
    """Show whether the database matches its fence file. If it does not, nothing is sent.

    Examples: postmerge fence; postmerge fence accept
    """
    if context.invoked_subcommand is None:
        settings = load_settings()
        _show_state(settings, read_fence(open_database(settings), settings), json)


@fence.command()
@click.option("--yes", is_flag=True, help="Skip the question.")
@as_json
def accept(yes: bool, json: bool) -> None:
    """Accept this database as the live one, after a restore or on a new machine. Pauses every open send.

    Example: postmerge fence accept --yes
    """
    settings = load_settings()
    database = open_database(settings)
    found = read_fence(database, settings)
    if found.problem:
        err.print(Text(found.problem, style="red"), soft_wrap=True)
        _list_open_sends(restored_ledger.list_open_sends(database))
        confirm_word("Accepting pauses these sends and makes this database the live one.", "accept", yes)
    done = restored_ledger.accept_restored(database, settings)
    _show_state(settings, read_fence(database, settings), json, done)


def _list_open_sends(found: list[OpenSend]) -> None:
    if not found:
        return err.print("No send is open.")
    table = FoldedTable("send", "issue", "state", "pending", "claimed", "sent so far")
    for one in found:
        pending, claimed = (f"{one.deliveries[state]:,}" for state in ("pending", "claimed"))
        sent = sum(one.deliveries[state] for state in ("accepted", "delivered", "bounced", "complained"))
        table.add_row(str(one.send.id), Text(one.send.issue_key), str(one.send.state), pending, claimed, f"{sent:,}")
    err.print("Open sends. What was sent since the backup is still pending here, and resuming would send it again:")
    err.print(table)


def _show_state(settings: Settings, found: FenceStatus, json: bool, done: AcceptedLedger | None = None) -> None:
    if json:
        return print_json(_facts(settings, found) | (vars(done) if done else {}))
    if done:
        _print_accepted(done)
    if not settings.fence_place:
        return out.print("The fence is off on this machine (POSTMERGE_FENCE=off).")
    if found.row is None:
        return out.print("No fence yet. The first publish or `postmerge fence accept` creates it.")
    outside = "none" if found.file_epoch is None else f"epoch {found.file_epoch}"
    out.print(f"database    epoch {found.row.epoch}, ledger {found.row.id}")
    out.print(Text(f"fence file  {outside}, in {open_fence_store(settings.fence_place).name}"), soft_wrap=True)
    out.print(
        Text(found.problem or "They match: this database may send.", style="red" if found.problem else ""), soft_wrap=True
    )


def _print_accepted(done: AcceptedLedger) -> None:
    for kind, number in done.replayed.items():
        if number:
            out.print(f"Replayed from the restore journal: {number:,} {kind}.")
    for key in done.unknown_issues:
        out.print(Text(f"{key} was sent after the backup: it is adopted, so that no publish sends it again."), soft_wrap=True)
    if done.transactional:
        out.print(f"Set aside: {count(done.transactional, 'pending transactional email')}.")
    for send_id in done.paused:
        out.print(
            f"Send {send_id} is paused: run `postmerge reconcile-sends {send_id} FILE`, then `postmerge resume {send_id}`."
        )

    for name in done.sequences:
        out.print(
            Text(
                f"The sequence {name!r} is stopped: when its steps are reconciled, in their order, run"
                f" `postmerge sequences resume {name}`."
            ),
            soft_wrap=True,
        )


def _facts(settings: Settings, found: FenceStatus) -> dict[str, Any]:
    return {
        "ledger": found.row.id if found.row else None,
        "epoch": found.row.epoch if found.row else None,
        "outside": found.file_epoch,
        "folder": open_fence_store(settings.fence_place).name if settings.fence_place else "",
        "agree": not found.problem,
        "trouble": found.problem,
    }
