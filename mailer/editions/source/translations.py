"""An issue and its translations are one issue: only the original asks to be sent, and chooses the audience."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailer.core.edition import PREMIUM, Edition, Variant
from mailer.core.i18n import code
from mailer.editions.source.front_matter import NO

_ITS_OWN = ("send", "audience", "edition", "id", "from", "reply-to")  # fields that only the original has


@dataclass(frozen=True)
class Text:
    """One file as far as its translations are concerned; ``shown`` is its display name, ``premium``: it has paid text."""

    name: str
    shown: str
    lang: str
    fields: Mapping[str, str]
    premium: bool


@dataclass(frozen=True)
class Wrong:
    """A problem in a translation: its file, the field, and a sentence."""

    name: str
    field: str
    message: str


def family_ids(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that translations share (Pelican's ARTICLE_TRANSLATION_ID); none: there are no translations."""
    ids: str | Collection[str] | None = settings.get("ARTICLE_TRANSLATION_ID")
    return (ids,) if isinstance(ids, str) and ids else tuple(ids or ())


def families(texts: Iterable[Text], ids: Sequence[str], default_lang: str) -> list[list[Text]]:
    """Group an issue's texts by language, the original first: the one in the site's language, else the one that asks
    to be sent, else the first by name."""
    found: dict[tuple[str, ...], list[Text]] = defaultdict(list)
    for text in texts:
        value = tuple(text.fields.get(name, "") for name in ids)
        if ids and all(value):
            found[value].append(text)

    def rank(text: Text) -> tuple[bool, bool, bool, str]:
        marked = text.fields.get("translation", "false").lower() != "false"
        return marked, code(text.lang) != code(default_lang), not _asks(text, "send"), text.name

    return [sorted(family, key=rank) for family in found.values() if len(family) > 1]


def drop_same_language(family: Sequence[Text]) -> list[Text]:
    """Keep one text of each language: to Pelican, a second one is an article of its own."""
    return list({code(text.lang): text for text in reversed(family)}.values())[::-1]


def wrong(family: Sequence[Text]) -> Iterator[Wrong]:
    """List what prevents a translation from being used; it is left out then, as any issue with an error."""
    if not family:
        return
    original, seen = family[0], {code(family[0].lang)}
    for text in family[1:]:
        for name in _ITS_OWN:
            if _asks(text, name):
                yield Wrong(
                    text.name,
                    name,
                    f"`{name.title()}:` is in a translation of {original.shown}, but the original sets it for all languages:"
                    " remove the line here.",
                )
        if code(text.lang) in seen:
            yield Wrong(text.name, "lang", f"{original.shown} already has a text in {text.lang!r}: correct `Lang:`.")
        seen.add(code(text.lang))
        if _hidden(text) != _hidden(original):
            how = "`Status: hidden` must be the same in all languages of an issue"
            yield Wrong(text.name, "status", f"{how}: use the `Status:` of {original.shown}.")
        if not text.premium and original.premium and not text.fields.get("access"):
            yield Wrong(
                text.name,
                "access",
                f"{original.shown} has paid text, but this translation has none: mark it with `:::premium` or"
                " `Access: premium`, or write `Access: open` if all of it is free.",
            )


def gather(editions: Iterable[Edition], originals: Mapping[str, str]) -> tuple[list[Edition], list[Edition]]:
    """Return the editions to publish, with their translations as variants, and the translations as editions of their own.

    ``originals`` names the original's key for each translation's key.
    """
    parts: dict[str, list[Edition]] = defaultdict(list)
    whole, translated = [], []
    for edition in editions:
        if edition.key in originals:
            parts[originals[edition.key]].append(edition)
            translated.append(edition)
        else:
            whole.append(edition)
    return [replace(one, variants=(*one.variants, *_variants(parts[one.key]))) for one in whole], translated


def _variants(translations: Iterable[Edition]) -> Iterator[Variant]:
    for one in sorted(translations, key=lambda edition: code(edition.lang)):
        own = {"lang": one.lang, "title": one.title, "subject": one.subject, "url": one.url, "path": one.path}
        yield Variant(code(one.lang), one.preheader, one.html, one.text, one.body, one.digest, **own)
        for paid in one.variants:
            yield replace(paid, name=f"{code(one.lang)} {PREMIUM}", **own)


def as_issues(edition: Edition) -> Iterator[Edition]:
    """Return an edition and each of its translations as if alone: what everybody may read, under the same key."""
    yield edition
    for one in edition.variants:
        if one.path and not one.premium:
            facts = {name: value for name, value in vars(one).items() if name != "name"}
            yield replace(edition, **facts, variants=())


def beside(address: str, lang: str) -> str:
    """Return the address of a translation whose own would be the original's: ``issues/hello/`` becomes ``issues/hello/de/``."""
    folder, slash, name = address.rpartition("/")
    if name in ("", "index.html"):
        return f"{folder}{slash}{code(lang)}/{name}"
    stem, dot, ending = name.rpartition(".")
    return f"{folder}{slash}{stem}-{code(lang)}{dot}{ending}" if stem else f"{folder}{slash}{name}-{code(lang)}"


def _hidden(text: Text) -> bool:
    return text.fields.get("status", "").strip().lower() == "hidden"


def _asks(text: Text, name: str) -> bool:
    value = text.fields.get(name, "").strip().lower()
    return value not in NO if name == "send" else bool(value)
