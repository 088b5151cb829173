"""Remote publishing: editions are uploaded one by one, named by their digest, then published as if built here."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from mailer.core.characters import parse_sender
from mailer.core.db import Database
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, Refused
from mailer.core.message import mailable
from mailer.core.settings import Settings
from mailer.editions.site import edition_files
from mailer.flows.publishing.publish import Outlook, Published, Request, preview_publish, publish
from mailer.store.publishing import uploaded_editions
from mailer.store.sending import sends
from mailer.transports.base import Transport

_EDITION = TypeAdapter(Edition)
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{0,40}")
_MAX_NUMBER = 2**31 - 1  # of an edition: Postgres's integer


def list_missing(database: Database, digests: Sequence[str]) -> list[str]:
    """Return the digests of editions to upload first, in order."""
    with database.transaction() as tx:
        known = uploaded_editions.list_known(tx, digests)
    return [digest for digest in digests if digest not in known]


def store_edition(database: Database, digest: str, raw: bytes) -> None:
    """Store an edition. Raises BadInput if it does not match its digest or is invalid."""
    if hashlib.sha256(raw).hexdigest() != digest:
        raise BadInput("The edition does not match its digest: upload it again.")
    edition = edition_files.from_bytes(raw)
    _check_values(edition, raw)
    with database.transaction() as tx:
        uploaded_editions.save(tx, digest, edition.key, zlib.compress(raw))


def _check_values(edition: Edition, raw: bytes) -> None:
    """Raise BadInput for what no build writes, and what would break the worker that sends it."""
    try:
        _EDITION.validate_json(raw, strict=True)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise BadInput(f"The edition's {place} has a wrong type: use the same version of postmerge on both sides.") from error
    moments = [edition.dated, *([edition.send_at] if edition.send_at else [])]
    languages = [edition.lang, *(variant.lang for variant in edition.variants)]
    named = bool(edition.key) and 1 <= edition.number <= _MAX_NUMBER
    if not named or any(moment.tzinfo is None for moment in moments) or not all(map(_LANGUAGE.fullmatch, languages)):
        raise BadInput("The edition has a key, a number, a time or a language that no build writes: build it again.")
    for text in filter(None, (edition.sender, edition.reply_to)):
        mailable(parse_sender(text).address)


def load_edition(database: Database, digest: str) -> Edition:
    """Return one uploaded edition. Raises Refused if it was not uploaded."""
    return _load_editions(database, [digest])[0]


def find_edition(database: Database, issue_key: str, since: datetime) -> Edition | None:
    """Return the edition of an issue that was uploaded or planned last, at or after a moment; None if there is none."""
    with database.transaction() as tx:
        found = uploaded_editions.find_newest(tx, issue_key, since)
    return edition_files.from_bytes(zlib.decompress(found)) if found else None


def list_published_rules(database: Database) -> set[str]:
    """Return the audience rules that a reviewer may count: those of published issues."""
    with database.transaction() as tx:
        return {"everyone", *sends.list_rules(tx)}


def preview_uploaded(
    database: Database,
    settings: Settings,
    transport: Transport,
    digests: Sequence[str],
    findings: Sequence[Finding],
    request: Request,
) -> Outlook:
    """Return what publishing these editions, the whole archive, would do. Raises BadInput like ``publish_handed``."""
    return preview_publish(database, settings, _load_editions(database, digests), findings, transport, request)


def publish_uploaded(
    database: Database,
    settings: Settings,
    transport: Transport,
    digests: Sequence[str],
    findings: Sequence[Finding],
    request: Request,
) -> Published:
    """Publish these editions, the whole archive. Raises Refused if one was not uploaded."""
    return publish(database, settings, _load_editions(database, digests), findings, transport, request)


def _load_editions(database: Database, digests: Sequence[str]) -> list[Edition]:
    with database.transaction() as tx:
        found = uploaded_editions.get(tx, digests)
    absent = [digest for digest in digests if digest not in found]
    if absent:
        raise Refused(f"{len(absent)} editions were not uploaded: run `postmerge publish --server` again.")
    return [edition_files.from_bytes(zlib.decompress(found[digest])) for digest in digests]
