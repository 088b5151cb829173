"""Commands for a running send: ``pause``, ``resume``, ``stop``, ``cancel``."""

from __future__ import annotations

import click

from mailer.commands.common import load_settings, open_database, out
from mailer.flows.publishing import publish
from mailer.flows.sending import send_control


@click.command()
@click.argument("send")
def pause(send: str) -> None:
    """Pause a send: no more mails leave until `resume`. SEND is an id or an issue's key.

    Example: postmerge pause 12
    """
    done = send_control.pause(open_database(load_settings()), send)
    out.print(f"Send {done.id} of {done.issue_key} is paused; go on with `postmerge resume {done.id}`.")


@click.command()
@click.argument("send")
@click.option("--yes", is_flag=True, help="You know why it was stopped, and it is mended.")
@click.option("--no-gate", is_flag=True, help="Start although the issue's page is not live.")
def resume(send: str, yes: bool, no_gate: bool) -> None:
    """Let a paused or stopped send go on where it was.

    Example: postmerge resume 12
    """
    done = send_control.resume(open_database(load_settings()), send, sure=yes, gate=not no_gate)
    out.print(f"Send {done.id} of {done.issue_key} is {done.state}.")


@click.command()
@click.argument("send")
@click.option("--reason", default="stopped by the operator", show_default=True, help="Kept with the send.")
def stop(send: str, reason: str) -> None:
    """Stop a send: no more mails leave, and `resume` asks for `--yes`.

    Example: postmerge stop 12 --reason "wrong link in the second paragraph"
    """
    done = send_control.stop(open_database(load_settings()), send, reason)
    out.print(f"Send {done.id} of {done.issue_key} is stopped ({done.reason}).")
    if done.reason != reason:
        out.print("It was stopped before; the first reason is kept.")


@click.command()
@click.argument("send")
def cancel(send: str) -> None:
    """Cancel a send that has not started; SEND is an id or an issue's key. It is not sent later by itself.

    Example: postmerge cancel 2026-11-24-hello
    """
    done = publish.cancel(open_database(load_settings()), send)
    out.print(
        f"Send {done.id} of {done.issue_key} is cancelled;"
        f" to mail the issue after all, give it `Edition: {done.edition_number + 1}`."
    )
