"""The ledger's half of the fence: one row, and where this database really lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Mark:
    """The row. ``epoch`` only ever grows; ``place`` is where the ledger lay when it was accepted."""

    id: str
    epoch: int
    place: str
    at: datetime


def get(tx: Tx) -> Mark | None:
    """The mark, or None in a ledger that never had one."""
    found = each(tx.all("SELECT id::text, epoch, place, at FROM fence"), Mark)
    return found[0] if found else None


def place(tx: Tx) -> str:
    """Which server and which database this is: its system identifier and the database's oid. "" where Postgres does not tell.

    A dump restored elsewhere, a clone from a template and a copy in another server all lie in another place.
    """
    if not tx.value("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"):
        return ""
    return str(
        tx.value(
            """
            SELECT format('%s/%s', control.system_identifier, pg_database.oid)
            FROM pg_control_system() AS control, pg_database
            WHERE pg_database.datname = current_database()
            """
        )
    )


def create(tx: Tx, mark_id: str, where: str) -> bool:
    """The first mark; whether nobody else was faster."""
    return bool(
        tx.run(
            "INSERT INTO fence (id, epoch, place) VALUES (%(id)s, 1, %(place)s) ON CONFLICT DO NOTHING",
            id=mark_id,
            place=where,
        )
    )


def advance(tx: Tx) -> Mark | None:
    """Count up; the mark as it is then."""
    rows = tx.all("UPDATE fence SET epoch = epoch + 1, at = now() RETURNING id::text, epoch, place, at")
    return each(rows, Mark)[0] if rows else None


def replace(tx: Tx, mark_id: str, epoch: int, where: str) -> None:
    """The operator accepted this database as a ledger of its own."""
    tx.run(
        "UPDATE fence SET id = %(id)s, epoch = %(epoch)s, place = %(place)s, at = now()",
        id=mark_id,
        epoch=epoch,
        place=where,
    )


def ever_started(tx: Tx) -> bool:
    """Has any send ever started?"""
    return bool(tx.value("SELECT EXISTS (SELECT FROM sends WHERE started_at IS NOT NULL)"))
