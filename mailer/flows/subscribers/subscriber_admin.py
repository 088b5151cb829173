"""Add, change, remind and erase subscribers through the API.

The general rules apply here too: the API cannot re-add people who unsubscribed, bounced or complained, and confirmation emails
are limited.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from mailer.core import addresses, form_fields, public_ids
from mailer.core.async_db import Asker
from mailer.core.db import Database, Question, Tx, is_unique_violation, json
from mailer.core.errors import BadInput, TooManyRequests
from mailer.core.settings import Settings
from mailer.exchange.cell_values import MAX_TAG_CHARS
from mailer.flows.subscribers import erasure, inbox_limit, preferences, private_links, signup, signup_limits
from mailer.flows.subscribers.signup_limits import Admission
from mailer.store.billing import customers, gifts
from mailer.store.subscribers import consent_log, subscriber_records, subscribers, tags
from mailer.store.subscribers.subscriber_records import SubscriberRecord
from mailer.store.subscribers.suppressions import AddressStatus
from mailer.store.transactional import transactional_emails

MAX_TAGS = 100
_MERGING = ("add", "overwrite")  # ways to handle an existing address that change its subscriber
_MAX_ADDRESS_NOTICES_PER_DAY = 3  # emails a day about changes of one subscriber's address


class Rejected(BadInput):
    """An invalid change. ``code`` is the contract's error code, ``facts`` has more details for clients."""

    def __init__(self, code: str, message: str, facts: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.facts = dict(facts or {})


@dataclass(frozen=True)
class SubscriberChanges:
    """A subscriber to add, or what to change. ``kind`` is the contract's type; None leaves a value unchanged."""

    email: str | None = None
    tags: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    notes: str | None = None
    referrer_url: str | None = None
    utm: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    reason: str | None = None
    ip: str | None = None


def find_subscriber(database: Database, id_or_email: str) -> SubscriberRecord | None:
    """Return the subscriber with this public id, number or address, or None. One transaction, one statement."""
    with database.glance() as tx:
        return look_up_subscriber(tx, id_or_email)


def find_subscribers(database: Database, numbers: Collection[int]) -> dict[int, SubscriberRecord]:
    """Return the subscribers with these numbers who were not erased, in one statement."""
    with database.glance() as tx:
        return subscriber_records.by_ids(tx, sorted(numbers))


async def find_subscriber_async(asker: Asker, id_or_email: str) -> SubscriberRecord | None:
    """Return the subscriber with this public id, number or address, or None, from an event loop."""
    question = _build_question(id_or_email)
    return await asker.ask(question) if question else None


def look_up_subscriber(tx: Tx, id_or_email: str) -> SubscriberRecord | None:
    """Return the subscriber with this public id, number or address, or None."""
    question = _build_question(id_or_email)
    return tx.answer(question) if question else None


def _build_question(id_or_email: str) -> Question[SubscriberRecord] | None:
    if "\0" in id_or_email:
        return None
    if "@" in id_or_email:
        return subscriber_records.question_by_email(addresses.normal(id_or_email))
    found = public_ids.number("sub", id_or_email)
    return subscriber_records.question_by_id(found) if found is not None else None


def add_subscriber(
    database: Database, settings: Settings, changes: SubscriberChanges, collision: str = "no_op"
) -> tuple[SubscriberRecord, bool]:
    """Add a subscriber; return their record, and whether an email was queued.

    ``collision`` is no_op (or fail), add or overwrite: what to do about an existing address. Raises Rejected with the
    contract's error code; then nothing was written.
    """
    address = _check_address(changes.email or "")
    normalize_tags(changes.tags or [])
    check_metadata(changes.metadata or {})
    if changes.kind not in (None, "unactivated", "regular", "unsubscribed"):
        raise Rejected("invalid_input", f"The type {changes.kind!r} cannot be set: omit it, or use regular or unsubscribed.")
    needs_no_email = changes.kind in ("regular", "unsubscribed")
    with database.transaction() if needs_no_email else database.glance() as tx:
        status = erasure.find_status(tx, settings, addresses.normal(address))
        if status.subscriber_id is None and needs_no_email:
            return _add_without_confirmation(tx, address, changes, status), False
    if status.subscriber_id is not None and (known := find_subscriber(database, address)):
        return _handle_collision(database, settings, known, changes, collision)
    admission = replace(_admit(database, settings, address, changes), is_blocked=status.is_blocked)
    with database.transaction() as tx:
        asked = _request_confirmation(tx, settings, address, changes, admission)
        if not asked.is_new and collision not in _MERGING:  # another request was first
            raise _make_collision(asked.subscriber_id)
        tags.add_spelled(tx, changes.tags or [])
        subscriber_records.update(tx, asked.subscriber_id, _build_given_columns(changes))
        return _reload(tx, asked.subscriber_id), asked.email_queued


def change_subscriber(
    database: Database,
    id_or_email: str,
    changes: SubscriberChanges,
    gains: bool = False,
    settings: Settings | None = None,
) -> SubscriberRecord | None:
    """Change a subscriber; None if there is none. Raises Rejected; then nothing was written.

    With ``gains`` tags and metadata are merged into the existing ones under the row lock, so that concurrent changes are kept.
    """
    held = _check_signup_limits(database, id_or_email, changes)
    with database.transaction() as tx:
        found = look_up_subscriber(tx, id_or_email)
        return _change(tx, settings, found.id, changes, gains, held) if found else None


def _change(
    tx: Tx, settings: Settings | None, subscriber_id: int, changes: SubscriberChanges, gains: bool, held: str = ""
) -> SubscriberRecord:
    subscriber_records.lock(tx, subscriber_id)
    found = _reload(tx, subscriber_id)
    names = normalize_tags(changes.tags) if changes.tags is not None else None
    if gains:
        changes = _merge_changes(found, changes)
        names = normalize_tags([*found.tags, *names]) if names is not None else None
    check_metadata(changes.metadata or {})
    tags.add_spelled(tx, changes.tags or [])
    columns = _build_columns(changes) | ({"tags": names} if names is not None else {})
    if changes.email is not None and addresses.normal(changes.email) != found.email_normal:
        columns |= _change_address(tx, settings, found, changes, held)
    try:
        subscriber_records.update(tx, found.id, columns)
    except Exception as error:
        if is_unique_violation(error):
            raise Rejected("email_already_exists", "Another subscriber already has this address.") from error
        raise
    if changes.kind is not None and changes.kind != get_type(found):
        _set_type(tx, settings, found, changes)
    return _reload(tx, found.id)


def send_reminder(database: Database, settings: Settings, id_or_email: str) -> bool | None:
    """Queue another confirmation email: return whether limits allowed it, or None if there is no such subscriber.

    Raises Rejected if the subscriber is not waiting for one.
    """
    found = find_subscriber(database, id_or_email)
    if found is None:
        return None
    if get_type(found) != "unactivated":
        raise Rejected("subscriber_type_invalid", "Only an unconfirmed subscriber can be reminded.")
    return signup.send_reminder(database, settings, found.id)


def send_preferences_link(database: Database, id_or_email: str) -> bool | None:
    """Email a subscriber the link to their preferences: whether limits allowed it, or None if there is none."""
    found = find_subscriber(database, id_or_email)
    return preferences.request_link(database, found.email) if found else None


def erase_subscriber(database: Database, settings: Settings, id_or_email: str) -> bool:
    """Erase a subscriber, except for the row's number and a keyed hash of the address; return whether there was one."""
    found = find_subscriber(database, id_or_email)
    return found is not None and erasure.erase_subscriber(database, settings, found.id)


def get_type(subscriber: SubscriberRecord) -> str:
    """Return the contract's type of a subscriber; ``store.subscribers.subscriber_records.TYPES`` is the same in SQL."""
    if subscriber.suppressed:
        return {"complaint": "complained", "operator": "blocked"}.get(subscriber.suppressed, "undeliverable")
    if subscriber.state != "active":
        return "unsubscribed" if subscriber.state == "unsubscribed" else "unactivated"
    if subscriber.paused:
        return "paused"
    if subscriber.premium:
        return "gifted" if subscriber.access == "complimentary" else "premium"
    return "regular"


def normalize_tags(given: Sequence[str]) -> list[str]:
    """Return tags in lower case, without duplicates. Raises Rejected for an unreadable one."""
    names = sorted({tag.strip().lower() for tag in given})
    if len(names) > MAX_TAGS:
        raise Rejected("tag_invalid", f"A subscriber has at most {MAX_TAGS} tags.")
    for name in names:
        if not name or len(name) > MAX_TAG_CHARS or not name.isprintable():
            raise Rejected(
                "tag_invalid",
                "A tag is empty, too long or contains unprintable characters: use letters, digits and punctuation.",
            )
    return names


def _make_collision(subscriber_id: int) -> Rejected:
    facts = {"subscriber_id": public_ids.public("sub", subscriber_id)}
    return Rejected("email_already_exists", "A subscriber with this address already exists.", facts)


def _handle_collision(
    database: Database, settings: Settings, known: SubscriberRecord, changes: SubscriberChanges, collision: str
) -> tuple[SubscriberRecord, bool]:
    if collision not in _MERGING:
        raise _make_collision(known.id)
    kind = get_type(known)
    if kind in ("complained", "undeliverable", "blocked"):
        raise Rejected("subscriber_suppressed", "This address bounced, complained or is blocked, so no email is sent to it.")
    wanted = replace(changes, email=None, kind=None if changes.kind == "unactivated" else changes.kind)
    admission = None
    if kind == "unsubscribed" and changes.kind != "unsubscribed":
        if collision == "overwrite" or changes.kind == "regular":
            raise Rejected(
                "subscriber_blocked",
                "This subscriber has unsubscribed: only they can subscribe again, with a confirmation email.",
            )
        admission = _admit(database, settings, known.email, changes)
        wanted = replace(wanted, kind=None, reason=None, ip=None)
    with database.transaction() as tx:
        queued = admission is not None and _request_confirmation(tx, settings, known.email, changes, admission).email_queued
        return _change(tx, settings, known.id, wanted, gains=collision == "add"), queued


def _admit(database: Database, settings: Settings, email: str, changes: SubscriberChanges) -> Admission:
    try:
        return signup.admit(database, addresses.normal(email), signup.SignupEvidence("api", changes.ip), settings)
    except TooManyRequests as error:
        raise _explain_limit(error) from error
    except BadInput as error:
        raise Rejected("email_blocked", str(error)) from error


def _request_confirmation(
    tx: Tx, settings: Settings, email: str, changes: SubscriberChanges, admission: Admission
) -> signup.SignUp:
    evidence = signup.SignupEvidence("api", changes.ip)
    return signup.request_subscription(tx, email, normalize_tags(changes.tags or []), evidence, settings, admission)


def _explain_limit(error: TooManyRequests) -> Rejected:
    return Rejected("rate_limited", "Too many sign-ups in an hour, also for those held for review: try again later.")


def _merge_changes(known: SubscriberRecord, changes: SubscriberChanges) -> SubscriberChanges:
    metadata = {**known.metadata, **(changes.metadata or {})}
    notes = known.notes if not changes.notes else changes.notes
    return replace(changes, metadata=metadata, notes=notes, referrer_url=changes.referrer_url or None)


def _add_without_confirmation(tx: Tx, address: str, changes: SubscriberChanges, status: AddressStatus) -> SubscriberRecord:
    if status.is_blocked:
        raise Rejected("subscriber_suppressed", "This address bounced or complained, so no email is sent to it.")
    if changes.kind == "regular" or status.is_erased:
        _check_owner_is_not_needed(status)
    tags.add_spelled(tx, changes.tags or [])
    subscriber, new = subscribers.add_or_lock(tx, address, addresses.normal(address), normalize_tags(changes.tags or []))
    if not new:  # another request was first
        raise _make_collision(subscriber.id)
    if changes.kind == "regular":
        subscribers.activate(tx, subscriber.id, _build_given_columns(changes))
        consent_log.record(tx, subscriber.id, "added", "api", changes.ip, {})
    else:
        subscribers.unsubscribe(tx, subscriber.id)
        consent_log.record(tx, subscriber.id, "unsubscribed", "api", changes.ip, {})
        subscriber_records.update(tx, subscriber.id, _build_given_columns(changes))
    return _reload(tx, subscriber.id)


def _check_owner_is_not_needed(status: AddressStatus) -> None:
    """Raise Rejected if only its owner may subscribe an address: the API's client has no evidence to give."""
    if why := erasure.get_asking_reason(status):
        raise Rejected("subscriber_blocked", f"This address {why}: only its owner can subscribe with it, by confirming it.")


def _build_given_columns(changes: SubscriberChanges) -> dict[str, Any]:
    """The other details of a new subscriber; none that are empty."""
    return {
        name: value for name, value in _build_columns(changes).items() if value and (name != "metadata" or changes.metadata)
    }


def _change_address(
    tx: Tx, settings: Settings | None, found: SubscriberRecord, changes: SubscriberChanges, held: str
) -> dict[str, Any]:
    address = _check_address(changes.email or "")
    normal = addresses.normal(address)
    if get_type(found) == "complained":
        raise Rejected("subscriber_suppressed", "This subscriber complained, so no email is sent to any address of theirs.")
    status = erasure.find_status(tx, settings, normal, found.id)
    if status.is_blocked:
        raise Rejected("email_invalid", "The new address bounced or complained, so no email is sent to it.")
    if status.subscriber_id is not None:
        raise Rejected("email_already_exists", "Another subscriber already has this address.")
    if found.state == "active":
        _check_owner_is_not_needed(status)
    consent_log.record(tx, found.id, "address", "api", changes.ip, {"before": found.email, "after": address})
    private_links.end_links(tx, found.id)
    customers.queue_address(tx, found.id, found.email_normal)
    gifts.requeue_emails(tx, found.id)
    if found.state == "active":
        _notify_old_address(tx, found, address)
    elif found.state == "unconfirmed" and inbox_limit.use(tx, normal):
        signup.queue_confirmation(tx, found.id, transactional_emails.get_requested(tx, found.id), held)
    return {"email": address, "email_normal": normal}


def _check_signup_limits(database: Database, id_or_email: str, changes: SubscriberChanges) -> str:
    """Return why the email to a new address must be held, or '': the limits on sign-ups apply."""
    if not changes.email:
        return ""
    found = find_subscriber(database, id_or_email)
    if found is None or found.state != "unconfirmed" or addresses.normal(changes.email) == found.email_normal:
        return ""
    source = signup_limits.SignupSource(addresses.normal(changes.email), changes.ip)
    try:
        return signup_limits.admit_signup(database, source).held
    except TooManyRequests as error:
        raise _explain_limit(error) from error


def _notify_old_address(tx: Tx, found: SubscriberRecord, address: str) -> None:
    """Tell the old address, so that its owner can object: the API client vouches for the new one."""
    if transactional_emails.count_since(tx, found.id, timedelta(days=1), "address changed") < _MAX_ADDRESS_NOTICES_PER_DAY:
        old = {"to": found.email, "new": address}
        transactional_emails.queue(tx, "confirmation", found.id, facts=old, topic="address changed")


def _set_type(tx: Tx, settings: Settings | None, found: SubscriberRecord, changes: SubscriberChanges) -> None:
    before = get_type(found)
    if changes.kind == "unsubscribed" and found.state != "unsubscribed":
        subscribers.unsubscribe(tx, found.id)
        consent_log.record(tx, found.id, "unsubscribed", "api", changes.ip, {"reason": changes.reason or ""})
    elif changes.kind == "regular" and before == "unactivated" and found.unsubscribed_at is None:
        _check_owner_is_not_needed(erasure.find_status(tx, settings, found.email_normal, found.id))
        subscribers.activate(tx, found.id)
        consent_log.record(tx, found.id, "added", "api", changes.ip, {})
    elif changes.kind == "regular" and before == "paused":
        subscriber_records.update(tx, found.id, {"paused_until": None})
        consent_log.record(tx, found.id, "resumed", "api", changes.ip, {})
    else:
        raise Rejected(
            "subscriber_type_invalid",
            f"The API cannot change a subscriber from {before} to {changes.kind}: set regular on an unactivated one, or set"
            " unsubscribed.",
        )


def _build_columns(changes: SubscriberChanges) -> dict[str, Any]:
    given: dict[str, Any] = {
        name: getattr(changes, name) for name in ("notes", "referrer_url") if getattr(changes, name) is not None
    }
    given |= {f"utm_{name}": value for name, value in changes.utm.items() if value}
    if changes.metadata is not None:
        given["metadata"] = json(dict(changes.metadata))
    if changes.reason is not None:
        given["unsubscribe_reason"] = changes.reason
    return given


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raise Rejected for metadata that a subscriber cannot have."""
    if not form_fields.is_storable(metadata):
        raise Rejected(
            "metadata_invalid",
            f"Metadata must be an object of strings, numbers, true, false, null, objects and lists, at most"
            f" {form_fields.MAX_METADATA_DEPTH} deep and of at most {form_fields.MAX_METADATA_CHARS:,} characters of JSON.",
        )


def _check_address(email: str) -> str:
    if not email.strip():
        raise Rejected("email_empty", "An address is required: write it as name@example.org.")
    try:
        return addresses.check(email)
    except BadInput as error:
        raise Rejected("email_invalid", str(error)) from error


def _reload(tx: Tx, subscriber_id: int) -> SubscriberRecord:
    found = subscriber_records.by_id(tx, subscriber_id)
    assert found
    return found
