"""Write an import's files: each whole or not at all, over no other file, and only inside the content folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mailer.archives.archive_files import MAX_IMPORTED_PICTURE_BYTES, ArchiveContents
from mailer.archives.import_layout import ArchiveImport
from mailer.core.errors import BadInput, Refused

_NONE: Mapping[str, Path] = MappingProxyType({})


def write_files(plan: ArchiveImport, files: ArchiveContents, content: Path, more: Mapping[str, Path] = _NONE) -> list[Path]:
    """Write all planned files, or none; return their paths. Raises BadInput or Refused.

    ``more`` are files that are staged already, on the same file system, by their paths in the content folder. They are named by
    their digest, so that one that is there already is the same.
    """
    staging = Path(tempfile.mkdtemp(prefix=".postmerge-import-", dir=content.parent))
    written: list[Path] = []
    try:
        staged = {path: staging / path for path in _stage(plan, files, staging)}
        staged |= {path: source for path, source in more.items() if not (content / path).exists()}
        for path, source in staged.items():
            target = content / path
            _make_folder(target.parent, content)
            os.link(source, target)
            written.append(target)
    except BaseException as error:
        for target in written:
            target.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise Refused(f"{error.filename2 or error.filename} was there first: nothing was imported.") from error
        if isinstance(error, OSError):
            raise BadInput(
                f"{error.filename2 or error.filename or content} cannot be written ({error.strerror}): nothing was imported."
            ) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return written


def replace_text(path: Path, text: str) -> None:
    """Replace a file's text, wholly or not at all; its mode stays. Raises BadInput."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(text.encode())
        shutil.copymode(path, part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadInput(f"{path} cannot be written ({error.strerror}): it is as it was.") from error


def _stage(plan: ArchiveImport, files: ArchiveContents, staging: Path) -> list[str]:
    """Write the files below a folder of their own; return their names. A picture that cannot be read has a remark."""
    known, names = len(files.remarks), []
    for file in plan.files:
        contents = {file.path: file.text.encode()}
        contents |= {
            path: data for path, name in file.pictures.items() if (data := files.read(name, MAX_IMPORTED_PICTURE_BYTES))
        }
        for path, data in contents.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_bytes(data)
            names.append(path)
    plan.remarks += files.remarks[known:]
    return names


def _make_folder(folder: Path, content: Path) -> None:
    """Create a folder of the content folder. Raises Refused where a link leads out of it."""
    if not folder.resolve().is_relative_to(content.resolve()):
        raise Refused(f"{folder} leads out of the content folder: nothing was imported.")
    folder.mkdir(parents=True, exist_ok=True)
