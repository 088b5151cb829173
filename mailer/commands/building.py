"""Building for commands: the site with a line of progress, and the editions that a command works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from mailer import leaks
from mailer.commands.common import err
from mailer.edition import Edition, Finding
from mailer.settings import Settings
from mailer.show_findings import show_findings

if TYPE_CHECKING:
    from mailer import editions


def build_site(settings: Settings, quiet: bool = False) -> editions.Report:
    """Build the site and its editions, with a line of progress on a terminal."""
    from mailer import editions

    options = editions.BuildOptions(
        content=settings.content,
        site=settings.site_folder,
        editions=settings.editions_folder,
        cache=settings.cache_folder,
        config=settings.config,
        site_url=settings.site_url,
        api_url=settings.api_url,
        postal_address=settings.postal_address,
        sells=settings.sells,
    )
    if quiet or not err.is_terminal:
        return editions.build(options)
    line = err.status("Building the site…")

    def progress(text: str) -> None:
        line.start()  # begun late, because it has a thread, and a process without threads gets its helpers faster
        line.update(Text(text))

    try:
        return editions.build(options, progress)
    finally:
        line.stop()


def editions_of(settings: Settings, built: bool, quiet: bool = False) -> tuple[Sequence[Edition], Sequence[Finding]]:
    """The editions of a build now, or of the last one (``built``), and its findings, which are shown."""
    from mailer import editions

    report = editions.load(settings.editions_folder) if built else build_site(settings, quiet)
    if built:
        leaks.insist(leaks.of_editions(report.editions).find_in(settings.site_folder))
    if not quiet:
        show_findings(err, report.findings)
    return report.editions, report.findings
