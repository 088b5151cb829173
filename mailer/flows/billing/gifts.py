"""Access without a subscription at Stripe: gifts paid for by somebody else, and complimentary access."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from mailer.core import addresses, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.billing import billing_emails, entitlements, stripe_sync
from mailer.flows.billing.billing_emails import BillingEmail
from mailer.flows.billing.billing_text import get_subscriber_localizer, localized_error
from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.subscribers import inbox_limit
from mailer.flows.subscribers.erasure import may_be_emailed
from mailer.flows.subscribers.signup import TokenResult
from mailer.payments.models import CheckoutSession
from mailer.store.billing import entitlement_records, gifts, subscriptions
from mailer.store.operations import notices
from mailer.store.subscribers import consent_log, erasure, subscribers

logger = log.get("gifts")


def record_paid_gift(database: Database, session: CheckoutSession, settings: Settings | None = None) -> bool:
    """Record a paid gift and email its recipient; return whether it is new. Repeating it has no effect.

    The email is held for review if the recipient's inbox is over its limit: a paid gift must not be lost.
    """
    address = addresses.check(session.recipient)
    with database.transaction() as tx:
        subscriber = subscribers.add(tx, address, addresses.normal(address), [])
        subscribers.set_language(tx, subscriber, session.lang)
        gift_id = gifts.add(
            tx, session.stripe_id, subscriber, session.gift, session.months, session.amount, session.currency, session.intent
        )
        if not gift_id:
            return False
        if subscriptions.is_refunded(tx, session.intent):  # the refund was processed before the gift itself
            gifts.revoke_refunded(tx, gift_id)
            return True
        _queue_gift_email(tx, subscriber, gift_id, session)
        if not may_be_emailed(tx, settings, addresses.normal(address)):
            notices.add(
                tx,
                f"Gift {gift_id} was paid, but its recipient (subscriber {subscriber}) may not be emailed: refund the gift at"
                " Stripe, or ask the giver for another address.",
            )
    logger.info("gift.paid", gift=gift_id)
    return True


def accept_gift(
    database: Database, settings: Settings, token: str, ip: str | None = None
) -> tuple[TokenResult, datetime | None]:
    """Accept a gift; return until when it lasts. The link came by email, so it also confirms the address.

    Repeating it has no effect. It begins after any existing access. Raises Refused while the recipient pays themselves: the
    gift would run in parallel and be wasted.
    """
    claim = tokens.read_gift(settings.need_secrets(), token)
    if claim is None:
        return TokenResult.INVALID, None
    with database.transaction() as tx:
        gift = gifts.lock(tx, claim.reference)
        if gift is None or gift.returned_at or gift.subscriber_id != claim.subscriber_id:
            return TokenResult.INVALID, None
        if gift.accepted_at:
            granted = [
                one.until for one in entitlement_records.list_grants(tx, gift.subscriber_id) if one.reason == f"gift {gift.id}"
            ]
            return TokenResult.ALREADY, granted[0] if granted else None
        subscriber = subscribers.lock(tx, gift.subscriber_id)
        if subscriber is None or erasure.get_erased_at(tx, subscriber.id) or not claim.was_sent_to(subscriber.email_normal):
            return TokenResult.INVALID, None
        begins = _find_start(tx, subscriber.id)
        if subscriber.state != "active":
            subscribers.activate(tx, subscriber.id)
            consent_log.record(tx, subscriber.id, "confirmed", "gift", ip, {"gift": gift.id})
        gifts.accept(tx, gift.id)
        until = begins + relativedelta(months=gift.months)
        entitlement_records.add_grant(tx, subscriber.id, "gift", until, f"gift {gift.id}")
        stripe_sync.update_entitlement(tx, settings, subscriber.id)
    logger.info("gift.accepted", gift=gift.id)
    return TokenResult.DONE, until


def _find_start(tx: Tx, subscriber: int) -> datetime:
    now = datetime.now(UTC)
    entitlement = entitlements.restore_entitlement(entitlement_records.get(tx, subscriber), now)
    if entitlement.premium and entitlement.state in (
        EntitlementState.PAYING,
        EntitlementState.TRIALING,
        EntitlementState.PAST_DUE,
    ):
        raise localized_error(
            Refused,
            "You already have a paid subscription, so this gift would go to waste. Cancel or pause it on"
            " your page, then open this link again. It won’t expire.",
        )
    return max(now, entitlement.until) if entitlement.premium and entitlement.until else now


def grant_complimentary(database: Database, settings: Settings, email: str, until: datetime | None, reason: str) -> str:
    """Grant access without payment; return a sentence about it. They must be a subscriber already."""
    if until and until <= datetime.now(UTC) + timedelta(minutes=1):
        raise BadInput("The end of complimentary access is in the past: choose a later day.")
    with database.transaction() as tx:
        subscriber = subscribers.find(tx, addresses.normal(email))
        if subscriber is None:
            raise BadInput(f"Nobody has the address {email}: add them with `postmerge subscribers add` first.")
        entitlement_records.add_grant(tx, subscriber.id, "complimentary", until, reason)
        after = stripe_sync.update_entitlement(tx, settings, subscriber.id)
    return (
        f"{email} is {after.state} and reads everything {f'until {after.until:%Y-%m-%d}' if after.until else 'without an end'}."
    )


def revoke_complimentary(database: Database, settings: Settings, email: str) -> str:
    """End complimentary access now; gifts and paid subscriptions are unaffected."""
    with database.transaction() as tx:
        subscriber = subscribers.find(tx, addresses.normal(email))
        if subscriber is None or not entitlement_records.revoke_complimentary(tx, subscriber.id):
            raise BadInput(f"{email} has no complimentary access: `postmerge paid show {email}` shows their entitlements.")
        after = stripe_sync.update_entitlement(tx, settings, subscriber.id)
    return f"{email} is {after.state} now."


def _queue_gift_email(tx: Tx, subscriber: int, gift_id: int, session: CheckoutSession) -> None:
    voice = get_subscriber_localizer(tx, subscriber, session.lang)
    say, giver = voice.say, session.giver or voice.say("Someone")
    given = (
        say("%(giver)s has given you a year of this newsletter, with everything that paid subscribers get.", giver=giver)
        if session.months == 12
        else say.ngettext(
            "%(giver)s has given you a month of this newsletter, with everything that paid subscribers get.",
            "%(giver)s has given you %(number)s months of this newsletter, with everything that paid subscribers get.",
            session.months,
            giver=giver,
        )
    )
    sentences = [
        given,
        say("It starts when you accept it. You won’t be charged, and it doesn’t renew."),
    ]
    held = "" if inbox_limit.use(tx, addresses.normal(session.recipient)) else inbox_limit.FULL
    email = BillingEmail(f"gift:{gift_id}", voice, say("A gift for you"), sentences, say("View gift"), gift_id)
    billing_emails.queue_email(tx, subscriber, email, held)
