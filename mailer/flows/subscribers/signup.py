"""Sign up, confirm, unsubscribe. Each is one transaction, and none sends an email itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from mailer.core import addresses, audience, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Mistyped
from mailer.core.i18n import read_by
from mailer.core.settings import Settings
from mailer.core.tokens import LinkClaim
from mailer.flows.subscribers import (
    email_domain_check,
    erasure,
    inbox_limit,
    private_links,
    segment_rules,
    signup_limits,
    suppression_lifting,
)
from mailer.flows.subscribers.signup_limits import Admission
from mailer.store.billing import subscriptions
from mailer.store.sending import audiences, enrolments
from mailer.store.subscribers import consent_log, subscribers
from mailer.store.subscribers.subscribers import Subscriber
from mailer.store.subscribers.tags import list_editable
from mailer.store.transactional import transactional_emails
from mailer.store.transactional.transactional_emails import Requested

logger = log.get("signup")

LOCAL_SOURCES = ("cli", "demo")  # the operator's own machine: only the limit per inbox applies
OPERATOR_SOURCES = (*LOCAL_SOURCES, "api")  # sources authenticated as the operator
CHECKOUT = "checkout"  # the source of what a payment shows
TOPICS = "topics"  # the email that asks an active subscriber about tags


class TokenResult(StrEnum):
    """The effect of a token."""

    DONE = "done"
    ALREADY = "already"
    INVALID = "invalid"
    OTHER_ADDRESS = "other address"


@dataclass(frozen=True)
class SignUp:
    """The result of a sign-up. ``email_queued`` is for wake-ups only: visitors see the same message in every case."""

    subscriber_id: int
    email_queued: bool
    held: str = ""  # why the email waits for the operator's review
    is_new: bool = False


@dataclass(frozen=True)
class SignupEvidence:
    """Where and how a sign-up was requested, as evidence of consent.

    ``wording`` is the text of the form, in ``lang``, and ``page`` its URL; ``reads`` is the person's language, if different.
    ``answers`` to the form's own fields wait with the confirmation email, as tags do, and then become metadata.
    """

    source: str = "form"
    ip: str | None = None
    wording: str = ""
    lang: str = ""
    page: str = ""
    reads: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


def sign_up(
    database: Database,
    email: str,
    tags: Sequence[str] = (),
    evidence: SignupEvidence = SignupEvidence(),
    settings: Settings | None = None,
) -> SignUp:
    """Record a request and queue a confirmation email, unless a limit or a suppression prevents it.

    Anybody can enter anybody's address. An active subscriber is therefore left unchanged, and tags requested in a form are
    stored with the email and added only when its link is opened: only tags on offer. An active subscriber is asked to confirm
    those that they do not have. Tags from our own commands and from API clients come from the operator, and a new subscriber
    gets them at once. If the address is suppressed because emails bounced, and that is ``erasure.BOUNCE_BLOCKS_SIGNUP_FOR``
    ago, the owner is asked once more; the link lifts the suppression. Over a limit the email is queued too, but held for
    review. Raises BadInput if ``email`` is not an address, and TooManyRequests.
    """
    normal = addresses.normal(addresses.check(email))
    admission = admit(database, normal, evidence, settings)
    with database.transaction() as tx:
        return request_subscription(tx, email, tags, evidence, settings, admission)


def request_subscription(
    tx: Tx, email: str, tags: Sequence[str], evidence: SignupEvidence, settings: Settings | None, admission: Admission
) -> SignUp:
    """``sign_up`` within a transaction, for a request that the limits have admitted."""
    address, held = addresses.check(email), admission.held
    normal = addresses.normal(address)
    if admission.inbox_full and evidence.source not in OPERATOR_SOURCES and not subscribers.find(tx, normal):
        return SignUp(0, email_queued=False)
    asked = [tag.lower() for tag in tags]
    operator_tags, asked = (asked, []) if evidence.source in OPERATOR_SOURCES else ([], _select_offered(tx, settings, asked))
    details = evidence.reads or evidence.lang, addresses.flags(normal)
    subscriber, new = subscribers.add_or_lock(tx, address, normal, operator_tags, *details)
    blocked = admission.is_blocked
    if blocked is None:
        blocked = not erasure.may_be_emailed(tx, settings, normal)
    after_bounce = blocked and _may_return_after_bounce(tx, settings, normal)
    queued = (after_bounce or (subscriber.state != "active" and not blocked)) and inbox_limit.use(tx, normal)
    if operator_tags and not new:
        subscribers.add_tags(tx, subscriber.id, operator_tags)
    if subscriber.state == "active" and not after_bounce:
        queued = _queue_topic_confirmation(tx, subscriber, settings, asked, held)
    else:
        facts = {"wording": evidence.wording, "tags": list(tags), "lang": evidence.lang, "page": evidence.page}
        consent_log.record(tx, subscriber.id, "requested", evidence.source, evidence.ip, facts)
        if not new:
            subscribers.set_signup_details(tx, subscriber.id, *details)
        if queued:
            if subscriber.state == "unsubscribed":
                subscribers.reset_to_unconfirmed(tx, subscriber.id)
            requested = Requested(asked, evidence.answers, after_bounce, paid=evidence.source == CHECKOUT)
            queue_confirmation(tx, subscriber.id, requested, held)
    logger.info("subscriber.requested", subscriber=subscriber.id, email_queued=queued, held=bool(held))
    return SignUp(subscriber.id, queued and not held, held if queued else "", new)


def admit(database: Database, email_normal: str, evidence: SignupEvidence, settings: Settings | None) -> Admission:
    """Count a sign-up against the limits. Raises Mistyped for an address that is not accepted, and TooManyRequests."""
    if settings and settings.disposable == "refuse" and "disposable" in addresses.flags(email_normal):
        raise Mistyped("This is a disposable address. Please use one that you check.")
    admission = Admission()
    if evidence.source not in LOCAL_SOURCES:
        admission = signup_limits.admit_signup(database, signup_limits.SignupSource(email_normal, evidence.ip))
    if settings and settings.check_dns and admission == Admission():  # nobody makes us ask more often than the limits allow
        email_domain_check.check_domain(database, email_normal)
    return admission


def send_reminder(database: Database, settings: Settings, subscriber_id: int) -> bool:
    """Send an unconfirmed subscriber another confirmation email, within the same limits; return whether one is pending."""
    with database.transaction() as tx:
        subscriber = subscribers.lock(tx, subscriber_id)
        if subscriber is None or subscriber.state != "unconfirmed":
            return False
        if not erasure.may_be_emailed(tx, settings, subscriber.email_normal) or not inbox_limit.use(
            tx, subscriber.email_normal
        ):
            return False
        queue_confirmation(tx, subscriber_id, transactional_emails.get_requested(tx, subscriber_id))
    logger.info("subscriber.reminded", subscriber=subscriber_id)
    return True


def confirm_signup(
    database: Database, settings: Settings, token: str, source: str = "page", ip: str | None = None, wording: str = ""
) -> TokenResult:
    """Activate an unconfirmed subscriber and add the tags named in the email, also to an active one.

    ``wording`` is the text beside the button, as evidence of the consent.
    Repeating it has no effect; a token issued before the subscriber unsubscribed is invalid.
    """
    claim = tokens.read_confirm(settings.need_secrets(), token, datetime.now(UTC), settings.confirm_expiry)
    if claim is None:
        return TokenResult.INVALID
    with database.transaction() as tx:
        subscriber = subscribers.lock(tx, claim.subscriber_id)
        if subscriber is None or not claim.issued or (subscriber.unsubscribed_at and claim.issued < subscriber.unsubscribed_at):
            return TokenResult.INVALID
        if not claim.is_current(subscriber.recipient):
            return TokenResult.INVALID
        facts = transactional_emails.get_facts(tx, claim.reference, subscriber.id) or {}
        tags = facts.get("tags") or []
        gained = subscribers.add_tags(tx, subscriber.id, tags)
        lifted = suppression_lifting.lift_by_signup(tx, subscriber.email_normal, claim.issued, source, ip)
        evidence = {"mail": claim.reference, "issued": claim.issued.isoformat(), "tags": tags}
        evidence |= {"wording": wording} if wording else {}
        if subscriber.state == "active":
            if gained:
                consent_log.record(tx, subscriber.id, "chosen", source, ip, {**evidence, "before": subscriber.tags})
            return TokenResult.DONE if gained or lifted else TokenResult.ALREADY
        subscribers.activate(tx, subscriber.id)
        if facts.get("metadata"):
            subscribers.add_metadata(tx, subscriber.id, facts["metadata"])
        consent_log.record(tx, subscriber.id, "confirmed", source, ip, evidence)
        erasure.forget_erasure(tx, settings, subscriber.email_normal)
    logger.info("subscriber.confirmed", subscriber=subscriber.id)
    return TokenResult.DONE


def activate_payer(tx: Tx, settings: Settings, subscriber: Subscriber, payment: str) -> bool:
    """Activate somebody new because of a payment with their address; return False if they have to be asked.

    It counts for the inbox: many payments with spellings of one address subscribe it once.
    """
    normal = subscriber.email_normal
    if subscriber.state != "unconfirmed" or subscriber.unsubscribed_at or not _is_address(subscriber.email):
        return False
    status = erasure.find_status(tx, settings, normal)
    if status.is_blocked or erasure.get_asking_reason(status):
        return False
    if not inbox_limit.use(tx, normal):
        return False
    requested = transactional_emails.get_requested(tx, subscriber.id)
    subscribers.add_tags(tx, subscriber.id, requested.tags)
    subscribers.add_metadata(tx, subscriber.id, requested.metadata)
    subscribers.activate(tx, subscriber.id)
    consent_log.record(tx, subscriber.id, "confirmed", CHECKOUT, None, {"subscription": payment})
    return True


def _is_address(text: str) -> bool:
    with contextlib.suppress(BadInput):
        return bool(addresses.check(text))
    return False


def find_unsubscribing(database: Database, settings: Settings, token: str) -> Subscriber | None:
    """Return whom an unsubscribe link is for; None if it is not ours, or its email went to another address than theirs."""
    claim = tokens.read_unsubscribe(settings.need_secrets(), token)
    with database.transaction() as tx:
        subscriber = subscribers.get(tx, claim.subscriber_id) if claim else None
        known = claim and subscriber and private_links.is_for_address(tx, claim, subscriber)
    return subscriber if known else None


def unsubscribe(database: Database, settings: Settings, token: str, source: str = "page", ip: str | None = None) -> TokenResult:
    """Unsubscribe the owner of a token, whatever their state. Repeating it has no effect.

    The token is valid for ever, but only for the address that its email went to.
    """

    def change(tx: Tx, claim: LinkClaim) -> bool:
        if not subscribers.unsubscribe(tx, claim.subscriber_id):
            return False
        consent_log.record(tx, claim.subscriber_id, "unsubscribed", source, ip, {"send": claim.reference})
        if source != "page":
            notify_still_paying(tx, claim.subscriber_id)
        return True

    return _change_by_link(database, settings, token, change, "subscriber.left")


def _change_by_link(
    database: Database, settings: Settings, token: str, change: Callable[[Tx, LinkClaim], bool], event: str
) -> TokenResult:
    """Change something for the subscriber of an unsubscribe link; ``change`` returns False if there is nothing to do."""
    claim = tokens.read_unsubscribe(settings.need_secrets(), token)
    if claim is None:
        return TokenResult.INVALID
    with database.transaction() as tx:
        subscriber = subscribers.lock(tx, claim.subscriber_id)
        if subscriber is None or not private_links.is_for_address(tx, claim, subscriber):
            return TokenResult.OTHER_ADDRESS
        if not change(tx, claim):
            return TokenResult.ALREADY
    logger.info(event, subscriber=claim.subscriber_id, send=claim.reference)
    return TokenResult.DONE


def is_in_sequence(database: Database, settings: Settings, token: str) -> bool:
    """Whether the email of an unsubscribe link is a step of a sequence that its subscriber is still in."""
    claim = tokens.read_unsubscribe(settings.need_secrets(), token)
    with database.transaction() as tx:
        return claim is not None and enrolments.is_enrolled_by_send(tx, claim.subscriber_id, claim.reference)


def end_sequence(database: Database, settings: Settings, token: str) -> TokenResult:
    """End only the sequence whose email has this unsubscribe link; the subscription continues. Repeating it has no effect."""

    def change(tx: Tx, claim: LinkClaim) -> bool:
        return enrolments.end_by_send(tx, claim.subscriber_id, claim.reference, "stopped by the subscriber")

    return _change_by_link(database, settings, token, change, "sequence.ended_by_subscriber")


def notify_still_paying(tx: Tx, subscriber_id: int) -> None:
    """Email whoever unsubscribed without seeing a page that a paid subscription continues, and how to cancel it."""
    if subscriptions.is_charged(tx, subscriber_id):
        transactional_emails.queue(tx, "confirmation", subscriber_id, topic="still paying")


def add_subscriber(
    database: Database,
    settings: Settings,
    email: str,
    tags: Sequence[str],
    confirmed: bool,
    source: str = "cli",
    lang: str = "",
    why: str = "",
) -> str:
    """Add a subscriber on the operator's behalf; return a sentence about the result. Never re-adds the unsubscribed.

    ``lang`` is the subscriber's language; ``why`` says how it is known that they consented, and is kept as evidence: without
    it, nobody gets an address that a subscriber gave up. Raises BadInput for an invalid address or language.
    """
    if lang and not read_by(lang):
        raise BadInput(f"{lang!r} is not a language code: write it as de or pt-BR.")
    if not confirmed:
        asked = sign_up(database, email, tags, SignupEvidence(source, lang=read_by(lang)), settings)
        if asked.held:
            return f"The confirmation email is held for review ({asked.held}): `postmerge subscribers held` shows it."
        queued = asked.email_queued
        return (
            "A confirmation email is on its way." if queued else "No confirmation email: known, suppressed or asked just now."
        )
    address = addresses.check(email)
    with database.transaction() as tx:
        known = subscribers.find(tx, addresses.normal(address))
        if known and known.unsubscribed_at:
            return f"{address} has unsubscribed and was not added: only they can subscribe again."
        status = erasure.find_status(tx, settings, addresses.normal(address), known.id if known else 0)
        if status.is_blocked:
            return f"{address} is suppressed (it bounced or complained) and was not added."
        if not (known and known.state == "active"):
            asks = erasure.get_asking_reason(status)
            if asks == erasure.MOVED and not why:
                return (
                    f"{address} {asks}, and was not added: say with --evidence how you know whose it is, or let them confirm."
                )
            if asks == erasure.ERASED:
                return f"{address} {asks}, and was not added: run it without --confirmed, so that they can confirm."
        subscriber_id = subscribers.add(tx, address, addresses.normal(address), [tag.lower() for tag in tags])
        if not (known and known.state == "active"):
            subscribers.activate(tx, subscriber_id)
            consent_log.record(tx, subscriber_id, "added", source, None, {"evidence": why} if why else {})
        if lang:
            subscribers.set_signup_details(tx, subscriber_id, read_by(lang), addresses.flags(addresses.normal(address)))
    return f"{address} is active."


def list_subscribers(database: Database, rule: str = "") -> list[Subscriber]:
    """Return all subscribers, or those an audience ``rule`` matches now; oldest first. Raises BadInput for the rule."""
    with database.transaction() as tx:
        if not rule:
            return subscribers.list_all(tx)
        chosen = segment_rules.read_rule(tx, rule)
        if unknown := audiences.list_unknown_tags(tx, audience.tags(chosen)):
            raise BadInput(f"Nobody has the tag {', '.join(unknown)}: check the rule for a typo.")
        wanted = set(audiences.list_subscriber_ids(tx, chosen))
        return [subscriber for subscriber in subscribers.list_all(tx) if subscriber.id in wanted]


def _may_return_after_bounce(tx: Tx, settings: Settings | None, email_normal: str) -> bool:
    """Return whether only a bounce blocks a blocked address, long enough ago that its owner may be asked once more."""
    return not erasure.list_blocked(tx, settings, [email_normal], asked_by_owner=True)


def _select_offered(tx: Tx, settings: Settings | None, asked: Sequence[str]) -> list[str]:
    """Return the tags that any subscriber may choose. Others are dropped, not refused: the form may be outdated."""
    if not asked:
        return []
    offered = {*(settings.topics if settings else ()), *list_editable(tx)}
    return sorted(offered.intersection(asked))


def _queue_topic_confirmation(
    tx: Tx, subscriber: Subscriber, settings: Settings | None, asked: Sequence[str], held: str
) -> bool:
    """Ask an active subscriber by email about tags they do not have; return whether an email is pending."""
    if set(asked) <= set(subscriber.tags) or not erasure.may_be_emailed(tx, settings, subscriber.email_normal):
        return False
    if not inbox_limit.use(tx, subscriber.email_normal):
        return False
    queue_confirmation(tx, subscriber.id, Requested(asked), held, TOPICS)
    return True


def queue_confirmation(tx: Tx, subscriber_id: int, requested: Requested, held: str = "", topic: str = "") -> None:
    """Queue the email whose link confirms a subscription or, depending on its ``topic``, only the tags.

    Somebody who has paid is asked only whether the address is right: the payment proves the card, not the address.
    """
    given = {**vars(requested), "tags": list(requested.tags), "metadata": dict(requested.metadata), "held": held}
    facts = {name: value for name, value in given.items() if value}
    transactional_emails.queue(tx, "confirmation", subscriber_id, facts=facts, topic=topic, held=bool(held))
