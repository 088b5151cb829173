"""``postmerge desk``: links to sign in to the desk, and the end of its sessions."""

from __future__ import annotations

import getpass

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.i18n.local_time import moment
from mailer.flows.operations.desk import desk_access
from mailer.flows.operations.desk.desk_access import DeskRole


@click.group(cls=Group)
def desk() -> None:
    """Sign in to the desk, the web page for operators; end its sessions; show what was done there."""


@desk.command()
@click.option("--role", type=click.Choice([str(one) for one in DeskRole]), default=str(DeskRole.OWNER), show_default=True)
@click.option("--name", default="", help="Whom it is for, as the log shows it (default: your user name).")
def link(role: str, name: str) -> None:
    """Print a link that signs in once, within 15 minutes.

    Example: postmerge desk link --role viewer --name ada
    """
    settings = load_settings()
    click.echo(desk_access.create_link(open_database(settings), settings, name or getpass.getuser(), DeskRole(role)))


@desk.command("sign-out")
@click.option("--operator", default="", help="Only this operator (default: everybody).")
def sign_out(operator: str) -> None:
    """End all sessions, or those of one operator, from the next request on.

    Example: postmerge desk sign-out
    """
    number = desk_access.end_sessions(open_database(load_settings()), operator)
    out.print(f"{count(number, 'session')} ended.")


@desk.command("log")
@as_json
def show_log(json: bool) -> None:
    """Show what operators did at the desk, newest first.

    Example: postmerge desk log
    """
    acts = desk_access.list_acts(open_database(load_settings()))
    if json:
        return print_json([vars(one) for one in acts])
    if not acts:
        return out.print("Nobody has done anything at the desk yet.")
    table = FoldedTable("time", "operator", "role", "act", "target", "refused because")
    for one in acts:
        table.add_row(moment(one.at), Text(one.operator), one.role, one.act, Text(one.target), Text(one.outcome))
    return out.print(table)
