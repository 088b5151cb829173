"""Commands for one reader and for what waits: ``subscribers show``, ``remind``, ``erase``, ``held``, ``release``, ``drop``,
``firewall``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.commands.subscribers.subscribers import subscribers
from mailer.core import addresses
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.subscribers import erasure, signup, signup_limits, subscriber_search

__all__ = ["subscribers"]


@subscribers.command("show")
@click.argument("reader")
@as_json
def show(reader: str, json: bool) -> None:
    """Show all that is kept about a reader, by address or number, with the evidence of their consent.

    Example: postmerge subscribers show ada@example.org
    """
    kept = subscriber_search.everything(open_database(load_settings()), reader)
    if json:
        return print_json(kept)
    for table, rows in kept.items():
        out.print(Text(table), style="bold")
        for row in rows:
            facts = ", ".join(f"{name} {value}" for name, value in row.items() if value not in (None, "", [], {}))
            out.print(Text(f"  {facts}"), soft_wrap=True)


@subscribers.command("remind")
@click.argument("email")
def remind(email: str) -> None:
    """Ask somebody who has not confirmed once more, within the limits.

    Example: postmerge subscribers remind ada@example.org
    """
    settings = load_settings()
    database = open_database(settings)
    known = subscriber_search.find(database, addresses.check(email))
    if known is None:
        raise BadInput(f"Nobody has the address {email}: `postmerge subscribers add {email}` asks them.")
    done = signup.remind(database, settings, known.id)
    out.print("A confirmation mail is on its way." if done else "No mail: confirmed, suppressed, or asked too often already.")


@subscribers.command("erase")
@click.argument("email")
def erase(email: str) -> None:
    """Erase a reader: only a number and a keyed hash of the address stay, and no import brings them back.

    Example: postmerge subscribers erase ada@example.org
    """
    settings = load_settings()
    if not erasure.erase_address(open_database(settings), settings, email):
        raise BadInput(f"Nobody has the address {email}: nothing was erased.")
    out.print(Text(f"{email} is erased."))


@subscribers.command("held")
@as_json
def held(json: bool) -> None:
    """List the confirmation mails that are held back for review, and why.

    Example: postmerge subscribers held
    """
    wall, waiting, number = signup_limits.look(open_database(load_settings()))
    if json:
        facts = {"since": wall.up_since, "reason": wall.reason}
        return print_json({"firewall": facts, "held": [vars(one) for one in waiting], "count": number})
    if wall.up_since:
        out.print(Text(f"The firewall is up since {wall.up_since:%Y-%m-%d %H:%M} UTC: {wall.reason}."), style="yellow")
    if not waiting:
        return out.print("No mail is held.")
    table = Table("mail", "address", "asked from", "when (UTC)", "why", box=None, header_style="bold")
    for one in waiting:
        table.add_row(str(one.id), Text(one.email), one.ip, f"{one.created_at:%Y-%m-%d %H:%M}", Text(one.why))
    out.print(table)
    if number > len(waiting):
        out.print(f"and {number - len(waiting):,} more.")
    out.print("`postmerge subscribers release MAIL` (or --all) lets them go; `drop` does not send them.")


def _chosen(do: Callable[[Database, list[int] | None], int], mails: Sequence[int], everything: bool, done: str) -> None:
    if bool(mails) == everything:
        raise click.UsageError("Give the numbers of mails, or --all.")
    number = do(open_database(load_settings()), None if everything else list(mails))
    out.print(f"{number:,} {'mail is' if number == 1 else 'mails are'} {done}.")


@subscribers.command("release")
@click.argument("mails", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All that are held.")
def release(mails: Sequence[int], everything: bool) -> None:
    """Let held confirmation mails go; their links hold from now.

    Example: postmerge subscribers release 17 18
    """
    _chosen(signup_limits.release, mails, everything, "released")


@subscribers.command("drop")
@click.argument("mails", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All that are held.")
def drop(mails: Sequence[int], everything: bool) -> None:
    """Do not send held confirmation mails; the person can ask again.

    Example: postmerge subscribers drop 17
    """
    _chosen(signup_limits.drop, mails, everything, "dropped")


@subscribers.command("firewall")
@click.argument("state", type=click.Choice(["up", "down"]))
def firewall(state: str) -> None:
    """Hold all confirmation mails back, or stop doing so; what is held stays held until `release`.

    Example: postmerge subscribers firewall up
    """
    changed = signup_limits.set_firewall(open_database(load_settings()), state == "up")
    out.print(f"The firewall is {state}." if changed else f"The firewall was {state} already.")
