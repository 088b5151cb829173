"""Which text of an edition a subscriber gets: one SQL expression, for claims and for everything that counts or shows texts."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mailer.core.edition import is_premium, spoken_in
from mailer.core.i18n import code

IS_ENTITLED = "(entitlements.premium AND coalesce(entitlements.until, 'infinity') > now())"
# A subscriber's language in the form of variants' names, then wider and wider ones (RFC 4647, lookup): zh-hant-tw, zh-hant, zh.
LANG = "translate(lower(subscribers.lang), '_', '-')"
WIDER = (
    LANG,
    f"substring({LANG} FROM '^[^-]+-[^-]+')",
    f"CASE WHEN {LANG} ~ '^zh-(tw|hk|mo)' THEN 'zh-hant' END",
    f"split_part({LANG}, '-', 1)",
)


LANGS = f"ARRAY[{', '.join(WIDER)}]"


def _find(texts: str) -> str:
    return ", ".join(f"%({texts})s::jsonb ->> {lang}" for lang in WIDER)


# The variant's name, NULL for the original, from ``subscribers``, ``entitlements`` (may be NULL) and ``build_parameters``.
# An entitled subscriber gets paid text first: in their language (de-AT, then de), else the original's; then, like everybody,
# the text in their language, else the original. Only IS_ENTITLED gives access to paid texts, whatever ``lang`` contains.
VARIANT = f"""
    coalesce(
        CASE WHEN {IS_ENTITLED} THEN coalesce(
            {_find("paid")}, %(paid)s::jsonb ->> ''
        ) END,
        nullif(coalesce({_find("free")}, ''), '')
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
