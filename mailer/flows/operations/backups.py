"""Backups: one file with a consistent dump of Postgres, the fence's half and the restore journal; and the way back.

A backup is a tar file, encrypted by ``age`` if it has a recipient: ``ledger.dump`` (pg_dump's own format), ``fence/``
and, last, ``manifest.json`` with the digest of each part, so that a backup cut short is recognized before anything is restored.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer import __version__
from mailer.core import log, migrate
from mailer.core.characters import without_addresses
from mailer.core.db import Database, is_pooled, split_password
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.settings import Settings
from mailer.flows.operations.restore_journal import JournalWriter
from mailer.flows.sending.fence import read_fence
from mailer.store.operations import backups
from mailer.store.sending import ledger_queries
from mailer.transports.backup_places import open_backup_place
from mailer.transports.s3_fence import open_fence_store

logger = log.get("backup")

_DUMP, _MANIFEST, _FENCE = "ledger.dump", "manifest.json", "fence"
_PREFIX = "postmerge-"


@dataclass(frozen=True)
class BackupOptions:
    """Where to, for whom (``age`` recipient; "" for none), and how many to keep (0: all)."""

    place: str
    recipient: str = ""
    keep: int = 0


@dataclass(frozen=True)
class Backup:
    """A finished backup, and the older ones that were deleted."""

    name: str
    size: int
    deleted: list[str]


def make_backup(database: Database, settings: Settings, options: BackupOptions) -> Backup:
    """Make a backup, then delete the oldest ones beyond ``keep``. Raises Refused and Unavailable."""
    _require_direct(database)
    place = open_backup_place(options.place)
    name = f"{_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar{'.age' if options.recipient else ''}"
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        file = _pack(database, settings, Path(scratch), options.recipient)
        size = file.stat().st_size
        place.store(file, name)
    ours = [one for one in place.list_names() if one.startswith(_PREFIX) and ".tar" in one]
    deleted = ours[: -options.keep] if options.keep else []
    for old in deleted:
        place.delete(old)
    logger.info("backup.made", backup=name, bytes=size, deleted=len(deleted))
    return Backup(name, size, deleted)


def restore_backup(database: Database, settings: Settings, source: str, identity: Path | None) -> dict[str, Any]:
    """Restore a backup into an empty database, which then is fenced; return its manifest.

    Raises Refused for a backup that is incomplete or newer than this program, and for a database that is in use.
    """
    _require_direct(database)
    with database.transaction() as tx:
        if tables := backups.list_tables(tx):
            raise Refused(f"This database is in use ({len(tables)} tables, such as {tables[0]}): restore into an empty one.")
    folder, _, name = source.rpartition("/")
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as scratch:
        file = Path(scratch) / "backup.tar"
        open_backup_place(folder or ".").fetch(name, file)
        parts = _unpack(_decrypt(file, identity) if name.endswith(".age") else file, Path(scratch) / "parts")
        manifest = _check(parts)
        options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        _run_postgres(database, "pg_restore", *options, str(parts / _DUMP))
        with database.transaction() as tx:
            backups.mark_as_restored(tx)
        _restore_fence(settings, parts / _FENCE)
    migrate.run_migrations(database)
    logger.info("backup.restored", backup=name)
    return manifest


def fingerprint_secrets(settings: Settings) -> list[str]:
    """Return a short hash of each secret, by which a restore recognizes that one is missing."""
    return [hashlib.sha256(b"postmerge backup " + one.encode()).hexdigest()[:12] for one in settings.need_secrets()]


def _require_direct(database: Database) -> None:
    """Refuse a pooler: pg_dump and pg_restore would leave their session's settings to others."""
    if is_pooled(database.url):
        raise Refused("DATABASE_URL leads to a pooler: give this command the address of Postgres itself.")


