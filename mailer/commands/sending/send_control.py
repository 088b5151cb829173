"""Commands for a running send: ``pause``, ``resume``, ``stop``, ``cancel``."""

from __future__ import annotations

import click

from mailer.commands.common import load_settings, open_database, out
from mailer.commands.completion import send_argument
from mailer.flows.publishing import publish
from mailer.flows.sending import send_control


@click.command()
@send_argument()
def pause(send: str) -> None:
    """Pause a send until `resume`. SEND is an id or an issue's key.

    Example: postmerge pause 12
    """
    done = send_control.pause_send(open_database(load_settings()), send)
    out.print(f"Send {done.id} of {done.issue_key} is paused. To continue, run `postmerge resume {done.id}`.")


@click.command()
@send_argument()
@click.option("--yes", is_flag=True, help="Resume a stopped send whose problem is fixed.")
@click.option("--no-gate", is_flag=True, help="Send although the issue's page is not live.")
def resume(send: str, yes: bool, no_gate: bool) -> None:
    """Resume a paused or stopped send where it left off.

    Example: postmerge resume 12
    """
    settings = load_settings()
    settings.need_transport()
    done = send_control.resume_send(open_database(settings), send, sure=yes, gate=not no_gate)
    out.print(f"Send {done.id} of {done.issue_key} is {done.state}.")


@click.command()
@send_argument()
@click.option("--reason", default="stopped by the operator", show_default=True, help="Why; recorded with the send.")
def stop(send: str, reason: str) -> None:
    """Stop a send. Resuming it requires `resume --yes`.

    Example: postmerge stop 12 --reason "wrong link in the second paragraph"
    """
    done = send_control.stop_send(open_database(load_settings()), send, reason)
    out.print(f"Send {done.id} of {done.issue_key} is stopped ({done.reason}).")
    if done.reason != reason:
        out.print("It was already stopped; the first reason is kept.")


@click.command()
@send_argument()
def cancel(send: str) -> None:
    """Cancel a send that has not started, for good. SEND is an id or an issue's key.

    Example: postmerge cancel 2026-11-24-hello
    """
    done = publish.cancel_send(open_database(load_settings()), send)
    out.print(
        f"Send {done.id} of {done.issue_key} is cancelled."
        f" To send the issue later, set `Edition: {done.edition_number + 1}` in it."
    )
