"""Reading on the web what was paid for: stored editions, behind a reader's own link that is worthless when access ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailer import tokens
from mailer.db import Database, Tx
from mailer.flows import access
from mailer.settings import Settings
from mailer.store import accesses, editions
from mailer.store.editions import Readable

REACH = 50  # issues on a reader's page and in their feed


@dataclass(frozen=True)
class Reader:
    """Who reads, with the token of their links as it is now."""

    subscriber_id: int
    token: str


def own_links(database: Database, settings: Settings, subscriber_id: int) -> str:
    """The token of a reader's private links; empty without access."""
    with database.transaction() as tx:
        return _token(tx, settings, subscriber_id)


def enter(database: Database, settings: Settings, token: str) -> Reader | None:
    """The reader of a private link, when they have access at this moment and the link was not renewed since."""
    claim = tokens.read_paid(settings.need_secret(), token)
    if claim is None:
        return None
    with database.transaction() as tx:
        return Reader(claim[0], token) if claim[1] and _token(tx, settings, claim[0]) == token else None


def issues(database: Database, limit: int = REACH) -> list[Readable]:
    """The newest mailed issues as paying readers got them, newest first."""
    with database.transaction() as tx:
        return editions.readable(tx, limit)


def issue(database: Database, key: str) -> Readable | None:
    """One mailed issue as paying readers got it, in its newest edition; None when there is none."""
    with database.transaction() as tx:
        return editions.readable_one(tx, key)


def renew(database: Database, settings: Settings, subscriber_id: int) -> None:
    """A reader's private links leaked or shall end: the old ones are worthless from now on."""
    with database.transaction() as tx:
        accesses.renew_links(tx, subscriber_id)


def _token(tx: Tx, settings: Settings, subscriber_id: int) -> str:
    written = accesses.get(tx, subscriber_id)
    if written is None or not access.current(written, datetime.now(UTC)).premium:
        return ""
    return tokens.paid_token(settings.need_secret(), subscriber_id, written.epoch)
