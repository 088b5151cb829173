"""What each bulk action of the API does to one subscriber or tag, and why some of Buttondown's are not supported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailer.core import public_ids
from mailer.core.db import Database, Tx, json
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.billing import gifts
from mailer.flows.operations import api_records
from mailer.flows.subscribers import subscriber_admin, suppression_lifting, tag_admin
from mailer.flows.subscribers.subscriber_admin import Rejected, SubscriberChanges
from mailer.store.subscribers import subscriber_records, suppressions, tags
from mailer.store.subscribers.subscriber_records import SubscriberRecord

_WHY = "a bulk action of the API"  # the reason kept as evidence, if the client gives none
_MAX_NOTE_CHARS = 20_000
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")

Apply = Callable[[Database, Settings, str, Mapping[str, Any]], object]
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class BulkChange:
    """A change of one subscriber (``kind`` sub) or tag (sub_tag), by id, and the check of what the client gave for it."""

    apply: Apply
    check: Callable[[Facts], None] = lambda _: None
    kind: str = "sub"


def get_change(kind: str) -> BulkChange:
    """Return what an action does. Raises BadInput for one that is unknown or not supported, with the reason."""
    if kind in _CHANGES:
        return _CHANGES[kind]
    names = ", ".join(_CHANGES)
    for reason, kinds in _NOT_SUPPORTED.items():
        if kind in kinds:
            raise BadInput(f"{kind} is not supported: {reason}. Supported are {names}.", "type")
    raise BadInput(f"{kind} is not an action: use one of {names}.", "type")


def _lock_subscriber(tx: Tx, one: str) -> SubscriberRecord | None:
    """Lock a subscriber, and read them again: they may have changed while the lock was awaited. None if there is none."""
    found = subscriber_admin.look_up_subscriber(tx, one)
    if found is None:
        return None
    subscriber_records.lock(tx, found.id)
    return subscriber_records.by_id(tx, found.id)


def _apply_tags(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    names = [tag.shown if (tag := tag_admin.find_tag(database, given)) else given for given in _list_tags(facts)]
    clean = subscriber_admin.normalize_tags(names)
    with database.transaction() as tx:
        found = _lock_subscriber(tx, one)
        if found is None:
            return None
        if facts.get("action") == "remove":
            after = set(found.tags) - set(clean)
        else:
            after = {*found.tags, *clean}
            tags.add_spelled(tx, names)
        subscriber_records.update(tx, found.id, {"tags": sorted(after)})
    return found


def _list_tags(facts: Facts) -> list[str]:
    """The tags of an action, by id or name: Buttondown's `tag_ids` or `tag_id`, or our `tags`."""
    one = facts.get("tag_id", facts.get("tag"))
    found = [one] if one is not None else facts.get("tag_ids", facts.get("tags"))
    if not isinstance(found, list) or not found or not all(isinstance(tag, str) for tag in found):
        raise Rejected("bulk_action_invalid_ids", "metadata.tag_ids must be a list of tags, by id or name.")
    return found


def _check_tags(facts: Facts) -> None:
    given = _list_tags(facts)
    if any(tag.startswith("sub_tag_") and public_ids.number("sub_tag", tag) is None for tag in given):
        raise Rejected("bulk_action_invalid_ids", "metadata.tag_ids has an invalid id of a tag.")
    subscriber_admin.normalize_tags([tag for tag in given if public_ids.number("sub_tag", tag) is None])
    if facts.get("action", "add") not in ("add", "remove"):
        raise BadInput("metadata.action must be add or remove.", "metadata.action")


def _apply_metadata(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    given, action = facts["metadata"], facts.get("action", "add")
    if action == "remove":
        names = set(given)
        return _change_metadata(database, one, lambda old: {key: value for key, value in old.items() if key not in names})
    return subscriber_admin.change_subscriber(database, one, SubscriberChanges(metadata=given), gains=action == "add")


def _check_metadata(facts: Facts) -> None:
    given, action = facts.get("metadata"), facts.get("action", "add")
    if action not in ("set", "add", "remove"):
        raise Rejected("bulk_action_invalid_metadata", "metadata.action must be set, add or remove.")
    if action == "remove":
        if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
            raise Rejected("bulk_action_invalid_metadata", "metadata.metadata must be a list of the keys to remove.")
        return
    if not isinstance(given, dict):
        raise Rejected("bulk_action_invalid_metadata", "metadata.metadata must be an object.")
    subscriber_admin.check_metadata(given)


def _rename_metadata(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    names: dict[str, str] = facts["rename_mapping"]
    return _change_metadata(database, one, lambda old: {names.get(key, key): value for key, value in old.items()})


def _check_names(facts: Facts) -> None:
    names = facts.get("rename_mapping")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) and name for name in names.values()):
        sentence = "metadata.rename_mapping must be an object of old keys and new ones."
        raise Rejected("bulk_action_missing_rename_mapping", sentence)


