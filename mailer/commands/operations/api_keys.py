"""Commands for API keys: ``postmerge keys create``, ``list``, ``revoke``."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.flows.operations.api_keys import PER_MINUTE, SCOPES, create_key, list_keys, revoke_key


@click.group()
def keys() -> None:
    """Make, list and revoke keys for the REST API."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default="admin", show_default=True, help="What the key may do.")
@click.option("--days", type=click.IntRange(1, 3650), default=None, help="It holds for so many days (default: until revoked).")
@click.option(
    "--per-minute", type=click.IntRange(0, 1_000_000), default=PER_MINUTE, show_default=True, help="Requests; 0: no limit."
)
def create(name: str, scope: str, days: int | None, per_minute: int) -> None:
    """Make a key and print it: it is shown this once and kept only as a hash.

    read sees readers and mails; subscribers also changes readers, tags, segments and notes; publish hands over editions
    (what a CI pipeline holds) and nothing else; admin may do all.

    Example: postmerge keys create ci --scope publish --days 365
    """
    expires_in = timedelta(days=days) if days else None
    click.echo(create_key(open_database(load_settings()), name, scope, per_minute, expires_in))


@keys.command("list")
@as_json
def list_all(json: bool) -> None:
    """List keys by name, revoked ones too; never the keys themselves.

    Example: postmerge keys list
    """
    found = list_keys(open_database(load_settings()))
    if json:
        return print_json([vars(key) for key in found])
    if not found:
        return out.print("No keys yet: `postmerge keys create NAME` makes one.")
    table = Table("name", "begins", "scope", "made", "last used", "holds", box=None, header_style="bold")
    for key in found:
        ends = f"until {key.expires_at:%d %b %Y}" if key.expires_at else "yes"
        holds = ends if key.holds else ("revoked" if key.revoked_at else "expired")
        last = f"{key.last_used_at:%d %b %Y %H:%M}" if key.last_used_at else "never"
        table.add_row(Text(key.name), key.prefix, key.scope, f"{key.created_at:%d %b %Y}", last, holds)
    out.print(table)


@keys.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a key: the next request with it is refused.

    Example: postmerge keys revoke dashboard
    """
    revoke_key(open_database(load_settings()), name)
    out.print(Text(f"The key {name} holds no more."))
