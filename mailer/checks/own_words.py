"""Checks of a newsletter's own texts for pages and emails: ``words/LANG.po``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mailer.checks.context import Context
from mailer.checks.document import Document
from mailer.checks.registry import CHECKS, Found, Remark, check
from mailer.core.errors import BadInput
from mailer.core.i18n import catalogues


@check("words-unknown", "warning", "A text in `words/LANG.po` that no page or email has.")
def words_unknown(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


@check("words-invalid", "error", "A text in `words/LANG.po` with other placeholders, or a file that cannot be read.")
def words_invalid(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


def examine(files: Iterable[Path], skip: Collection[str] = ()) -> list[Remark]:
    """List the remarks about a newsletter's own catalogues."""
    return [remark for path in files for remark in _about(path) if remark.id not in skip]


def _about(path: Path) -> Iterator[Remark]:
    try:
        for found in catalogues.check(path):
            name = "words-unknown" if found.unknown else "words-invalid"
            yield Remark(name, CHECKS[name].level, str(path), found.line, 1, found.message)
    except BadInput as error:
        at = re.match(rf"{re.escape(str(path))}:(\d+): ", str(error))
        yield Remark(
            "words-invalid", "error", str(path), int(at[1]) if at else 1, 1, str(error).removeprefix(at[0] if at else "")
        )
