"""Paid issues on the web: stored editions behind a subscriber's private link, which stops working when access ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailer.core import tokens
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.billing import entitlements
from mailer.store.billing import entitlement_records
from mailer.store.publishing import editions
from mailer.store.publishing.editions import ReadableIssue
from mailer.store.subscribers import preferences

MAX_ISSUES = 50  # issues on a subscriber's page and in their feed


@dataclass(frozen=True)
class EntitledSubscriber:
    """An entitled subscriber, their language ("": the newsletter's), and the current token of their links."""

    subscriber_id: int
    token: str
    lang: str = ""


def get_link_token(database: Database, settings: Settings, subscriber_id: int) -> str:
    """Return the token of a subscriber's private links; empty without an entitlement."""
    with database.transaction() as tx:
        return _build_token(tx, settings, subscriber_id)


def authenticate(database: Database, settings: Settings, token: str) -> EntitledSubscriber | None:
    """Return the subscriber of a private link if they are entitled now and the link was not renewed since."""
    claim = tokens.read_paid(settings.need_secrets(), token)
    if claim is None:
        return None
    with database.transaction() as tx:
        if not claim[1] or _build_token(tx, settings, claim[0]) != token:
            return None
        subscriber = preferences.get(tx, claim[0])
        return EntitledSubscriber(claim[0], token, subscriber.lang if subscriber else "")


def list_issues(database: Database, lang: str, limit: int = MAX_ISSUES) -> list[ReadableIssue]:
    """Return the latest issues in the paid text of this language, newest first."""
    with database.transaction() as tx:
        return editions.list_readable(tx, limit, lang)


def find_issue(database: Database, key: str, lang: str) -> ReadableIssue | None:
    """Return one issue in the paid text of this language, in its latest edition; None if there is none."""
    with database.transaction() as tx:
        return editions.find_readable(tx, key, lang)


def renew_links(database: Database, settings: Settings, subscriber_id: int) -> None:
    """Invalidate a subscriber's private links, for example after a leak."""
    with database.transaction() as tx:
        entitlement_records.renew_links(tx, subscriber_id)


def _build_token(tx: Tx, settings: Settings, subscriber_id: int) -> str:
    written = entitlement_records.get(tx, subscriber_id)
    if written is None or not entitlements.restore_entitlement(written, datetime.now(UTC)).premium:
        return ""
    return tokens.paid_token(settings.need_secrets(), subscriber_id, written.epoch)
