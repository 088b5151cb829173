"""Reading on the web what was paid for: stored editions, behind a reader's own link that is worthless when access ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailer.core import tokens
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.billing import entitlements
from mailer.store.billing import entitlements as stored_entitlements
from mailer.store.publishing import editions
from mailer.store.publishing.editions import Readable
from mailer.store.subscribers import preferences

REACH = 50  # issues on a reader's page and in their feed


@dataclass(frozen=True)
class Reader:
    """Who reads, in which language ("": the newsletter's), with the token of their links as it is now."""

    subscriber_id: int
    token: str
    lang: str = ""


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
        if not claim[1] or _token(tx, settings, claim[0]) != token:
            return None
        reader = preferences.look(tx, claim[0])
        return Reader(claim[0], token, reader.lang if reader else "")


def issues(database: Database, lang: str, limit: int = REACH) -> list[Readable]:
    """The newest mailed issues as paying readers of this language got them, newest first."""
    with database.transaction() as tx:
        return editions.readable(tx, limit, lang)


def issue(database: Database, key: str, lang: str) -> Readable | None:
    """One mailed issue as paying readers of this language got it, in its newest edition; None when there is none."""
    with database.transaction() as tx:
        return editions.readable_one(tx, key, lang)


def renew(database: Database, settings: Settings, subscriber_id: int) -> None:
    """A reader's private links leaked or shall end: the old ones are worthless from now on."""
    with database.transaction() as tx:
        stored_entitlements.renew_links(tx, subscriber_id)


def _token(tx: Tx, settings: Settings, subscriber_id: int) -> str:
    written = stored_entitlements.get(tx, subscriber_id)
    if written is None or not entitlements.current(written, datetime.now(UTC)).premium:
        return ""
    return tokens.paid_token(settings.need_secret(), subscriber_id, written.epoch)
