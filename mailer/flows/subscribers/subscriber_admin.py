"""Subscribers as a program changes them: added, changed, reminded, removed. Rules that hold for everybody hold here too:
who left, bounced or complained is not brought back by a program, and confirmation mails have their limits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mailer.core import addresses, public_ids
from mailer.core.async_db import Asker
from mailer.core.db import Database, Question, Tx, is_unique_violation, json
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, preferences, signup, signup_limits
from mailer.store.subscribers import consent_log, subscriber_admin, subscribers, suppressions
from mailer.store.subscribers.subscriber_admin import Member
from mailer.store.transactional import transactional_mails

MOST_TAGS = 100
_MOST_METADATA = 16_000  # characters
_MOST_TOLD = 3  # mails a day about changes of one reader's address


class Rejected(BadInput):
    """A change that cannot be made; ``code`` is the contract's word for why, ``facts`` more for programs."""

    def __init__(self, code: str, message: str, facts: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.facts = dict(facts or {})


@dataclass(frozen=True)
class Wish:
    """A reader to add, or what to change. ``kind`` is the contract's type; None leaves a thing as it is."""

    email: str | None = None
    tags: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    notes: str | None = None
    referrer_url: str | None = None
    utm: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    reason: str | None = None
    ip: str | None = None


def find(database: Database, id_or_email: str) -> Member | None:
    """The reader with this public id, number or address, or None. One transaction, one statement."""
    with database.glance() as tx:
        return look_up(tx, id_or_email)


def find_all(database: Database, numbers: Collection[int]) -> dict[int, Member]:
    """The readers with these numbers who were not erased, in one statement."""
    with database.glance() as tx:
        return subscriber_admin.by_ids(tx, sorted(numbers))


async def find_soon(asker: Asker, id_or_email: str) -> Member | None:
    """The same, asked from an event loop."""
    question = _who(id_or_email)
    return await asker.ask(question) if question else None


def look_up(tx: Tx, id_or_email: str) -> Member | None:
    """The reader with this public id, number or address, or None."""
    question = _who(id_or_email)
    return tx.answer(question) if question else None


def _who(id_or_email: str) -> Question[Member] | None:
    if "\0" in id_or_email:
        return None
    if "@" in id_or_email:
        return subscriber_admin.with_email(addresses.normal(id_or_email))
    found = public_ids.number("sub", id_or_email)
    return subscriber_admin.with_id(found) if found is not None else None


def add(database: Database, settings: Settings, wish: Wish, collision: str = "no_op") -> tuple[Member, bool]:
    """Add a reader; who they are now, and whether a mail was queued.

    ``collision`` is no_op (or fail), add or overwrite: what to do with a known address. Raises Rejected with the contract's
    code; then nothing was written.
    """
    address = _address(wish.email or "")
    names = clean_tags(wish.tags or [])
    check_metadata(wish.metadata or {})
    if wish.kind not in (None, "unactivated", "regular", "unsubscribed"):
        raise Rejected("invalid_input", f"The type {wish.kind!r} cannot be set: leave it out, or use regular or unsubscribed.")
    known = find(database, address)
    if known:
        return _collide(database, settings, known, wish, names, collision)
    if wish.kind in ("regular", "unsubscribed"):
        return _add_as_told(database, settings, address, wish, names), False
    queued = _ask(database, settings, address, names, wish.ip)
    found = find(database, address)
    if found is None:
        raise Rejected("email_invalid", "This address cannot be taken.")
    if not _said(wish):
        return found, queued
    with database.transaction() as tx:
        return _described(tx, found, wish), queued


def change(database: Database, id_or_email: str, wish: Wish, gains: bool = False) -> Member | None:
    """Change a reader; None when there is none. Raises Rejected; then nothing was written.

    With ``gains`` tags and metadata come to those the reader has, as they are under the lock: of many at once none is lost.
    """
    names = clean_tags(wish.tags) if wish.tags is not None else None
    check_metadata(wish.metadata or {})
    held = _admit(database, id_or_email, wish)
    with database.transaction() as tx:
        found = look_up(tx, id_or_email)
        if found is None:
            return None
        subscriber_admin.lock(tx, found.id)
        found = _again(tx, found.id)
        if gains:
            wish = _merged(found, wish)
            check_metadata(wish.metadata or {})
            names = clean_tags([*found.tags, *names]) if names is not None else None
        columns = _columns(wish) | ({"tags": names} if names is not None else {})
        if wish.email is not None and addresses.normal(wish.email) != found.email_normal:
            columns |= _new_address(tx, found, wish, held)
        try:
            subscriber_admin.amend(tx, found.id, columns)
        except Exception as error:
            if is_unique_violation(error):
                raise Rejected("email_already_exists", "Another reader has this address already.") from error
            raise
        if wish.kind is not None and wish.kind != kind_of(found):
            _set_kind(tx, found, wish)
        return _again(tx, found.id)


def remind(database: Database, settings: Settings, id_or_email: str) -> bool | None:
    """Queue the confirmation mail once more: whether limits allowed it, or None when there is no such reader.

    Raises Rejected when the reader does not wait for one.
    """
    found = find(database, id_or_email)
    if found is None:
        return None
    if kind_of(found) != "unactivated":
        raise Rejected("subscriber_type_invalid", "Only a reader who has not confirmed yet can be reminded.")
    return signup.remind(database, settings, found.id)


def send_link(database: Database, id_or_email: str) -> bool | None:
    """Mail a reader the link to their own page: whether limits allowed it, or None when there is no such reader."""
    found = find(database, id_or_email)
    return preferences.ask_link(database, found.email) if found else None


def remove(database: Database, settings: Settings, id_or_email: str) -> bool:
    """Erase a reader: only the row's number and a keyed hash of the address stay; whether there was one."""
    found = find(database, id_or_email)
    return found is not None and erasure.erase(database, settings, found.id)


def kind_of(member: Member) -> str:
    """The contract's type of a reader; the same as ``store.members.TYPES`` in SQL."""
    if member.suppressed:
        return {"complaint": "complained", "operator": "blocked"}.get(member.suppressed, "undeliverable")
    if member.state != "active":
        return "unsubscribed" if member.state == "left" else "unactivated"
    if member.paused:
        return "paused"
    if member.premium:
        return "gifted" if member.access == "complimentary" else "premium"
    return "regular"


def clean_tags(given: Sequence[str]) -> list[str]:
    """Tags as readers have them: lower case, each once. Raises Rejected when one cannot be read."""
    names = sorted({tag.strip().lower() for tag in given})
    if len(names) > MOST_TAGS:
        raise Rejected("tag_invalid", f"At most {MOST_TAGS} tags are taken.")
    for name in names:
        if not name or len(name) > 100 or not name.isprintable():
            raise Rejected("tag_invalid", "A tag holds signs that cannot be read: use letters, digits and plain signs.")
    return names


def _collide(
    database: Database, settings: Settings, known: Member, wish: Wish, names: list[str], collision: str
) -> tuple[Member, bool]:
    if collision not in ("add", "overwrite"):
        raise Rejected(
            "email_already_exists",
            "There is a subscriber with this address already.",
            {"subscriber_id": public_ids.public("sub", known.id)},
        )
    kind = kind_of(known)
    if kind in ("complained", "undeliverable", "blocked"):
        raise Rejected("subscriber_suppressed", "This address bounced, complained or is blocked, and is not mailed.")
    queued = False
    if kind == "unsubscribed" and wish.kind != "unsubscribed":
        if collision == "overwrite" or wish.kind == "regular":
            raise Rejected("subscriber_blocked", "This reader has left: only they can come back, through a confirmation mail.")
        queued = _ask(database, settings, known.email, names, wish.ip)
        wish = Wish(metadata=wish.metadata, notes=wish.notes, referrer_url=wish.referrer_url, utm=wish.utm)
    told = Wish(**{**vars(wish), "email": None, "tags": names})
    if told.kind == "unactivated":
        told = Wish(**{**vars(told), "kind": None})
    changed = change(database, str(known.id), told, gains=collision == "add")
    assert changed
    return changed, queued


def _ask(database: Database, settings: Settings, email: str, names: list[str], ip: str | None) -> bool:
    try:
        return signup.sign_up(database, email, names, source="api", ip=ip, settings=settings).mail_queued
    except BadInput as error:
        raise Rejected("email_blocked", str(error)) from error


def _merged(known: Member, wish: Wish) -> Wish:
    metadata = {**known.metadata, **(wish.metadata or {})}
    notes = known.notes if not wish.notes else wish.notes
    return Wish(**{**vars(wish), "metadata": metadata, "notes": notes, "referrer_url": wish.referrer_url or None})


def _add_as_told(database: Database, settings: Settings, address: str, wish: Wish, names: list[str]) -> Member:
    normal = addresses.normal(address)
    with database.transaction() as tx:
        suppressed, erased = suppressions.standing(tx, normal, erasure.address_hash(settings, normal))
        if suppressed:
            raise Rejected("subscriber_suppressed", "This address bounced or complained and is not mailed.")
        if erased is not None:
            raise Rejected(
                "subscriber_blocked", "This reader was erased: only they can come back, through a confirmation mail."
            )
        reader, _ = subscribers.enter(tx, address, normal, names)
        if reader.state != "unconfirmed" or reader.left_at:
            raise Rejected("email_already_exists", "There is a subscriber with this address already.")
        if wish.kind == "regular":
            subscribers.activate(tx, reader.id)
            consent_log.record(tx, reader.id, "added", "api", wish.ip, {})
        else:
            subscribers.leave(tx, reader.id)
            consent_log.record(tx, reader.id, "left", "api", wish.ip, {})
        return _described(tx, _again(tx, reader.id), wish)


def _described(tx: Tx, found: Member, wish: Wish) -> Member:
    """A new reader with what else was said about them; one of whom nothing was said costs nothing."""
    columns = _said(wish)
    if not columns:
        return found
    subscriber_admin.amend(tx, found.id, columns)
    return _again(tx, found.id)


def _said(wish: Wish) -> dict[str, Any]:
    return {name: value for name, value in _columns(wish).items() if value and (name != "metadata" or wish.metadata)}


def _new_address(tx: Tx, found: Member, wish: Wish, held: str) -> dict[str, Any]:
    address = _address(wish.email or "")
    normal = addresses.normal(address)
    if suppressions.has(tx, normal):
        raise Rejected("email_invalid", "The new address bounced or complained and is not mailed.")
    if subscriber_admin.by_email(tx, normal):
        raise Rejected("email_already_exists", "Another reader has this address already.")
    consent_log.record(tx, found.id, "address", "api", wish.ip, {"before": found.email, "after": address})
    if found.state == "active":
        _tell_old_end(tx, found, address)
    elif found.state == "unconfirmed" and signup.may_ask(tx, found.id):
        signup.queue_confirmation(tx, found.id, transactional_mails.asked_tags(tx, found.id), held)
    return {"email": address, "email_normal": normal}


def _admit(database: Database, id_or_email: str, wish: Wish) -> str:
    """Why the mail that asks at a new address must be held, or '': it keeps to the limits of sign-ups."""
    if not wish.email:
        return ""
    found = find(database, id_or_email)
    if found is None or found.state != "unconfirmed" or addresses.normal(wish.email) == found.email_normal:
        return ""
    return signup_limits.admit(database, signup_limits.Source(addresses.normal(wish.email), wish.ip))


def _tell_old_end(tx: Tx, found: Member, address: str) -> None:
    """The key's holder answers for the new address; who has the old one is told, so that they can object."""
    if transactional_mails.count_since(tx, found.id, timedelta(days=1), "address changed") < _MOST_TOLD:
        old = {"to": found.email, "new": address}
        transactional_mails.queue(tx, "confirmation", found.id, facts=old, topic="address changed")


def _set_kind(tx: Tx, found: Member, wish: Wish) -> None:
    before = kind_of(found)
    if wish.kind == "unsubscribed" and found.state != "left":
        subscribers.leave(tx, found.id)
        consent_log.record(tx, found.id, "left", "api", wish.ip, {"reason": wish.reason or ""})
    elif wish.kind == "regular" and before == "unactivated" and found.left_at is None:
        subscribers.activate(tx, found.id)
        consent_log.record(tx, found.id, "added", "api", wish.ip, {})
    elif wish.kind == "regular" and before == "paused":
        subscriber_admin.amend(tx, found.id, {"paused_until": None})
        consent_log.record(tx, found.id, "resumed", "api", wish.ip, {})
    else:
        raise Rejected(
            "subscriber_type_invalid",
            f"A reader who is {before} cannot be made {wish.kind} by a program: set regular on one who waits, or unsubscribed.",
        )


def _columns(wish: Wish) -> dict[str, Any]:
    given: dict[str, Any] = {name: getattr(wish, name) for name in ("notes", "referrer_url") if getattr(wish, name) is not None}
    given |= {f"utm_{name}": value for name, value in wish.utm.items() if value}
    if wish.metadata is not None:
        given["metadata"] = json(dict(wish.metadata))
    if wish.reason is not None:
        given["leaving_reason"] = wish.reason
    return given


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raise Rejected when a reader cannot have this metadata."""
    simple = all(isinstance(value, str | int | float | bool | None) for value in metadata.values())
    flat = [f"{name}{value}" for name, value in metadata.items()] if simple else []
    if not simple or sum(map(len, flat)) > _MOST_METADATA or any("\0" in one for one in flat):
        raise Rejected(
            "metadata_invalid",
            f"Metadata is an object of names to texts, numbers, true, false or null, of at most {_MOST_METADATA:,} characters.",
        )


def _address(email: str) -> str:
    if not email.strip():
        raise Rejected("email_empty", "An address is needed: write it as name@example.org.")
    try:
        return addresses.check(email)
    except BadInput as error:
        raise Rejected("email_invalid", str(error)) from error


def _again(tx: Tx, subscriber_id: int) -> Member:
    found = subscriber_admin.by_id(tx, subscriber_id)
    assert found
    return found
