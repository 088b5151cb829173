"""Text on pages and in emails, in the subscriber's language, from the gettext catalogues in ``locale/`` (``.po``)."""

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
    """Return ``say(text, **values)``: it translates a text and fills in ``%(name)s``; English where no translation exists."""
    catalogue = _catalogue(lang) if lang in LANGUAGES else {}

    def say(text: str, **values: object) -> str:
        found = catalogue.get(text) or text
        return found % values if values else found

    return say


def code(lang: str) -> str:
    """Return the code of a language as variants are named: ``de``, ``pt-br``."""
    return lang.strip().lower().replace("_", "-")


def spoken(lang: str) -> str:
    """Return the language for our own words beside a text in ``lang`` (``de-AT``): its base if we have it, else English."""
    base = code(lang).partition("-")[0]
    return base if base in LANGUAGES else "en"


def name(lang: str) -> str:
    """Return a language's own name: Deutsch, Français; the code if there is none."""
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale.parse(lang.replace("_", "-"), sep="-")
        found = locale.get_display_name(locale) or lang
    except (UnknownLocaleError, ValueError):
        return LANGUAGES.get(lang, lang)
    return LANGUAGES.get(lang) or found[:1].upper() + found[1:]


def choose(*preferred: str, header: str = "") -> str:
    """Choose a language that we have: the first of ``preferred``, else the best of an Accept-Language header, else English."""
    known = (code(one).partition("-")[0] for one in [*preferred, *_accepted(header)])
    return next((lang for lang in known if lang in LANGUAGES), "en")


def read_by(*preferred: str, header: str = "") -> str:
    """Return the language a person reads: the first valid code of ``preferred``, else the browser's first; ``""`` if unknown.

    Unlike ``choose`` it is not limited to our catalogues: issues may be in any language.
    """
    for one in [*preferred, *_accepted(header)[:1]]:
        lang = code(one)
        if _CODE.fullmatch(lang):
            return spoken(lang) if lang.partition("-")[0] in LANGUAGES else lang
    return ""


def day(when: date, lang: str) -> str:
    """Format a date as is usual in a language: 24 November 2026, 24. November 2026, 2026年11月24日."""
    from babel.dates import format_date

    return str(format_date(when, "long", locale=_dates(lang)))


def short_day(when: date, lang: str) -> str:
    """Format a date without its year: 24 Nov, 24. Nov., 11月24日."""
    from babel.dates import format_skeleton

    return str(format_skeleton("MMMd", when, locale=_dates(lang)))


def _dates(lang: str) -> str:
    """Return the locale for dates that match our own words, never the machine's own locale."""
    return {"en": "en_GB"}.get(spoken(lang), spoken(lang))


def _accepted(header: str) -> list[str]:
    """List the language codes of an Accept-Language header, the preferred first."""
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
