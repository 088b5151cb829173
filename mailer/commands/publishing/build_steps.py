"""Building for commands: the site with a line of progress, and the editions that a command works on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from mailer.commands.cli_findings import show_findings
from mailer.commands.common import err
from mailer.core.edition import Edition, Finding
from mailer.core.settings import Settings
from mailer.editions.source import paid_leaks

if TYPE_CHECKING:
    from mailer import editions


_IN_PREFLIGHT = ("audience-tag", "audience-nobody")  # checks of what the preflight asks the ledger itself


def build_site(settings: Settings, quiet: bool = False) -> editions.Report:
    """Build the site and its editions, with a line of progress on a terminal."""
    from mailer import editions

    options = editions.BuildOptions.of(settings)
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
    """The editions of a build now, or of the last one (``built``), and its findings; warnings are shown."""
    from mailer import editions

    report = editions.load(settings.editions_folder) if built else build_site(settings, quiet)
    if built:
        paid_leaks.insist(paid_leaks.of_editions(report.editions).find_in(settings.site_folder))
    if not quiet:
        show_findings(err, [one for one in report.findings if one.level != "error"])
    return report.editions, report.findings


def with_checks(settings: Settings, findings: Sequence[Finding], paths: Collection[str]) -> list[Finding]:
    """The build's findings and the errors of ``postmerge check`` in these files, each place once."""
    from mailer.commands.publishing.check import Look

    root = settings.content.resolve().parent
    files = [file for path in sorted(paths) if (file := root / path).is_file()]
    remarks = Look(settings, files, _IN_PREFLIGHT).remarks() if files else []
    known = {(one.path, one.line) for one in findings}
    errors = [one for one in remarks if one.level == "error" and (one.path, one.line) not in known]
    return [*findings, *(Finding("error", one.path, one.line, one.message) for one in errors)]


def show_other_errors(findings: Sequence[Finding]) -> None:
    """One line for errors in issues that are not to be sent, and one for those in files of sequences."""
    from mailer.flows.publishing.sequence_plan import list_broken  # loads the database's driver, which a build does not need

    broken = list_broken(findings)
    for errors, where in (
        ([one for one in findings if one.level == "error" and one not in broken], "issues that are not to be sent"),
        (broken, "sequences, which stay as they are until these files are corrected"),
    ):
        if errors:
            files = ", ".join(dict.fromkeys(one.path for one in errors[:4]))
            said = f"{len(errors)} {'error' if len(errors) == 1 else 'errors'} in {where} ({files})"
            err.print(Text(f"{said}: `postmerge check` shows them.", style="yellow"), soft_wrap=True)