def _pack(database: Database, settings: Settings, scratch: Path, recipient: str) -> Path:
    JournalWriter(database, settings).copy_new_rows()
    parts = scratch / "parts"
    (parts / _FENCE).mkdir(parents=True)
    found = read_fence(database, settings)
    if found.row:
        store = open_fence_store(settings.fence_place)
        for key in store.list_keys(found.row.id):
            (parts / _FENCE / key).write_bytes(store.read(key) or b"")
    _run_postgres(database, "pg_dump", "--format=custom", f"--file={parts / _DUMP}")
    with database.transaction() as tx:
        facts: dict[str, Any] = {
            "version": __version__,
            "at": datetime.now(UTC).isoformat(),
            "migrations": sorted(ledger_queries.list_migrations(tx)),
            "ledger": found.row.id if found.row else None,
            "secrets": fingerprint_secrets(settings),
            "parts": {str(path.relative_to(parts)): _digest(path) for path in sorted(parts.rglob("*")) if path.is_file()},
        }
    (parts / _MANIFEST).write_text(json.dumps(facts, indent=2))
    plain = scratch / "backup.tar"
    with tarfile.open(plain, "w") as tar:
        for name in (*facts["parts"], _MANIFEST):
            tar.add(parts / name, name)
    shutil.rmtree(parts)
    return _run_age("--encrypt", "--recipient", recipient, file=plain) if recipient else plain


def _decrypt(file: Path, identity: Path | None) -> Path:
    if identity is None:
        raise BadInput("This backup is encrypted: name the file with your age identity with --identity.")
    return _run_age("--decrypt", "--identity", str(identity), file=file)


def _unpack(file: Path, folder: Path) -> Path:
    try:
        with tarfile.open(file) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise Refused(f"This backup is incomplete or not a backup of Postmerge ({error}): use another one.") from error
    return folder


def _check(parts: Path) -> dict[str, Any]:
    """Return the manifest of a complete backup that this program can read."""
    try:
        manifest: dict[str, Any] = json.loads((parts / _MANIFEST).read_text())
        broken = [name for name, digest in manifest["parts"].items() if _digest(parts / name) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise Refused("This backup was cut short: its manifest or a part is missing. Use another one.") from error
    if broken:
        raise Refused(f"This backup is damaged: {broken[0]} is not what was backed up. Use another one.")
    if unknown := set(manifest["migrations"]) - {path.stem for path in migrate.files()}:
        raise Refused(
            f"This backup was made by Postmerge {manifest['version']}, this program is {__version__} and does not know its"
            f" migration {min(unknown)}: install that version or a later one."
        )
    return manifest


def _restore_fence(settings: Settings, folder: Path) -> None:
    """Put the fence's half and the journal where they are missing: what is there already knows more than the backup."""
    if settings.fence_place and folder.is_dir():
        store = open_fence_store(settings.fence_place)
        for file in sorted(folder.iterdir()):
            content = file.read_bytes()
            store.update(file.name, lambda now, content=content: content if now is None else None)  # type: ignore[misc]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run_age(*options: str, file: Path) -> Path:
    output = file.with_name("backup.age" if "--encrypt" in options else "decrypted.tar")
    _run(["age", *options, "--output", str(output), str(file)], "age", "install age (age-encryption.org)")
    file.unlink()
    return output


def _run_postgres(database: Database, program: str, *options: str) -> None:
    """Run a client program; the password is in its environment, where other users of the machine cannot read it."""
    target, password = split_password(database.url)
    remedy = "install Postgres' client programs of the server's version or later"
    _run([program, f"--dbname={target}", *options], program, remedy, {"PGPASSWORD": password} if password else {})


def _run(command: list[str], program: str, remedy: str, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, env={**os.environ, **(environment or {})}
        )
    except OSError as error:
        raise PostmergeError(f"{program} cannot be run ({error.strerror}): {remedy}.") from error
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line] or ["no message"]
        raise PostmergeError(f"{program} failed: {without_addresses(lines[0])}. Nothing was changed.")
