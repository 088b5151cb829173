"""The ledger's half of the fence: one row, and where this database is located."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class LedgerFence:
    """The row. ``epoch`` only ever grows; ``place`` is where the ledger was located when it was accepted."""

    id: str
    epoch: int
    place: str
    at: datetime


def get(tx: Tx) -> LedgerFence | None:
    """The fence, or None in a ledger that never had one."""
    found = each(tx.all("SELECT id::text, epoch, place, at FROM fence"), LedgerFence)
    return found[0] if found else None


def database_location(tx: Tx) -> str:
    """Which server and database this is: system identifier and database oid, or "" where Postgres does not permit it.

    A dump restored elsewhere, a clone from a template and a copy on another server all have another location.
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


def create(tx: Tx, fence_id: str, location: str) -> bool:
    """Insert the first fence; returns False when another process was faster."""
    return bool(
        tx.run(
            "INSERT INTO fence (id, epoch, place) VALUES (%(id)s, 1, %(place)s) ON CONFLICT DO NOTHING",
            id=fence_id,
            place=location,
        )
    )


def advance(tx: Tx) -> LedgerFence | None:
    """Increment the epoch and return the fence."""
    rows = tx.all("UPDATE fence SET epoch = epoch + 1, at = now() RETURNING id::text, epoch, place, at")
    return each(rows, LedgerFence)[0] if rows else None


def replace(tx: Tx, fence_id: str, epoch: int, location: str) -> None:
    """Replace the fence, because the operator accepted this database as the ledger."""
    tx.run(
        "UPDATE fence SET id = %(id)s, epoch = %(epoch)s, place = %(place)s, at = now()",
        id=fence_id,
        epoch=epoch,
        place=location,
    )


def has_any_send_started(tx: Tx) -> bool:
    """Whether any send has ever started."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM sends WHERE started_at IS NOT NULL)"))
