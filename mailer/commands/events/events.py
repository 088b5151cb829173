"""``postmerge events`` processes SES events; ``postmerge uncertain`` resolves uncertain deliveries."""

from __future__ import annotations

import os

import click
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json, stop_signal
from mailer.commands.completion import send_argument
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.errors import Refused
from mailer.core.i18n.local_time import moment
from mailer.flows.events import email_events
from mailer.flows.events.event_consumer import EventConsumer
from mailer.flows.sending import uncertain_deliveries
from mailer.store.events.delivery_events import UncertainDelivery

_MAX_ROWS = 50
_NICENESS = 5  # a backlog of events must not slow down workers on the same machine


@click.command()
@click.option("--unread", is_flag=True, help="List unreadable messages and events for unknown emails, then exit.")
@click.option("--until-eof", is_flag=True, hidden=True)
@as_json
def events(unread: bool, until_eof: bool, json: bool) -> None:
    """Process SES events from the queue POSTMERGE_SQS_QUEUE_URL until stopped.

    Examples: postmerge events; postmerge events --unread
    """
    if unread:
        return _list_unread(json)
    from mailer.flows.operations.heartbeats import Heartbeat
    from mailer.transports.ses_queue import make_queue

    settings = load_settings("events")
    settings.need_transport()
    queue = make_queue(settings)
    os.nice(_NICENESS)
    consumer = EventConsumer(open_database(settings), settings, queue, stop_signal(until_eof))
    with Heartbeat(consumer.database, settings, "events", consumer.find_backlog):
        total = consumer.run()
    if json:
        print_json(vars(total))


def _list_unread(json: bool) -> None:
    found, unknown = email_events.list_rejected(open_database(load_settings()), _MAX_ROWS)
    if json:
        return print_json({"unread": [vars(one) for one in found], "unknown": unknown})
    table = FoldedTable("last seen", "times", "source", "reason", "message")
    for one in found:
        table.add_row(moment(one.last_at, "%d %b %H:%M"), str(one.times), one.source, Text(one.reason), Text(one.body[:60]))
    out.print(table if found else "No unreadable messages.")
    for kind, number in unknown.items():
        out.print(f"{count(number, 'event')} ({kind}) in the last 7 days for emails that are not in this database.")


@click.command()
@send_argument(required=False)
@click.option("--subscriber", type=int, default=None, metavar="ID", help="Only the delivery to this subscriber.")
@click.option("--sent/--not-sent", "sent", default=None, help="Mark them as sent, or as not sent.")
@click.option("--yes", is_flag=True, help="With --not-sent: send them now, although some may arrive twice.")
@as_json
def uncertain(send: str, subscriber: int | None, sent: bool | None, yes: bool, json: bool) -> None:
    """List uncertain deliveries, or resolve them. SEND is an id or an issue's key.

    Examples: postmerge uncertain; postmerge uncertain 12 --sent; postmerge uncertain 12 --subscriber 7 --not-sent --yes
    """
    settings = load_settings()
    if sent is False:
        settings.need_transport()
    database = open_database(settings)
    if sent is None:
        return _list_uncertain(uncertain_deliveries.list_uncertain(database, send, subscriber), json)
    if not send:
        raise click.UsageError("Name the send to resolve, as in `postmerge uncertain 12 --sent`.")
    if not sent and not yes:
        number = len(uncertain_deliveries.list_uncertain(database, send, subscriber))
        raise Refused(
            f"This would send to {count(number, 'subscriber')} who may already have the email. To send anyway, add `--yes`."
        )
    done = uncertain_deliveries.resolve_uncertain(database, send, subscriber, sent)
    if json:
        return print_json({"send": done.send.id, "moved": done.moved, "kept": done.kept, "state": str(done.send.state)})
    what = "marked as sent" if sent else "queued" if done.send.state == "sending" else "queued until the send resumes"
    out.print(f"Send {done.send.id}: {count(done.moved, 'delivery')} {what}.")
    if done.kept:
        out.print(f"{done.kept:,} remain uncertain: SES reported events for them, so it accepted them. Use `--sent`.")


def _list_uncertain(found: list[UncertainDelivery], json: bool) -> None:
    if json:
        return print_json([uncertain_deliveries.uncertain_facts(one) for one in found])
    if not found:
        return out.print("No uncertain deliveries.")
    table = FoldedTable("send", "issue", "subscriber", "address", "since", "attempts", "events", "reason")
    for one in found[:_MAX_ROWS]:
        seen = ", ".join(one.seen) or "none"
        since, ids = moment(one.since, "%d %b %H:%M"), (str(one.send_id), Text(one.issue_key), str(one.subscriber_id))
        table.add_row(*ids, Text(one.email), since, str(one.attempts), seen, Text(one.detail))
    out.print(table)
    if len(found) > _MAX_ROWS:
        out.print(f"… and {len(found) - _MAX_ROWS:,} more: `--json` lists them all.")
