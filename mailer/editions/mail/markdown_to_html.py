"""Convert Markdown to HTML in several processes, with a cache whose keys contain all inputs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import markdown
import orjson
import pygments

from mailer.core import i18n
from mailer.core.errors import BadInput
from mailer.core.files import write_private
from mailer.core.i18n import catalogues
from mailer.editions.mail import gfm
from mailer.editions.mail.canonical_html import MAX_DEPTH
from mailer.editions.mail.gfm import GfmOptions
from mailer.editions.mail.unclosed_html import close_elements
from mailer.editions.source import build_files
from mailer.editions.source.site_config import list_extensions

J = TypeVar("J")
R = TypeVar("R")
_DEEP_ITEM = re.compile(r"^([ \t]*+)(?:[-+*]|\d{1,9}[.)])[ \t]", re.MULTILINE)
_MAX_FILES_IN_PROCESS = 12  # so few files are converted in this process: starting others takes longer


class Cache:
    """JSON values by digest in a folder. An unreadable value counts as missing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = self._folder = folder

    def get(self, key: str) -> Any:
        """Return the value, or None."""
        if self._folder is None:
            return None
        try:
            with open(self._path(key), "rb") as file:
                entry = orjson.loads(file.read())
            return entry["value"] if entry["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def has(self, key: str) -> bool:
        """Return whether there is a value, or at least a file."""
        return self._folder is not None and os.path.isfile(self._path(key))

    def put(self, key: str, value: Any) -> bool:
        """Store a value and return whether it is kept; if the disk is full, only speed is lost."""
        if self._folder is None:
            return False
        path = Path(self._path(key))
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            data = build_files.to_json({"key": key, "value": value})
            try:
                write_private(part, data)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_private(part, data)
            part.replace(path)
        except (OSError, TypeError):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return False
        return True

    def remove(self, key: str) -> None:
        """Remove a value that cannot be read."""
        if self._folder is not None:
            Path(self._path(key)).unlink(missing_ok=True)

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key[:2]}/{key[2:]}.json"


def digest(*parts: object) -> str:
    """Return the SHA-256 of the parts, each with its length, so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


@cache
def own_code() -> str:
    """Return a digest of this package's source and our catalogues: any change to them changes every cache key."""
    files = [
        *sorted(Path(__file__).parent.parent.rglob("*.py")),
        Path(i18n.__file__),
        Path(catalogues.__file__),
        *sorted(catalogues.FOLDER.glob("*.po")),
    ]
    files += i18n.own_catalogues().values()
    return digest(*(path.read_bytes() for path in files))


class Workers:
    """A pool of processes for long lists of jobs, started when first needed. Call ``close`` at the end."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[J], R], jobs: Sequence[J], chunk: int, *, plain: bool = True) -> Iterable[R]:
        """Return the results in the order of the jobs.

        Jobs that hold objects of a site's own modules are not ``plain``: they are done in this process, for
        another could neither import such a module by name nor, often, be sent the object.
        """
        processors = os.cpu_count() or 1
        if len(jobs) <= _MAX_FILES_IN_PROCESS or processors < 2 or not plain:
            return map(function, jobs)
        if self._pool is None:
            # Forking is faster, but a child may hang if another thread holds a lock at that moment.
            method = "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"
            self._pool = ProcessPoolExecutor(min(processors, 8), mp_context=multiprocessing.get_context(method))
        return self._pool.map(function, jobs, chunksize=chunk)

    def close(self) -> None:
        """End the processes."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


@dataclass(frozen=True)
class Workshop:
    """What the slow steps of a build share: the cache, the processes, and where progress is shown."""

    cache: Cache
    workers: Workers = field(default_factory=Workers)
    progress: Callable[[str], None] = lambda text: None
    uncached: dict[str, tuple[str, str]] = field(default_factory=dict)  # emails that the cache cannot keep, by their keys


@dataclass
class Converted:
    """The HTML of each text (None if the converter failed, and why), and how many texts were converted and how many cached."""

    html: dict[str, str | None]
    failed: dict[str, str] = field(default_factory=dict)
    fresh: int = 0
    reused: int = 0


