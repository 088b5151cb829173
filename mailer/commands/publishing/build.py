"""``postmerge build``."""

from __future__ import annotations

import gc
import sys

import click

from mailer.commands.cli_findings import show_findings
from mailer.commands.common import as_json, err, load_settings, out, print_json
from mailer.commands.plurals import count
from mailer.commands.publishing.build_steps import build_site


@click.command()
@as_json
def build(json: bool) -> None:
    """Build the web archive, feeds and emails.

    Example: postmerge build
    """
    report = build_site(load_settings(), quiet=json)
    gc.freeze()  # the process is about to end, so a last garbage collection is a waste of time
    if json:
        return print_json({"editions": report.count, "findings": [vars(f) for f in report.findings]})
    show_findings(err, report.findings)
    out.print(
        f"Built {count(report.count, 'issue')} in {report.seconds:.1f} s"
        f" ({report.converted} converted, {report.reused} reused)."
    )
    if broken := {finding.path for finding in report.findings if finding.level == "error"}:
        out.print(f"{count(len(broken), 'file')} with errors, left out until you correct them.")
        sys.exit(1)
