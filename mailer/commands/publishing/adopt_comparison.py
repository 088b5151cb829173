"""``postmerge adopt --compare``: what changes for a Pelican site that adds the plugin, before it switches."""

from __future__ import annotations

from itertools import groupby

from rich.text import Text

from mailer.commands.common import out
from mailer.commands.plurals import count
from mailer.core.errors import Refused
from mailer.core.settings import Settings

_MAX_OF_A_KIND = 20
_HEADINGS = {
    "missing": "Missing", "ids": "Feeds whose entries would be shown as new", "extra": "Extra",
    "text": "With other words", "markup": "With the same words",
}  # fmt: skip


def show_comparison(settings: Settings) -> None:
    """Print how the built site differs from Pelican's own. Raises Refused if a page or an entry's id would be lost."""
    from mailer.editions import BuildOptions
    from mailer.editions.site.stock_comparison import compare_with_stock

    found = compare_with_stock(BuildOptions.of(settings))
    missing = sum(one.kind == "missing" for one in found.differences)
    there = f"{found.files - missing} of {count(found.files, 'file')} of Pelican are at their addresses"
    out.print(
        f"{there}, {count(found.feeds, 'feed')} among them; {found.same} are the same but for the digest.", soft_wrap=True
    )
    order = list(_HEADINGS)
    for kind, group in groupby(sorted(found.differences, key=lambda one: order.index(one.kind)), key=lambda one: one.kind):
        some = list(group)
        out.print(f"{_HEADINGS[kind]} ({len(some)}):")
        for one in some[:_MAX_OF_A_KIND]:
            out.print(Text(f"  {one.path}: {one.why}"), soft_wrap=True)
        if len(some) > _MAX_OF_A_KIND:
            out.print(f"  and {len(some) - _MAX_OF_A_KIND} more")
    if found.lost:
        raise Refused(f"{count(len(found.lost), 'file')} would be lost or shown as new: see above, and docs/how-to/theming.md.")
