"""Publishing from afar: editions come one by one, named by what they hold, and are then published as if built here."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

from mailer.core.db import Database
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.editions.site import edition_files
from mailer.flows.publishing.publish import Outlook, Published, Request, look, publish
from mailer.store.publishing import uploaded_editions
from mailer.transports.base import Transport


def missing(database: Database, digests: Sequence[str]) -> list[str]:
    """Those of the digests that must be handed over first, in their order."""
    with database.transaction() as tx:
        known = uploaded_editions.list_known(tx, digests)
    return [digest for digest in digests if digest not in known]


def take(database: Database, digest: str, raw: bytes) -> None:
    """Keep an edition. Raises BadInput when it is not what its name says, or cannot be read."""
    if hashlib.sha256(raw).hexdigest() != digest:
        raise BadInput("The edition is not what its digest says: hand it over again.")
    edition_files.from_bytes(raw)
    with database.transaction() as tx:
        uploaded_editions.save(tx, digest, zlib.compress(raw))


def look_handed(
    database: Database,
    settings: Settings,
    transport: Transport,
    digests: Sequence[str],
    findings: Sequence[Finding],
    request: Request,
) -> Outlook:
    """What publishing these editions, which make up the whole archive, would do. Raises BadInput like ``publish_handed``."""
    return look(database, settings, _editions(database, digests), findings, transport, request)


def publish_handed(
    database: Database,
    settings: Settings,
    transport: Transport,
    digests: Sequence[str],
    findings: Sequence[Finding],
    request: Request,
) -> Published:
    """Publish these editions, which make up the whole archive. Raises BadInput when one was not handed over."""
    return publish(database, settings, _editions(database, digests), findings, transport, request)


def _editions(database: Database, digests: Sequence[str]) -> list[Edition]:
    with database.transaction() as tx:
        found = uploaded_editions.get(tx, digests)
    absent = [digest for digest in digests if digest not in found]
    if absent:
        raise BadInput(f"{len(absent)} editions were not handed over: run `postmerge publish --server` again.")
    return [edition_files.from_bytes(zlib.decompress(found[digest])) for digest in digests]
