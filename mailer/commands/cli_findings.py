"""What a build found, on the console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mailer.core.edition import Finding

_MOST_FINDINGS = 12


def show_findings(console: Console, found: Sequence[Finding]) -> None:
    """Errors first, then a few warnings, and how many more there are."""
    ordered = sorted(found, key=lambda finding: finding.level != "error")
    for finding in ordered[:_MOST_FINDINGS]:
        console.print(Text(str(finding), style="red" if finding.level == "error" else "yellow"), soft_wrap=True)
    if len(ordered) > _MOST_FINDINGS:
        console.print(f"… and {len(ordered) - _MOST_FINDINGS} more (`postmerge build --json` lists all).", style="yellow")
