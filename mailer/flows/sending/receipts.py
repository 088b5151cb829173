"""Receipts: what was sent, when, to how many and with which outcome, signed and public. Nothing about persons."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailer.core.db import Database, Tx
from mailer.core.edition import is_premium
from mailer.core.settings import Settings
from mailer.exchange.receipt import hash_part, sign_receipt
from mailer.exchange.signing import SigningKeys, read_keys
from mailer.store.sending import deliveries, receipts
from mailer.store.sending.receipts import SentEdition, SentText

COUNTS_KEPT_SECONDS = 60.0  # anybody may ask, and counting a million deliveries takes seconds
_ADDRESS = re.compile(r"\S+@\S+")


@dataclass(frozen=True)
class FoundReceipt:
    """A receipt for who asked about a digest. ``text`` is the public text that was asked for, None for a paid one.

    ``is_edited``: the digest was never sent; the page that has it shows another text than the one that was sent.
    """

    edition: SentEdition
    texts: tuple[SentText, ...]
    outcomes: dict[str, int]
    text: SentText | None
    is_edited: bool


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
            outcomes = self._count(tx, edition.send_id)
        shown = next((one for one in texts if (one.digest == digest if known else one.url == page)), texts[0])
        return FoundReceipt(edition, tuple(texts), outcomes, None if is_premium(shown.name) else shown, known is None)

    def sign(self, found: FoundReceipt) -> bytes:
        """Return the signed manifest."""
        return sign_receipt(_list_facts(found), self.keys)

    def _count(self, tx: Tx, send_id: int) -> dict[str, int]:
        with self._lock:
            at, counts = self._counted.get(send_id, (0.0, {}))
            if not counts or time.monotonic() - at > COUNTS_KEPT_SECONDS:
                counts = deliveries.count_by_state(tx, [send_id])[send_id]
                self._counted[send_id] = (time.monotonic(), counts)
            return counts


def _list_facts(found: FoundReceipt) -> dict[str, Any]:
    edition = found.edition
    return {
        "issue": edition.issue_key,
        "edition": edition.number,
        "url": edition.url,
        "digest": edition.digest,
        "commit": edition.commit_id,
        "texts": [_describe(one) for one in found.texts],
        "audience": _ADDRESS.sub("(address)", edition.audience),
        "subscribers": edition.audience_size,
        "state": edition.state,
        "outcomes": found.outcomes,
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
