"""Write an import's files: each whole or not at all, over no other file, and only inside the content folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mailer.archives.archive_files import MAX_IMPORTED_PICTURE_BYTES, ArchiveContents
from mailer.archives.import_layout import ArchiveImport
from mailer.core.errors import BadInput, Refused


def write_files(plan: ArchiveImport, files: ArchiveContents, content: Path) -> list[Path]:
    """Write all planned files, or none; return their paths. Raises BadInput or Refused."""
    staging = Path(tempfile.mkdtemp(prefix=".postmerge-import-", dir=content.parent))
    written: list[Path] = []
    try:
        for path in _stage(plan, files, staging):
            target = content / path
            _make_folder(target.parent, content)
            os.link(staging / path, target)
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
