"""Consents: the evidence of who requested what, when and from where. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping

from mailer.core.db import Tx, json


def record(tx: Tx, subscriber_id: int, kind: str, source: str, ip: str | None, evidence: Mapping[str, object]) -> None:
    """Add a piece of evidence; ``kind`` is requested, confirmed, left, added and so on
    (``exchange.own_format.CONSENT_KINDS``).
    """
    tx.often(
        """
        INSERT INTO consents (subscriber_id, kind, source, ip, evidence)
        VALUES (%(subscriber_id)s, %(kind)s, %(source)s, %(ip)s, %(evidence)s)
        RETURNING id
        """,
        subscriber_id=subscriber_id,
        kind=kind,
        source=source,
        ip=ip,
        evidence=json(dict(evidence)),
    )


def get_latest_source(tx: Tx, subscriber_id: int, kind: str) -> str:
    """Return where a subscriber's latest consent of this kind came from; empty if there is none."""
    found = tx.value(
        "SELECT source FROM consents WHERE subscriber_id = %(id)s AND kind = %(kind)s ORDER BY id DESC LIMIT 1",
        id=subscriber_id,
        kind=kind,
    )
    return str(found or "")


def list_former_addresses(tx: Tx, subscriber_id: int | None = None) -> list[str]:
    """Return the former addresses of all subscribers (or of one), as written, without duplicates."""
    rows = tx.all(
        """
        SELECT DISTINCT evidence ->> 'before' AS email
        FROM consents
        WHERE kind = 'address' AND evidence ->> 'before' <> '' AND (%(id)s::bigint IS NULL OR subscriber_id = %(id)s)
        """,
        id=subscriber_id,
    )
    return [str(row["email"]) for row in rows]
