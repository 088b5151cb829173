"""Outgoing webhooks: claim due messages, commit, post them side by side, and record the outcomes."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from mailer.core import log, public_ids
from mailer.core.db import Database, PageRange, Row
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.flows.operations.api_records import change_record, get_record
from mailer.flows.sending import issue_overview
from mailer.store.operations import api_records, notices, webhook_outbox
from mailer.store.operations.webhook_outbox import WebhookMessage
from mailer.webhooks import signed_post
from mailer.webhooks.signed_post import PostAttempt

logger = log.get("webhooks")

# The gaps between attempts: the last comes about three days after the first.
RETRY_DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 43200, 43200, 71000)
)
DISABLE_AFTER = timedelta(days=3)  # a target that accepted nothing for so long is disabled
LEASE = timedelta(minutes=2)
_MAX_MESSAGES_AT_ONCE = 64  # of one worker, of all webhooks together
MAX_IN_FLIGHT = 8  # of a webhook whose target accepts messages; one of any other
PAUSES = timedelta(seconds=5), timedelta(minutes=10)  # of a webhook whose target fails: the shortest and the longest
_POLL_SECONDS = 0.2  # until new messages are looked for while others are on the wire


@dataclass(frozen=True)
class NewWebhook:
    """A webhook to create. Without a ``secret`` it gets a new one."""

    url: str
    event_types: Sequence[str]
    description: str = ""
    secret: str = ""
    enabled: bool = True


def create_webhook(database: Database, settings: Settings, new: NewWebhook) -> Row:
    """Create a webhook. Raises BadInput for an unusable URL."""
    _check_url(settings, new.url)
    with database.transaction() as tx:
        columns = {**vars(new), "event_types": list(new.event_types), "secret": new.secret or create_secret()}
        return api_records.insert(tx, "webhooks", columns)


def change_webhook(database: Database, settings: Settings, id: str, changes: Mapping[str, Any]) -> Row | None:
    """Change these columns of a webhook; None if there is none. Raises BadInput for an unusable URL.

    One that is enabled, or gets another URL, starts without failures.
    """
    if "url" in changes:
        _check_url(settings, changes["url"])
    without_failures = {"failing_since": None, "paused_until": None, "disabled_reason": ""}
    values = {**changes, **(without_failures if "url" in changes or changes.get("enabled") else {})}
    return change_record(database, "webhooks", "hook", id, values)


def _check_url(settings: Settings, url: str) -> None:
    signed_post.check_target(url, signed_post.parse_networks(settings.webhook_networks))


def create_secret() -> str:
    """Create a secret of 256 bits in the format of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def deliver_messages(database: Database, settings: Settings, now: datetime | None = None, stopping: Event | None = None) -> int:
    """Post due messages until none is left, or until ``stopping``; return how many.

    New ones are claimed while slow targets still have theirs: no message waits for another webhook's.
    """
    allowed = signed_post.parse_networks(settings.webhook_networks)
    posted, in_flight = 0, dict[Future[PostAttempt], WebhookMessage]()
    with ThreadPoolExecutor(_MAX_MESSAGES_AT_ONCE, thread_name_prefix="webhook") as pool:
        while True:
            claimed = _claim(database, _MAX_MESSAGES_AT_ONCE - len(in_flight), stopping)
            in_flight.update({pool.submit(_post_message, message, allowed): message for message in claimed})
            if not in_flight:
                return posted
            for done in wait(in_flight, _POLL_SECONDS, FIRST_COMPLETED).done:
                _record_attempt(database, in_flight.pop(done), done.result(), now or datetime.now(UTC))
                posted += 1


def _claim(database: Database, size: int, stopping: Event | None) -> list[WebhookMessage]:
    if not size or (stopping and stopping.is_set()):
        return []
    with database.transaction() as tx:
        return webhook_outbox.claim(tx, size, LEASE)


