"""Status: each send with its counts, read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.db import Database
from mailer.errors import BadInput
from mailer.store import deliveries, sends
from mailer.store.sends import Send


@dataclass(frozen=True)
class Standing:
    """A send and how many of its deliveries are in each state; the counts add up to ``send.audience_size``."""

    send: Send
    deliveries: dict[str, int]


def status(database: Database, target: str = "") -> list[Standing]:
    """All sends, newest first, or those with this id or issue key. Raises BadInput when there is none of that name."""
    with database.transaction() as tx:
        found = [send for send in sends.every(tx) if not target or target in (str(send.id), send.issue_key)]
        counts = deliveries.counts(tx, [send.id for send in found])
    if target and not found:
        raise BadInput(f"There is no send {target!r}: `postmerge status` lists them.")
    return [Standing(send, counts[send.id]) for send in found]
