"""``postmerge segments``: named audience rules with their current sizes."""

from __future__ import annotations

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, assume_yes, confirm, load_settings, open_database, out, print_json
from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.errors import BadInput
from mailer.flows.subscribers import segment_admin, segment_rules


@click.group(cls=Group, invoke_without_command=True)
@as_json
@click.pass_context
def segments(context: click.Context, json: bool) -> None:
    """List the segments for `Audience:`, with their rules and current sizes.

    Change them with `set` and `remove`, or with the API (`/v1/segments`).

    Example: postmerge segments
    """
    if context.invoked_subcommand:
        return None
    found = segment_rules.list_segments(open_database(load_settings()))
    if json:
        return print_json([vars(one) for one in found])
    if not found:
        return out.print('No segments yet. `postmerge segments set NAME "RULE"` creates one.')
    table = FoldedTable("segment", "subscribers", "rule", pad_edge=False)
    for one in found:
        table.add_row(Text(one.name), "" if one.size is None else f"{one.size:,}", Text(one.wrong or one.rule))
    return out.print(table)


@segments.command("set")
@click.argument("name")
@click.argument("rule")
@click.option("--description", default=None, help="A description of its purpose.")
def set_rule(name: str, rule: str, description: str | None) -> None:
    """Create the segment NAME with the audience rule RULE, or change its rule.

    Example: postmerge segments set "early birds" 'joined < 2025-01-01 and lang = de'
    """
    database = open_database(load_settings())
    new = segment_admin.define_segment(database, name, rule, description)
    one = segment_rules.find_segment(database, name)
    assert one
    size = "" if one.size is None else f": {count(one.size, 'subscriber')} now"
    out.print(Text(f"Segment {one.name!r} {'created' if new else 'changed'}{size}."))


@segments.command()
@click.argument("name")
@assume_yes
def remove(name: str, yes: bool) -> None:
    """Remove a segment; its subscribers are kept. Refused while another segment or a waiting issue uses it.

    Example: postmerge segments remove "early birds"
    """
    confirm(f"Remove the segment {name!r} and its rule?", yes)
    if not segment_admin.remove_by_name(open_database(load_settings()), name):
        raise BadInput(f"There is no segment {name!r}: `postmerge segments` lists all.")
    out.print(Text(f"Segment {name!r} removed. Its subscribers are kept."))
