"""Write only the pages that changed: those with the same bytes as before become links to the files of the last site.

The pages of issues are made in two processes; those made from the same as before (``page_inputs``) are not made at all.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pelican.utils import sanitised_join
from pelican.writers import Writer

from mailer.editions.mail.markdown_to_html import digest
from mailer.editions.site.page_inputs import PageInputs
from mailer.editions.source import build_files

_MIN_PAGES_PER_PROCESS = 50  # fewer pages are not worth a process
_Asked = tuple[str, tuple[Any, ...], dict[str, Any]]


def run_beside(other: Callable[[], None], mine: Callable[[], None], findings: list[Any]) -> bool:
    """Call both, ``other`` in another process if that is safe and there are two processors; return whether both succeeded.

    What ``other`` adds to ``findings`` comes over; nothing else does, so it must leave its results in files.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or (os.cpu_count() or 1) < 2:
        mine()
        return False
    known = len(findings)
    answer, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(answer)
            other()
            with open(write, "wb") as pipe:
                pickle.dump(findings[known:], pipe)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    try:
        mine()
    finally:
        with open(answer, "rb") as pipe:
            said = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        findings += pickle.loads(said)  # noqa: S301 (from our own fork)
    return code == 0


class ThriftyWriter(Writer):  # type: ignore[misc]
    """Pelican's writer, which links an unchanged page to its file in the last site instead of writing a new one.

    The pages of the site before are looked for in ``Spare.site``, and each is compared as a whole.
    Until ``flush`` is called pages are only noted.
    """

    def __init__(self, output_path: str, settings: Any = None) -> None:
        super().__init__(output_path, settings=settings)
        self._noted: list[_Asked] | None = []
        self._build = self.settings["POSTMERGE_STATE"]

    def write_file(self, name: str, *arguments: Any, **named: Any) -> None:
        """Write a page; nothing without a name."""
        if not name:
            return
        self._build.spare.make(os.path.dirname(sanitised_join(self.output_path, name)))
        if self._noted is None:
            super().write_file(name, *arguments, **named)
        else:
            self._noted.append((name, arguments, named))

    def flush(self) -> None:
        """Write the recorded pages, and each later one at once.

        The page of an issue that was made from the same as in the last build is not rendered again.
        """
        noted, self._noted = self._noted or [], None
        cache, key = self._build.workshop.cache, digest("pages", self._build.spare.site)
        known, findings = cache.get(key) or {}, len(self._build.findings)
        inputs = self._list_inputs(noted)
        kept = {name: known[name] for name, made in inputs.items() if name in known and self._keep(name, made, *known[name])}
        self._write_all([one for one in noted if one[0] not in kept])
        if len(self._build.findings) == findings:  # the findings of a page are wanted again
            fresh = inputs.keys() - kept.keys()
            cache.put(key, kept | {name: (inputs[name], _hash(sanitised_join(self.output_path, name))) for name in fresh})

    def _list_inputs(self, noted: list[_Asked]) -> dict[str, str]:
        """Digest what the pages are made from; pages where that is not sure are left out."""
        if len({name for name, _, _ in noted}) < len(noted):
            return {}
        inputs = PageInputs(self.settings, self._build.workshop.cache)
        digests = {name: inputs.digest(name, arguments[0], arguments[1], named) for name, arguments, named in noted}
        return {name: made for name, made in digests.items() if made}

    def _keep(self, name: str, made: str, known: str, written: str) -> bool:
        """Link a page to its file in the last site, if it would be the same and the file was not changed since."""
        earlier = sanitised_join(str(self._build.spare.site), name)
        if made != known or _hash(earlier) != written:
            return False
        self._note(sanitised_join(self.output_path, name), override=True)
        build_files.same(Path(earlier), Path(sanitised_join(self.output_path, name)))
        return True

    def _write_all(self, noted: list[_Asked]) -> None:
        """Write pages, every other one in another process."""
        names = [name for name, _, _ in noted]
        if len(noted) < _MIN_PAGES_PER_PROCESS or len(set(names)) < len(names):
            return self._write(noted)
        beside = [one for one in noted if "article" in one[2]][::2]  # lists, which may have several pages each, stay here
        others = {id(one) for one in beside}
        mine = [one for one in noted if id(one) not in others]
        if run_beside(lambda: self._write(beside), lambda: self._write(mine), self._build.findings):
            for name, _, named in beside:
                self._note(sanitised_join(self.output_path, name), named.get("override_output", False))
        else:
            self._write(beside)

    def _note(self, filename: str, override: bool) -> None:
        """Record what was written, as Pelican's writer does."""
        if override:
            self._overridden_files.add(filename)
        self._written_files.add(filename)

    def _write(self, asked: list[_Asked]) -> None:
        for name, arguments, named in asked:
            try:
                super().write_file(name, *arguments, **named)
            except Exception as error:
                if "article" in named:
                    error.add_note(f"in the page of {Path(named['article'].source_path).name}")
                raise

    def _open_w(self, filename: str, encoding: str, override: bool = False) -> Any:
        if filename in self._written_files or filename in self._overridden_files:
            return super()._open_w(filename, encoding, override)
        self._note(filename, override)
        return _Page(filename, filename.replace(self.output_path, str(self._build.spare.site), 1), encoding)


def _hash(path: str) -> str:
    """Return the SHA-256 of a file; "" if there is none."""
    data = build_files.read(path)
    return "" if data is None else hashlib.sha256(data).hexdigest()


class _Page:
    """A page that becomes a file at the end of the block."""

    def __init__(self, filename: str, earlier: str, encoding: str) -> None:
        self._filename, self._earlier, self._encoding = filename, earlier, encoding
        self._parts: list[bytes] = []

    def write(self, text: str | bytes) -> None:
        """Add to the page; a feed's parts come encoded."""
        self._parts.append(text.encode(self._encoding) if isinstance(text, str) else text)

    def __enter__(self) -> _Page:
        return self

    def __exit__(self, kind: object, *more: object) -> None:
        data = b"".join(self._parts)
        if kind is None and build_files.read(self._earlier) == data:
            build_files.same(Path(self._earlier), Path(self._filename))
        else:
            Path(self._filename).write_bytes(data)