def _change_metadata(database: Database, one: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> object:
    with database.transaction() as tx:
        found = _lock_subscriber(tx, one)
        if found is None:
            return None
        after = change(found.metadata)
        subscriber_admin.check_metadata(after)
        if after != found.metadata:
            subscriber_records.update(tx, found.id, {"metadata": json(after)})
        return after != found.metadata


def _add_note(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    found = subscriber_admin.find_subscriber(database, one)
    if found is None:
        return None
    note = {"body": facts["body"], "model_type": "subscriber", "model_id": found.id, "metadata": facts.get("metadata", {})}
    return api_records.create_record(database, "notes", note)


def _check_note(facts: Facts) -> None:
    body = facts.get("body")
    if not isinstance(body, str) or not body.strip() or len(body) > _MAX_NOTE_CHARS or "\0" in body:
        sentence = f"metadata.body must be the note's text, of at most {_MAX_NOTE_CHARS:,} characters."
        raise Rejected("bulk_action_invalid_metadata", sentence)
    more = facts.get("metadata", {})
    if not isinstance(more, dict):
        raise Rejected("bulk_action_invalid_metadata", "metadata.metadata must be an object.")
    subscriber_admin.check_metadata(more)


def _unsubscribe(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return subscriber_admin.change_subscriber(database, one, SubscriberChanges(kind="unsubscribed"))


def _delete(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return subscriber_admin.erase_subscriber(database, settings, one)


def _send_reminder(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return subscriber_admin.send_reminder(database, settings, one)


def _ban(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    found = subscriber_admin.find_subscriber(database, one)
    if found is None:
        return None
    with database.transaction() as tx:
        return suppressions.add_for_subscribers(tx, [found.id], "operator")


def _unban(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return _lift(database, settings, one, facts, "blocked")


def _reactivate(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return _lift(database, settings, one, facts, "undeliverable")


def _lift(database: Database, settings: Settings, one: str, facts: Facts, kind: str) -> object:
    """Lift the suppression of a subscriber of this type. A complaint is not lifted."""
    found = subscriber_admin.find_subscriber(database, one)
    if found is None or subscriber_admin.get_type(found) != kind:
        return None
    why = str(facts.get("reason") or _WHY)
    return suppression_lifting.unsuppress(database, settings, suppression_lifting.UnsuppressRequest(found.email, why, "api"))


def _check_reason(facts: Facts) -> None:
    reason = facts.get("reason", _WHY)
    if not isinstance(reason, str) or not reason.strip() or len(reason) > suppression_lifting.MAX_REASON_CHARS:
        raise Rejected("bulk_action_invalid_metadata", "metadata.reason must be a sentence: it is kept as evidence.")


def _gift(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    found = subscriber_admin.find_subscriber(database, one)
    if found is None or _is_gifted(found):
        return None
    return gifts.grant_complimentary(database, settings, found.email, None, str(facts.get("reason") or _WHY))


def _ungift(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    found = subscriber_admin.find_subscriber(database, one)
    return found and gifts.revoke_complimentary(database, settings, found.email)


def _is_gifted(subscriber: SubscriberRecord) -> bool:
    return subscriber.premium and subscriber.access == "complimentary"


def _delete_tag(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return tag_admin.delete_tag(database, one)


def _change_tag_color(database: Database, settings: Settings, one: str, facts: Facts) -> object:
    return tag_admin.change_tag(database, one, {"color": facts["color"]})


def _check_color(facts: Facts) -> None:
    color = facts.get("color")
    if not isinstance(color, str) or not _COLOR.fullmatch(color):
        raise Rejected("bulk_action_invalid_ids", "metadata.color must be a colour such as #0069FF.")


_CHANGES = {
    "add_notes": BulkChange(_add_note, _check_note),
    "apply_tags": BulkChange(_apply_tags, _check_tags),
    "apply_metadata": BulkChange(_apply_metadata, _check_metadata),
    "rename_metadata": BulkChange(_rename_metadata, _check_names),
    "ban_subscribers": BulkChange(_ban),
    "unban_subscribers": BulkChange(_unban, _check_reason),
    "reactivate_subscribers": BulkChange(_reactivate, _check_reason),
    "gift_subscribers": BulkChange(_gift, _check_reason),
    "ungift_subscribers": BulkChange(_ungift),
    "unsubscribe_subscribers": BulkChange(_unsubscribe),
    "delete_subscribers": BulkChange(_delete),
    "send_reminders": BulkChange(_send_reminder),
    "delete_tags": BulkChange(_delete_tag, kind="sub_tag"),
    "change_tags_colors": BulkChange(_change_tag_color, _check_color, "sub_tag"),
}
_NOT_SUPPORTED = {
    "a program does not resubscribe anybody, they confirm a new sign-up": ("resubscribe_subscribers",),
    "sign-ups that are held for review are released with `postmerge subscribers`": ("mark_subscribers_as_not_spammy",),
    "a merge sends": ("send_emails",),
    "drafts are deleted one by one with DELETE /v1/emails/{id}": ("delete_emails",),
    "emails and files are kept in git": (
        "update_email_types", "update_archival_modes", "update_commenting_modes", "delete_images", "delete_attachments",
    ),
    "there are no comments, surveys and inboxes here": (
        "delete_comments", "mark_comments_as_active", "mark_comments_as_spammy", "delete_surveys", "delete_survey_responses",
        "update_survey_statuses", "mark_inbox_items_read", "delete_inbox_items",
    ),
    "`postmerge webhooks replay` sends messages again": ("replay_events",),
    "subscriptions are changed at Stripe": (
        "cancel_stripe_subscriptions", "modify_stripe_subscriptions", "pause_stripe_subscriptions",
    ),
}  # fmt: skip
