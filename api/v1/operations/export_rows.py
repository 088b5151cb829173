"""The content of an export: rows in the API's shapes, as JSON or as CSV without formulas; several collections as a zip."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from api.common.dependencies import AppContext
from api.v1.sending.emails import as_emails
from api.v1.sending.events import as_event
from api.v1.sending.images import list_all_images
from api.v1.subscribers.stripe_subscriptions import as_subscription
from api.v1.subscribers.subscribers import as_subscriber
from mailer.exchange.own_format import escape_formula, escape_json
from mailer.flows.billing import subscription_views
from mailer.flows.operations import api_records
from mailer.flows.sending import issue_overview
from mailer.flows.subscribers import subscriber_query
from mailer.store.subscribers.subscriber_records import Condition

_ROWS_PER_CHUNK = 500  # rows
_MAX_MEMORY_BYTES = 4 << 20  # of a zip; a larger one is written to an anonymous temporary file

COLUMNS = {
    "subscribers": (
        "id", "email_address", "creation_date", "type", "tags", "metadata", "notes", "source", "ip_address", "referrer_url",
        "utm_campaign", "utm_medium", "utm_source", "unsubscription_date", "unsubscription_reason", "undeliverability_date",
        "undeliverability_reason", "upgrade_date", "transitions",
    ),
    "emails": ("id", "creation_date", "publish_date", "modification_date", "subject", "status", "absolute_url", "body"),
    "events": ("id", "creation_date", "event_type", "subscriber_id", "email_id", "metadata"),
    "images": ("id", "creation_date", "image"),
    "stripe_subscriptions": (
        "subscription_id", "creation_date", "ending_date", "amount", "currency", "cadence", "status", "product",
    ),
}  # fmt: skip
EMPTY_COLUMNS = ("id", "creation_date")  # of collections that have no rows here


def write_export(
    context: AppContext, collections: Sequence[str], form: str, columns: Sequence[str] | None, where: Sequence[Condition]
) -> Iterator[bytes]:
    """Yield the file in chunks."""
    if len(collections) == 1:
        return _write_file(context, collections[0], form, columns, where)
    return _write_zip(context, collections, form, columns, where)


def list_columns(collection: str, columns: Sequence[str] | None) -> Sequence[str]:
    """The columns of a collection's file: the requested ones, in the collection's order."""
    whole = COLUMNS.get(collection, EMPTY_COLUMNS)
    return [name for name in whole if columns is None or name in columns]


def _read_rows(context: AppContext, collection: str, where: Sequence[Condition]) -> Iterator[dict[str, Any]]:
    make: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "subscribers": lambda: (as_subscriber(one) for one in subscriber_query.iterate_subscribers(context.database, where)),
        "emails": lambda: _read_emails(context),
        "events": lambda: (as_event(row) for row in api_records.iterate_events(context.database)),
        "images": lambda: list_all_images(context),
        "stripe_subscriptions": lambda: (as_subscription(one) for one in subscription_views.list_all(context.database)),
    }
    return make[collection]() if collection in make else iter(())


def _read_emails(context: AppContext) -> Iterator[dict[str, Any]]:
    """Yield emails in batches, because bodies are long."""
    rows = issue_overview.list_issues(context.database)
    for start in range(0, len(rows), _ROWS_PER_CHUNK):
        yield from as_emails(context, issue_overview.load_overviews(context.database, rows[start : start + _ROWS_PER_CHUNK]))


def _write_file(
    context: AppContext, collection: str, form: str, columns: Sequence[str] | None, where: Sequence[Condition]
) -> Iterator[bytes]:
    names = list_columns(collection, columns)
    return (_write_csv if form == "csv" else _write_json)(_read_rows(context, collection, where), names)


def _write_csv(rows: Iterator[dict[str, Any]], names: Sequence[str]) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for number, row in enumerate(rows, 1):
        writer.writerow([_format_cell(row.get(name)) for name in names])
        if number % _ROWS_PER_CHUNK == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    return escape_formula(value) if isinstance(value, str) else escape_json(orjson.dumps(value).decode())


def _write_json(rows: Iterator[dict[str, Any]], names: Sequence[str]) -> Iterator[bytes]:
    mark = b"["
    for row in rows:
        yield mark + orjson.dumps({name: row.get(name) for name in names})
        mark = b",\n"
    yield b"]\n" if mark != b"[" else b"[]\n"


def _write_zip(
    context: AppContext, collections: Sequence[str], form: str, columns: Sequence[str] | None, where: Sequence[Condition]
) -> Iterator[bytes]:
    with tempfile.SpooledTemporaryFile(max_size=_MAX_MEMORY_BYTES) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for collection in collections:
                with packed.open(f"{collection}.{form}", "w", force_zip64=True) as part:
                    for piece in _write_file(context, collection, form, columns, where):
                        part.write(piece)
        file.seek(0)
        while piece := file.read(1 << 16):
            yield piece
