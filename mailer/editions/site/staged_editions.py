"""Write the editions of a build: only those that changed, and each read from the cache only then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from mailer.core.edition import Edition, Finding
from mailer.core.files import write_private
from mailer.editions.mail.issue_renderer import fill
from mailer.editions.mail.markdown_to_html import Cache, Workshop, digest, own_code
from mailer.editions.site.edition_files import REPORT, list_facts, name_file, oldest_first
from mailer.editions.source import build_files


@dataclass(frozen=True)
class Staged:
    """What is to be written: the files of all editions, oldest first, each with a digest of the edition; those of ``new`` are
    complete, and need their names."""

    folder: Path
    names: dict[str, str]
    new: list[Path]

    def discard(self) -> None:
        """Remove the new files."""
        for part in self.new:
            part.unlink(missing_ok=True)


def stage(folder: Path, editions: Iterable[Edition], workshop: Workshop) -> Staged:
    """Prepare one file for each edition, except for those that are as they were left by the last build."""
    folder.mkdir(parents=True, exist_ok=True)
    known, staged = workshop.cache.get(_record(folder)) or {}, Staged(folder, {}, [])
    for edition in oldest_first(editions):
        name = name_file(edition.key)
        staged.names[name] = made = digest(repr(edition))
        if known.get(name) == [made, *_stat(folder / name)]:
            continue
        data = build_files.to_json(list_facts(fill(edition, workshop)))
        if build_files.read(folder / name) != data:
            staged.new.append(part := (folder / name).with_suffix(".part"))
            write_private(part, data)  # it may hold paid text
    return staged


def write(staged: Staged, findings: Sequence[Finding], cache: Cache) -> None:
    """Put the editions' files in place, and one for the findings; remove the files of deleted issues."""
    report = {"editions": list(staged.names), "findings": [vars(finding) for finding in findings]}
    last = (staged.folder / REPORT).with_suffix(".part")
    write_private(last, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    for part in (*staged.new, last):
        part.replace(part.with_suffix(".json"))
    wanted = {*staged.names, REPORT}
    for path in staged.folder.iterdir():
        if path.suffix in (".json", ".part") and path.name not in wanted:
            path.unlink()
    kept = {name: [made, *_stat(staged.folder / name)] for name, made in staged.names.items()}
    cache.put(_record(staged.folder), kept)


def _record(folder: Path) -> str:
    """Return the cache's key for what the last build wrote into a folder."""
    return digest("editions", folder.resolve(), own_code())


def _stat(path: Path) -> tuple[int, ...]:
    """Return what differs when a file was changed or replaced; () if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
