"""Commands for API keys: ``postmerge keys create``, ``list``, ``revoke``."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.flows.keys import create_key, list_keys, revoke_key


@click.group()
def keys() -> None:
    """Make, list and revoke keys for the REST API."""


@keys.command("create")
@click.argument("name")
def create(name: str) -> None:
    """Make a key and print it: it is shown this once and kept only as a hash.

    Example: postmerge keys create dashboard
    """
    click.echo(create_key(open_database(load_settings()), name))


@keys.command("list")
@as_json
def list_all(json: bool) -> None:
    """List keys by name, revoked ones too; never the keys themselves.

    Example: postmerge keys list
    """
    found = list_keys(open_database(load_settings()))
    if json:
        facts = [{"name": key.name, "created_at": key.created_at, "revoked_at": key.revoked_at} for key in found]
        return print_json(facts)
    if not found:
        return out.print("No keys yet: `postmerge keys create NAME` makes one.")
    table = Table("name", "made", "revoked", box=None, header_style="bold")
    for key in found:
        table.add_row(Text(key.name), f"{key.created_at:%d %b %Y}", f"{key.revoked_at:%d %b %Y}" if key.revoked_at else "")
    out.print(table)


@keys.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a key: the next request with it is refused.

    Example: postmerge keys revoke dashboard
    """
    revoke_key(open_database(load_settings()), name)
    out.print(Text(f"The key {name} holds no more."))
