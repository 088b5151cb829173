"""The fence: a database that was restored or cloned must not mail.

A mark in the ledger (an id, an epoch that only grows, and the place: server and database) has a twin outside: a file named
after the id, with the epoch, in POSTMERGE_FENCE. Why a file and not an object at SES: a file needs no further permission, works
with every transport, and is read and written in microseconds; SES allows about one such call a second.

What is noticed, and by what:

- a dump restored elsewhere, or a clone: the mark's place is not where the database lies now;
- an older backup put in place of the ledger: its epoch is smaller than the twin's;
- a copy of the whole server (a snapshot) on other machines: no twin there.

The epoch counts up with each publish, at each start of a send, and before and after each stretch of sending in each worker
(half a minute at most). The order is always: commit in the database, then the file, then the first mail. So the file is never
ahead of the ledger that it belongs to; a file that is behind (a crash between the two writes, or another machine sent
meanwhile) is in order and catches up at the next look. When a mail has left a machine, that machine's twin already holds an
epoch of after the stretch's start. One gap is left: all workers die by kill -9 in the same stretch, nothing at all runs
afterwards, and a backup taken within that very stretch is restored.

A machine without a twin may join by itself only while no send has ever started.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta

from mailer.core import fence_file, log
from mailer.core.db import Database, Tx
from mailer.core.errors import PostmergeError, Refused
from mailer.core.settings import Settings
from mailer.store.sending import fence, sends
from mailer.store.sending.fence import Mark

events = log.get("fence")

REST = timedelta(seconds=5)  # until a refused send is looked at again
_ACCEPT = "if this is the ledger that shall mail from now on, run `postmerge fence accept`"


@dataclass(frozen=True)
class Standing:
    """Both halves. ``mark`` is None in a ledger that never had one; ``outside`` is the twin's epoch; ``trouble`` a sentence."""

    mark: Mark | None
    outside: int | None
    here: str
    trouble: str = ""


def look(database: Database, settings: Settings) -> Standing:
    """Both halves, and "" or what is wrong. Changes nothing."""
    if not settings.fence_folder:
        return Standing(None, None, "")
    with database.transaction() as tx:
        return _standing(tx, settings)


def enter(database: Database, settings: Settings) -> str:
    """Before something is mailed: "" when both halves agree (then the epoch has grown on both), or why not.

    Makes both halves in a fresh ledger. Raises Unavailable.
    """
    if not settings.fence_folder:
        return ""
    with database.transaction() as tx:
        found = _standing(tx, settings)
        if found.trouble:
            return found.trouble
        mark = fence.advance(tx) if found.mark else _first(tx, settings, found.here)
    if mark:
        fence_file.write(settings.fence_folder, mark.id, mark.epoch)
    return ""


def need(database: Database, settings: Settings) -> None:
    """Like ``enter``, but raises Refused."""
    if trouble := enter(database, settings):
        raise Refused(trouble)


def may_send(database: Database, settings: Settings, send_id: int) -> bool:
    """Before a stretch of sending: whether both halves agree; if not, the send rests and says why. Nothing is marked failed."""
    try:
        trouble = enter(database, settings)
    except PostmergeError as error:
        trouble = str(error)
    if trouble:
        with database.transaction() as tx:
            sends.rest(tx, send_id, REST, trouble)
        events.error("send.fenced", send=send_id)
    return not trouble


def accept(database: Database, settings: Settings) -> Standing:
    """The operator's word that this database is the ledger. A copy gets an id of its own, so that the original goes on too.

    Raises Refused when the fence is off.
    """
    folder = settings.fence_folder
    if not folder:
        raise Refused("The fence is off (POSTMERGE_FENCE=off): there is nothing to accept.")
    with database.transaction() as tx:
        found = _standing(tx, settings)
        mark = found.mark or _first(tx, settings, found.here)
        if found.trouble and not _joins(found):
            fence.replace(tx, str(uuid.uuid4()), max(mark.epoch, found.outside or 0) + 1, found.here)
            mark = fence.get(tx) or mark
    fence_file.write(folder, mark.id, mark.epoch)
    events.info("fence.accepted", ledger=mark.id, epoch=mark.epoch)
    return look(database, settings)


def _standing(tx: Tx, settings: Settings) -> Standing:
    """The file is read before the epoch: both may grow meanwhile, and the file is never ahead of what is read after it."""
    assert settings.fence_folder
    before, here = fence.get(tx), fence.place(tx)
    if before is None:
        return Standing(None, None, here)
    outside, mark = fence_file.read(settings.fence_folder, before.id), fence.get(tx)
    if mark is None or mark.id != before.id:
        return _standing(tx, settings)
    found = Standing(mark, outside, here)
    if _joins(found) and not fence.ever_started(tx):
        return found
    return replace(found, trouble=_trouble(mark, found.outside, here, str(settings.fence_folder)))


def _trouble(mark: Mark, outside: int | None, here: str, folder: str) -> str:
    if not _same_place(mark, here):
        return f"This database is a copy or was restored: the ledger lay in another place when it last mailed; {_ACCEPT}."
    if outside is None:
        return (
            f"This machine has no twin of the ledger's fence in {folder}: set POSTMERGE_FENCE to where it lies, or, {_ACCEPT}."
        )
    if mark.epoch < outside:
        return (
            f"This database was restored from an older backup: its fence is at epoch {mark.epoch}, the file outside at"
            f" {outside}, so it does not know all that was mailed; compare it with what was sent, then, {_ACCEPT}."
        )
    return ""


def _joins(found: Standing) -> bool:
    """Is the only trouble that this machine has no twin?"""
    return found.mark is not None and found.outside is None and _same_place(found.mark, found.here)


def _same_place(mark: Mark, here: str) -> bool:
    return not mark.place or not here or mark.place == here


def _first(tx: Tx, settings: Settings, here: str) -> Mark:
    """Both halves of a fresh ledger, the file first: without the row nobody asks for it."""
    assert settings.fence_folder
    fresh = str(uuid.uuid4())
    fence_file.write(settings.fence_folder, fresh, 1)
    if not fence.create(tx, fresh, here):
        fence_file.path(settings.fence_folder, fresh).unlink(missing_ok=True)
    mark = fence.get(tx)
    assert mark
    return mark
