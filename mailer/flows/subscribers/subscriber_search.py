"""Looking at readers: one, or a page of them. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailer.core import addresses
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.store.subscribers import preferences
from mailer.store.subscribers import subscriber_search as readers
from mailer.store.subscribers.subscriber_search import Reader

PAGE = 100  # readers
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Page:
    """Some readers, newest first, and how many there are in all."""

    readers: list[Reader]
    count: int


def page(database: Database, number: int) -> Page:
    """Page ``number``, from 1."""
    with database.transaction() as tx:
        return Page(readers.page(tx, PAGE, PAGE * (number - 1)), readers.count(tx))


def find(database: Database, id_or_email: str) -> Reader | None:
    """The reader with this id or address, or None."""
    with database.transaction() as tx:
        if "@" in id_or_email:
            return readers.by_email(tx, addresses.normal(id_or_email))
        if not (id_or_email.isascii() and id_or_email.isdecimal() and len(id_or_email) < 20):
            return None
        if int(id_or_email) > _LARGEST_ID:
            return None
        return readers.by_id(tx, int(id_or_email))


def everything(database: Database, id_or_email: str) -> dict[str, list[dict[str, Any]]]:
    """All that is kept about a reader, by table. Raises BadInput when there is none."""
    known = find(database, id_or_email)
    if known is None:
        raise BadInput(f"There is no reader {id_or_email[:100]!r}: `postmerge subscribers list` shows all.")
    with database.transaction() as tx:
        return preferences.everything(tx, known.id)
