"""Remote publishing: editions are uploaded one by one, named by their digest, then published as if built here."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

from mailer.core.db import Database
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.editions.site import edition_files
from mailer.flows.publishing.publish import Outlook, Published, Request, preview_publish, publish
from mailer.store.publishing import uploaded_editions
from mailer.transports.base import Transport


def list_missing(database: Database, digests: Sequence[str]) -> list[str]:
    """Return the digests of editions to upload first, in order."""
    with database.transaction() as tx:
        known = uploaded_editions.list_known(tx, digests)
    return [digest for digest in digests if digest not in known]


def store_edition(database: Database, digest: str, raw: bytes) -> None:
    """Store an edition. Raises BadInput if it does not match its digest or is invalid."""
    if hashlib.sha256(raw).hexdigest() != digest:
        raise BadInput("The edition does not match its digest: upload it again.")
    edition_files.from_bytes(raw)
    with database.transaction() as tx:
        uploaded_editions.save(tx, digest, zlib.compress(raw))


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
    """Publish these editions, the whole archive. Raises BadInput if one was not uploaded."""
    return publish(database, settings, _load_editions(database, digests), findings, transport, request)


def _load_editions(database: Database, digests: Sequence[str]) -> list[Edition]:
    with database.transaction() as tx:
        found = uploaded_editions.get(tx, digests)
    absent = [digest for digest in digests if digest not in found]
    if absent:
        raise BadInput(f"{len(absent)} editions were not uploaded: run `postmerge publish --server` again.")
    return [edition_files.from_bytes(zlib.decompress(found[digest])) for digest in digests]
