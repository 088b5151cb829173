"""What Postgres says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx

MIN_VERSION = 14


@dataclass(frozen=True)
class DatabaseFacts:
    """The server's major version and its time."""

    version: int
    now: datetime


def read(tx: Tx) -> DatabaseFacts:
    """Return the server's version and time."""
    row = tx.one("SELECT current_setting('server_version_num')::integer / 10000 AS version, clock_timestamp() AS now")
    assert row
    return DatabaseFacts(row["version"], row["now"])
