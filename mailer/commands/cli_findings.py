"""Print the findings of a build."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mailer.core.edition import Finding

_MAX_FINDINGS = 12


def show_findings(console: Console, found: Sequence[Finding]) -> None:
    """Print errors first, then some warnings, and the number of findings left out."""
    ordered = sorted(found, key=lambda finding: finding.level != "error")
    for finding in ordered[:_MAX_FINDINGS]:
        console.print(Text(str(finding), style="red" if finding.level == "error" else "yellow"), soft_wrap=True)
    if len(ordered) > _MAX_FINDINGS:
        console.print(f"… and {len(ordered) - _MAX_FINDINGS} more (`postmerge build --json` lists them all).", style="yellow")