def has_work(database: Database) -> bool:
    """Return whether a message is due."""
    with database.transaction() as tx:
        return webhook_outbox.has_work(tx, LEASE)


def send_test_message(database: Database, webhook_id: int, kind: str) -> int:
    """Queue a test message, which no event caused; return its id."""
    with database.transaction() as tx:
        webhook_outbox.end_pause(tx, webhook_id)
        return webhook_outbox.add_test_message(tx, webhook_id, kind)


def replay_messages(database: Database, webhook_id: int, message_ids: Sequence[int] = ()) -> int:
    """Post these messages again, or all failed ones of the webhook; return how many."""
    with database.transaction() as tx:
        webhook_outbox.end_pause(tx, webhook_id)
        return webhook_outbox.replay(tx, webhook_id, message_ids or webhook_outbox.list_failed_ids(tx, webhook_id))


def list_messages(database: Database, webhook_id: int, states: Sequence[str], page: PageRange) -> tuple[list[Row], int]:
    """Return a page of a webhook's messages, newest first, and the total number."""
    with database.transaction() as tx:
        return webhook_outbox.list_page(tx, webhook_id, states, page)


def list_webhooks(database: Database) -> list[Row]:
    """Return all webhooks, newest first."""
    with database.transaction() as tx:
        return api_records.list_page(tx, "webhooks", PageRange(1000), {})[0]


def find_webhook(database: Database, id: str) -> Row:
    """Return a webhook by its number or public id. Raises BadInput if there is none."""
    row = get_record(database, "webhooks", "hook", id)
    if row is None:
        raise BadInput(f"There is no webhook {id!r}: `postmerge webhooks list` lists all.")
    return row


def build_payload(message: WebhookMessage) -> bytes:
    """Build the JSON to post: the event's type and time, and the public ids of the subscriber and the email."""
    body = message.body
    data: dict[str, Any] = {}
    if body.get("subscriber"):
        data["subscriber"] = public_ids.public("sub", body["subscriber"])
    if message.issue_key:
        data["email"] = public_ids.public("em", issue_overview.issue_number(message.issue_key))
    facts = body.get("facts") or {}
    whole = {
        "id": public_ids.public("ext_evt", message.event_id or message.id),
        "event_type": message.type,
        "creation_date": body.get("at") or message.created_at.isoformat(),
        "data": {**data, **({"facts": facts} if facts else {}), **({"test": True} if body.get("test") else {})},
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def _post_message(message: WebhookMessage, allowed: Sequence[signed_post.IPNetwork]) -> PostAttempt:
    name = public_ids.public("msg", message.id)
    return signed_post.post(message.url, message.secret, name, build_payload(message), allowed)


def _record_attempt(database: Database, message: WebhookMessage, attempt: PostAttempt, now: datetime) -> None:
    bad, gone = bool(attempt.error), attempt.status == 410
    last = gone or message.attempts > len(RETRY_DELAYS)
    again_at = now + RETRY_DELAYS[message.attempts - 1] if bad and not last else None
    with database.transaction() as tx:
        webhook_outbox.settle(
            tx, message.id, attempt.status, attempt.error, attempt.milliseconds, again_at, failed=bad and last
        )
        if not bad:
            webhook_outbox.record_success(tx, message.webhook_id, MAX_IN_FLIGHT)
        else:
            webhook_outbox.record_failure(tx, message.webhook_id, PAUSES)
            if url := webhook_outbox.disable_dead(tx, message.webhook_id, DISABLE_AFTER, gone):
                notices.add(
                    tx, f"The webhook {url} accepted nothing for three days and was disabled: see `postmerge webhooks list`."
                )
    work_counts.count("webhook_attempts", "rejected" if bad else "accepted")
    log_as = logger.warning if bad else logger.info
    log_as(
        "webhook.rejected" if bad else "webhook.accepted", webhook=message.webhook_id, message=message.id, error=attempt.error
    )
