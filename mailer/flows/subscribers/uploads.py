"""Imports in the API's two steps: a file is uploaded and planned; on request it is imported at once."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from mailer.core import log
from mailer.core.db import Database, Row
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.exchange import cell_values, formats, list_files
from mailer.exchange.dates import DayOrder
from mailer.flows.subscribers import imports
from mailer.flows.subscribers.imports import ImportPlan, ImportRequest
from mailer.store.operations import api_records
from mailer.store.subscribers import uploads

logger = log.get("import")

METADATA_FIELDS = ("columns", "email_column", "metadata_columns", "evidence", "tags", "format", "dates")
MAX_IMPORT_SECONDS = 60.0
_MAX_LINES_PER_REASON = 1000  # lines named for one reason


def add_upload(
    database: Database, settings: Settings, name: str, file: BinaryIO, given: Mapping[str, Any], label: str = ""
) -> Row:
    """Store a list and plan its import; return its row. Nothing is imported yet.

    Raises BadInput if it is not a list of subscribers, or if ``given`` (mapping of columns, evidence, tags) is invalid.
    """
    with _write_temporary(name, file) as path:
        found = imports.plan_import(database, settings, _build_request(path, given))
        with database.transaction() as tx, path.open("rb") as whole:
            values = {
                "file": path.name,
                "label": label,
                "metadata": dict(given),
                "format": found.format,
                "plan": _summarize_plan(found),
            }
            row = api_records.insert(tx, "imports", values)
            uploads.save_file(tx, row["id"], whole)
    logger.info("import.brought", upload=row["id"], **found.counts)
    return row


def correct_upload(
    database: Database, settings: Settings, number: int, label: str | None, given: Mapping[str, Any] | None
) -> Row:
    """Rename an import or change its mapping, and plan it again. Raises BadInput, and Refused once it has started."""
    with database.transaction() as tx:
        row = api_records.get(tx, "imports", number)
    assert row
    values: dict[str, Any] = {} if label is None else {"label": label}
    if given is not None:
        if row["state"] != "not_started":
            raise Refused("This import has started: upload the file again to import it differently.")
        with _read_stored(database, row) as path:
            found = imports.plan_import(database, settings, _build_request(path, given))
        values |= {"metadata": dict(given), "format": found.format, "plan": _summarize_plan(found)}
    with database.transaction() as tx:
        changed = api_records.update(tx, "imports", number, values)
    assert changed
    return changed


def start_import(database: Database, settings: Settings, number: int, label: str | None = None) -> Row:
    """Run the import, also renamed; return its row when done. Raises Refused if it was started before."""
    with database.transaction() as tx:
        row = uploads.begin(tx, number)
        if row and label is not None:
            row = api_records.update(tx, "imports", number, {"label": label})
    if row is None:
        raise Refused("This import was started before: check its status, or upload the file again.")
    try:
        with _read_stored(database, row) as path, tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "lines.csv"
            done = imports.apply_import(database, settings, replace(_build_request(path, row["metadata"]), report=report))
            results, state = _summarize_results(done, report), "succeeded"
    except BadInput as error:
        return _finish(database, number, {"state": "failed", "results": {"reason": str(error)}})
    except BaseException:
        with database.transaction() as tx:
            api_records.update(tx, "imports", number, {"state": "not_started"})
        raise
    return _finish(database, number, {"state": state, "results": results, "run_id": done.applied})


def _finish(database: Database, number: int, values: Mapping[str, Any]) -> Row:
    with database.transaction() as tx:
        uploads.delete_file(tx, number)
        row = api_records.update(tx, "imports", number, values)
    assert row
    return row


def _build_request(path: Path, given: Mapping[str, Any]) -> ImportRequest:
    """Convert the client's metadata to the request that the command line would make."""
    if unknown := set(given) - set(METADATA_FIELDS):
        raise BadInput(f"metadata.{min(unknown)[:50]} is unknown: use {', '.join(METADATA_FIELDS)}.")
    columns, tags = given.get("columns", {}), given.get("tags", [])
    if not isinstance(columns, dict) or not all(isinstance(one, str) for one in columns.values()):
        raise BadInput('metadata.columns must be an object such as {"E-Mail": "email"}.')
    if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
        raise BadInput("metadata.tags must be a list of strings.")
    for name in ("evidence", "format"):
        if not isinstance(given.get(name, ""), str):
            raise BadInput(f"metadata.{name} must be a string.")
    if given.get("format", "") not in ("", *formats.FORMAT_NAMES):
        raise BadInput(f"metadata.format must be one of {', '.join(formats.FORMAT_NAMES)}.")
    if given.get("dates") not in (None, *DayOrder):
        raise BadInput(f"metadata.dates must be one of {', '.join(DayOrder)}.")
    columns = {**_columns_by_position(path, given), **columns}
    order = DayOrder(given["dates"]) if given.get("dates") else None
    evidence = given.get("evidence", "")
    return ImportRequest(path, given.get("format", ""), columns, tags, evidence, max_seconds=MAX_IMPORT_SECONDS, dates=order)


