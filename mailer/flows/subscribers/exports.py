"""Export all subscribers with everything stored about them, as a file that an import reads back exactly."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.files import open_private
from mailer.store.subscribers import exports


def export_subscribers(database: Database, file: Any) -> int:
    """Write all subscribers to a binary file object, from one snapshot; return the number of lines."""
    with database.transaction() as tx:
        tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return exports.copy_all(tx, file)


def export_to_path(database: Database, path: Path) -> int:
    """Write all subscribers to ``path``, readable only by its owner. The file appears only when complete. Raises BadInput."""
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "wb", opener=open_private) as file:
            file.write(BOM_UTF8)  # without it, Excel reads UTF-8 as another encoding
            number = export_subscribers(database, file)
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror or error}): choose another path.") from error
    return number
