"""A picture of each issue for places that show links as cards; cached by digest."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mailer.core import i18n
from mailer.core.edition import Edition
from mailer.editions.images.issue_pictures import Cover
from mailer.editions.mail.markdown_to_html import Workers, Workshop, digest, own_code
from mailer.editions.source.build_files import same
from mailer.editions.source.site_config import Site


@dataclass(frozen=True)
class Card:
    """What one picture shows, and its path below the site."""

    path: str
    title: str
    site: str
    date: str
    cover: Path | None = None  # is shown instead of the texts

    @property
    def inputs(self) -> tuple[object, ...]:
        """All that decides about the picture, for the key of the cache."""
        if not self.cover:
            return self.title, self.site, self.date
        stat = self.cover.stat()
        return self.cover, stat.st_size, stat.st_mtime_ns


class Drawing:
    """The share cards of a site. Drawing starts in all processors for those not cached; ``place`` waits for them."""

    def __init__(self, cards: Sequence[Card], workshop: Workshop) -> None:
        kept = workshop.cache.folder
        self._own = None if kept else tempfile.TemporaryDirectory(prefix="postmerge-cards-")
        folder = kept / "cards" if kept else Path(self._own.name if self._own else "")
        folder.mkdir(parents=True, exist_ok=True)
        salt = digest(version("pillow"), own_code())
        self._files = {card: folder / f"{digest(salt, *card.inputs)}{Path(card.path).suffix}" for card in cards}
        self._drawn = _drawn([card for card, path in self._files.items() if not path.is_file()], workshop.workers)

    def place(self, output: Path) -> None:
        """Put the share card of each issue into the site."""
        for card, data in self._drawn:
            part = self._files[card].with_suffix(f".{os.getpid()}.part")
            part.write_bytes(data)
            part.replace(self._files[card])
        for folder in {(output / card.path).parent for card in self._files}:
            folder.mkdir(parents=True, exist_ok=True)
        for card, path in self._files.items():
            same(path, output / card.path)
        if self._own:
            self._own.cleanup()


def begin(editions: Iterable[Edition], covers: Mapping[str, Cover], site: Site, workshop: Workshop) -> Drawing | None:
    """Start to draw the cards of a site's editions, if so configured; ``covers`` are by the editions' keys."""
    if not site.settings.get("POSTMERGE_CARDS"):
        return None
    cards = []
    for one in editions:
        cover = covers.get(one.key)
        day, path = i18n.day(one.dated, one.lang), path_of(one.key, cover)
        cards.append(Card(path, one.title, site.name, day, cover.path if cover else None))
    return Drawing(cards, workshop)


def path_of(key: str, cover: Cover | None) -> str:
    """Return the path of an issue's share card in the site: a photograph is smaller as JPEG."""
    return f"cards/{hashlib.sha256(key.encode()).hexdigest()[:16]}.{'jpg' if cover else 'png'}"


def _drawn(cards: list[Card], workers: Workers) -> Iterable[tuple[Card, bytes]]:
    if not cards:
        return ()
    from mailer.editions.images.card_drawing import draw  # loads Pillow, which most builds do not need

    return zip(cards, workers.map(draw, cards, chunk=8), strict=True)
