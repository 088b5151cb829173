"""Change an address with confirmation from both ends.

The old address by a link just emailed to it, the new one by a confirmation email of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailer.core import addresses, log, tokens
from mailer.core.db import Database
from mailer.core.errors import Mistyped
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, inbox_limit, signup_limits
from mailer.flows.subscribers.preferences import LinkOwner
from mailer.flows.subscribers.signup import TokenResult
from mailer.store.billing import customers, gifts
from mailer.store.subscribers import consent_log, preferences, subscribers
from mailer.store.transactional import transactional_emails

logger = log.get("address")

# The maximum number of changes that one subscriber asks for in each period, beside the limit on the new address's inbox.
EMAIL_LIMITS = ((2, timedelta(hours=1)), (5, timedelta(days=30)))


def request_change(database: Database, person: LinkOwner, email: str, ip: str | None = None) -> bool:
    """Queue a confirmation email to the new address; return whether one is pending. Do not show the result to the visitor.

    Raises BadInput if ``email`` is not an address, if the link was not just emailed to the old address, and for unsubscribed
    people: the old address must stay on record as unsubscribed.
    """
    if not person.has_full_access:
        raise Mistyped("This link came with an issue, which may have been forwarded. Get a new link first.")
    new = addresses.check(email)
    normal = addresses.normal(new)
    admission = signup_limits.admit_signup(database, signup_limits.SignupSource(normal, ip))
    held = admission.held
    with database.transaction() as tx:
        subscriber = subscribers.lock(tx, person.subscriber_id)
        if subscriber is None or preferences.get(tx, person.subscriber_id) is None or normal == subscriber.email_normal:
            return False
        if subscriber.state != "active":
            raise Mistyped("Only subscribers can do this. Please subscribe again first.")
        if subscribers.find(tx, normal) or erasure.list_blocked(tx, None, [normal, subscriber.email_normal]):
            return False
        if any(transactional_emails.count_since(tx, subscriber.id, age, "new address") >= most for most, age in EMAIL_LIMITS):
            return False
        if not inbox_limit.use(tx, normal):
            return False
        facts = {"to": new, **({"held": held} if held else {})}
        transactional_emails.queue(tx, "confirmation", subscriber.id, facts=facts, topic="new address", held=bool(held))
    logger.info("address.asked", subscriber=person.subscriber_id)
    return True


def is_valid_link(settings: Settings, token: str) -> bool:
    """Return whether a link is signed by us and has not expired."""
    return tokens.read_address(settings.need_secrets(), token, datetime.now(UTC), settings.confirm_expiry) is not None


def confirm_change(database: Database, settings: Settings, token: str, ip: str | None) -> TokenResult:
    """Change the address and notify the old one. Repeating it has no effect; unsubscribed people stay unsubscribed."""
    claim = tokens.read_address(settings.need_secrets(), token, datetime.now(UTC), settings.confirm_expiry)
    if claim is None:
        return TokenResult.INVALID
    with database.transaction() as tx:
        subscriber = subscribers.lock(tx, claim.subscriber_id)
        facts = transactional_emails.get_facts(tx, claim.reference, claim.subscriber_id)
        if subscriber is None or facts is None or subscriber.state != "active":
            return TokenResult.INVALID
        new = str(facts["to"])
        normal = addresses.normal(new)
        if subscriber.email_normal == normal:
            return TokenResult.ALREADY
        if not claim.is_current(subscriber.recipient) or subscribers.find(tx, normal):
            return TokenResult.INVALID
        if erasure.list_blocked(tx, settings, [normal, subscriber.email_normal]):
            return TokenResult.INVALID
        subscribers.set_address(tx, subscriber.id, new, normal)
        customers.queue_address(tx, subscriber.id, subscriber.email_normal)
        what = {"before": subscriber.email, "after": new, "mail": claim.reference}
        consent_log.record(tx, subscriber.id, "address", "page", ip, what)
        old = {"to": subscriber.email, "new": new}
        transactional_emails.queue(tx, "confirmation", subscriber.id, facts=old, topic="address changed")
        gifts.requeue_emails(tx, subscriber.id)
    logger.info("address.changed", subscriber=claim.subscriber_id)
    return TokenResult.DONE
