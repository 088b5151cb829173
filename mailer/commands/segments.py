"""``postmerge segments``: named audience rules, with how many readers each chooses now."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.flows import segments as flow


@click.command()
@as_json
def segments(json: bool) -> None:
    """List the segments that an issue's `Audience:` can name, their rules, and how many would get a mail now.

    They are made through the API (`POST /v1/segments`).

    Example: postmerge segments
    """
    found = flow.every(open_database(load_settings()))
    if json:
        return print_json([vars(one) for one in found])
    if not found:
        return out.print("There is no segment yet: the API makes one (POST /v1/segments).")
    table = Table("segment", "readers", "rule", box=None, header_style="bold", pad_edge=False)
    for one in found:
        table.add_row(Text(one.name), "" if one.size is None else f"{one.size:,}", Text(one.wrong or one.rule))
    out.print(table)
