"""Imports in the two steps of the API: a file is brought and planned; on the client's word it is imported at once."""

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
from mailer.exchange import lines, values
from mailer.flows.subscribers import imports
from mailer.flows.subscribers.imports import Plan, Request
from mailer.store.operations import api_records
from mailer.store.subscribers import uploads

events = log.get("import")

KNOWN = ("columns", "email_column", "metadata_columns", "evidence", "tags", "format")
_REASONS = 1000  # lines named for one reason


def bring(database: Database, settings: Settings, name: str, file: BinaryIO, given: Mapping[str, Any], label: str = "") -> Row:
    """Keep a list and plan its import; its row. Nothing is imported yet.

    Raises BadInput when it is no list of readers, or ``given`` (what the columns are, the evidence, tags) cannot be used.
    """
    with _as_file(name, file) as path:
        found = imports.plan(database, settings, _request(path, given))
        with database.transaction() as tx, path.open("rb") as whole:
            values = {"file": path.name, "label": label, "metadata": dict(given), "format": found.format, "plan": _told(found)}
            row = api_records.insert(tx, "imports", values)
            uploads.keep(tx, row["id"], whole)
    events.info("import.brought", upload=row["id"], **found.counts)
    return row


def correct(database: Database, settings: Settings, number: int, label: str | None, given: Mapping[str, Any] | None) -> Row:
    """Name an import, or say anew what its columns are: it is planned again. Raises BadInput, and Refused when it has begun."""
    with database.transaction() as tx:
        row = api_records.update(tx, "imports", number, {} if label is None else {"label": label})
    assert row
    if given is None:
        return row
    if row["state"] != "not_started":
        raise Refused("This import has begun: bring the file again to import it otherwise.")
    with _kept(database, row) as path:
        found = imports.plan(database, settings, _request(path, given))
    with database.transaction() as tx:
        changed = api_records.update(
            tx, "imports", number, {"metadata": dict(given), "format": found.format, "plan": _told(found)}
        )
    assert changed
    return changed


def start(database: Database, settings: Settings, number: int) -> Row:
    """Import it, now; its row when it is done. Raises Refused when it has begun before."""
    with database.transaction() as tx:
        row = uploads.begin(tx, number)
    if row is None:
        raise Refused("This import has begun before: look at its status, or bring the file again.")
    try:
        with _kept(database, row) as path, tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "lines.csv"
            done = imports.apply(database, settings, replace(_request(path, row["metadata"]), report=report))
            results, state = _results(done, report), "succeeded"
    except BadInput as error:
        return _end(database, number, {"state": "failed", "results": {"reason": str(error)}})
    except BaseException:
        with database.transaction() as tx:
            api_records.update(tx, "imports", number, {"state": "not_started"})
        raise
    return _end(database, number, {"state": state, "results": results, "run_id": done.applied})


def _end(database: Database, number: int, values: Mapping[str, Any]) -> Row:
    with database.transaction() as tx:
        uploads.drop(tx, number)
        row = api_records.update(tx, "imports", number, values)
    assert row
    return row


def _request(path: Path, given: Mapping[str, Any]) -> Request:
    """What the client says about its file, as the command line would."""
    if unknown := set(given) - set(KNOWN):
        raise BadInput(f"metadata.{min(unknown)[:50]} is not known: use {', '.join(KNOWN)}.")
    columns, tags = given.get("columns", {}), given.get("tags", [])
    if not isinstance(columns, dict) or not all(isinstance(one, str) for one in columns.values()):
        raise BadInput('metadata.columns must be an object such as {"E-Mail": "email"}.')
    if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
        raise BadInput("metadata.tags must be a list of words.")
    for name in ("evidence", "format"):
        if not isinstance(given.get(name, ""), str):
            raise BadInput(f"metadata.{name} must be a text.")
    if given.get("format", "") not in ("", *imports.NAMES):
        raise BadInput(f"metadata.format must be one of {', '.join(imports.NAMES)}.")
    columns = {**_by_place(path, given), **columns}
    return Request(path, given.get("format", ""), columns, tags, given.get("evidence", ""))


def _by_place(path: Path, given: Mapping[str, Any]) -> dict[str, str]:
    """Columns by their number, from 0, as the contract has them: ``email_column`` and ``metadata_columns``."""
    places = given.get("metadata_columns", {})
    if not isinstance(places, dict):
        raise BadInput('metadata.metadata_columns must be an object such as {"name": 1}.')
    wanted = [("metadata", name, place) for name, place in places.items()]
    if "email_column" in given:
        wanted.append(("email", "", given["email_column"]))
    if not wanted:
        return {}
    header = lines.header(path)
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
def _as_file(name: str, file: BinaryIO) -> Any:
    """The bytes as a file of that name that only we can read, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        short = name.encode(errors="replace")[-100:].decode(errors="ignore")
        path = Path(folder) / (re.sub(r"[^\w. -]", "_", short).strip(". ") or "list.csv")
        with path.open("wb") as copy:
            while piece := file.read(1 << 20):
                copy.write(piece)
        with path.open("rb") as first:
            if b"\0" in (head := first.read(4096)) and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
                raise NotText(f"{path.name} is not a text file: export the list as CSV.")
        yield path


@contextmanager
def _kept(database: Database, row: Row) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / row["file"]
        with database.transaction() as tx, path.open("wb") as file:
            for piece in uploads.pieces(tx, row["id"]):
                file.write(piece)
        if not path.stat().st_size:
            raise BadInput("The file is gone, as it waited for more than a day: bring it again.")
        yield path


class NotText(BadInput):
    """A file that is no text at all, such as a spreadsheet's own."""


def _told(found: Plan) -> dict[str, Any]:
    return {
        "counts": found.counts,
        "reasons": found.reasons,
        "unconfirmed": found.waiting,
        "columns": dict(found.columns),
        "refused": [f"line {line.number}: {line.why}" for line in found.refused],
    }


def _results(done: Plan, report: Path) -> dict[str, Any]:
    """The contract's results; who was refused is named by line, so that no address stays here."""
    bad: dict[str, list[str]] = {}
    with report.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["verdict"] == "refused":
                named = bad.setdefault(line["why"].partition(":")[0][:200], [])
                if len(named) < _REASONS:
                    named.append(f"line {line['line']}")
    return {
        "new_subscribers": done.counts["new"],
        "updated_subscribers": done.counts["changed"],
        "existing_subscribers": done.counts["same"],
        "reason_to_bad_subscribers": bad,
        "new_tags": None,
    }


def read_given(text: str | None) -> dict[str, Any]:
    """The form's field ``metadata``: a JSON object that Postgres takes as well. Raises BadInput."""
    try:
        found = values.as_json(text, "metadata") if text else {}
    except BadInput:
        found = None
    if not isinstance(found, dict):
        raise BadInput("metadata must be a JSON object without NUL signs, half signs and numbers without end.")
    return found
