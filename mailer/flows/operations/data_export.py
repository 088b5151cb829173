"""Export everything of an installation as JSON Lines, from one snapshot: issues are files already, and this is the rest.

A folder with a file for each table, the signed receipts, and last ``manifest.json`` with the counts and digests by which an
import recognizes an export that was cut short or changed. docs/reference/export.md documents each field.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer import __version__
from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput
from mailer.core.files import open_private
from mailer.core.settings import Settings
from mailer.flows.operations.backups import fingerprint_secrets
from mailer.flows.sending.receipts import sign_all
from mailer.store.operations import data_export
from mailer.store.sending import ledger_queries

logger = log.get("export")

FORMAT, MANIFEST, RECEIPTS = "postmerge-export-1", "manifest.json", "receipts"


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export. ``rows``, ``fields`` and ``last_id`` (the last id that was given) are those of its table."""

    bytes: int
    sha256: str
    rows: int = 1
    fields: list[str] = field(default_factory=list)
    last_id: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What an export consists of; ``files`` by their paths in the folder, tables first and in the order of loading."""

    at: str
    version: str
    migrations: list[str]
    secrets: list[str]
    files: dict[str, ExportedFile]
    format: str = FORMAT

    def count_rows(self) -> int:
        """Count the rows of all tables, as an import does: receipts are none."""
        return sum(one.rows for one in self.files.values() if one.fields)


def export_everything(database: Database, settings: Settings, folder: Path) -> Manifest:
    """Write an export into a new or empty folder that only its owner may read; it appears only when complete.

    Raises BadInput for a folder that is in use or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise BadInput(f"{folder} is not empty: name a new folder for the export.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(folder) as part:
            manifest = _write_files(database, settings, part)
            _write(part / MANIFEST, json.dumps(asdict(manifest), indent=2).encode())
            part.rename(folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from error
    logger.info("export.written", files=len(manifest.files), rows=manifest.count_rows())
    return manifest


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside the one to be, for its owner alone; delete what an error leaves of it."""
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_files(database: Database, settings: Settings, folder: Path) -> Manifest:
    with database.transaction() as tx:
        tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        files = {f"{table}.jsonl": _write_table(tx, table, folder / f"{table}.jsonl") for table in data_export.TABLES}
        (folder / RECEIPTS).mkdir(mode=0o700)
        for send_id, receipt in sign_all(tx, settings):
            name = f"{RECEIPTS}/{send_id}.json"
            files[name] = _write(folder / name, receipt)
        migrations = sorted(ledger_queries.list_migrations(tx))
    return Manifest(datetime.now(UTC).isoformat(), __version__, migrations, fingerprint_secrets(settings), files)


def _write_table(tx: Tx, table: str, path: Path) -> ExportedFile:
    with open(path, "wb", opener=open_private) as file:
        watched = _HashingFile(file)
        rows = data_export.copy_table(tx, table, watched)
    fields, last_id = data_export.list_fields(tx, table), data_export.find_last_id(tx, table)
    return ExportedFile(watched.bytes, watched.sha256.hexdigest(), rows, fields, last_id)


def _write(path: Path, content: bytes) -> ExportedFile:
    with open(path, "wb", opener=open_private) as file:
        file.write(content)
    return ExportedFile(len(content), hashlib.sha256(content).hexdigest())


class _HashingFile:
    """A file that counts and hashes what is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        self.sha256.update(data)
        return int(self._file.write(data))
