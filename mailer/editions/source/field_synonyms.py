"""Fields as other generators name them: Jekyll's, Hugo's and Eleventy's mean here what their writers expect."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Our name, and the others' in order. Lists are joined; of texts the first that is given counts.
_TEXTS = {"summary": ("excerpt", "description")}
_LISTS = {"tags": ("tags", "categories"), "formerly": ("formerly", "aliases", "redirect_from", "permalink")}
NAMES = {other for others in (_TEXTS | _LISTS).values() for other in others}
_NOT_AN_ADDRESS = ("false", "true", "pretty", "date", "none")  # values of `permalink` that are no address

_PATTERN = re.compile(r"/:[a-z]")  # as in /:year/:title/


def add_synonyms(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields with ours filled in from the others'; theirs stay too, because themes may show them."""
    added = dict(fields)
    for name, others in _TEXTS.items():
        given = (fields[other] for other in others if fields.get(other, "").strip())
        if not fields.get(name, "").strip() and (value := next(given, "")):
            added[name] = value
    for name, several in _LISTS.items():
        values = [one.strip() for other in several for one in fields.get(other, "").split(",")]
        kept = dict.fromkeys(one for one in values if one and one.lower() not in _NOT_AN_ADDRESS and not _PATTERN.search(one))
        if kept and kept.keys() != {one.strip() for one in fields.get(name, "").split(",")}:
            added[name] = ", ".join(kept)
    return added
