"""Slugs: the address of each issue, determined by the files alone and not by the order in which they are found.

A file asks for its ``Slug:``, else for its name; ``index.md`` for its folder's name. Where two issues ask for the same
slug, the older one (by ``Date:``, then by path) gets it, so that a new file does not take the address of a published
issue. The other gets its folder's name before its own: ``2026/01.md`` beside ``2025/01.md`` is at ``2026-01``.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import chain, count
from pathlib import Path

from mailer.core.i18n import code
from mailer.editions.source.front_matter import Source, date, slugify

_UNDATED = "9999"  # sorts after every date


@dataclass(frozen=True)
class File:
    """A source file as far as its slug is concerned. ``path`` is relative to the content folder, ``dated`` in ISO format."""

    path: Path
    lang: str
    slug: str = ""
    dated: str = ""

    @property
    def bare(self) -> str:
        """Return the file's name without ``.de`` for a German text; the folder's name for ``index.md``."""
        ending, name = f".{code(self.lang)}", self.path.stem
        bare = name[: -len(ending)] if name.lower().endswith(ending) else name
        return self.folder[-1] if bare.lower() == "index" and self.folder else bare

    @property
    def folder(self) -> tuple[str, ...]:
        """Return the folders above it, without one that only names the language."""
        return tuple(part for part in self.path.parent.parts if code(part) != code(self.lang))

    @property
    def wanted(self) -> str:
        """Return the slug that it asks for; a part of its path's digest if nothing else remains."""
        wanted = self.slug.strip().strip("/") or slugify(self.bare)
        return re.sub(r"[/\\?#%\s]+|\.\.+", "-", wanted) or hashlib.sha256(self.path.name.encode()).hexdigest()[:12]

    @property
    def family(self) -> tuple[str, ...]:
        """Return what the translations of one issue share: the same ``Slug:``, or folder and name."""
        return ("slug", self.wanted) if self.slug.strip() else ("file", *self.folder, self.wanted)

    @property
    def age(self) -> tuple[str, str]:
        """Sort key for the order in which files get their slugs, oldest first."""
        return self.dated or _UNDATED, str(self.path)

    @classmethod
    def of(cls, path: Path, root: Path, fields: Mapping[str, str], lang: str, zone: str) -> File:
        """Build it from a file's front matter; ``lang`` and ``zone`` are the site's."""
        dated = date(Source(""), fields.get("date", ""), zone)
        moment = dated.astimezone(UTC).isoformat() if dated else ""
        place = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        return cls(place, fields.get("lang") or lang, fields.get("slug", ""), moment)

    def candidates(self) -> Iterator[str]:
        """Yield the slugs that it can have, best first; never ends."""
        bare = File(self.path, self.lang).wanted
        above = self.folder[:-1] if self.folder and self.bare == self.folder[-1] else self.folder
        whole = f"{slugify(above[-1])}-{bare}" if above and slugify(above[-1]) else bare
        return chain(dict.fromkeys((self.wanted, bare, whole)), (f"{whole}-{number}" for number in count(2)))


class Slugs:
    """The assignment of slugs to files. With ``by_language`` the translations of one issue share theirs."""

    def __init__(self, by_language: bool = True) -> None:
        self._by_language = by_language
        self._holders: dict[str, list[File]] = defaultdict(list)

    def place_all(self, files: Iterable[File]) -> dict[Path, str]:
        """Assign a slug to each file, by its path."""
        units = sorted(self._units(files), key=lambda unit: unit[0].age)
        return {file.path: slug for unit in units for file, slug in self._place(unit)}

    def place(self, file: File) -> str:
        """Assign a slug to one file that is read again or found later than the others."""
        for slug in [slug for slug, holders in self._holders.items() if any(one.path == file.path for one in holders)]:
            self._holders[slug] = [one for one in self._holders[slug] if one.path != file.path]
        return next(slug for _, slug in self._place([file]))

    def holder(self, slug: str) -> Path | None:
        """Return the oldest file with a slug."""
        return min(self._holders[slug], key=lambda file: file.age).path if self._holders[slug] else None

    def families(self) -> list[list[Path]]:
        """List the files of each slug, oldest first: an issue and its translations."""
        return [[file.path for file in sorted(holders, key=lambda file: file.age)] for holders in self._holders.values()]

    def _units(self, files: Iterable[File], by_name: bool = False) -> Iterator[list[File]]:
        """List the files that get one slug together, oldest first: an issue with its translations."""
        families: dict[tuple[str, ...], list[File]] = defaultdict(list)
        for file in sorted(files, key=lambda file: file.age):
            families[(*file.folder, slugify(file.bare)) if by_name else file.family].append(file)
        for family in families.values():
            first = {self._lang(file): file for file in reversed(family)}
            yield sorted(first.values(), key=lambda file: file.age)
            if rest := [file for file in family if first[self._lang(file)] is not file]:
                yield from self._units(rest, by_name=True)

    def _place(self, unit: Sequence[File]) -> Iterator[tuple[File, str]]:
        slug = next(slug for slug in unit[0].candidates() if self._free(slug, unit))
        self._holders[slug] += unit
        return ((file, slug) for file in unit)

    def _free(self, slug: str, unit: Sequence[File]) -> bool:
        """Is the slug unused, or used only by the same issue in other languages?"""
        langs = {self._lang(file) for file in unit}
        return all(
            self._by_language
            and self._lang(holder) not in langs
            and (holder.family == unit[0].family or bool(holder.slug.strip()) or bool(unit[0].slug.strip()))
            for holder in self._holders[slug]
        )

    def _lang(self, file: File) -> str:
        return code(file.lang) if self._by_language else ""
