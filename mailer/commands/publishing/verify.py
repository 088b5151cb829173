"""``postmerge verify``: whether a page, its feed entry and an email are what was sent. Needs no account and no database."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.text import Text

from mailer.commands.common import as_json, out, print_json
from mailer.commands.publishing import sent_copies
from mailer.commands.publishing.sent_copies import CopyCheck
from mailer.core.errors import BadInput


@click.command()
@click.argument("url")
@click.option(
    "--email", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An email as it arrived, saved as a file."
)
@click.option("--key", metavar="HEX", default="", help="The newsletter's public key, if you know it from elsewhere.")
@as_json
def verify(url: str, email: Path | None, key: str, json: bool) -> None:
    """Check that an issue's page, its feed entry, your email and the signed receipt are the same. URL is the issue's page.

    Exits with 1 if one of them differs.

    Example: postmerge verify https://example.org/issues/hello/ --email hello.eml
    """
    checks = sent_copies.check_copies(url, email.read_bytes() if email else None, key.lower())
    is_good = not any(one.outcome == "differs" for one in checks)
    if json:
        print_json({"url": url, "verified": is_good, "checks": [vars(one) for one in checks]})
    else:
        for one in checks:
            out.print(_describe(one), soft_wrap=True)
    if not checks:
        raise BadInput("Nothing could be checked.")
    sys.exit(0 if is_good else 1)


def _describe(check: CopyCheck) -> Text:
    style = {"same": "green", "differs": "bold red"}.get(check.outcome, "yellow")
    return Text.assemble((f"{check.outcome:8}", style), f" {check.what}: {check.sentence}")
