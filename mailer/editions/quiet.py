"""Pelican talks to the terminal; here what it complains about becomes findings instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mailer.edition import Finding

# What our own checks say better, at file:line, or what nobody needs to know.
_KNOWN = (
    "Unable to find", "Empty alt attribute", "Watched path does not exist", "Docutils has no localization", "No valid files",
    "Unable to find static content", "Other images have empty alt",
)  # fmt: skip


class _Ear(logging.Handler):
    def __init__(self, findings: list[Finding], name: str) -> None:
        super().__init__(logging.WARNING)
        self._findings = findings
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        said = " ".join(record.getMessage().split())
        if not said.startswith(_KNOWN):
            self._findings.append(Finding("warning", self._name, 1, said[:300]))


@contextmanager
def quiet(findings: list[Finding], name: str) -> Iterator[None]:
    """Within the block Pelican's log goes into ``findings`` (under ``name``) and nothing to the terminal."""
    from pelican.log import console

    logger, ear = logging.getLogger("pelican"), _Ear(findings, name)
    before = logger.propagate, console.quiet
    logger.addHandler(ear)
    logger.propagate, console.quiet = False, True
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.propagate, console.quiet = before
