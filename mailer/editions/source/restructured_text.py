"""The fields of a reStructuredText file, as docutils reads them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailer.core.characters import ILLEGAL, name_character
from mailer.core.edition import Finding
from mailer.editions.source import paid_sections
from mailer.editions.source.front_matter import NOWHERE, Source, refuse_placeholder


def fields(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return all fields as text; names in lists are joined by commas."""
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in metadata.items()}


def check(source: Source, fields: Mapping[str, str], text: str) -> None:
    """Report what prevents the file from being an issue. ``text`` is all of it."""
    for field in ("title", "date"):
        if not fields.get(field):
            source.error(field, f"The {field} is missing: add it at the beginning of the file.")
    if found := ILLEGAL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        message = f"The character {name_character(found[0])} {NOWHERE}: remove it."
        source.findings.append(Finding("error", source.path, line, message))
    paid_sections.refuse_rst(source, text)
    refuse_placeholder(source, text)
