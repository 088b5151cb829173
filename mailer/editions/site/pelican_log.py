"""Turn what Pelican logs about the content into findings."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.core.characters import printable
from mailer.core.edition import Finding

# What our own checks report better, at file:line, or what nobody needs to know.
_KNOWN = (
    "Unable to find", "Empty alt attribute", "Watched path does not exist", "Docutils has no localization", "No valid files",
    "Unable to find static content", "Other images have empty alt", "Unable to generate valid slug",
    "Other invalid slugs", "Document title missing",
)  # fmt: skip


# Messages about a file that Pelican leaves out; the file is the first of the message's values.
_LEFT_OUT = ("Could not process", "Skipping")


class _Ear(logging.Handler):
    def __init__(self, findings: list[Finding], content: Path) -> None:
        super().__init__(logging.WARNING)
        self._findings = findings
        self._content = content

    def emit(self, record: logging.LogRecord) -> None:
        said = " ".join(record.getMessage().split())
        if said.startswith(_LEFT_OUT) and isinstance(record.args, tuple):
            self._findings.append(self._left_out(str(record.args[0]), said))
        elif not said.startswith(_KNOWN):
            self._findings.append(Finding("warning", self._content.name, 1, printable(said[:300])))

    def _left_out(self, source: str, said: str) -> Finding:
        """Return a file that Pelican cannot use, and why: the current exception, else the message itself."""
        error = sys.exc_info()[1]
        why = f"{type(error).__name__}: {error}" if error else said.partition(": ")[2]
        path = printable(f"{self._content.name}/{os.path.relpath(self._content / source, self._content)}")
        return Finding("error", path, 1, f"The file was skipped ({' '.join(why.split())[:200]}): correct it.")


@contextmanager
def quiet(findings: list[Finding], content: Path) -> Iterator[None]:
    """Collect Pelican's log in ``findings`` within the block, and print nothing. ``content`` is the content folder."""
    from pelican.log import LimitFilter, console

    LimitFilter._raised_messages.clear()  # a later build in this process, as in the workbench, says the same again
    LimitFilter._group_count.clear()
    logger, ear = logging.getLogger("pelican"), _Ear(findings, content.resolve())
    before = logger.propagate, console.quiet
    logger.addHandler(ear)
    logger.propagate, console.quiet = False, True
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.propagate, console.quiet = before
