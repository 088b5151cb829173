"""The reader's own page: what they may see and change behind a signed link. Each change is a transaction with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from mailer.core import addresses, i18n, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.errors import Mistyped
from mailer.core.i18n import LANGUAGES
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, signup_limits
from mailer.store.publishing import editions
from mailer.store.subscribers import consent_log, preferences, subscribers, suppressions
from mailer.store.subscribers.preferences import Choices
from mailer.store.transactional import transactional_mails

events = log.get("preferences")

LINK_HOLDS = timedelta(hours=24)  # a link that was asked for; those in issues hold for ever and show less
MONTHS = range(1, 13)
# At most so many links for one reader in each time.
LINK_LIMITS = ((1, timedelta(minutes=10)), (3, timedelta(days=1)))


class Frequency(StrEnum):
    """How often a reader hears from us."""

    EVERY = "every"
    MONTHLY = "monthly"


@dataclass(frozen=True)
class Person:
    """Who stands behind a link. ``whole``: it was just asked for, so they may also export and erase."""

    subscriber_id: int
    whole: bool


def who(settings: Settings, token: str) -> Person | None:
    """Whose page a link opens, or None when it is not ours or too old."""
    secret = settings.need_secret()
    if asked := tokens.read_page(secret, token, datetime.now(UTC), LINK_HOLDS):
        return Person(asked, whole=True)
    claim = tokens.read_leave(secret, token)
    return Person(claim.subscriber_id, whole=False) if claim else None


def look(database: Database, person: Person) -> Choices | None:
    """The reader as their page shows them; None when they were erased."""
    with database.transaction() as tx:
        return preferences.look(tx, person.subscriber_id)


def topics(settings: Settings, reader: Choices) -> list[str]:
    """The tags a reader can choose: those on offer, and those they have."""
    return sorted({*settings.topics, *reader.offered, *reader.tags})


def languages(database: Database, reader: Choices) -> dict[str, str]:
    """The languages a reader can choose, with their names: those of our pages, of issues so far, and their own."""
    with database.transaction() as tx:
        return _languages(tx, reader)


def choose(
    database: Database, settings: Settings, person: Person, tags: Sequence[str], frequency: str, lang: str, ip: str | None
) -> None:
    """Set tags, frequency and language. Raises BadInput for one that is not on offer."""
    with database.transaction() as tx:
        reader = _reader(tx, person)
        chosen = sorted({tag.lower() for tag in tags})
        _known(frequency, tuple(Frequency), "how often")
        _known(lang, ("", *_languages(tx, reader)), "the language")
        for tag in chosen:
            _known(tag, topics(settings, reader), "the topic")
        if preferences.choose(tx, reader.id, chosen, frequency, lang):
            what = {"tags": chosen, "frequency": frequency, "lang": lang, "before": reader.tags}
            consent_log.record(tx, reader.id, "chosen", "page", ip, what)
    events.info("subscriber.chose", subscriber=person.subscriber_id)


def pause(database: Database, person: Person, months: str, ip: str | None) -> datetime:
    """No issue for 1 to 12 months; until when. Raises BadInput."""
    _known(months, [str(number) for number in MONTHS], "the number of months")
    with database.transaction() as tx:
        reader = _reader(tx, person)
        until = preferences.pause(tx, reader.id, int(months))
        if until is None:
            raise Mistyped("Only who gets the issues can do this: subscribe again first.")
        consent_log.record(tx, reader.id, "paused", "page", ip, {"months": int(months), "until": until.isoformat()})
    events.info("subscriber.paused", subscriber=person.subscriber_id, months=int(months))
    return until


def resume(database: Database, person: Person, ip: str | None) -> None:
    """End the pause now. Raises BadInput for who has left, whom no issue would come to."""
    with database.transaction() as tx:
        reader = _reader(tx, person)
        if reader.state != "active":
            raise Mistyped("Only who gets the issues can do this: subscribe again first.")
        if preferences.resume(tx, reader.id):
            consent_log.record(tx, reader.id, "resumed", "page", ip, {})
    events.info("subscriber.resumed", subscriber=person.subscriber_id)


def leave(database: Database, person: Person, ip: str | None) -> None:
    """Leave; twice does no harm."""
    with database.transaction() as tx:
        if subscribers.leave(tx, person.subscriber_id):
            consent_log.record(tx, person.subscriber_id, "left", "page", ip, {})
    events.info("subscriber.left", subscriber=person.subscriber_id)


def everything(database: Database, person: Person) -> dict[str, list[dict[str, Any]]]:
    """All that is kept about the reader, by table. Raises BadInput when the link shows less."""
    _whole(person)
    with database.transaction() as tx:
        _reader(tx, person)
        return preferences.everything(tx, person.subscriber_id)


def erase(database: Database, settings: Settings, person: Person) -> None:
    """Erase the reader; twice does no harm. Raises BadInput when the link shows less."""
    _whole(person)
    erasure.erase(database, settings, person.subscriber_id)


def mail_link(database: Database, person: Person) -> bool:
    """Queue a mail with a fresh link for the reader behind this one; whether a mail waits now."""
    with database.transaction() as tx:
        return _queue_link(tx, person.subscriber_id)


def ask_link(database: Database, email: str, ip: str | None = None) -> bool:
    """Queue a mail with a link for a reader with this address, if there is one. Raises BadInput when it is no address.

    What the person is told must not depend on the result, which is for ringing the doorbell only.
    """
    address = addresses.normal(addresses.check(email))
    held = signup_limits.admit(database, signup_limits.Source(address, ip))
    with database.transaction() as tx:
        reader = subscribers.find(tx, address)
        return _queue_link(tx, reader.id, held) if reader else False


def end_pauses(database: Database, limit: int = 200) -> int:
    """Pauses that are over end, and each reader is told; how many."""
    with database.transaction() as tx:
        readers = preferences.ended(tx, limit)
        for reader in readers:
            consent_log.record(tx, reader.id, "resumed", "clock", None, {})
            if reader.state == "active" and not suppressions.has(tx, addresses.normal(reader.email)):
                transactional_mails.queue(tx, "confirmation", reader.id, topic="pause over")
    return len(readers)


def _queue_link(tx: Tx, subscriber_id: int, held: str = "") -> bool:
    reader = subscribers.lock(tx, subscriber_id)
    if reader is None or preferences.look(tx, subscriber_id) is None or suppressions.has(tx, reader.email_normal):
        return False
    if any(transactional_mails.count_since(tx, subscriber_id, age, "page") >= most for most, age in LINK_LIMITS):
        return False
    facts = {"held": held} if held else {}
    transactional_mails.queue(tx, "confirmation", subscriber_id, facts=facts, topic="page", held=bool(held))
    return True


def _reader(tx: Tx, person: Person) -> Choices:
    reader = preferences.look(tx, person.subscriber_id)
    if reader is None:
        raise Mistyped("Nothing is kept about this address any more: subscribe again to get the issues.")
    return reader


def _whole(person: Person) -> None:
    if not person.whole:
        raise Mistyped("This link came with an issue, which may have been forwarded: ask for a fresh link first.")


def _known(value: str, allowed: Sequence[str], what: str) -> None:
    if value not in allowed:
        exactly = f"{what[0].upper()}{what[1:]} {value[:50]!r} is not on offer: choose one that the page shows."
        raise Mistyped("%(value)s is not on offer: choose one that the page shows.", exactly, value=value[:50])


def _languages(tx: Tx, reader: Choices) -> dict[str, str]:
    codes = [code for code in (*editions.languages(tx), reader.lang.lower()) if code]
    return {**LANGUAGES, **{code: i18n.name(code) for code in sorted(codes) if code not in LANGUAGES}}
