"""Commands for API keys: ``postmerge keys create``, ``list``, ``revoke``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, assume_yes, confirm, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.core.errors import BadInput
from mailer.core.i18n.local_time import moment, to_local
from mailer.flows.operations.api_keys import (
    DEFAULT_LIFETIMES,
    DEFAULT_REQUESTS_PER_MINUTE,
    SCOPES,
    create_key,
    list_keys,
    revoke_key,
)

_MAX_DAYS = 3650  # until a key expires


@click.group(cls=Group)
def keys() -> None:
    """Create, list and revoke keys for the REST API."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default="admin", show_default=True, help="What the key allows.")
@click.option(
    "--expires",
    default="",
    help="When it expires: days such as 90d, a date such as 2027-01-31, or never (default: 365d for publish and review).",
)
@click.option(
    "--per-minute",
    type=click.IntRange(0, 1_000_000),
    default=DEFAULT_REQUESTS_PER_MINUTE,
    show_default=True,
    help="Requests a minute; 0 for no limit.",
)
def create(name: str, scope: str, expires: str, per_minute: int) -> None:
    """Create a key and print it. It is shown only once; the database stores only its hash.

    Scopes: read allows reading subscribers and emails; subscribers also allows changing subscribers, tags, segments and
    notes; publish only allows publishing, for CI pipelines; review only allows planning and test emails, for pull requests;
    admin allows everything.

    Example: postmerge keys create ci --scope publish --expires 90d
    """
    expires_in = _parse_expiry(expires) if expires else DEFAULT_LIFETIMES.get(scope)
    click.echo(create_key(open_database(load_settings()), name, scope, per_minute, expires_in))


@keys.command("list")
@as_json
def list_all(json: bool) -> None:
    """List all keys by name, including revoked ones. The keys themselves are not shown.

    Example: postmerge keys list
    """
    found = list_keys(open_database(load_settings()))
    if json:
        return print_json([vars(key) for key in found])
    if not found:
        return out.print("No keys yet. `postmerge keys create NAME` creates one.")
    table = FoldedTable("name", "prefix", "scope", "created", "last used", "valid")
    for key in found:
        ends = f"until {to_local(key.expires_at):%d %b %Y}" if key.expires_at else "yes"
        valid = ends if key.is_valid else ("revoked" if key.revoked_at else "expired")
        last = moment(key.last_used_at) if key.last_used_at else "never"
        table.add_row(Text(key.name), key.prefix, key.scope, f"{to_local(key.created_at):%d %b %Y}", last, valid)
    out.print(table)


@keys.command("revoke")
@click.argument("name")
@click.option("--last", is_flag=True, help="Revoke it even if it is the last valid admin key.")
@assume_yes
def revoke(name: str, last: bool, yes: bool) -> None:
    """Revoke a key. Further requests with it are refused.

    Example: postmerge keys revoke dashboard
    """
    confirm(f"Revoke the key {name}? Programs that use it stop working.", yes)
    revoke_key(open_database(load_settings()), name, last)
    out.print(Text(f"Key {name} revoked."))


def _parse_expiry(text: str) -> timedelta | None:
    """The time from now until the key expires, or None for never."""
    if text == "never":
        return None
    try:
        days = re.fullmatch(r"([0-9]{1,4})d", text)
        left = timedelta(days=int(days[1])) if days else datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime.now(UTC)
    except ValueError:
        left = timedelta(0)
    if not timedelta(0) < left <= timedelta(days=_MAX_DAYS):
        raise BadInput(f"--expires is {text!r}: give days such as 90d, a future date such as 2027-01-31, or never.")
    return left
