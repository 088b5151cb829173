"""The words on pages and in mails, in the reader's language: gettext catalogues in ``locale/``, read as they are (``.po``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "locale"
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "zh": "简体中文"}

_CODE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})?")

Say = Callable[..., str]


def translator(lang: str) -> Say:
    """``say(text, **values)``: the text in this language with its ``%(name)s`` filled in; English where it lacks one."""
    catalogue = _catalogue(lang) if lang in LANGUAGES else {}

    def say(text: str, **values: object) -> str:
        found = catalogue.get(text) or text
        return found % values if values else found

    return say


def code(lang: str) -> str:
    """A language as variants are named by it: ``de``, ``pt-br``."""
    return lang.strip().lower().replace("_", "-")


def spoken(lang: str) -> str:
    """The language of our own words beside a text in ``lang`` (``de-AT``): its base language when we have it, else English."""
    base = code(lang).partition("-")[0]
    return base if base in LANGUAGES else "en"


def name(lang: str) -> str:
    """A language's name in itself: Deutsch, Français; the code where nobody knows the name."""
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale.parse(lang.replace("_", "-"), sep="-")
        found = locale.get_display_name(locale) or lang
    except (UnknownLocaleError, ValueError):
        return LANGUAGES.get(lang, lang)
    return LANGUAGES.get(lang) or found[:1].upper() + found[1:]


def choose(*wishes: str, header: str = "") -> str:
    """The language for somebody: the first wish we have, else the best of an Accept-Language header, else English."""
    known = (code(wish).partition("-")[0] for wish in [*wishes, *_accepted(header)])
    return next((lang for lang in known if lang in LANGUAGES), "en")


def read_by(*wishes: str, header: str = "") -> str:
    """The language that somebody reads: the first wish that is a code, else what the browser wants most; ``""`` if unknown.

    Other than ``choose`` it is not bound to our own words: issues may be in any language. What we speak is told by its base.
    """
    for wish in [*wishes, *_accepted(header)[:1]]:
        lang = code(wish)
        if _CODE.fullmatch(lang):
            return spoken(lang) if lang.partition("-")[0] in LANGUAGES else lang
    return ""


def day(when: date, lang: str) -> str:
    """A date as people of this language write it: 24 November 2026, 24. November 2026, 2026年11月24日."""
    from babel.dates import format_date

    return str(format_date(when, "long", locale=_dates(lang)))


def short_day(when: date, lang: str) -> str:
    """A date without its year: 24 Nov, 24. Nov., 11月24日."""
    from babel.dates import format_skeleton

    return str(format_skeleton("MMMd", when, locale=_dates(lang)))


def _dates(lang: str) -> str:
    """The locale whose dates go with our own words; never the process's own, which is another on each machine."""
    return {"en": "en_GB"}.get(spoken(lang), spoken(lang))


def _accepted(header: str) -> list[str]:
    """Language codes of a header, the most wanted first."""
    found = []
    for place, part in enumerate(header[:500].split(",")):
        code, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        found.append((-weight, place, code.strip().lower()))
    return [code for weight, _, code in sorted(found) if weight < 0]


@lru_cache
def _catalogue(lang: str) -> dict[str, str]:
    path = FOLDER / f"{lang}.po"
    if not path.exists():
        return {}
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        return {str(one.id): str(one.string) for one in read_po(file, locale=lang) if one.id and one.string and not one.fuzzy}
