"""Commands for webhooks: ``postmerge webhooks list``, ``add``, ``attempts``, ``replay``."""

from __future__ import annotations

import click
from rich.text import Text

from mailer.commands.cli_output import moment
from mailer.commands.common import Group, as_json, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core import public_ids
from mailer.core.db import PageRange
from mailer.flows.operations.webhooks import (
    NewWebhook,
    create_webhook,
    find_webhook,
    list_messages,
    list_webhooks,
    replay_messages,
)


@click.group(cls=Group)
def webhooks() -> None:
    """Post events to other programs: add and list webhooks, show and repeat deliveries."""


@webhooks.command("add")
@click.argument("url")
@click.option("--event", "types", multiple=True, required=True, help="An event's type, such as subscriber.confirmed.")
def add(url: str, types: tuple[str, ...]) -> None:
    """Post events to URL from now on, and print the signing secret.

    Example: postmerge webhooks add https://example.org/hook --event subscriber.confirmed
    """
    settings = load_settings()
    row = create_webhook(open_database(settings), settings, NewWebhook(url, types))
    out.print(Text(f"Webhook {row['id']} created. Signing secret: {row['secret']}"), soft_wrap=True)


@webhooks.command("list")
@as_json
def list_all(json: bool) -> None:
    """List webhooks and their state.

    Example: postmerge webhooks list
    """
    rows = list_webhooks(open_database(load_settings()))
    if json:
        hidden = ("secret",)
        return print_json([{name: value for name, value in row.items() if name not in hidden} for row in rows])
    if not rows:
        return out.print("No webhooks yet. `postmerge webhooks add URL --event TYPE` adds one.")
    table = FoldedTable("id", "url", "events", "state")
    for row in rows:
        state = (
            "disabled: " + (row["disabled_reason"] or "manually")
            if not row["enabled"]
            else f"failing, paused until {moment(row['paused_until'])}"
            if row["paused_until"]
            else "failing"
            if row["failing_since"]
            else "on"
        )
        table.add_row(str(row["id"]), Text(row["url"]), Text(", ".join(row["event_types"])), state)
    out.print(table)


@webhooks.command("attempts")
@click.argument("webhook")
@as_json
def attempts(webhook: str, json: bool) -> None:
    """Show the latest messages to a webhook and their results.

    Example: postmerge webhooks attempts 1
    """
    database = open_database(load_settings())
    states = ("pending", "claimed", "delivered", "failed")
    rows, _ = list_messages(database, find_webhook(database, webhook)["id"], states, PageRange(50))
    if json:
        return print_json(rows)
    table = FoldedTable("id", "event", "state", "attempts", "last error")
    for row in rows:
        table.add_row(str(row["id"]), row["type"], row["state"], str(row["attempts"]), Text(row["error"] or ""))
    out.print(table)


@webhooks.command("replay")
@click.argument("webhook")
@click.argument("messages", nargs=-1)
def replay(webhook: str, messages: tuple[str, ...]) -> None:
    """Post messages again: those given, or all that failed.

    Example: postmerge webhooks replay 1
    """
    database = open_database(load_settings())
    numbers = [number for one in messages if (number := public_ids.number("msg", one)) is not None]
    if messages and not numbers:
        raise click.UsageError("No such messages: `postmerge webhooks attempts WEBHOOK` lists them.")
    number = replay_messages(database, find_webhook(database, webhook)["id"], numbers)
    out.print(f"{count(number, 'message')} queued again.")
