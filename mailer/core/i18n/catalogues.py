"""The gettext catalogues: ours in ``locale/``, and a newsletter's own in ``words/``, compiled in memory."""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mailer.core.errors import BadInput

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog, Message

FOLDER = Path(__file__).parent.parent.parent / "locale"
TEMPLATE = FOLDER / "postmerge.pot"

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?(.?)", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a text of a newsletter's own catalogue, and in which line; ``unknown``: it overrides nothing."""

    line: int
    message: str
    unknown: bool = False


def load(links: Sequence[tuple[str, Path | None]]) -> gettext.NullTranslations:
    """Return the translations of a chain of languages, each with a newsletter's own catalogue, if it has one.

    A text that the first language lacks is looked up in the next, and at last is English.
    """
    return _load(tuple((lang, own, _modified(own)) for lang, own in links))


def read(path: Path, lang: str) -> Catalog:
    """Read a catalogue. Raises BadInput if it is not one."""
    from babel.messages.pofile import PoFileError, read_po

    try:
        with path.open("rb") as file:
            return read_po(file, locale=lang.replace("-", "_"), abort_invalid=True)
    except PoFileError as error:
        raise BadInput(f"{path}:{error.lineno}: {error}: correct the line, or check the file with `msgfmt -c`.") from error
    except (OSError, ValueError, LookupError) as error:
        raise BadInput(f"{path} cannot be read as a gettext catalogue in UTF-8 ({error}): correct the file.") from error


def check(path: Path) -> Iterator[Problem]:
    """List the texts of a newsletter's own catalogue that override nothing, or whose placeholders do not fit."""
    known = {(one.id, one.context) for one in read(TEMPLATE, "en")}
    for one in read(path, path.stem):
        if not one.id:
            continue
        if (one.id, one.context) not in known:
            said = f"No page or email says {str(_forms(one.id)[0])!r}: copy the msgid from {TEMPLATE.name}."
            yield Problem(one.lineno or 1, said, unknown=True)
        elif wrong := _find_misfit(one):
            said = f"{wrong!r} is not in the msgid: use only its placeholders, and write %% for a percent sign."
            yield Problem(one.lineno or 1, said)


@lru_cache(maxsize=64)
def _load(links: tuple[tuple[str, Path | None, int], ...]) -> gettext.NullTranslations:
    chain = gettext.NullTranslations()
    for lang, own, _ in reversed(links):
        found = _compile(_merge(lang, own))
        found.add_fallback(chain)
        chain = found
    return chain


def _merge(lang: str, own: Path | None) -> Catalog:
    """Return our catalogue with the newsletter's own texts; those that do not fit are left out (``check`` names them)."""
    from babel.messages.catalog import Catalog

    ours = FOLDER / f"{lang}.po"
    merged = read(ours, lang) if ours.exists() else Catalog(locale=lang.replace("-", "_"))
    try:
        texts = list(read(own, lang)) if own else []
    except BadInput:
        texts = []
    for one in texts:
        if one.id and one.string and not one.fuzzy and not _find_misfit(one):
            merged.delete(one.id, one.context)
            merged[one.id] = one
    return merged


def _compile(catalogue: Catalog) -> gettext.GNUTranslations:
    from babel.messages.mofile import write_mo

    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _find_misfit(one: Message) -> str:
    """Return a placeholder of a translation that its msgid does not have; empty if there is none."""
    allowed = {name for text in _forms(one.id) for name, _ in _PLACEHOLDER.findall(text) if name}
    for text in _forms(one.string) if allowed else ():
        for found in _PLACEHOLDER.finditer(text):
            if found[0] != "%%" and not (found[2] == "s" and found[1] in allowed):
                return found[0]
    return ""


def _forms(text: str | Sequence[str] | None) -> Sequence[str]:
    return (text,) if isinstance(text, str) else text or ()


def _modified(path: Path | None) -> int:
    """Return when a file was last written, so that a change is seen without a restart."""
    try:
        return path.stat().st_mtime_ns if path else 0
    except OSError:
        return 0
