"""A site beside what Pelican alone makes of it, file by file: what is missing, what is extra, what differs and why."""

from __future__ import annotations

import multiprocessing
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import feedparser
from lxml import etree, html

from mailer.core.errors import BadInput
from mailer.editions.site.build import BuildOptions
from mailer.editions.source.site_config import PLUGIN

_BODY = re.compile(r"<div data-receipt=[^>]*>(.*?)\s*</div>", re.DOTALL)
_MAX_QUOTED_WORDS, _MAX_QUOTED_CHARS = 8, 80  # of the first difference between two pages
_OURS = {
    "robots.txt": "written where a site has none", "sitemap.xml": "written where a site has none",
    "js/subscribe.js": "the sign-up form's script",
}  # fmt: skip


@dataclass(frozen=True)
class PageDifference:
    """One file that is not as Pelican alone writes it. ``kind``: missing, extra, ids (of a feed's entries), text or markup."""

    kind: str
    path: str
    why: str


@dataclass
class StockComparison:
    """How many files Pelican writes, how many of them are the same here but for the digest, and all differences."""

    files: int = 0
    same: int = 0
    feeds: int = 0
    differences: list[PageDifference] = field(default_factory=list)

    @property
    def lost(self) -> list[PageDifference]:
        """List what links and feed readers would notice: missing files, and entries with other ids."""
        return [one for one in self.differences if one.kind in ("missing", "ids")]


def compare_with_stock(options: BuildOptions) -> StockComparison:
    """Compare the built site with a build by Pelican without this plugin. Raises BadInput if that is impossible."""
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder, "site")
        _build_stock(options, stock)
        return _compare(stock, options.site)


def _build_stock(options: BuildOptions, output: Path) -> None:
    """Build in a fresh process: a plugin that is loaded once stays."""
    context = multiprocessing.get_context("spawn")
    answer, write = context.Pipe(duplex=False)
    process = context.Process(target=_run_pelican, args=(write, options, output))
    process.start()
    write.close()
    try:
        wrong = answer.recv()
    except EOFError:
        wrong = "it ended without a word"
    process.join()
    if wrong:
        raise BadInput(f"Pelican alone cannot build this site ({wrong}): correct {options.config}, then compare again.")


def _run_pelican(answer: Connection, options: BuildOptions, output: Path) -> None:
    from pelican import Pelican
    from pelican.settings import read_settings

    try:
        override: dict[str, object] = dict.fromkeys(("LOAD_CONTENT_CACHE", "CACHE_CONTENT", "DELETE_OUTPUT_DIRECTORY"), False)
        override |= {"SITEURL": options.site_url} if options.site_url else {}
        settings = read_settings(
            str(options.config), override={**override, "PATH": str(options.content.resolve()), "OUTPUT_PATH": str(output)}
        )
        named = settings.get("PLUGINS") or []
        others = [one for one in named if PLUGIN not in (one, getattr(one, "__name__", ""))]
        settings["PLUGINS"] = others or None  # a site that named none had all that are installed
        Pelican(settings).run()
        answer.send("")
    except (Exception, SystemExit) as error:
        answer.send(f"{type(error).__name__}: {str(error)[:200]}")


def _compare(stock: Path, ours: Path) -> StockComparison:
    was, now = _list_files(stock), _list_files(ours)
    found = StockComparison(files=len(was))
    for name in sorted(was - now):
        found.differences.append(PageDifference("missing", name, "Pelican writes it, and Postmerge does not"))
    for name in sorted(now - was):
        why = next((why for ending, why in _OURS.items() if name.endswith(ending)), "only Postmerge writes it")
        found.differences.append(PageDifference("extra", name, why))
    for name in sorted(was & now):
        differences = list(_compare_file(stock / name, ours / name, name))
        found.feeds += name.endswith((".xml", ".rss", ".atom"))
        found.same += not differences
        found.differences += differences
    return found


def _list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _compare_file(stock: Path, ours: Path, name: str) -> Iterator[PageDifference]:
    was, now = stock.read_bytes(), ours.read_bytes()
    if was == now:
        return
    if name.endswith((".html", ".htm")):
        yield from _compare_pages(was.decode("utf-8", "replace"), now.decode("utf-8", "replace"), name)
    elif name.endswith((".xml", ".rss", ".atom")):
        yield from _compare_feeds(was, now, name)
    else:
        yield PageDifference("text", name, "its content differs")


def _compare_pages(was: str, now: str, name: str) -> Iterator[PageDifference]:
    if _without_blanks(was) == _without_blanks(_BODY.sub(r"\1", now)):
        return
    before, after = _read_words(was), _read_words(now)
    if _without_blanks(before) == _without_blanks(after):
        yield PageDifference("markup", name, "its words are the same; links are absolute, what emails cannot have is gone")
    else:
        yield PageDifference("text", name, f"its words differ: {_describe_first_difference(before.split(), after.split())}")


def _describe_first_difference(before: list[str], after: list[str]) -> str:
    """Quote both texts from the first word that is not the same."""
    at = next((n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), min(len(before), len(after)))
    old, new = (" ".join(words[at : at + _MAX_QUOTED_WORDS])[:_MAX_QUOTED_CHARS] for words in (before, after))
    return f"“{new}” instead of “{old}”"


def _compare_feeds(was: bytes, now: bytes, name: str) -> Iterator[PageDifference]:
    before, after = (feedparser.parse(data, sanitize_html=False) for data in (was, now))
    ids, new = ([entry.get("id") for entry in feed.entries] for feed in (before, after))
    if before.version != after.version:
        yield PageDifference("ids", name, f"it is {after.version or 'no feed'} instead of {before.version}")
    elif ids != new:
        kept = len(set(ids) & set(new))
        yield PageDifference("ids", name, f"{kept} of {len(ids)} entries keep their id")


def _without_blanks(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _read_words(text: str) -> str:
    try:
        return "".join(map(str, html.fromstring(text.encode()).itertext()))
    except (etree.ParserError, ValueError):
        return text