def convert_all(texts: Mapping[str, str], given: Mapping[str, Any] | GfmOptions, workshop: Workshop) -> Converted:
    """Convert each text to HTML: with Pelican's setting MARKDOWN, or in GitHub's dialect.

    Raises BadInput for an extension that cannot be loaded: all texts would be their sources.
    """
    cache, options = workshop.cache, given if isinstance(given, GfmOptions) else _complete(given)
    failed: dict[str, str] = {}
    salt = _salt(options)
    keys = {name: digest(salt, text) for name, text in texts.items()}
    done: dict[str, str | None] = {name: cache.get(key) for name, key in keys.items()}
    missing = [name for name, html in done.items() if html is None]
    jobs = sorted(((name, texts[name], options) for name in missing), key=lambda job: -len(job[1]))
    plain = isinstance(options, GfmOptions) or _is_plain(options)
    if missing and isinstance(options, dict):
        _insist_on_extensions(options)
    for number, (name, html, error) in enumerate(workshop.workers.map(_convert, jobs, chunk=4, plain=plain), 1):
        done[name] = html
        if html is None:
            failed[name] = error
        else:
            cache.put(keys[name], html)
        if number % 20 == 0:
            workshop.progress(f"Converting Markdown: {number} of {len(missing)}")
    return Converted(done, failed, len(missing), len(done) - len(missing))


def _insist_on_extensions(options: dict[str, Any]) -> None:
    try:
        markdown.Markdown(**options)
    except Exception as error:
        raise BadInput(
            f"An extension in MARKDOWN of pelicanconf.py cannot be loaded ({_describe(error)}): install it, or remove it there."
        ) from error


def _is_plain(options: object) -> bool:
    """Say whether the options consist of built-in values alone, without an extension's instance or a function."""
    if isinstance(options, dict):
        return all(_is_plain(key) and _is_plain(value) for key, value in options.items())
    if isinstance(options, list | tuple | set | frozenset):
        return all(_is_plain(one) for one in options)
    return options is None or type(options) in (str, int, float, bool)


def _complete(given: Mapping[str, Any]) -> dict[str, Any]:
    options = {"output_format": "html", **given}
    options["extensions"] = list_extensions(options)
    return options


def _salt(options: Mapping[str, Any] | GfmOptions) -> str:
    """Digest all that decides about the HTML, except for the text."""
    if isinstance(options, GfmOptions):
        return digest(gfm.NAME, gfm.renderer(), options, pygments.__version__, own_code())
    settings = json.dumps(options, sort_keys=True, default=str)
    return digest(settings, markdown.__version__, pygments.__version__, version("pymdown-extensions"), own_code())


_converter: markdown.Markdown | None = None
_converter_for: dict[str, Any] | None = None


def _convert(job: tuple[str, str, dict[str, Any] | GfmOptions]) -> tuple[str, str | None, str]:
    """Return the name, and the HTML or why there is none. No text stops a build."""
    global _converter
    name, text, options = job
    try:
        return name, gfm.to_html(text, options) if isinstance(options, GfmOptions) else _convert_classic(text, options), ""
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        _converter = None
        return name, None, _describe(error)


def _describe(error: BaseException) -> str:
    if isinstance(error, RecursionError):  # Python-Markdown's own, for elements with a `markdown` attribute
        return f"HTML nested more than {MAX_DEPTH} levels deep"
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"[:200]


def _convert_classic(text: str, options: dict[str, Any]) -> str:
    """Convert a text with Python-Markdown. Raises ValueError for a text for which it would take many seconds."""
    global _converter, _converter_for
    gfm.insist_on_depth(text)
    levels = {len(match[1].expandtabs(4)) // 4 for match in _DEEP_ITEM.finditer(text)}
    if len(levels) > MAX_DEPTH // 2:  # each level of a list has two elements
        raise ValueError(f"lists nested more than {MAX_DEPTH // 2} levels deep")
    if _converter is None or _converter_for != options:
        _converter = markdown.Markdown(**options)
        with contextlib.suppress(ValueError):
            _converter.preprocessors.deregister("meta")  # the fields are read; a text may begin with "Note: …"
        close_elements(_converter)
        # The same patterns in the same order: a list is faster than their registry, which sorts itself at each use.
        inline: Any = _converter.treeprocessors["inline"]
        inline.inlinePatterns = list(_converter.inlinePatterns)
        _converter_for = options
    return _converter.reset().convert(text)
