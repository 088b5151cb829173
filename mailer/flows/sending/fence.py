"""The fence: a restored or cloned database must not send emails.

A row in the ledger (an id, an epoch that only grows, and the location: server and database) is paired with a file outside
the database: it is named after the id, contains the epoch, and is in POSTMERGE_FENCE. Why a file and not an object at SES:
a file needs no additional permission, works with every transport, and is read and written in microseconds; SES allows
about one such call a second. Workers without a disk keep the same content in Redis or S3 instead (``core/fence_store.py``).

What is detected, and how:

- a dump restored elsewhere, or a clone: the row's location is not where the database is now;
- an older backup restored in place of the ledger: its epoch is lower than the file's;
- a copy of the whole server (a snapshot) on other machines: there is no file.

The epoch grows with each publish, and before and after each turn of sending in each worker (half a minute at most). The order
is always: commit in the database, then write the file, then send the first email. So the file is never ahead of its ledger; a
file that is behind (after a crash between the two writes, or because another machine sent meanwhile) is fine and catches up at
the next check. Once an email has left a machine, that machine's file already has an epoch from after the turn's start. One gap
remains: all workers are killed in the same turn, nothing runs afterwards, and a backup from within that very turn is restored.

A machine without a file may create one by itself only while no send has ever started.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta

from mailer.core import fence_store, log
from mailer.core.db import Database, Tx
from mailer.core.errors import PostmergeError, Refused
from mailer.core.fence_store import FenceStore
from mailer.core.settings import Settings
from mailer.store.sending import fence, sends
from mailer.store.sending.fence import LedgerFence
from mailer.transports.s3_fence import open_fence_store

logger = log.get("fence")

BACKOFF = timedelta(seconds=5)  # until a refused send is checked again
_ACCEPT = "if this is the ledger that should send from now on, run `postmerge fence accept`"


@dataclass(frozen=True)
class FenceStatus:
    """Row and file. ``row`` is None in a ledger that never had one; ``problem`` is a sentence, or "" when both agree."""

    row: LedgerFence | None
    file_epoch: int | None
    location: str
    problem: str = ""


def read_fence(database: Database, settings: Settings) -> FenceStatus:
    """Read the row and the file and compare them. Changes nothing."""
    if not settings.fence_place:
        return FenceStatus(None, None, "")
    with database.transaction() as tx:
        return _read(tx, settings)


def advance_fence(database: Database, settings: Settings) -> str:
    """Advance the epoch before sending: returns "" when row and file agree, or else the problem.

    Creates both in a new ledger. Raises Unavailable.
    """
    return _advance(database, settings).problem


def require_fence(database: Database, settings: Settings) -> None:
    """Like ``advance_fence``, but raises Refused with the problem."""
    if problem := advance_fence(database, settings):
        raise Refused(problem)


def advance_or_back_off(database: Database, settings: Settings, send_id: int) -> bool:
    """Advance the epoch before a turn of sending; if it must not begin, the send backs off and says why. No delivery fails.

    If only this machine lacks the fence's half, or cannot write it, the send says so and other machines continue it.
    """
    try:
        found = _advance(database, settings)
        problem, only_here = found.problem, is_new_machine(found)
    except PostmergeError as error:
        problem, only_here = str(error), True
    if problem:
        with database.transaction() as tx:
            sends.back_off(tx, send_id, timedelta(0) if only_here else BACKOFF, problem)
        logger.error("send.fenced", send=send_id, reason=problem)
    return not problem


def _advance(database: Database, settings: Settings) -> FenceStatus:
    if not settings.fence_place:
        return FenceStatus(None, None, "")
    with database.transaction() as tx:
        found = _read(tx, settings)
        if found.problem:
            return found
        row = fence.advance(tx) if found.row else _create_fence(tx, settings, found.location)
    if row:
        fence_store.write_epoch(open_fence_store(settings.fence_place), row.id, row.epoch)
    return found


def accept_database(database: Database, settings: Settings) -> FenceStatus:
    """Accept this database as the ledger. A copy gets a new id, so that the original can continue too.

    Raises Refused when the fence is off. ``flows/operations/restored_ledger.py`` makes the sends of a restored one safe first.
    """
    if not settings.fence_place:
        raise Refused("The fence is off (POSTMERGE_FENCE=off): there is nothing to accept.")
    with database.transaction() as tx:
        found = _read(tx, settings)
        row = found.row or _create_fence(tx, settings, found.location)
        if found.problem and not is_new_machine(found):
            fence.replace(tx, str(uuid.uuid4()), max(row.epoch, found.file_epoch or 0) + 1, found.location)
            row = fence.get(tx) or row
    fence_store.write_epoch(open_fence_store(settings.fence_place), row.id, row.epoch)
    logger.info("fence.accepted", ledger=row.id, epoch=row.epoch)
    return read_fence(database, settings)


def _read(tx: Tx, settings: Settings) -> FenceStatus:
    """Read the file before the epoch: both may grow meanwhile, and the file is never ahead of what is read after it."""
    store = open_fence_store(settings.fence_place)
    before, location = fence.get(tx), fence.database_location(tx)
    if before is None:
        return FenceStatus(None, None, location)
    file_epoch, row = fence_store.read_epoch(store, before.id), fence.get(tx)
    if row is None or row.id != before.id:
        return _read(tx, settings)
    found = FenceStatus(row, file_epoch, location)
    if is_new_machine(found) and not fence.has_any_send_started(tx):
        return found
    return replace(found, problem=_describe_problem(row, file_epoch, location, store))


def _describe_problem(row: LedgerFence, file_epoch: int | None, location: str, store: FenceStore) -> str:
    if not _is_same_location(row, location):
        return f"This database is a copy or was restored: the ledger was elsewhere when it last sent; {_ACCEPT}."
    if file_epoch is None:
        return (
            f"No fence file in {store.name}: copy it from the other workers, set POSTMERGE_FENCE to its folder, or, {_ACCEPT}."
        )
    if row.epoch < file_epoch:
        return (
            f"This database was restored from an older backup: its fence is at epoch {row.epoch}, the fence file at"
            f" {file_epoch}, so it does not know all emails that were sent; compare it with what was sent, then, {_ACCEPT}."
        )
    return ""


def is_new_machine(found: FenceStatus) -> bool:
    """Return whether the only problem is that this machine has no fence file."""
    return found.row is not None and found.file_epoch is None and _is_same_location(found.row, found.location)


def _is_same_location(row: LedgerFence, location: str) -> bool:
    return not row.place or not location or row.place == location


def _create_fence(tx: Tx, settings: Settings, location: str) -> LedgerFence:
    """Create the fence of a new ledger, the file first: without the row, nothing reads the file."""
    store, new_id = open_fence_store(settings.fence_place), str(uuid.uuid4())
    fence_store.write_epoch(store, new_id, 1)
    fence.create(tx, new_id, location)
    row = fence.get(tx)
    assert row
    return row
