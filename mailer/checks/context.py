"""What the checks know beside the file itself: the site, the other files, the word list, perhaps the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mailer.editions.site.preview import Shown
from mailer.editions.source.translations import Text, families


@dataclass(frozen=True)
class Sibling:
    """Another file of the newsletter, as far as checks need it: ``slug`` is its own, ``wanted`` the one that it asks for."""

    shown: str
    slug: str
    wanted: str
    draft: bool
    text: Text | None = None  # of an issue, for its translations


@dataclass(frozen=True)
class Ledger:
    """What the database knows: the subscribers' tags, the size of a key's audience, and the digest sent under a key."""

    unknown_tags: Callable[[str], list[str]]
    size: Callable[[str, str], int]
    sent: Mapping[tuple[str, int], str]


@dataclass(frozen=True)
class Rendered:
    """An issue's email as far as checks need it: bytes of HTML, digest of its body, where it was cut."""

    size: int
    digest: str
    before: str = ""

    @classmethod
    def of(cls, shown: Shown | None) -> Rendered | None:
        """Describe the email of a preview; None if there is none."""
        edition = shown.edition if shown else None
        return cls(len(edition.html.encode()), edition.digest, shown.before) if shown and edition else None


@dataclass(frozen=True)
class Context:
    """``render`` renders an issue's email, and is called only if nothing cheaper answers; None if it cannot be rendered.

    ``unsold`` says why nothing is sold: ``no plans`` or ``no key``; empty if something is, or if that is unknown.
    """

    root: Path
    site_url: str = ""
    zone: str = "UTC"
    lang: str = "en"
    ids: tuple[str, ...] = ("slug",)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    siblings: Mapping[Path, Sibling] = field(default_factory=dict)
    words: tuple[tuple[re.Pattern[str], str], ...] = ()
    clip: str = "warn"
    gfm: bool = False
    is_adopted: bool = False
    has_templates: bool = False  # a plugin of the site fills in Jinja or Liquid in texts
    unsold: str = ""
    ledger: Ledger | None = None
    render: Callable[[Path], Rendered | None] = lambda path: None

    @cached_property
    def slugs(self) -> dict[str, list[Path]]:
        """Map each slug to the files that ask for it."""
        found: dict[str, list[Path]] = {}
        for path, sibling in self.siblings.items():
            if not sibling.draft:
                found.setdefault(sibling.wanted, []).append(path)
        return found

    @cached_property
    def families(self) -> dict[str, list[Text]]:
        """Map each file of an issue with several languages to the issue's texts, the original first."""
        texts = [one.text for one in self.siblings.values() if one.text and not one.draft]
        return {text.name: family for family in families(texts, self.ids, self.lang) for text in family}


def word_list(text: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Parse a word list to patterns: one name a line, ``wrong, wrong => Right`` if not only the case can be wrong."""
    found = []
    for line in text.splitlines():
        wrong, arrow, right = line.partition("=>")
        right = (right if arrow else wrong).strip()
        if not right or right.startswith("#"):
            continue
        names = [name.strip() for name in wrong.split(",") if name.strip()] if arrow else []
        if arrow:
            pattern = "|".join(re.escape(name) for name in names)
            found.append((re.compile(rf"(?<![\w./@#-])(?:{pattern})(?![\w@/-]|\.\w)"), right))
        elif any(character.isupper() for character in right):
            loose = r"[ -]?".join(re.escape(part) for part in re.split(r"[ -]", right))
            found.append(
                (re.compile(rf"(?<![\w./@#-])(?!(?-i:{re.escape(right)})(?!\w)){loose}(?![\w@/-]|\.\w)", re.IGNORECASE), right)
            )
    return tuple(found)
