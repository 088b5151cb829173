"""Commands for what comes back: ``postmerge events`` takes events in, ``postmerge uncertain`` asks the operator."""

from __future__ import annotations

import os

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json, stop_signal
from mailer.core.errors import Refused
from mailer.flows.events import mail_events
from mailer.flows.events.event_consumer import Intake
from mailer.flows.sending import uncertain_deliveries
from mailer.store.events.delivery_events import Doubt

_SHOWN = 50
_NICENESS = 5  # a backlog of events gives way to the workers on the same machine


@click.command()
@click.option("--unread", is_flag=True, help="List messages that could not be read, and events of unknown mails; then end.")
@click.option("--until-eof", is_flag=True, hidden=True)
@as_json
def events(unread: bool, until_eof: bool, json: bool) -> None:
    """Take in what SES says about mails, from the queue POSTMERGE_SQS_QUEUE_URL, until stopped.

    Examples: postmerge events; postmerge events --unread
    """
    if unread:
        return _list_unread(json)
    from mailer.transports.ses_queue import make

    settings = load_settings("events")
    queue = make(settings)
    os.nice(_NICENESS)
    total = Intake(open_database(settings), settings, queue, stop_signal(until_eof)).run()
    if json:
        print_json(vars(total))


def _list_unread(json: bool) -> None:
    found, unknown = mail_events.listed_unread(open_database(load_settings()), _SHOWN)
    if json:
        return print_json({"unread": [vars(one) for one in found], "unknown": unknown})
    table = Table("last", "times", "from", "why", "message", box=None, header_style="bold")
    for one in found:
        table.add_row(f"{one.last_at:%d %b %H:%M}", str(one.times), one.source, Text(one.reason), Text(one.body[:60]))
    out.print(table if found else "Every message could be read.")
    for kind, number in unknown.items():
        out.print(f"{number:,} events ({kind}) of mails that this ledger does not know, in the last 7 days.")


@click.command()
@click.argument("send", required=False, default="")
@click.option("--subscriber", type=int, default=None, metavar="ID", help="Only the delivery to this reader.")
@click.option("--sent/--not-sent", "sent", default=None, help="Your word: they were sent, or they were not.")
@click.option("--yes", is_flag=True, help="With --not-sent: send to them now, even if someone may get it twice.")
@as_json
def uncertain(send: str, subscriber: int | None, sent: bool | None, yes: bool, json: bool) -> None:
    """List deliveries that are in doubt, or say what became of them. SEND is an id or an issue's key.

    Examples: postmerge uncertain; postmerge uncertain 12 --sent; postmerge uncertain 12 --subscriber 7 --not-sent --yes
    """
    database = open_database(load_settings())
    if sent is None:
        return _list_doubts(uncertain_deliveries.doubts(database, send, subscriber), json)
    if not send:
        raise click.UsageError("Name the send whose deliveries you decide, as in `postmerge uncertain 12 --sent`.")
    if not sent and not yes:
        number = len(uncertain_deliveries.doubts(database, send, subscriber))
        raise Refused(f"This would send to {number:,} readers who may have the mail already: say `--not-sent --yes` if not.")
    done = uncertain_deliveries.decide(database, send, subscriber, sent)
    if json:
        return print_json({"send": done.send.id, "moved": done.moved, "kept": done.kept, "state": str(done.send.state)})
    what = "count as sent" if sent else "are sent now" if done.send.state == "sending" else "are sent when the send goes on"
    out.print(f"Send {done.send.id}: {done.moved:,} deliveries {what}.")
    if done.kept:
        out.print(f"{done.kept:,} stay in doubt: SES told something about them, so it took them. `--sent` settles them.")


def _list_doubts(found: list[Doubt], json: bool) -> None:
    if json:
        return print_json([uncertain_deliveries.facts(one) for one in found])
    if not found:
        return out.print("Nothing is in doubt.")
    table = Table("send", "issue", "subscriber", "address", "since", "tries", "events", "why", box=None, header_style="bold")
    for one in found[:_SHOWN]:
        seen = ", ".join(one.seen) or "none"
        since, ids = f"{one.since:%d %b %H:%M}", (str(one.send_id), Text(one.issue_key), str(one.subscriber_id))
        table.add_row(*ids, Text(one.email), since, str(one.attempts), seen, Text(one.detail))
    out.print(table)
    if len(found) > _SHOWN:
        out.print(f"… and {len(found) - _SHOWN:,} more: `--json` lists all.")
