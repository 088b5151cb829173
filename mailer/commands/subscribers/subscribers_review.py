"""Commands for one subscriber (``show``, ``remind``, ``erase``, ``unsuppress``) and for held emails (``held``, ``release``,
``drop``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from rich.text import Text

from mailer.commands.common import as_json, assume_yes, confirm, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.commands.subscribers.subscribers import subscribers
from mailer.core import addresses
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.i18n.local_time import moment, to_local
from mailer.flows.subscribers import erasure, signup, signup_limits, subscriber_search, suppression_lifting
from mailer.flows.subscribers.suppression_lifting import UnsuppressRequest
from mailer.transports import make_transport

__all__ = ["subscribers"]


@subscribers.command("show")
@click.argument("subscriber")
@as_json
def show(subscriber: str, json: bool) -> None:
    """Show everything stored about a subscriber, with evidence of consent. SUBSCRIBER is an address or id.

    Example: postmerge subscribers show ada@example.org
    """
    kept = subscriber_search.export_data(open_database(load_settings()), subscriber)
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
    """Send an unconfirmed subscriber another confirmation email, within the limits.

    Example: postmerge subscribers remind ada@example.org
    """
    settings = load_settings()
    database = open_database(settings)
    known = subscriber_search.find_subscriber(database, addresses.check(email))
    if known is None:
        raise BadInput(f"No subscriber has the address {email}: `postmerge subscribers add {email}` adds them.")
    done = signup.send_reminder(database, settings, known.id)
    out.print("Confirmation email queued." if done else "No email sent: already confirmed, suppressed, or over the limit.")


@subscribers.command("erase")
@click.argument("email")
@assume_yes
def erase(email: str, yes: bool) -> None:
    """Erase a subscriber. Only an id and a keyed hash of the address are kept, so that no import adds them again.

    Example: postmerge subscribers erase ada@example.org
    """
    settings = load_settings()
    confirm(f"Erase {email} and everything stored about them, for good?", yes)
    if not erasure.erase_by_email(open_database(settings), settings, email):
        raise BadInput(f"No subscriber has the address {email}: nothing was erased.")
    out.print(Text(f"{email} erased."))


@subscribers.command("unsuppress")
@click.argument("email")
@click.option("--reason", required=True, help="How you know that the address accepts email again; kept as evidence.")
@click.option("--complaint", is_flag=True, help="Also lift a complaint: they told you that reporting spam was a mistake.")
def unsuppress(email: str, reason: str, complaint: bool) -> None:
    """Allow email to an address again that bounced, also at SES. Who unsubscribed stays unsubscribed.

    Example: postmerge subscribers unsuppress ada@example.org --reason "moved to a new server, wrote to us on 3 May"
    """
    settings = load_settings()
    database = open_database(settings)
    request = UnsuppressRequest(email, reason, "cli", complaint)
    done = suppression_lifting.unsuppress(database, settings, request)
    for one in done.lifted:
        out.print(Text(f"{one.email_normal}: suppression lifted ({one.reason}, {to_local(one.suppressed_at):%Y-%m-%d})."))
    if not done.lifted:
        out.print(Text(f"{email} was not suppressed here."))
    if done.blocked:
        out.print(Text("It may still not be emailed: `postmerge subscribers show` shows why."), style="yellow")
    for outcome in suppression_lifting.clear_provider_list(database, make_transport(settings), email):
        if settings.transport == "ses":
            out.print(Text(f"SES's suppression list: {outcome}"), soft_wrap=True)


@subscribers.command("held")
@as_json
def held(json: bool) -> None:
    """List confirmation emails held for review, with the reasons.

    Example: postmerge subscribers held
    """
    wall, waiting, number = signup_limits.get_held_overview(open_database(load_settings()))
    if json:
        facts = {"since": wall.active_since, "reason": wall.reason}
        return print_json({"firewall": facts, "held": [vars(one) for one in waiting], "count": number})
    if wall.active_since:
        out.print(Text(f"The firewall has been up since {moment(wall.active_since)}: {wall.reason}."), style="yellow")
    if not waiting:
        return out.print("No emails are held.")
    table = FoldedTable("id", "address", "IP address", "time", "reason")
    for one in waiting:
        table.add_row(str(one.id), Text(one.email), one.ip, moment(one.created_at), Text(one.why))
    out.print(table)
    if number > len(waiting):
        out.print(f"… and {number - len(waiting):,} more.")
    out.print("To send them, run `postmerge subscribers release ID` (or --all). To discard them, use `drop`.")


def _chosen(
    do: Callable[[Database, list[int] | None], int], ids: Sequence[int], everything: bool, done: str, question: str, yes: bool
) -> None:
    if bool(ids) == everything:
        raise click.UsageError("Give the ids of emails, or --all.")
    confirm(question % ("all held emails" if everything else count(len(ids), "email")), yes)
    number = do(open_database(load_settings()), None if everything else list(ids))
    out.print(f"{count(number, 'email')} {done}.")


@subscribers.command("release")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All held emails.")
@assume_yes
def release(ids: Sequence[int], everything: bool, yes: bool) -> None:
    """Send held confirmation emails. Their links are valid from now.

    Example: postmerge subscribers release 17 18
    """
    _chosen(signup_limits.release_held, ids, everything, "released", "Send %s now?", yes)


@subscribers.command("drop")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All held emails.")
@assume_yes
def drop(ids: Sequence[int], everything: bool, yes: bool) -> None:
    """Discard held confirmation emails. The person can sign up again.

    Example: postmerge subscribers drop 17
    """
    _chosen(signup_limits.drop_held, ids, everything, "dropped", "Discard %s, for good?", yes)


@subscribers.command("firewall")
@click.argument("state", type=click.Choice(["up", "down"]))
def firewall(state: str) -> None:
    """Turn the firewall on or off: while it is up, all confirmation emails are held until `release`.

    Example: postmerge subscribers firewall up
    """
    changed = signup_limits.set_firewall(open_database(load_settings()), state == "up")
    out.print(f"The firewall is {state}." if changed else f"The firewall was already {state}.")
