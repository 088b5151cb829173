"""A change of address that both ends confirm: the old one by a link just mailed to it, the new one by a mail of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailer.core import addresses, log, tokens
from mailer.core.db import Database
from mailer.core.errors import Mistyped
from mailer.core.settings import Settings
from mailer.flows.subscribers import signup_limits
from mailer.flows.subscribers.preferences import Person
from mailer.flows.subscribers.signup import Result
from mailer.store.subscribers import consent_log, preferences, subscribers, suppressions
from mailer.store.transactional import transactional_mails

events = log.get("address")

LIMITS = ((2, timedelta(hours=1)), (5, timedelta(days=30)))


def ask(database: Database, person: Person, email: str, ip: str | None = None) -> bool:
    """Queue a mail to the new address; whether one waits. What the person is told must not depend on it.

    Raises BadInput when ``email`` is not an address, when the link did not just come by mail to the old one, and for who
    has left: the old address must stay known as one that left.
    """
    if not person.whole:
        raise Mistyped("This link came with an issue, which may have been forwarded: ask for a fresh link first.")
    new = addresses.check(email)
    normal = addresses.normal(new)
    held = signup_limits.admit(database, signup_limits.Source(normal, ip))
    with database.transaction() as tx:
        reader = subscribers.lock(tx, person.subscriber_id)
        if reader is None or preferences.look(tx, person.subscriber_id) is None or normal == reader.email_normal:
            return False
        if reader.state != "active":
            raise Mistyped("Only who gets the issues can do this: subscribe again first.")
        if subscribers.find(tx, normal) or suppressions.has(tx, normal):
            return False
        if any(transactional_mails.count_since(tx, reader.id, age, "new address") >= most for most, age in LIMITS):
            return False
        facts = {"to": new, "from": reader.email_normal, **({"held": held} if held else {})}
        transactional_mails.queue(tx, "confirmation", reader.id, facts=facts, topic="new address", held=bool(held))
    events.info("address.asked", subscriber=person.subscriber_id)
    return True


def reads(settings: Settings, token: str) -> bool:
    """Is this one of our links, and young enough?"""
    return tokens.read_address(settings.need_secret(), token, datetime.now(UTC), settings.confirm_expiry) is not None


def confirm(database: Database, settings: Settings, token: str, ip: str | None) -> Result:
    """The new address says yes: the change is made and the old one is told. Twice does no harm; who left stays."""
    claim = tokens.read_address(settings.need_secret(), token, datetime.now(UTC), settings.confirm_expiry)
    if claim is None:
        return Result.INVALID
    with database.transaction() as tx:
        reader = subscribers.lock(tx, claim.subscriber_id)
        facts = transactional_mails.facts(tx, claim.mail_id, claim.subscriber_id)
        if reader is None or facts is None or reader.state != "active":
            return Result.INVALID
        new = str(facts["to"])
        normal = addresses.normal(new)
        if reader.email_normal == normal:
            return Result.ALREADY
        if reader.email_normal != facts["from"] or subscribers.find(tx, normal) or suppressions.has(tx, normal):
            return Result.INVALID
        subscribers.readdress(tx, reader.id, new, normal)
        what = {"before": reader.email, "after": new, "mail": claim.mail_id}
        consent_log.record(tx, reader.id, "address", "page", ip, what)
        old = {"to": reader.email, "new": new}
        transactional_mails.queue(tx, "confirmation", reader.id, facts=old, topic="address changed")
    events.info("address.changed", subscriber=claim.subscriber_id)
    return Result.DONE
