"""``postmerge segments``: named audience rules, with how many readers each chooses now."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.core.errors import BadInput
from mailer.flows.subscribers import segment_admin
from mailer.flows.subscribers import segments as flow


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def segments(context: click.Context, json: bool) -> None:
    """List the segments that an issue's `Audience:` can name, their rules, and how many would get a mail now.

    `set` and `remove` change them, and so does the API (`/v1/segments`).

    Example: postmerge segments
    """
    if context.invoked_subcommand:
        return None
    found = flow.every(open_database(load_settings()))
    if json:
        return print_json([vars(one) for one in found])
    if not found:
        return out.print('There is no segment yet: `postmerge segments set NAME "RULE"` makes one.')
    table = Table("segment", "readers", "rule", box=None, header_style="bold", pad_edge=False)
    for one in found:
        table.add_row(Text(one.name), "" if one.size is None else f"{one.size:,}", Text(one.wrong or one.rule))
    return out.print(table)


@segments.command("set")
@click.argument("name")
@click.argument("rule")
@click.option("--description", default=None, help="What it is for.")
def set_rule(name: str, rule: str, description: str | None) -> None:
    """Let NAME stand for RULE, an audience rule; one that is there already takes the new rule.

    Example: postmerge segments set "early birds" 'joined < 2025-01-01 and lang = de'
    """
    database = open_database(load_settings())
    new = segment_admin.define(database, name, rule, description)
    one = flow.named(database, name)
    assert one
    size = "" if one.size is None else f": {one.size:,} {'reader' if one.size == 1 else 'readers'} now"
    out.print(Text(f"The segment {one.name!r} is {'made' if new else 'changed'}{size}."))


@segments.command()
@click.argument("name")
def remove(name: str) -> None:
    """Take a segment away; its readers stay. Not while another segment or a waiting issue uses it.

    Example: postmerge segments remove "early birds"
    """
    if not segment_admin.remove(open_database(load_settings()), name):
        raise BadInput(f"There is no segment {name!r}: `postmerge segments` lists those that are.")
    out.print(Text(f"The segment {name!r} is gone; its readers stay."))
