"""Exporting readers: all of them with all that is kept, as a file that ``importing`` reads back exactly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.store.subscribers import exports


def export(database: Database, file: Any) -> int:
    """Write everybody to a binary file object, as of one moment; how many lines."""
    with database.transaction() as tx:
        tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return exports.everybody(tx, file)


def export_to(database: Database, path: Path) -> int:
    """Write everybody to ``path``, readable by its owner only; the file is whole or not there. Raises BadInput."""
    part = path.with_name(f"{path.name}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            number = export(database, file)
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror or error}): give another path.") from error
    return number
