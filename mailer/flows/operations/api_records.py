"""Segments, notes, events, requests and webhook settings: find, create, change and delete them, each in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mailer.core import public_ids
from mailer.core.db import Database, PageRange, Row, is_unique_violation
from mailer.flows.sending import issue_overview
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.operations import api_records, idempotency
from mailer.store.publishing import issues, uploaded_editions
from mailer.store.sending import counters
from mailer.store.subscribers import subscriber_records, tags, uploads

_OUTCOMES = ("delivered", "bounced", "complained", "rejected", "unsubscribed")
_MAX_CLAIM_SECONDS = 300  # longer than a request takes; a killed process keeps a resource for so long
_SEND_EVENTS = {f"subscriber.{word}": word for word in _OUTCOMES}


def list_page(database: Database, table: str, page: PageRange, **where: Any) -> tuple[list[Row], int]:
    """Return a page of a table, newest first, and the total number."""
    with database.transaction() as tx:
        return api_records.list_page(tx, table, page, where)


def get_record(database: Database, table: str, kind: str, public: str) -> Row | None:
    """Return the row with this public id, or None."""
    number = public_ids.number(kind, public)
    if number is None:
        return None
    with database.transaction() as tx:
        return api_records.get(tx, table, number)


def create_record(database: Database, table: str, values: Mapping[str, Any]) -> Row:
    """Create a row. Raises Rejected if its name is taken."""
    try:
        with database.transaction() as tx:
            return api_records.insert(tx, table, values)
    except Exception as error:
        raise _explain_conflict(error) from error


def change_record(database: Database, table: str, kind: str, public: str, values: Mapping[str, Any]) -> Row | None:
    """Change and return a row; None if there is none. Raises Rejected if its new name is taken."""
    number = public_ids.number(kind, public)
    if number is None:
        return None
    try:
        with database.transaction() as tx:
            return api_records.update(tx, table, number, values)
    except Exception as error:
        raise _explain_conflict(error) from error


@contextmanager
def hold_resource(database: Database, path: str) -> Iterator[bool]:
    """Keep others who claim it from a resource until the block ends, without an open transaction; False if somebody has it."""
    name = hashlib.sha256(path.encode()).hexdigest()
    with database.transaction() as tx:
        claim = api_records.claim_resource(tx, name, _MAX_CLAIM_SECONDS)
    try:
        yield claim is not None
    finally:
        if claim:
            with database.transaction() as tx:
                api_records.release_resource(tx, name, claim)


def delete_record(database: Database, table: str, kind: str, public: str) -> bool:
    """Delete a row; return whether there was one."""
    number = public_ids.number(kind, public)
    if number is None:
        return False
    with database.transaction() as tx:
        return api_records.delete(tx, table, number)


def resolve_id(database: Database, kind: str, public: str) -> int | None:
    """Return the number of the subscriber, tag or email with this public id, or None."""
    prefix = {"subscriber": "sub", "tag": "sub_tag", "email": "em"}.get(kind, "")
    number = public_ids.number(prefix, public) if prefix else None
    if number is None:
        return None
    with database.transaction() as tx:
        if kind == "subscriber":
            return number if subscriber_records.by_id(tx, number) else None
        if kind == "tag":
            return number if tags.get(tx, number) else None
        return number if any(issue_overview.issue_number(issue.key) == number for issue in issues.list_all(tx)) else None


def list_events(database: Database, where: Mapping[str, Any], page: PageRange, newest_first: bool) -> tuple[list[Row], int]:
    """Return events of emails and subscribers with the contract's ``event_type``, and the total number."""
    wanted = dict(where)
    word = wanted.pop("event_type", None)
    wanted["type"] = [f"subscriber.{word}"] if word else list(_SEND_EVENTS)
    with database.transaction() as tx:
        rows, count = api_records.list_events(tx, wanted, page, newest_first)
    return [{**row, "event_type": _SEND_EVENTS[row["type"]]} for row in rows], count


def iterate_events(database: Database, size: int = 5000) -> Iterator[Row]:
    """Yield all events as ``list_events`` returns them, oldest first, fetched page by page."""
    last: int | None = None
    while True:
        with database.transaction() as tx:
            rows, _ = api_records.list_events(
                tx, {"type": list(_SEND_EVENTS)}, PageRange(size, after=last), newest_first=False, counted=False
            )
        yield from ({**row, "event_type": _SEND_EVENTS[row["type"]]} for row in rows)
        if len(rows) < size:
            return
        last = rows[-1]["id"]


def get_event(database: Database, public: str) -> Row | None:
    """Return one event, or None."""
    number = public_ids.number("emr", public)
    found, _ = list_events(database, {"id": number}, PageRange(1), newest_first=True) if number is not None else ([], 0)
    return found[0] if found else None


def list_send_ids(database: Database, numbers: int | None) -> list[int]:
    """Return the ids of the sends of the issue with this number."""
    rows = [
        row for row in issue_overview.list_issues(database) if issue_overview.issue_number(row.key) == numbers and row.send_id
    ]
    return [row.send_id for row in rows if row.send_id]


def list_requests(database: Database, where: Mapping[str, Any], limit: int, cursor: str | None) -> list[Row]:
    """Return the requests before the cursor, newest first."""
    with database.transaction() as tx:
        return api_records.list_requests(tx, where, limit, public_ids.number("api_req", cursor) if cursor else None)


def get_request(database: Database, public: str) -> Row | None:
    """Return one request, or None."""
    number = public_ids.number("api_req", public)
    if number is None:
        return None
    with database.transaction() as tx:
        return api_records.get_request(tx, number)


def save_requests(database: Database, waiting: Sequence[Mapping[str, Any]]) -> None:
    """Store requests and compact the tallies."""
    with database.transaction() as tx:
        if waiting:
            api_records.add_requests(tx, waiting)
    with database.transaction() as tx:
        counters.compact(tx)


def delete_old_rows(database: Database) -> None:
    """Delete expired rows, and create the partitions of the coming months. Called periodically."""
    with database.transaction() as tx:
        api_records.drop_old_requests(tx)
        idempotency.drop_old(tx)
        api_records.create_month_partitions(tx)
        uploaded_editions.drop_unused(tx)
        uploads.expire_old(tx)


def _explain_conflict(error: Exception) -> Exception:
    return Rejected("name_already_exists", "This name is already in use.") if is_unique_violation(error) else error
