"""Which text of an edition a reader gets: one SQL expression, for the claim and for whatever counts or shows texts."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mailer.core.edition import is_premium, spoken_in
from mailer.core.i18n import code

ACCESS = "(accesses.premium AND coalesce(accesses.until, 'infinity') > now())"
# A reader's language as variants are named, and that language without its region.
LANG = "translate(lower(subscribers.lang), '_', '-')"
BASE = f"split_part({LANG}, '-', 1)"

# The variant's name, NULL for the original, from ``subscribers`` and ``accesses`` (which may be NULL) and the maps of ``maps``.
# A reader with access gets premium text first: in their language (de-AT, then de), else the original's; then, as everybody, the
# text in their language, else the original. Only ACCESS opens the map of premium texts, whatever stands in ``lang``.
VARIANT = f"""
    coalesce(
        CASE WHEN {ACCESS} THEN coalesce(
            %(paid)s::jsonb ->> {LANG}, %(paid)s::jsonb ->> {BASE}, %(paid)s::jsonb ->> ''
        ) END,
        nullif(coalesce(%(free)s::jsonb ->> {LANG}, %(free)s::jsonb ->> {BASE}, ''), '')
    )
"""


def maps(lang: str, names: Iterable[str]) -> dict[str, str]:
    """The parameters of VARIANT for an edition in ``lang`` with variants of these names: name by language, as JSON."""
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


ONE_TEXT = maps("", ())
