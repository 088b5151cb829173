"""Bring an export into an empty installation, in one transaction. Nothing is ever sent by it.

The database is fenced like a restored backup; open sends are paused and pending transactional emails set aside. The format
is that of ``data_export``.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailer import __version__
from mailer.core import log, migrate
from mailer.core.db import Database, Tx, is_unfit_row
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.operations.backups import fingerprint_secrets
from mailer.flows.operations.data_export import FORMAT, MANIFEST, ExportedFile, Manifest
from mailer.flows.operations.restored_ledger import AcceptedLedger, halt_everything
from mailer.store.operations import backups, data_export

logger = log.get("export")

_PAUSE_REASON = (
    "paused because this database was imported: make sure that the old installation does not send the rest, then resume it"
)
_SET_ASIDE = "set aside by the import: it may have been sent by the old installation"


@dataclass(frozen=True)
class ImportedData:
    """What was imported: rows by table, sends that were paused, transactional emails that were set aside.

    ``lacks_secret``: links in sent emails fail, because POSTMERGE_SECRET is not what it was.
    """

    at: str
    rows: dict[str, int]
    paused: list[int]
    set_aside: int
    lacks_secret: bool


def import_data(database: Database, settings: Settings, folder: Path) -> ImportedData:
    """Import an export. Raises Refused for one that is incomplete, changed or newer, and for a database in use."""
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    with database.transaction() as tx:
        is_new = not backups.list_tables(tx)
    if is_new:
        migrate.run_migrations(database)
    migrate.need_current(database)
    halted = AcceptedLedger()
    with database.transaction() as tx:
        if used := data_export.find_used_table(tx):
            raise Refused(f"This database is in use ({used} has rows): import into an empty one.")
        rows = _load(tx, folder, manifest)
        halt_everything(tx, halted, _PAUSE_REASON, _SET_ASIDE)
        data_export.fence_imported(tx, str(uuid.uuid4()))
    logger.info("export.imported", rows=sum(rows.values()), paused=len(halted.paused))
    lacks = not set(manifest.secrets) <= set(fingerprint_secrets(settings))
    return ImportedData(manifest.at, rows, halted.paused, halted.transactional, lacks)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an export. Raises Refused if it is missing, damaged, or of a newer version."""
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        if found["format"] != FORMAT:
            raise Refused(f"This export has the format {found['format']!r}, which Postmerge {__version__} does not know.")
        files = {str(name): ExportedFile(**facts) for name, facts in found.pop("files").items()}
        manifest = Manifest(**found, files=files)
        unknown = set(manifest.migrations) - {path.stem for path in migrate.files()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Refused(
            f"{folder} is not a complete export: its {MANIFEST} is missing or damaged. Export again, or copy all of it."
        ) from error
    if unknown:
        raise Refused(
            f"This export was made by Postmerge {manifest.version}, this program is {__version__} and does not know its"
            f" migration {min(unknown)}: install that version or a later one."
        )
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Compare each file with the manifest before anything is written. Raises Refused."""
    for name, facts in manifest.files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise Refused(f"The {MANIFEST} of this export names {name!r}, which is outside of it: use another export.")
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Refused(f"This export was cut short: {name} is missing. Export again, or copy all of it.") from error
        if digest != facts.sha256:
            raise Refused(f"This export is damaged: {name} is not what was exported. Export again, or copy it again.")
    known = {f"{table}.jsonl" for table in data_export.TABLES}
    if missing := known - set(manifest.files) if set(manifest.migrations) == {one.stem for one in migrate.files()} else set():
        raise Refused(f"This export is incomplete: its {MANIFEST} does not list {min(missing)}. Export again.")


def _load(tx: Tx, folder: Path, manifest: Manifest) -> dict[str, int]:
    rows: dict[str, int] = {}
    data_export.prepare_loading(tx)
    for table in data_export.TABLES:
        if facts := manifest.files.get(f"{table}.jsonl"):
            rows[table] = _load_table(tx, folder, table, facts)
    data_export.finish_loading(tx)
    return rows


def _load_table(tx: Tx, folder: Path, table: str, facts: ExportedFile) -> int:
    if unknown := set(facts.fields) - set(data_export.list_fields(tx, table)):
        raise Refused(f"This export has the unknown field {min(unknown)!r} in {table}.jsonl: install a later version.")
    try:
        with (folder / f"{table}.jsonl").open("rb") as file:
            number = data_export.load_table(tx, table, facts.fields, file) if facts.rows else 0
    except Exception as error:
        if is_unfit_row(error):
            reason = str(error).splitlines()[0]
            raise BadInput(f"A row of {table}.jsonl does not fit ({reason}): nothing was imported.") from error
        raise
    if number != facts.rows:
        raise Refused(f"{table}.jsonl has {number:,} rows and its {MANIFEST} says {facts.rows:,}: nothing was imported.")
    if facts.last_id is not None:
        data_export.set_last_id(tx, table, facts.last_id)
    return number
