"""Looking at readers: one, or a page of them. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from mailer import addresses
from mailer.db import Database
from mailer.store import readers
from mailer.store.readers import Reader

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
        if not (id_or_email.isascii() and id_or_email.isdecimal() and int(id_or_email) <= _LARGEST_ID):
            return None
        return readers.by_id(tx, int(id_or_email))
