"""A picture of each issue for places that show a link as a card; kept in the cache by digest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mailer.editions.convert import Workers, digest, own_code


@dataclass(frozen=True)
class Card:
    """What one picture shows, and its path below the site."""

    path: str
    title: str
    site: str
    date: str


def place(cards: Iterable[Card], output: Path, kept: Path | None, workers: Workers) -> None:
    """Put the picture of each issue into the site; what the cache does not have is drawn in all processors."""
    own = None if kept else tempfile.TemporaryDirectory(prefix="postmerge-cards-")
    folder = kept / "cards" if kept else Path(own.name if own else "")
    folder.mkdir(parents=True, exist_ok=True)
    salt = digest(version("pillow"), own_code())
    files = {card: folder / f"{digest(salt, card.title, card.site, card.date)}.png" for card in cards}
    missing = [card for card, path in files.items() if not path.is_file()]
    for card, data in _drawn(missing, workers):
        part = files[card].with_suffix(f".{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(files[card])
    for card, path in files.items():
        target = output / card.path
        target.parent.mkdir(parents=True, exist_ok=True)
        same(path, target)
    if own:
        own.cleanup()


def same(path: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system cannot do that."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _drawn(cards: list[Card], workers: Workers) -> Iterable[tuple[Card, bytes]]:
    if not cards:
        return ()
    from mailer.editions.drawing import draw  # loads Pillow, which most builds do not need

    return zip(cards, workers.map(draw, cards, chunk=8), strict=True)
