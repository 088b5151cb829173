"""Mark in a restored ledger what was sent since the backup: from SES's events, workers' logs, or a list of addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mailer.core import addresses, log
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.exchange.email_outcomes import EventKind
from mailer.flows.events import email_events
from mailer.flows.sending.delivery_worker import ACCEPTED_EVENT
from mailer.flows.sending.send_control import find_send
from mailer.store.operations import journal_rows
from mailer.store.sending import deliveries, enrolments
from mailer.store.sending.sends import Send

logger = log.get("reconcile")

_REASON = "sent before the database was restored"
_REST_REASON = "the database was restored, and nothing shows whether this was sent"
_LINES_AT_ONCE = 1000  # read at once
_NOT_SENT = (EventKind.REJECT, EventKind.RENDERING_FAILURE)
_ADDRESS = re.compile(r"[^\s,;<>\"']+@[^\s,;<>\"']+")


@dataclass(frozen=True)
class ReconciledSend:
    """The counts: deliveries marked as sent, lines that name nobody of the send, set aside as uncertain, still pending.

    ``skipped``: those for whom the step of a sequence was due, and who do not get it.
    """

    send: Send
    marked: int = 0
    unmatched: int = 0
    uncertain: int = 0
    pending: int = 0
    skipped: int = 0


@dataclass
class _Records:
    """What a few lines say was sent."""

    events: list[str]
    subscribers: set[int]
    emails: set[str]
    unreadable: int = 0


def reconcile_send(
    database: Database, settings: Settings, target: str, lines: Iterable[str], rest_uncertain: bool = False
) -> ReconciledSend:
    """Mark deliveries that ``lines`` show as sent; the send must not be running. Safe to run again with more lines.

    A line is an event of SES, a line of a worker's log, or contains an address. ``rest_uncertain``: whatever is pending
    afterwards is not sent either. Those whom the lines name count as having had a step of a sequence, even if the backup knows
    of no delivery. Raises BadInput.
    """
    with database.transaction() as tx:
        send = find_send(tx, target)
        deliveries.forget_sums(tx, [send.id])
    if send.state == "sending":
        raise BadInput(f"Send {send.id} is running: pause it first with `postmerge pause {send.id}`.")
    before, unmatched, added, source = _count_open(database, send.id), 0, 0, iter(lines)
    while some := list(islice(source, _LINES_AT_ONCE)):
        records = _read(some, send)
        added += _record_steps(database, settings, send, records)
        unmatched += _apply(database, settings, send.id, records)
    marked = before - _count_open(database, send.id) + added
    with database.transaction() as tx:
        left = journal_rows.settle_pending(tx, send.id, _REST_REASON) if rest_uncertain else 0
        skipped = enrolments.skip_due(tx, send.step_id) if rest_uncertain and send.step_id else 0
        pending = deliveries.count_pending(tx, send.id)
    logger.info("send.reconciled", send=send.id, marked=marked, uncertain=left, skipped=skipped)
    return ReconciledSend(send, marked, unmatched, left, pending, skipped)


def _read(lines: list[str], send: Send) -> _Records:
    records = _Records([], set(), set())
    for line in filter(None, map(str.strip, lines)):
        facts = _parse_json(line)
        if facts.get("event") == ACCEPTED_EVENT and _is_of(facts, send):
            records.subscribers.update(facts.get("subscribers", ()))
        elif {"eventType", "notificationType", "TopicArn"} & facts.keys():
            records.events.append(line)
        elif not facts and (found := _ADDRESS.search(line)):
            records.emails.add(addresses.normal(found[0]))
        else:
            records.unreadable += not facts.get("event")
    return records


def _is_of(facts: Mapping[str, Any], send: Send) -> bool:
    """Is a line of the log about a send? A step has had others that the backup does not know."""
    return facts.get("send") == send.id or (send.step_id is not None and facts.get("issue") == send.issue_key)


def _parse_json(line: str) -> dict[str, Any]:
    try:
        facts = json.loads(line)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _record_steps(database: Database, settings: Settings, send: Send, records: _Records) -> int:
    """Record that a step was sent to those of whom the backup does not know it; return to how many."""
    if send.step_id is None:
        return 0
    found = email_events.read_messages(records.events, settings.sns_topic).events
    named = {one.subscriber_id for one in found if one.send_id == send.id and one.kind not in _NOT_SENT and one.subscriber_id}
    with database.transaction() as tx:
        known = journal_rows.find_by_address(tx, sorted(records.emails))
        wanted = sorted(records.subscribers | set(known.values()) | named)
        return enrolments.record_sent(tx, send.step_id, send.id, wanted, _REASON)


def _apply(database: Database, settings: Settings, send_id: int, records: _Records) -> int:
    """Mark what was sent; return how many records name no delivery."""
    counts = email_events.process_messages(database, settings, records.events, "reconcile-sends")
    with database.transaction() as tx:
        known = journal_rows.find_by_address(tx, sorted(records.emails))
        wanted = records.subscribers | set(known.values())
        journal_rows.accept_deliveries(tx, send_id, sorted(wanted), _REASON)
    return records.unreadable + len(records.emails) - len(known) + counts.unknown + counts.rejected


def _count_open(database: Database, send_id: int) -> int:
    with database.transaction() as tx:
        counts = deliveries.count_by_state(tx, [send_id])[send_id]
    return counts["pending"] + counts["claimed"] + counts["uncertain"]
