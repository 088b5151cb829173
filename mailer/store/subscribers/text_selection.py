"""Which text of an edition a subscriber gets: one SQL expression, for claims and for everything that counts or shows texts."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mailer.core.edition import is_premium, spoken_in
from mailer.core.i18n import code

IS_ENTITLED = "(accesses.premium AND coalesce(accesses.until, 'infinity') > now())"
# A subscriber's language in the form of variants' names, and without its region.
LANG = "translate(lower(subscribers.lang), '_', '-')"
BASE = f"split_part({LANG}, '-', 1)"

# The variant's name, NULL for the original, from ``subscribers``, ``accesses`` (may be NULL) and ``build_parameters``.
# An entitled subscriber gets paid text first: in their language (de-AT, then de), else the original's; then, like everybody,
# the text in their language, else the original. Only IS_ENTITLED gives access to paid texts, whatever ``lang`` contains.
VARIANT = f"""
    coalesce(
        CASE WHEN {IS_ENTITLED} THEN coalesce(
            %(paid)s::jsonb ->> {LANG}, %(paid)s::jsonb ->> {BASE}, %(paid)s::jsonb ->> ''
        ) END,
        nullif(coalesce(%(free)s::jsonb ->> {LANG}, %(free)s::jsonb ->> {BASE}, ''), '')
    )
"""


def build_parameters(lang: str, names: Iterable[str]) -> dict[str, str]:
    """Return VARIANT's parameters for an edition in ``lang`` with these variants: names by language, as JSON."""
    own = code(lang)
    free: dict[str, str] = {own: ""}
    paid: dict[str, str] = {}
    for name in names:
        spoken = spoken_in(name)
        if not is_premium(name):
            free[name] = name
        else:
            paid |= {spoken: name} if spoken else {"": name, own: name}
    return {"free": json.dumps(free), "paid": json.dumps(paid)}


ONE_TEXT = build_parameters("", ())
