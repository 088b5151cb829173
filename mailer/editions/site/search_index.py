"""Search in the browser by pagefind: one index for each year of issues, so that a changed issue only renews its own year.

An index is made from the pages as the public sees them, and is kept in the cache under the digest of all that goes in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import orjson

from mailer.core.edition import Edition
from mailer.editions.mail.markdown_to_html import digest, own_code
from mailer.editions.source.build_files import same

FOLDER = "pagefind"
_WANTED = ("pagefind.js", "pagefind-worker.js", "pagefind-entry.json", "wasm.*", "*.pf_meta", "index/*", "fragment/*")


@dataclass
class _Running:
    """An index in progress: its folder, its process, and its pages."""

    made: Path
    keep: Path
    process: subprocess.Popen[bytes]


class Indexing:
    """The indexes of a site: ``start`` builds those that are not cached, ``finish`` waits and puts all in place."""

    def __init__(self, output: Path, cache: Path | None) -> None:
        self._output = output
        self._own = None if cache else tempfile.TemporaryDirectory(prefix="postmerge-search-")
        self._cache = (cache / "search") if cache else Path(self._own.name if self._own else "")
        self._years: dict[str, Path] = {}
        self._running: list[_Running] = []
        self._waiting: list[tuple[Path, list[str]]] = []  # the folders and the pages of indexes to make
        self._lang = ""

    def start(self, editions: Sequence[Edition], site_url: str, lang: str) -> None:
        """Start. ``lang`` (the site's) selects the stemming, so that one search finds issues in all languages.

        As many processes as there are processors run at once: each takes tens of megabytes.
        """
        self._cache.mkdir(parents=True, exist_ok=True)
        salt = digest(version("pagefind_bin"), own_code(), lang)
        years: dict[str, dict[str, bytes]] = defaultdict(dict)
        for edition in editions:
            name = f"{edition.url.removeprefix(f'{site_url}/').strip('/')}/index.html"
            if (self._output / name).is_file():
                years[str(edition.dated.year)][name] = (self._output / name).read_bytes()
        for year, pages in years.items():
            keep = self._cache / digest(salt, *(part for name in sorted(pages) for part in (name, pages[name])))
            self._years[year] = keep
            if not (keep / "pagefind-entry.json").is_file():
                self._waiting.append((keep, list(pages)))
        self._lang = lang.partition("-")[0].lower()
        for _ in range(os.cpu_count() or 1):
            self._begin_next()

    def finish(self) -> str:
        """Wait, put the indexes into the site and return what went wrong ("": nothing)."""
        wrong = ""
        while self._running:
            one = self._running[0]
            _, said = one.process.communicate()
            self._running.remove(one)
            self._begin_next()
            if one.process.returncode:
                wrong = " ".join(said.decode("utf-8", "replace").split())[-200:] or f"exit {one.process.returncode}"
            elif not one.keep.exists():
                one.made.joinpath("index").rename(one.keep)
            shutil.rmtree(one.made, ignore_errors=True)
        if not wrong:
            self._place()
        self.close()
        return wrong

    def close(self) -> None:
        """End running processes if the build failed, and clean up."""
        for one in self._running:
            one.process.kill()
            one.process.communicate()
            shutil.rmtree(one.made, ignore_errors=True)
        if self._own:
            self._own.cleanup()

    def _begin_next(self) -> None:
        if self._waiting:
            self._running.append(self._begin(*self._waiting.pop(0)))

    def _begin(self, keep: Path, pages: list[str]) -> _Running:
        made = Path(tempfile.mkdtemp(prefix=f"{keep.name}.", dir=self._cache))
        for name in pages:
            path = made / "pages" / name
            path.parent.mkdir(parents=True)
            same(self._output / name, path)
        command = [_program(), "--site", str(made / "pages"), "--output-path", str(made / "index"), "--quiet"]
        process = subprocess.Popen(  # noqa: S603 (the program that came with its package)
            [*command, "--force-language", self._lang], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        return _Running(made, keep, process)

    def _place(self) -> None:
        for year, keep in self._years.items():
            for path in sorted(path for pattern in _WANTED for path in keep.glob(pattern)):
                target = self._output / FOLDER / year / path.relative_to(keep)
                target.parent.mkdir(parents=True, exist_ok=True)
                same(path, target)
        (self._output / FOLDER).mkdir(parents=True, exist_ok=True)
        (self._output / FOLDER / "years.json").write_bytes(orjson.dumps(sorted(self._years, reverse=True)))
        wanted = set(self._years.values())
        for path in self._cache.iterdir():
            if path not in wanted:
                shutil.rmtree(path, ignore_errors=True)


def available() -> bool:
    """Is pagefind installed?"""
    return find_spec("pagefind_bin") is not None


def _program() -> str:
    from pagefind_bin import get_executable

    return str(get_executable())
