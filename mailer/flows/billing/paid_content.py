"""Paid issues on the web: stored editions behind a subscriber's private link, which stops working when access ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailer.core import tokens
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.billing import entitlements
from mailer.flows.subscribers import private_links
from mailer.flows.subscribers.preferences import MAX_LINK_AGE, LinkOwner
from mailer.store.billing import entitlement_records
from mailer.store.publishing import editions
from mailer.store.publishing.editions import ReadableIssue
from mailer.store.subscribers import preferences, subscribers

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
        subscriber = subscribers.get(tx, subscriber_id)
        entitled = subscriber is not None and _is_entitled(tx, subscriber_id)
    return tokens.reading_token(settings.need_secrets(), subscriber.recipient) if subscriber and entitled else ""


def authenticate(database: Database, settings: Settings, token: str) -> EntitledSubscriber | None:
    """Return the subscriber of a private link if they are entitled now and the link was not renewed since."""
    claim = tokens.read_reading(settings.need_secrets(), token)
    with database.transaction() as tx:
        owner = private_links.find_owner(tx, claim)
        if owner is None or not _is_entitled(tx, owner.id):
            return None
        choices = preferences.get(tx, owner.id)
        return EntitledSubscriber(owner.id, token, choices.lang if choices else "")


def list_issues(database: Database, lang: str, limit: int = MAX_ISSUES) -> list[ReadableIssue]:
    """Return the latest issues in the paid text of this language, newest first."""
    with database.transaction() as tx:
        return editions.list_readable(tx, limit, lang)


def find_issue(database: Database, key: str, lang: str) -> ReadableIssue | None:
    """Return one issue in the paid text of this language, in its latest edition; None if there is none."""
    with database.transaction() as tx:
        return editions.find_readable(tx, key, lang)


def identify(database: Database, settings: Settings, token: str) -> LinkOwner | None:
    """Return the owner of a link to the page about payments, or None if it is not ours or newer links have replaced it.

    The link shows the page for as long as it is current; full access, which money needs, ends with ``MAX_LINK_AGE``.
    """
    claim = tokens.read_paid(settings.need_secrets(), token)
    with database.transaction() as tx:
        owner = private_links.find_owner(tx, claim)
    if claim is None or claim.issued is None or owner is None:
        return None
    return LinkOwner(owner.id, datetime.now(UTC) - claim.issued <= MAX_LINK_AGE, claim.issued, claim.epoch)


def build_page_link(database: Database, settings: Settings, owner: LinkOwner) -> str:
    """Return the path of the page about payments, no fresher than the owner's own link; '' for those who never paid."""
    with database.transaction() as tx:
        subscriber = subscribers.get(tx, owner.subscriber_id)
        known = entitlement_records.get(tx, owner.subscriber_id)
    if not (owner.has_full_access and owner.issued and subscriber and known):
        return ""
    return f"/paid/{tokens.paid_token(settings.need_secrets(), subscriber.recipient, owner.issued)}"


def _is_entitled(tx: Tx, subscriber_id: int) -> bool:
    return entitlements.restore_entitlement(entitlement_records.get(tx, subscriber_id), datetime.now(UTC)).premium
