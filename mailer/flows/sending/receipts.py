"""Receipts: what was sent, when, to how many and with which outcome, signed and public. Nothing about persons.

A finished send's receipt is signed once and kept, with the outcomes of that moment. While a send runs, it is signed on request.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from mailer.core.db import Database, Tx
from mailer.core.edition import is_premium
from mailer.core.settings import Settings
from mailer.exchange.receipt import hash_part, sign_receipt
from mailer.exchange.signing import SigningKeys, read_keys
from mailer.store.sending import deliveries, receipts
from mailer.store.sending.receipts import SentEdition, SentText

MAX_SIGNED_AT_ONCE = 5  # finished sends
COUNTS_KEPT_SECONDS = 60.0  # of a running send: anybody may ask, and counting a million deliveries takes seconds
_ADDRESS = re.compile(r"\S+@\S+")


@dataclass(frozen=True)
class FoundReceipt:
    """A receipt for who asked about a digest. ``text`` is the public text that was asked for, None for a paid one.

    ``is_edited``: the digest was never sent; the page that has it shows another text than the one that was sent. ``document``
    is the kept receipt of a finished send, and ``counted_at`` when its outcomes were counted.
    """

    edition: SentEdition
    texts: tuple[SentText, ...]
    outcomes: dict[str, int]
    text: SentText | None
    is_edited: bool
    document: bytes | None = None
    counted_at: datetime | None = None


class ReceiptSigner:
    """Finds and signs receipts; keeps the counts of a send for ``COUNTS_KEPT_SECONDS``."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._lock = threading.Lock()
        self._counted: dict[int, tuple[float, dict[str, int]]] = {}

    @property
    def keys(self) -> SigningKeys:
        """The keys. Raises BadInput if they are not valid."""
        return read_keys(self._settings.signing_key, self._settings.need_secrets())

    def find(self, digest: str, page: str = "") -> FoundReceipt | None:
        """Find the receipt for a digest or, if no text with it was sent, for what was sent of ``page``."""
        with self._database.transaction() as tx:
            known = receipts.find_by_digest(tx, digest)
            edition = known or (receipts.find_by_page(tx, page) if page else None)
            if edition is None:
                return None
            texts = receipts.list_texts(tx, edition.edition_id)
            document = receipts.get_document(tx, edition.send_id)
            outcomes = {} if document else self._count(tx, edition.send_id)
        shown = next((one for one in texts if (one.digest == digest if known else one.url == page)), texts[0])
        found = FoundReceipt(
            edition, tuple(texts), outcomes, None if is_premium(shown.name) else shown, known is None, document
        )
        return _with_kept_outcomes(found, document) if document else found

    def sign(self, found: FoundReceipt) -> bytes:
        """Return the signed manifest: of a finished send the one that is kept."""
        return found.document or sign_receipt(_list_facts(found.edition, found.texts, found.outcomes), self.keys)

    def _count(self, tx: Tx, send_id: int) -> dict[str, int]:
        with self._lock:
            at, counts = self._counted.get(send_id, (0.0, {}))
            if not counts or time.monotonic() - at > COUNTS_KEPT_SECONDS:
                counts = deliveries.count_by_state(tx, [send_id])[send_id]
                self._counted[send_id] = (time.monotonic(), counts)
            return counts


def sign_finished(database: Database, settings: Settings) -> int:
    """Sign and keep the receipts of sends that have finished; return how many. Safe to run concurrently.

    Raises BadInput if the keys are not valid.
    """
    with database.transaction() as tx:
        waiting = receipts.list_unsigned(tx, MAX_SIGNED_AT_ONCE)
    keys = read_keys(settings.signing_key, settings.need_secrets()) if waiting else None
    for edition in waiting:
        with database.transaction() as tx:
            outcomes = deliveries.count_by_state(tx, [edition.send_id])[edition.send_id]
            texts = receipts.list_texts(tx, edition.edition_id)
            assert keys
            receipts.save(tx, edition.send_id, sign_receipt(_list_facts(edition, texts, outcomes), keys))
    return len(waiting)


def _with_kept_outcomes(found: FoundReceipt, document: bytes) -> FoundReceipt:
    facts = orjson.loads(document)
    return replace(found, outcomes=facts["outcomes"], counted_at=datetime.fromisoformat(facts["made_at"]))


def sign_all(tx: Tx, settings: Settings) -> Iterator[tuple[int, bytes]]:
    """Yield the id of each send that has started, and its signed receipt: the kept one of a send that has finished.

    Raises BadInput if the keys are not valid.
    """
    keys = read_keys(settings.signing_key, settings.need_secrets())
    for edition in receipts.list_sent(tx):
        document = receipts.get_document(tx, edition.send_id)
        if document is None:
            texts = receipts.list_texts(tx, edition.edition_id)
            outcomes = deliveries.count_by_state(tx, [edition.send_id])[edition.send_id]
            document = sign_receipt(_list_facts(edition, texts, outcomes), keys)
        yield edition.send_id, document


def _list_facts(edition: SentEdition, texts: Sequence[SentText], outcomes: dict[str, int]) -> dict[str, Any]:
    return {
        "issue": edition.issue_key,
        "edition": edition.number,
        "url": edition.url,
        "digest": edition.digest,
        "commit": edition.commit_id,
        "texts": [_describe(one) for one in texts],
        "audience": _ADDRESS.sub("(address)", edition.audience),
        "subscribers": edition.audience_size,
        "state": edition.state,
        "outcomes": outcomes,
        "published_at": edition.published_at.astimezone(UTC),
        "started_at": edition.started_at.astimezone(UTC),
        "finished_at": edition.finished_at.astimezone(UTC) if edition.finished_at else None,
        "made_at": datetime.now(UTC).replace(microsecond=0),
    }


def _describe(text: SentText) -> dict[str, str]:
    return {
        "name": text.name,
        "lang": text.lang,
        "url": text.url,
        "digest": text.digest,
        "subject": text.subject,
        "html_sha256": hash_part(text.html),
        "text_sha256": hash_part(text.text),
    }
