"""Signing up, confirming, leaving. Each is one transaction; none of them sends a mail itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mailer.core import addresses, audience, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Mistyped
from mailer.core.i18n import read_by
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, mail_domain_check, segments, signup_limits
from mailer.store.sending import audiences
from mailer.store.subscribers import consent_log, subscribers, suppressions
from mailer.store.subscribers import tags as stored_tags
from mailer.store.subscribers.subscribers import Subscriber
from mailer.store.transactional import transactional_mails

events = log.get("signup")

# At most so many confirmation mails for one address in each time: nobody is bombed through our form.
LIMITS = ((1, timedelta(minutes=10)), (3, timedelta(days=1)), (5, timedelta(days=30)))

_ROUNDED = timedelta(milliseconds=1)  # what a token's time may lack
OWN_HAND = ("cli", "demo")  # sources that are ourselves: no limit but the one by address
OPERATORS = (*OWN_HAND, "api")  # sources that prove to act for the operator
TOPICS = "topics"  # the topic of the email that asks an active subscriber about tags


class Result(StrEnum):
    """What a token did."""

    DONE = "done"
    ALREADY = "already"
    INVALID = "invalid"


@dataclass(frozen=True)
class SignUp:
    """``mail_queued`` is for ringing the doorbell only: what the person is told is the same in every case."""

    subscriber_id: int
    mail_queued: bool
    held: str = ""  # why the mail waits for the operator's review


def sign_up(
    database: Database,
    email: str,
    tags: Sequence[str] = (),
    source: str = "form",
    ip: str | None = None,
    wording: str = "",
    settings: Settings | None = None,
    lang: str = "",
    page: str = "",
    reads: str = "",
) -> SignUp:
    """Record a request and queue a confirmation email, unless limits or a suppression speak against it.

    Anybody can ask for anybody. So a subscriber who is active stays as they are, and tags that a form asks for travel in the
    email and are added when its link confirms them: only tags on offer. An active subscriber is asked about those that they
    do not have. Tags from our own commands and from programs with a key are the operator's, and a new subscriber has them at
    once. The evidence holds ``wording`` (what the form said, in ``lang``), ``page`` (where it was) and ``ip``; ``reads`` is the
    language that the person reads, if that is another. Over a limit the mail
    is queued too, and held for review. Raises BadInput when ``email`` is not an address.
    """
    address = addresses.check(email)
    normal = addresses.normal(address)
    if settings:
        _check_domain(database, settings, normal)
    held = "" if source in OWN_HAND else signup_limits.admit(database, signup_limits.Source(normal, ip))
    with database.transaction() as tx:
        asked = [tag.lower() for tag in tags]
        own, asked = (asked, []) if source in OPERATORS else ([], _on_offer(tx, settings, asked))
        told = reads or lang, addresses.flags(normal)
        reader, new = subscribers.enter(tx, address, normal, own, *told)
        queued = _wants_mail(tx, reader, settings, new)
        if own and not new:
            subscribers.gain(tx, reader.id, own)
        if reader.state == "active":
            queued = _ask_topics(tx, reader, settings, asked, held)
        else:
            evidence = {"wording": wording, "tags": list(tags), "lang": lang, "page": page}
            consent_log.record(tx, reader.id, "requested", source, ip, evidence)
            if not new:
                subscribers.describe(tx, reader.id, *told)
            if queued:
                subscribers.reopen(tx, reader.id)
                queue_confirmation(tx, reader.id, asked, held)
    events.info("subscriber.requested", subscriber=reader.id, mail_queued=queued, held=bool(held))
    return SignUp(reader.id, queued and not held, held if queued else "")


def remind(database: Database, settings: Settings, subscriber_id: int) -> bool:
    """Ask an unconfirmed reader once more, within the same limits; whether a mail waits now."""
    with database.transaction() as tx:
        reader = subscribers.lock(tx, subscriber_id)
        if reader is None or reader.state != "unconfirmed" or not _wants_mail(tx, reader, settings):
            return False
        queue_confirmation(tx, subscriber_id, transactional_mails.asked_tags(tx, subscriber_id))
    events.info("subscriber.reminded", subscriber=subscriber_id)
    return True


def confirm(database: Database, settings: Settings, token: str, source: str = "page", ip: str | None = None) -> Result:
    """Unconfirmed becomes active, with the tags that the email asked about, which come to an active one too.

    Twice does no harm; a token older than the reader's leaving is worth nothing.
    """
    claim = tokens.read_confirm(settings.need_secret(), token, datetime.now(UTC), settings.confirm_expiry)
    if claim is None:
        return Result.INVALID
    with database.transaction() as tx:
        reader = subscribers.lock(tx, claim.subscriber_id)
        if reader is None or (reader.left_at and claim.issued < reader.left_at):
            return Result.INVALID
        moved = consent_log.latest(tx, reader.id, "address")
        if moved and claim.issued < moved - _ROUNDED:  # that mail went to another address than the one it would confirm
            return Result.INVALID
        tags = (transactional_mails.facts(tx, claim.mail_id, reader.id) or {}).get("tags") or []
        gained = subscribers.gain(tx, reader.id, tags)
        evidence = {"mail": claim.mail_id, "issued": claim.issued.isoformat(), "tags": tags}
        if reader.state == "active":
            if gained:
                consent_log.record(tx, reader.id, "chosen", source, ip, {**evidence, "before": reader.tags})
            return Result.DONE if gained else Result.ALREADY
        subscribers.activate(tx, reader.id)
        consent_log.record(tx, reader.id, "confirmed", source, ip, evidence)
        erasure.returned(tx, settings, reader.email_normal)
    events.info("subscriber.confirmed", subscriber=reader.id)
    return Result.DONE


def leave(database: Database, settings: Settings, token: str, source: str = "page", ip: str | None = None) -> Result:
    """The reader leaves, whatever their state; twice does no harm."""
    claim = tokens.read_leave(settings.need_secret(), token)
    if claim is None:
        return Result.INVALID
    with database.transaction() as tx:
        if not subscribers.leave(tx, claim.subscriber_id):
            return Result.ALREADY
        consent_log.record(tx, claim.subscriber_id, "left", source, ip, {"send": claim.send_id})
    events.info("subscriber.left", subscriber=claim.subscriber_id)
    return Result.DONE


def add_subscriber(
    database: Database,
    settings: Settings,
    email: str,
    tags: Sequence[str],
    confirmed: bool,
    source: str = "cli",
    lang: str = "",
) -> str:
    """Add a reader by the operator's hand; one sentence about what was done. Never brings back somebody who left.

    ``lang`` is the language that they read. Raises BadInput for an address or a language that cannot be one.
    """
    if lang and not read_by(lang):
        raise BadInput(f"{lang!r} is not the code of a language: write it as de or pt-BR.")
    if not confirmed:
        asked = sign_up(database, email, tags, source=source, settings=settings, lang=read_by(lang))
        if asked.held:
            return f"The confirmation mail is held for review ({asked.held}): `postmerge subscribers held` shows it."
        queued = asked.mail_queued
        return "A confirmation mail is on its way." if queued else "No confirmation mail: known, suppressed or asked just now."
    address = addresses.check(email)
    with database.transaction() as tx:
        known = subscribers.find(tx, addresses.normal(address))
        if known and known.left_at:
            return f"{address} has left and is not brought back: only they can subscribe again."
        if suppressions.has(tx, addresses.normal(address)) or erasure.forbids(tx, settings, addresses.normal(address)):
            return f"{address} is suppressed (it bounced or complained) and was not added."
        subscriber_id = subscribers.add(tx, address, addresses.normal(address), [tag.lower() for tag in tags])
        if not (known and known.state == "active"):
            subscribers.activate(tx, subscriber_id)
            consent_log.record(tx, subscriber_id, "added", source, None, {})
        if lang:
            subscribers.describe(tx, subscriber_id, read_by(lang), addresses.flags(addresses.normal(address)))
    return f"{address} is active."


def list_subscribers(database: Database, rule: str = "") -> list[Subscriber]:
    """All readers, or those who would get a mail to the audience ``rule`` now; oldest first. Raises BadInput for the rule."""
    with database.transaction() as tx:
        if not rule:
            return subscribers.every(tx)
        chosen = segments.read(tx, rule)
        if unknown := audiences.list_unknown_tags(tx, audience.tags(chosen)):
            raise BadInput(f"Nobody has the tag {', '.join(unknown)}: check the rule for a typing error.")
        wanted = set(audiences.list_members(tx, chosen))
        return [reader for reader in subscribers.every(tx) if reader.id in wanted]


def _check_domain(database: Database, settings: Settings, email_normal: str) -> None:
    if settings.disposable == "refuse" and "disposable" in addresses.flags(email_normal):
        raise Mistyped("This address is made to be thrown away: give one that you read.")
    if settings.check_dns:
        mail_domain_check.need_mail(database, email_normal)


def _wants_mail(tx: Tx, reader: Subscriber, settings: Settings | None, new: bool = False) -> bool:
    if reader.state == "active" or not erasure.may_be_mailed(tx, settings, reader.email_normal):
        return False
    return new or may_ask(tx, reader.id)


def _on_offer(tx: Tx, settings: Settings | None, asked: Sequence[str]) -> list[str]:
    """Those of the tags that any subscriber may choose. The others are not refused: the form may be an old page's."""
    if not asked:
        return []
    offered = {*(settings.topics if settings else ()), *stored_tags.editable(tx)}
    return sorted(offered.intersection(asked))


def _ask_topics(tx: Tx, reader: Subscriber, settings: Settings | None, asked: Sequence[str], held: str) -> bool:
    """Queue the email that asks an active subscriber about tags that they do not have; whether one waits now."""
    if set(asked) <= set(reader.tags) or not erasure.may_be_mailed(tx, settings, reader.email_normal):
        return False
    if not may_ask(tx, reader.id, TOPICS):
        return False
    queue_confirmation(tx, reader.id, asked, held, TOPICS)
    return True


def queue_confirmation(tx: Tx, subscriber_id: int, tags: Sequence[str], held: str = "", topic: str = "") -> None:
    """Queue the email whose link confirms a subscription or, by its ``topic``, only the tags."""
    facts = {**({"tags": list(tags)} if tags else {}), **({"held": held} if held else {})}
    transactional_mails.queue(tx, "confirmation", subscriber_id, facts=facts, topic=topic, held=bool(held))


def may_ask(tx: Tx, subscriber_id: int, topic: str = "") -> bool:
    """Do the limits by address allow one more confirmation mail?"""
    return all(transactional_mails.count_since(tx, subscriber_id, age, topic) < most for most, age in LIMITS)
