"""Read-only views of subscribers: one, or a page of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailer.core import addresses
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.public_ids import MAX_ID
from mailer.store.subscribers import preferences, subscriber_summaries
from mailer.store.subscribers.subscriber_summaries import SubscriberSummary

PAGE_SIZE = 100  # subscribers


@dataclass(frozen=True)
class SummaryPage:
    """A page of subscribers, newest first, and the total number."""

    subscribers: list[SubscriberSummary]
    count: int


def list_page(database: Database, number: int) -> SummaryPage:
    """Return page ``number``, from 1."""
    with database.transaction() as tx:
        return SummaryPage(
            subscriber_summaries.list_page(tx, PAGE_SIZE, PAGE_SIZE * (number - 1)), subscriber_summaries.count(tx)
        )


def find_subscriber(database: Database, id_or_email: str) -> SubscriberSummary | None:
    """Return the subscriber with this id or address, or None."""
    with database.transaction() as tx:
        if "@" in id_or_email:
            return subscriber_summaries.by_email(tx, addresses.normal(id_or_email))
        if not (id_or_email.isascii() and id_or_email.isdecimal() and len(id_or_email) < 20):
            return None
        if int(id_or_email) > MAX_ID:
            return None
        return subscriber_summaries.by_id(tx, int(id_or_email))


def export_data(database: Database, id_or_email: str) -> dict[str, list[dict[str, Any]]]:
    """Return everything stored about a subscriber, by table. Raises BadInput if there is none."""
    known = find_subscriber(database, id_or_email)
    if known is None:
        raise BadInput(f"There is no subscriber {id_or_email[:100]!r}: `postmerge subscribers list` lists all.")
    with database.transaction() as tx:
        return preferences.export_data(tx, known.id)
