"""Text on pages and in emails, in the subscriber's language, from the gettext catalogues in ``locale/`` (``.po``).

A newsletter's own ``words/LANG.po`` overrides any text, and may add a language.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Collection, Iterator
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mailer.core.i18n import catalogues

if TYPE_CHECKING:
    from babel import Locale

LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "zh": "简体中文"}

_CODE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_SCRIPT = re.compile(r"[a-z]{4}(-|$)")
_RTL_SCRIPTS = frozenset({"adlm", "arab", "hebr", "mand", "nkoo", "rohg", "syrc", "thaa"})
_own_folder = Path("words")


class Say:
    """Translates texts into one language and fills in their ``%(name)s``; English where no translation exists.

    ``kind`` is ``str``, or ``Markup`` for templates: then our text is markup, and the values are escaped.
    """

    def __init__(self, catalogue: gettext.NullTranslations, kind: type[str]) -> None:
        self._catalogue, self._kind = catalogue, kind

    def __call__(self, text: str, **values: object) -> str:
        return self._fill(self._catalogue.gettext(text), values)

    def ngettext(self, one: str, many: str, number: int, **values: object) -> str:
        """Translate the form for ``number``, which is also the value of ``%(number)s``."""
        return self._fill(self._catalogue.ngettext(one, many, number), {"number": number, **values})

    def pgettext(self, context: str, text: str, **values: object) -> str:
        """Translate a text that means something else in another ``context``."""
        return self._fill(self._catalogue.pgettext(context, text), values)

    def _fill(self, found: str, values: dict[str, object]) -> str:
        made = self._kind(found)
        return self._kind(made % values) if values else made


def N_(text: str) -> str:
    """Mark a text for the catalogues where it is only named; it is translated where it is used."""
    return text


def use_words(folder: Path) -> None:
    """Set the folder of the newsletter's own catalogues."""
    global _own_folder
    _own_folder = folder


def own_catalogues() -> dict[str, Path]:
    """Return the newsletter's own catalogues by language."""
    try:
        return {code(path.stem): path for path in sorted(_own_folder.iterdir()) if path.suffix == ".po"}
    except OSError:
        return {}


def languages() -> dict[str, str]:
    """Return the languages of our pages with their names: ours, and those that the newsletter adds."""
    return {**LANGUAGES, **{lang: name(lang) for lang in own_catalogues() if lang not in LANGUAGES}}


def translator(lang: str, kind: type[str] = str) -> Say:
    """Return what translates into a language: its catalogues, then those of its wider language (``pt-br``, ``pt``)."""
    own = own_catalogues()
    chain = [one for one in wider(code(lang)) if one in LANGUAGES or one in own]
    return Say(catalogues.load(tuple((one, own.get(one)) for one in chain)), kind)


def code(lang: str) -> str:
    """Return the code of a language as variants are named: ``de``, ``pt-br``."""
    return lang.strip().lower().replace("_", "-")


def wider(lang: str) -> Iterator[str]:
    """List a language's code, then wider and wider ones, as RFC 4647's lookup does: ``de-ch-1996``, ``de-ch``, ``de``.

    Another script is never wider: ``zh-tw`` (traditional characters) continues with ``zh-hant``, not to ``zh`` (simplified).
    """
    base, *parts = lang.split("-")
    script = _script(lang)
    widest = f"{base}-{script}" if script and script != _script(base) else base
    while parts and (found := "-".join([base, *parts])) != widest:
        yield found
        parts.pop()
        if parts and len(parts[-1]) == 1:  # RFC 4647: a single character begins an extension, and means nothing alone
            parts.pop()
    yield widest


def lookup(lang: str) -> str:
    """Return the best of our languages for a code; empty if there is none."""
    return _best(lang, languages())


def spoken(lang: str) -> str:
    """Return the language for our own words beside a text in ``lang`` (``de-AT``): the best we have, else English."""
    return lookup(lang) or "en"


def name(lang: str) -> str:
    """Return a language's own name: Deutsch, Français; the code if there is none."""
    if lang in LANGUAGES:
        return LANGUAGES[lang]
    found = _locale(lang)
    shown = found.get_display_name(found) if found else None
    return shown[:1].upper() + shown[1:] if shown else lang


def direction(lang: str) -> str:
    """Return ``rtl`` or ``ltr``."""
    return "rtl" if _script(code(lang)) in _RTL_SCRIPTS else "ltr"


def choose(*preferred: str, header: str = "") -> str:
    """Choose a language that we have: the best for the first of ``preferred`` or of an Accept-Language header that has one."""
    known = languages()
    return next((lang for one in [*preferred, *_accepted(header)] if one and (lang := _best(one, known))), "en")


def read_by(*preferred: str, header: str = "") -> str:
    """Return the language a person reads: the first valid code of ``preferred``, else the browser's first; ``""`` if unknown.

    Unlike ``choose`` it is not limited to our catalogues: issues may be in any language.
    """
    for one in [*preferred, *_accepted(header)[:1]]:
        lang = code(one)[:35]
        if _CODE.fullmatch(lang):
            return lookup(lang) or lang
    return ""


def day(when: date, lang: str) -> str:
    """Format a date as is usual in a language: 24 November 2026, 24. November 2026, 2026年11月24日."""
    from babel.dates import format_date

    return str(format_date(when, "long", locale=locale(lang)))


def month(when: date, lang: str) -> str:
    """Format a month as is usual in a language: November 2026, novembre 2026, 2026年11月."""
    from babel.dates import format_skeleton

    return str(format_skeleton("yMMMM", when, locale=locale(lang)))


def clock(when: datetime, lang: str) -> str:
    """Format a time of day with the zone it is in: 14:05 CET, 14:05 MEZ."""
    from babel.dates import format_time

    return str(format_time(when, "HH:mm z", tzinfo=when.tzinfo, locale=locale(lang)))


def short_day(when: date, lang: str) -> str:
    """Format a date without its year: 24 Nov, 24. Nov., 11月24日."""
    from babel.dates import format_skeleton

    return str(format_skeleton("MMMd", when, locale=locale(lang)))


def locale(lang: str) -> Locale:
    """Return the locale for dates and amounts that match our own words, never the machine's own locale."""
    said = spoken(lang)
    found = _locale("en-GB" if said == "en" else said) or _locale("en-GB")
    assert found
    return found


def _best(lang: str, known: Collection[str]) -> str:
    return next((one for one in wider(code(lang)) if one in known), "")


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


@lru_cache(maxsize=1024)
def _script(lang: str) -> str:
    """Return the script of a language's code in lower case, by the code itself or by CLDR; empty if unknown."""
    from babel.core import get_global

    base, _, rest = lang.partition("-")
    if _SCRIPT.match(rest):
        return rest[:4]
    likely = get_global("likely_subtags")
    found = likely.get(f"{base}_{rest.partition('-')[0].upper()}") or likely.get(base) or ""
    return str(found).lower().partition("_")[2].partition("_")[0]


@lru_cache(maxsize=1024)
def _locale(lang: str) -> Locale | None:
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(code(lang), sep="-")
    except (UnknownLocaleError, ValueError):
        return None
