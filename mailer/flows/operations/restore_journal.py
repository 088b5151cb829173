"""The restore journal: what a restored backup must not forget, outside the database, beside the fence's half.

Every process that may read the fence copies new rows of the table ``restore_journal`` there, within seconds, and before each
turn of sending. A month's lines are one content named after the ledger. Addresses are keyed hashes, except the new one in a
change of address, which goes when its subscriber is erased. Repeated lines do no harm; the last line about a subscriber or an
address counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mailer.core import log
from mailer.core.db import Database
from mailer.core.fence_store import FenceStore
from mailer.core.settings import Settings
from mailer.flows.sending import fence
from mailer.flows.subscribers import erasure
from mailer.store.operations import journal_rows
from mailer.store.operations.journal_rows import JournalRow
from mailer.transports.s3_fence import open_fence_store

logger = log.get("journal")

_ROWS_AT_ONCE = 10_000  # written at once
Line = dict[str, Any]


@dataclass
class JournalWriter:
    """Copies new rows of one database; remembers up to which transaction, so that a quiet database costs one small query."""

    database: Database
    settings: Settings
    _ledger: str = ""
    _until: int = 0
    _ahead: set[int] = field(default_factory=set)  # copied rows of transactions from ``_until`` on

    def copy_new_rows(self) -> int:
        """Copy what has been committed since the last call; return how many rows. Raises Unavailable.

        Copies nothing while the fence is off, new, or disagrees: a copy of the ledger must not write into its journal.
        """
        if self._ledger and not self._has_new_rows():
            return 0
        found = fence.read_fence(self.database, self.settings)
        if not found.row or found.problem or found.file_epoch is None:
            return 0
        store = open_fence_store(self.settings.fence_place)
        if self._ledger != found.row.id:
            self._ledger, self._until = found.row.id, _read_position(store, found.row.id)
        total, after_id, ahead = 0, 0, set()
        with self.database.transaction() as tx:
            end = journal_rows.oldest_open_transaction(tx)
            while rows := journal_rows.list_rows(tx, self._until, after_id, _ROWS_AT_ONCE):
                after_id = rows[-1].id
                ahead |= {row.id for row in rows if row.xid >= end}
                new = [row for row in rows if row.id not in self._ahead]
                self._write(store, new)
                total += len(new)
        if total:
            _append(store, self._ledger, [{"kind": "position", "xid": end}])
        self._until, self._ahead = end, ahead
        return total

    def _has_new_rows(self) -> bool:
        with self.database.transaction() as tx:
            rows = journal_rows.list_rows(tx, self._until, 0, len(self._ahead) + 1)
        return any(row.id not in self._ahead for row in rows)

    def _write(self, store: FenceStore, rows: Sequence[JournalRow]) -> None:
        if not rows:
            return
        if erased := {row.subscriber_id for row in rows if row.kind == "erased"}:
            _forget_addresses(store, self._ledger, erased)
        _append(store, self._ledger, [_make_line(self.settings, row) for row in rows])


def read_lines(store: FenceStore, ledger: str) -> Iterator[Line]:
    """Read a ledger's journal, and those of the ledgers that were accepted in its place, oldest first."""
    waiting, seen = [ledger], set()
    while waiting:
        seen.add(now := waiting.pop(0))
        for key in store.list_keys(f"{now}.journal-"):
            for line in _parse(store.read(key)):
                if line.get("kind") == "continued" and line["ledger"] not in seen:
                    waiting.append(line["ledger"])
                yield line


def continue_in(store: FenceStore, ledger: str, successor: str) -> None:
    """Record that ``successor`` was restored from a backup of this ledger and accepted."""
    _append(store, ledger, [{"kind": "continued", "ledger": successor, "at": datetime.now(UTC).isoformat()}])


def _make_line(settings: Settings, row: JournalRow) -> Line:
    line: Line = {"kind": row.kind, "at": row.at.isoformat()}
    if row.kind == "send":
        return {**line, **json.loads(row.detail)}
    if row.subscriber_id is not None:
        line["subscriber"] = row.subscriber_id
    if row.email_normal:
        line["address"] = erasure.hash_address(settings, row.email_normal)[0].hex()
    if row.hash:
        line["address"] = row.hash.hex()
    return {**line, "to": row.detail}


def _read_position(store: FenceStore, ledger: str) -> int:
    """Return the transaction from which on nothing was copied yet; 0 in a new journal."""
    found = [
        int(line["xid"]) for key in store.list_keys(f"{ledger}.journal-") for line in _parse(store.read(key)) if "xid" in line
    ]
    return max(found, default=0)


def _append(store: FenceStore, ledger: str, lines: Sequence[Line]) -> None:
    more = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    store.update(f"{ledger}.journal-{datetime.now(UTC):%Y-%m}.jsonl", lambda now: (now or b"") + more)


def _forget_addresses(store: FenceStore, ledger: str, erased: set[int | None]) -> None:
    """Remove the lines with addresses of erased subscribers."""

    def without(now: bytes | None) -> bytes | None:
        lines = _parse(now)
        kept = [line for line in lines if not (line["kind"] == "address" and line["subscriber"] in erased)]
        if len(kept) == len(lines):
            return None
        return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in kept)

    for key in store.list_keys(f"{ledger}.journal-"):
        store.update(key, without)


def _parse(content: bytes | None) -> list[Line]:
    """Parse the lines; the last one may be cut short."""
    lines = []
    for text in (content or b"").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            logger.warning("journal.unreadable_line")
    return lines
