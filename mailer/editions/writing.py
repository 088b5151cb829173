"""Pages that did not change are not written anew: byte for byte the same as in the site before, they are its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pelican.utils import sanitised_join
from pelican.writers import Writer

from mailer.editions import files


class ThriftyWriter(Writer):  # type: ignore[misc]
    """Pelican's writer, which gives an unchanged page a second name instead of a new file, in a folder that there was.

    The pages of the site before are looked for in ``POSTMERGE_SESSION.earlier``, and each is compared as a whole.
    """

    def write_file(self, name: str, *arguments: Any, **named: Any) -> None:
        """Write a page; no name, no page."""
        if name:
            self.settings["POSTMERGE_SESSION"].spare.make(os.path.dirname(sanitised_join(self.output_path, name)))
        super().write_file(name, *arguments, **named)

    def _open_w(self, filename: str, encoding: str, override: bool = False) -> Any:
        if filename in self._written_files or filename in self._overridden_files:
            return super()._open_w(filename, encoding, override)
        if override:
            self._overridden_files.add(filename)
        self._written_files.add(filename)
        return _Page(filename, filename.replace(self.output_path, str(self.settings["POSTMERGE_SESSION"].earlier), 1), encoding)


class _Page:
    """What is written into it is a file at the end of the block."""

    def __init__(self, filename: str, earlier: str, encoding: str) -> None:
        self._filename, self._earlier, self._encoding = filename, earlier, encoding
        self._parts: list[bytes] = []

    def write(self, text: str) -> None:
        """More of the page."""
        self._parts.append(text.encode(self._encoding))

    def __enter__(self) -> _Page:
        return self

    def __exit__(self, kind: object, *more: object) -> None:
        data = b"".join(self._parts)
        if kind is None and files.read(self._earlier) == data:
            files.same(Path(self._earlier), Path(self._filename))
        else:
            Path(self._filename).write_bytes(data)
