"""Signing up, confirming, leaving. Each is one transaction; none of them sends a mail itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mailer import addresses, audience, log, tokens
from mailer.db import Database, Tx
from mailer.errors import BadInput, Mistyped
from mailer.flows import erase, limits, mail_domains, segments
from mailer.settings import Settings
from mailer.store import audiences, consents, subscribers, suppressions, transactional_mails
from mailer.store.subscribers import Subscriber
from mailer.words import read_by

events = log.get("signup")

# At most so many confirmation mails for one address in each time: nobody is bombed through our form.
LIMITS = ((1, timedelta(minutes=10)), (3, timedelta(days=1)), (5, timedelta(days=30)))

_ROUNDED = timedelta(milliseconds=1)  # what a token's time may lack
OWN_HAND = ("cli", "demo")  # sources that are ourselves: no limit but the one by address


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
    """Record the wish and queue a confirmation mail, unless limits, a suppression or an active state speak against it.

    The evidence holds ``wording`` (what the form said, in ``lang``), ``page`` (where it was) and ``ip``; ``reads`` is the
    language that the person reads, if that is another. Over a limit the mail
    is queued too, and held for review. Raises BadInput when ``email`` is not an address.
    """
    address = addresses.check(email)
    normal = addresses.normal(address)
    if settings:
        _check_domain(database, settings, normal)
    held = "" if source in OWN_HAND else limits.admit(database, limits.Source(normal, ip))
    with database.transaction() as tx:
        told = [tag.lower() for tag in tags], reads or lang, addresses.flags(normal)
        reader, new = subscribers.enter(tx, address, normal, *told)
        queued = _wants_mail(tx, reader, settings, new)
        if reader.state != "active":
            evidence = {"wording": wording, "tags": list(tags), "lang": lang, "page": page}
            consents.record(tx, reader.id, "requested", source, ip, evidence)
            if not new:
                subscribers.describe(tx, reader.id, *told[1:])
        if queued:
            if reader.state == "left":
                subscribers.reopen(tx, reader.id)
            facts = {"held": held} if held else {}
            transactional_mails.queue(tx, "confirmation", reader.id, facts=facts, held=bool(held))
    events.info("subscriber.requested", subscriber=reader.id, mail_queued=queued, held=bool(held))
    return SignUp(reader.id, queued and not held, held if queued else "")


def remind(database: Database, settings: Settings, subscriber_id: int) -> bool:
    """Ask an unconfirmed reader once more, within the same limits; whether a mail waits now."""
    with database.transaction() as tx:
        reader = subscribers.lock(tx, subscriber_id)
        if reader is None or reader.state != "unconfirmed" or not _wants_mail(tx, reader, settings):
            return False
        transactional_mails.queue(tx, "confirmation", subscriber_id)
    events.info("subscriber.reminded", subscriber=subscriber_id)
    return True


def confirm(database: Database, settings: Settings, token: str, source: str = "page", ip: str | None = None) -> Result:
    """Unconfirmed becomes active. Twice does no harm; a token older than the reader's leaving is worth nothing."""
    claim = tokens.read_confirm(settings.need_secret(), token, datetime.now(UTC), settings.confirm_expiry)
    if claim is None:
        return Result.INVALID
    with database.transaction() as tx:
        reader = subscribers.lock(tx, claim.subscriber_id)
        if reader is None or (reader.left_at and claim.issued < reader.left_at):
            return Result.INVALID
        moved = consents.latest(tx, reader.id, "address")
        if moved and claim.issued < moved - _ROUNDED:  # that mail went to another address than the one it would confirm
            return Result.INVALID
        if reader.state == "active":
            return Result.ALREADY
        subscribers.activate(tx, reader.id)
        consents.record(tx, reader.id, "confirmed", source, ip, {"mail": claim.mail_id, "issued": claim.issued.isoformat()})
        erase.returned(tx, settings, reader.email_normal)
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
        consents.record(tx, claim.subscriber_id, "left", source, ip, {"send": claim.send_id})
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
        if suppressions.has(tx, addresses.normal(address)) or erase.forbids(tx, settings, addresses.normal(address)):
            return f"{address} is suppressed (it bounced or complained) and was not added."
        subscriber_id = subscribers.add(tx, address, addresses.normal(address), [tag.lower() for tag in tags])
        if not (known and known.state == "active"):
            subscribers.activate(tx, subscriber_id)
            consents.record(tx, subscriber_id, "added", source, None, {})
        if lang:
            subscribers.describe(tx, subscriber_id, read_by(lang), addresses.flags(addresses.normal(address)))
    return f"{address} is active."


def list_subscribers(database: Database, rule: str = "") -> list[Subscriber]:
    """All readers, or those who would get a mail to the audience ``rule`` now; oldest first. Raises BadInput for the rule."""
    with database.transaction() as tx:
        if not rule:
            return subscribers.every(tx)
        chosen = segments.read(tx, rule)
        if unknown := audiences.unknown_tags(tx, audience.tags(chosen)):
            raise BadInput(f"Nobody has the tag {', '.join(unknown)}: check the rule for a typing error.")
        wanted = set(audiences.members(tx, chosen))
        return [reader for reader in subscribers.every(tx) if reader.id in wanted]


def _check_domain(database: Database, settings: Settings, email_normal: str) -> None:
    if settings.disposable == "refuse" and "disposable" in addresses.flags(email_normal):
        raise Mistyped("This address is made to be thrown away: give one that you read.")
    if settings.ask_dns:
        mail_domains.need_mail(database, email_normal)


def _wants_mail(tx: Tx, reader: Subscriber, settings: Settings | None, new: bool = False) -> bool:
    if reader.state == "active" or not erase.may_be_mailed(tx, settings, reader.email_normal):
        return False
    return new or may_ask(tx, reader.id)


def may_ask(tx: Tx, subscriber_id: int) -> bool:
    """Do the limits by address allow one more confirmation mail?"""
    return all(transactional_mails.count_since(tx, subscriber_id, age) < most for most, age in LIMITS)
