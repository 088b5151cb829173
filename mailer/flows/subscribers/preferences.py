"""The preferences page: what subscribers may see and change behind a signed link.

Each change is one transaction with its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from mailer.core import addresses, i18n, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.errors import Mistyped, TooManyRequests
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, inbox_limit, private_links, signup_limits
from mailer.store.publishing import editions
from mailer.store.subscribers import consent_log, preferences, subscribers
from mailer.store.subscribers.preferences import SubscriberChoices
from mailer.store.transactional import transactional_emails

logger = log.get("preferences")

MAX_LINK_AGE = timedelta(hours=24)  # of a requested link; links in issues never expire and allow less
PAUSE_MONTHS = range(1, 13)


class Frequency(StrEnum):
    """How often a subscriber gets emails."""

    EVERY = "every"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True)
class LinkOwner:
    """The owner of a link of this ``epoch``, ``issued`` then.

    ``has_full_access``: recently, so it also allows export, erasure and money.
    """

    subscriber_id: int
    has_full_access: bool
    issued: datetime | None = None
    epoch: int | None = None


def identify(database: Database, settings: Settings, token: str) -> LinkOwner | None:
    """Return the owner of a link, or None if it is not ours, has expired, or newer links have replaced it."""
    secrets = settings.need_secrets()
    requested = tokens.read_page(secrets, token, datetime.now(UTC), MAX_LINK_AGE)
    claim = requested or tokens.read_unsubscribe(secrets, token)
    with database.transaction() as tx:
        owner = private_links.find_owner(tx, claim)
    return LinkOwner(owner.id, requested is not None, claim.issued, claim.epoch) if claim and owner else None


def get_choices(database: Database, person: LinkOwner) -> SubscriberChoices | None:
    """Return what the page shows about the subscriber; None if they were erased."""
    with database.transaction() as tx:
        return preferences.get(tx, person.subscriber_id)


def list_topics(settings: Settings, subscriber: SubscriberChoices) -> list[str]:
    """Return the tags a subscriber can choose: those offered, and those they have."""
    return sorted({*settings.topics, *subscriber.offered, *subscriber.tags})


def list_languages(database: Database, subscriber: SubscriberChoices) -> dict[str, str]:
    """Return the languages a subscriber can choose, with names: of our pages, of past issues, and their own."""
    with database.transaction() as tx:
        return _list_languages(tx, subscriber)


def save_choices(
    database: Database, settings: Settings, person: LinkOwner, tags: Sequence[str], frequency: str, lang: str, ip: str | None
) -> None:
    """Set tags, frequency and language. Raises BadInput for a value that is not offered."""
    with database.transaction() as tx:
        subscriber = _require_choices(tx, person)
        chosen = sorted({tag.lower() for tag in tags})
        _check_offered(frequency, tuple(Frequency), "how often")
        _check_offered(lang, ("", *_list_languages(tx, subscriber)), "the language")
        for tag in chosen:
            _check_offered(tag, list_topics(settings, subscriber), "the topic")
        if preferences.save(tx, subscriber.id, chosen, frequency, lang):
            before = {"before": subscriber.tags, "frequency_before": subscriber.frequency}
            what = {"tags": chosen, "frequency": frequency, "lang": lang, **before}
            consent_log.record(tx, subscriber.id, "chosen", "page", ip, what)
    logger.info("subscriber.chose", subscriber=person.subscriber_id)


def pause_issues(database: Database, person: LinkOwner, months: str, ip: str | None) -> datetime:
    """Pause issues for 1 to 12 months; return the end date. Raises BadInput."""
    _check_offered(months, [str(number) for number in PAUSE_MONTHS], "the number of months")
    with database.transaction() as tx:
        subscriber = _require_choices(tx, person)
        until = preferences.pause(tx, subscriber.id, int(months))
        if until is None:
            raise Mistyped("Only subscribers can do this. Please subscribe again first.")
        consent_log.record(tx, subscriber.id, "paused", "page", ip, {"months": int(months), "until": until.isoformat()})
    logger.info("subscriber.paused", subscriber=person.subscriber_id, months=int(months))
    return until


def resume_issues(database: Database, person: LinkOwner, ip: str | None) -> None:
    """End the pause now. Raises BadInput for unsubscribed people, who would not get any issues."""
    with database.transaction() as tx:
        subscriber = _require_choices(tx, person)
        if subscriber.state != "active":
            raise Mistyped("Only subscribers can do this. Please subscribe again first.")
        if preferences.resume(tx, subscriber.id):
            consent_log.record(tx, subscriber.id, "resumed", "page", ip, {})
    logger.info("subscriber.resumed", subscriber=person.subscriber_id)


def unsubscribe(database: Database, person: LinkOwner, ip: str | None) -> None:
    """Unsubscribe. Repeating it has no effect."""
    with database.transaction() as tx:
        if subscribers.unsubscribe(tx, person.subscriber_id):
            consent_log.record(tx, person.subscriber_id, "unsubscribed", "page", ip, {})
    logger.info("subscriber.left", subscriber=person.subscriber_id)


def export_data(database: Database, person: LinkOwner) -> dict[str, list[dict[str, Any]]]:
    """Return everything stored about the subscriber, by table. Raises BadInput without full access."""
    _require_full_access(person)
    with database.transaction() as tx:
        _require_choices(tx, person)
        return preferences.export_data(tx, person.subscriber_id)


def erase_subscriber(database: Database, settings: Settings, person: LinkOwner) -> None:
    """Erase the subscriber. Repeating it has no effect. Raises BadInput without full access."""
    _require_full_access(person)
    erasure.erase_subscriber(database, settings, person.subscriber_id)


def send_fresh_link(database: Database, person: LinkOwner, paid: bool = False) -> bool:
    """Queue an email with a new link for the owner of this one; return whether an email is pending.

    ``paid``: to the page about payments.
    """
    with database.transaction() as tx:
        return _queue_link(tx, person.subscriber_id, paid=paid)


def renew_links(database: Database, person: LinkOwner, paid: bool = False) -> None:
    """End all private links of a subscriber, this one too, and email a new one: only the inbox proves who they are.

    The email counts for the inbox but is always sent, because each renewal needs a link that the one before has not ended.
    """
    with database.transaction() as tx:
        if not private_links.end_links(tx, person.subscriber_id, person.epoch):
            return  # another request has just renewed them
        subscriber = subscribers.lock(tx, person.subscriber_id)
        if subscriber and erasure.may_be_emailed(tx, None, subscriber.email_normal):
            inbox_limit.count(tx, subscriber.email_normal)
            transactional_emails.queue(tx, "confirmation", person.subscriber_id, facts={"paid": paid}, topic="page")


def request_link(database: Database, email: str, ip: str | None = None, paid: bool = False) -> bool:
    """Queue an email with a link if a subscriber has this address. Raises BadInput if it is not an address.

    ``paid``: to the page about payments. Do not show the result to the visitor: it only decides whether to send a wake-up.
    """
    address = addresses.normal(addresses.check(email))
    with database.transaction() as tx:
        subscriber = subscribers.find(tx, address)
        if subscriber is None:
            return False
        if subscriber.confirmed_at:  # limited by inbox alone, so that nobody can keep them from their own page
            return _queue_link(tx, subscriber.id, paid=paid)
    try:
        admission = signup_limits.admit_signup(database, signup_limits.SignupSource(address, ip))
    except TooManyRequests:  # the answer must not say whether somebody has this address
        return False
    with database.transaction() as tx:
        return _queue_link(tx, subscriber.id, admission.held, paid=paid)


def end_pauses(database: Database, limit: int = 200) -> int:
    """End expired pauses and notify the subscribers; return how many."""
    with database.transaction() as tx:
        paused = preferences.end_pauses(tx, limit)
        for subscriber in paused:
            consent_log.record(tx, subscriber.id, "resumed", "clock", None, {})
            if subscriber.state == "active" and erasure.may_be_emailed(tx, None, addresses.normal(subscriber.email)):
                transactional_emails.queue(tx, "confirmation", subscriber.id, topic="pause over")
    return len(paused)


def _queue_link(tx: Tx, subscriber_id: int, held: str = "", paid: bool = False) -> bool:
    subscriber = subscribers.lock(tx, subscriber_id)
    if (
        subscriber is None
        or preferences.get(tx, subscriber_id) is None
        or not erasure.may_be_emailed(tx, None, subscriber.email_normal)
    ):
        return False
    if not inbox_limit.use(tx, subscriber.email_normal, subscriber=bool(subscriber.confirmed_at)):
        return False
    facts = {**({"held": held} if held else {}), **({"paid": True} if paid else {})}
    transactional_emails.queue(tx, "confirmation", subscriber_id, facts=facts, topic="page", held=bool(held))
    return True


def _require_choices(tx: Tx, person: LinkOwner) -> SubscriberChoices:
    subscriber = preferences.get(tx, person.subscriber_id)
    if subscriber is None:
        raise Mistyped("We no longer store anything about this address. Subscribe again to get the issues.")
    return subscriber


def _require_full_access(person: LinkOwner) -> None:
    if not person.has_full_access:
        raise Mistyped("This link came with an issue, which may have been forwarded. Get a new link first.")


def _check_offered(value: str, allowed: Sequence[str], what: str) -> None:
    if value not in allowed:
        exactly = f"{what[0].upper()}{what[1:]} {value[:50]!r} is not on offer: choose one that the page shows."
        raise Mistyped("%(value)s isn’t available. Choose one of the options on the page.", exactly, value=value[:50])


def _list_languages(tx: Tx, subscriber: SubscriberChoices) -> dict[str, str]:
    codes = [code for code in (*editions.list_languages(tx), subscriber.lang.lower()) if code]
    ours = i18n.languages()
    return {**ours, **{code: i18n.name(code) for code in sorted(codes) if code not in ours}}
