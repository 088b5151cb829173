"""The status of each send, with its counts, read from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.sending.send_control import parse_target
from mailer.store.sending import deliveries, sends
from mailer.store.sending.sends import Send


@dataclass(frozen=True)
class SendStatus:
    """A send and the number of its deliveries in each state; the counts add up to ``send.audience_size``."""

    send: Send
    deliveries: dict[str, int]


def list_send_statuses(database: Database, target: str = "", limit: int | None = None) -> list[SendStatus]:
    """All sends of issues, newest first, or those of issues and steps with this id or key.

    ``send:12`` and ``issue:12`` disambiguate. Counting takes some 30 ms for each 200,000 deliveries: ``limit`` returns only so
    many sends. Raises BadInput when nothing matches ``target``.
    """
    kind, name = parse_target(target)
    with database.transaction() as tx:
        found = [
            send
            for send in sends.list_all(tx)
            if (not target and send.step_id is None)
            or (kind != "issue" and name == str(send.id))
            or (kind != "send" and name == send.issue_key)
        ]
        found = found[:limit]
        counts = deliveries.count_by_state(tx, [send.id for send in found])
    if target and not found:
        raise BadInput(f"There is no send {target!r}: `postmerge status` lists them.")
    return [SendStatus(send, counts[send.id]) for send in found]


def get_send(database: Database, send_id: int) -> Send | None:
    """A send, or None if there is none."""
    with database.transaction() as tx:
        return sends.get(tx, send_id)


def list_latest_sends(database: Database, number: int) -> list[Send]:
    """So many sends of issues, newest first, without their counts."""
    with database.transaction() as tx:
        return [send for send in sends.list_all(tx) if send.step_id is None][:number]


def count_deliveries(database: Database, send_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """How many deliveries each of these sends has in each state."""
    with database.transaction() as tx:
        return deliveries.count_by_state(tx, send_ids)


def list_sent_keys(database: Database) -> list[str]:
    """The keys of the issues that have sends, newest first."""
    with database.transaction() as tx:
        return list(dict.fromkeys(send.issue_key for send in sends.list_all(tx) if send.step_id is None))


def send_facts(one: SendStatus) -> dict[str, Any]:
    """A send as JSON-ready facts, as ``status --json`` prints them."""
    send = one.send
    return {
        "id": send.id,
        "issue": send.issue_key,
        "edition": send.edition_number,
        "digest": send.digest,
        "state": str(send.state),
        "audience": send.audience_size,
        "deliveries": one.deliveries,
        "subject": send.subject,
        "rule": send.audience,
        "reason": send.reason,
        "waiting_reason": send.waiting_reason,
        "watch_until": send.watch_until.isoformat() if send.watch_until else None,
        "due_at": send.due_at.isoformat(),
        "started_at": send.started_at.isoformat() if send.started_at else None,
        "finished_at": send.finished_at.isoformat() if send.finished_at else None,
    }
