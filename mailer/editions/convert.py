"""Markdown to HTML, in two processes and with a cache whose keys hold everything that goes in."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import markdown
import pygments

_FEW = 12  # so many files are converted here: starting processes takes longer


class Cache:
    """JSON values by digest in a folder. A value that cannot be read counts as missing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> Any:
        """The value, or None."""
        if self._folder is None:
            return None
        try:
            entry = json.loads(self._path(key).read_bytes())
            return entry["value"] if entry["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, value: Any) -> None:
        """Keep a value; a full disk only costs speed."""
        if self._folder is None:
            return
        path = self._path(key)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"key": key, "value": value}), encoding="utf-8")
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        assert self._folder
        return self._folder / key[:2] / f"{key[2:]}.json"


def digest(*parts: object) -> str:
    """SHA-256 over the parts, each with its length, so that no two lists of parts look alike."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def own_code() -> str:
    """A digest of this package's source: whoever changes it changes every cache key."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return digest(*(path.read_bytes() for path in files))


def convert_all(
    texts: Mapping[str, str], options: dict[str, Any], cache: Cache, progress: Callable[[str], None]
) -> tuple[dict[str, str | None], int]:
    """HTML for each text (None where the converter failed), and how many were converted rather than found in the cache."""
    settings = json.dumps(options, sort_keys=True, default=str)
    salt = digest(settings, markdown.__version__, pygments.__version__, own_code())
    keys = {name: digest(salt, text) for name, text in texts.items()}
    done: dict[str, str | None] = {name: cache.get(key) for name, key in keys.items()}
    missing = [name for name, html in done.items() if html is None]
    for number, (name, html) in enumerate(_run(missing, texts, options), 1):
        done[name] = html
        if html is not None:
            cache.put(keys[name], html)
        if number % 20 == 0:
            progress(f"Converting Markdown: {number} of {len(missing)}")
    return done, len(missing)


def _run(names: list[str], texts: Mapping[str, str], options: dict[str, Any]) -> Iterable[tuple[str, str | None]]:
    jobs = [(name, texts[name], options) for name in names]
    if len(jobs) <= _FEW or (os.cpu_count() or 1) < 2:
        yield from map(_convert, jobs)
        return
    with pool() as workers:
        yield from workers.map(_convert, sorted(jobs, key=lambda job: -len(job[1])), chunksize=4)


def pool() -> ProcessPoolExecutor:
    """Fresh processes (spawned: forking under a progress display's thread could hang)."""
    workers = min(os.cpu_count() or 1, 8)
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


_converter: markdown.Markdown | None = None
_converter_for: dict[str, Any] | None = None


def _convert(job: tuple[str, str, dict[str, Any]]) -> tuple[str, str | None]:
    global _converter, _converter_for
    name, text, options = job
    if _converter is None or _converter_for != options:
        _converter = markdown.Markdown(**options)
        _converter_for = options
    try:
        return name, _converter.reset().convert(text)
    except Exception:
        _converter = None
        return name, None