def _columns_by_position(path: Path, given: Mapping[str, Any]) -> dict[str, str]:
    """Map columns by number, from 0, as in the contract: ``email_column`` and ``metadata_columns``."""
    places = given.get("metadata_columns", {})
    if not isinstance(places, dict):
        raise BadInput('metadata.metadata_columns must be an object such as {"name": 1}.')
    wanted = [("metadata", name, place) for name, place in places.items()]
    if "email_column" in given:
        wanted.append(("email", "", given["email_column"]))
    if not wanted:
        return {}
    header = list_files.read_header(path)
    found = {}
    for field, name, place in wanted:
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(header):
            raise BadInput(f"metadata: a column is a number from 0 to {len(header) - 1}, not {str(place)[:30]!r}.")
        if name and name.strip().lower() != header[place].strip().lower():
            raise BadInput(
                f"Column {place} is called {header[place][:50]!r}: rename it in the file to keep it as {name[:50]!r}."
            )
        found[header[place]] = field
    return found


@contextmanager
def _write_temporary(name: str, file: BinaryIO) -> Any:
    """Write the bytes to a temporary file of that name, readable only by us."""
    with tempfile.TemporaryDirectory() as folder:
        short = name.encode(errors="replace")[-100:].decode(errors="ignore")
        path = Path(folder) / (re.sub(r"[^\w. -]", "_", short).strip(". ") or "list.csv")
        with path.open("wb") as copy:
            while piece := file.read(1 << 20):
                copy.write(piece)
        with path.open("rb") as first:
            head = first.read(4096)
            if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0\0" not in (head[1:4:2], head[:4:2]):
                raise NotText(f"{path.name} is not a text file: export the list as CSV.")
        yield path


@contextmanager
def _read_stored(database: Database, row: Row) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / row["file"]
        with database.transaction() as tx, path.open("wb") as file:
            for piece in uploads.iterate_pieces(tx, row["id"]):
                file.write(piece)
        if not path.stat().st_size:
            raise BadInput("The file was deleted because the import was not started within a day: upload it again.")
        yield path


class NotText(BadInput):
    """A file that is not text, such as a spreadsheet's own format."""


def _summarize_plan(found: ImportPlan) -> dict[str, Any]:
    return {
        "read": found.read,
        "counts": found.counts,
        "reasons": found.reasons,
        "unconfirmed": found.waiting,
        "columns": dict(found.columns),
        "refused": [f"line {line.number}: {line.why}" for line in found.refused],
    }


def _summarize_results(done: ImportPlan, report: Path) -> dict[str, Any]:
    """Return the contract's results. Refused lines are named by number, so that no address is stored here."""
    bad: dict[str, list[str]] = {}
    with report.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            if line["verdict"] == "refused":
                named = bad.setdefault(line["why"].partition(":")[0][:200], [])
                if len(named) < _MAX_LINES_PER_REASON:
                    named.append(f"line {line['line']}")
    return {
        "new_subscribers": done.counts["new"],
        "updated_subscribers": done.counts["changed"],
        "existing_subscribers": done.counts["same"],
        "reason_to_bad_subscribers": bad,
        "new_tags": None,
    }


def parse_metadata(text: str | None) -> dict[str, Any]:
    """Parse the form's field ``metadata``: a JSON object that Postgres accepts too. Raises BadInput."""
    try:
        found = cell_values.parse_json(text, "metadata") if text else {}
    except BadInput:
        found = None
    if not isinstance(found, dict):
        raise BadInput("metadata must be a JSON object without NUL characters, lone surrogates, NaN and infinity.")
    return found
