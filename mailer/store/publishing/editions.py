"""Editions as they were handed over for a send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each
from mailer.core.edition import PREMIUM, Edition, Variant, is_premium
from mailer.core.i18n import code

Mark = tuple[str, ...]  # a text's name ("": the original) and all that its email is made from


@dataclass(frozen=True)
class Stored:
    """What a mail is made from."""

    id: int
    number: int
    digest: str
    title: str
    subject: str
    preheader: str
    lang: str
    url: str
    html: str
    text: str


def save(tx: Tx, root: str, edition: Edition) -> int:
    """Store an edition, with its variants, for a send of the issue filed under ``root``; its id."""
    edition_id = int(
        tx.value(
            """
            INSERT INTO editions (issue_key, number, digest, title, subject, preheader, lang, url, html, text)
            VALUES (
                %(root)s, %(number)s, %(digest)s, %(title)s, %(subject)s, %(preheader)s, %(lang)s, %(url)s, %(html)s,
                %(text)s
            )
            RETURNING id
            """,
            root=root,
            number=edition.number,
            digest=edition.digest,
            title=edition.title,
            subject=edition.subject,
            preheader=edition.preheader,
            lang=edition.lang,
            url=edition.url,
            html=edition.html,
            text=edition.text,
        )
    )
    for variant in edition.variants:
        tx.run(
            """
            INSERT INTO edition_variants (
                edition_id, name, digest, preheader, html, text, body, own_lang, own_title, own_subject, own_url
            )
            VALUES (
                %(edition_id)s, %(name)s, %(digest)s, %(preheader)s, %(html)s, %(text)s, %(body)s, %(lang)s, %(title)s,
                %(subject)s, %(url)s
            )
            """,
            edition_id=edition_id,
            **vars(variant),
        )
    return edition_id


def variants(tx: Tx, edition: Stored) -> dict[str, Stored]:
    """The other texts of a stored edition, by the variant's name."""
    rows = tx.all(
        """
        SELECT
            name, digest, preheader, html, text,
            own_lang AS lang, own_title AS title, own_subject AS subject, own_url AS url
        FROM edition_variants
        WHERE edition_id = %(id)s
        ORDER BY name
        """,
        id=edition.id,
    )
    return {row.pop("name"): replace(edition, **{key: value for key, value in row.items() if value}) for row in rows}


def languages(tx: Tx) -> list[str]:
    """The languages that issues were sent in so far, as codes in lower case."""
    rows = tx.all(
        """
        SELECT lower(lang) AS lang FROM editions
        UNION
        SELECT lower(own_lang) FROM edition_variants WHERE own_lang <> ''
        ORDER BY lang
        """
    )
    return [row["lang"] for row in rows]


def marks(tx: Tx, edition_ids: Sequence[int]) -> dict[int, set[Mark]]:
    """For each stored edition, what tells its texts from others."""
    rows = tx.all(
        """
        SELECT id, '' AS name, digest, title, subject, preheader, lang, url, html, text
        FROM editions
        WHERE id = ANY(%(ids)s)
        UNION ALL
        SELECT edition_id, name, digest, own_title, own_subject, preheader, own_lang, own_url, html, text
        FROM edition_variants
        WHERE edition_id = ANY(%(ids)s)
        """,
        ids=list(edition_ids),
    )
    found: dict[int, set[Mark]] = {edition_id: set() for edition_id in edition_ids}
    for row in rows:
        found[row.pop("id")].add(tuple(row.values()))
    return found


def marks_of(edition: Edition) -> set[Mark]:
    """The same for an edition that is not stored yet."""
    texts: list[tuple[str, Edition | Variant]] = [("", edition), *((one.name, one) for one in edition.variants)]
    return {
        (name, one.digest, one.title, one.subject, one.preheader, one.lang, one.url, one.html, one.text) for name, one in texts
    }


def pages(tx: Tx, edition_id: int) -> list[tuple[str, str]]:
    """Address and digest of each public page of a stored edition: the original's first, then those of its translations."""
    edition = get(tx, edition_id)
    free = {name: one for name, one in variants(tx, edition).items() if not is_premium(name)}
    return [(one.url, one.digest) for one in (edition, *free.values())]


def get(tx: Tx, edition_id: int) -> Stored:
    """One stored edition."""
    row = tx.one(
        """
        SELECT id, number, digest, title, subject, preheader, lang, url, html, text
        FROM editions
        WHERE id = %(id)s
        """,
        id=edition_id,
    )
    if row is None:
        raise LookupError(f"edition {edition_id}")
    return Stored(**row)


@dataclass(frozen=True)
class Readable:
    """An issue for reading on the web: its premium text, in the reader's language where that has one.

    ``url`` is the original's, so that feeds know the issue by it in every language; ``at`` is when its send began.
    """

    key: str
    title: str
    lang: str
    url: str
    body: str
    digest: str
    at: datetime


_READABLE = """
    SELECT DISTINCT ON (editions.issue_key)
        editions.issue_key AS key, text.title, text.lang, editions.url, text.body, text.digest, sends.due_at AS at
    FROM sends
    JOIN editions ON editions.id = sends.edition_id
    CROSS JOIN LATERAL (
        SELECT
            coalesce(nullif(edition_variants.own_title, ''), editions.title) AS title,
            coalesce(nullif(edition_variants.own_lang, ''), editions.lang) AS lang,
            edition_variants.body,
            edition_variants.digest
        FROM edition_variants
        WHERE edition_variants.edition_id = editions.id AND edition_variants.name = ANY(%(names)s)
        ORDER BY
            edition_variants.name = 'premium' AND lower(editions.lang) = %(lang)s DESC,
            array_position(%(names)s, edition_variants.name)
        LIMIT 1
    ) AS text
    WHERE sends.state IN ('sending', 'finished', 'paused', 'stopped') AND sends.started_at IS NOT NULL
"""


def readable(tx: Tx, limit: int, lang: str = "") -> list[Readable]:
    """Mailed issues that have a premium text, newest first, each in its newest edition; ``lang`` is the reader's."""
    rows = tx.all(
        f"""
        SELECT * FROM ({_READABLE} ORDER BY editions.issue_key, sends.edition_number DESC) AS newest
        ORDER BY at DESC, key
        LIMIT %(limit)s
        """,
        limit=limit,
        **_wish(lang),
    )
    return each(rows, Readable)


def readable_one(tx: Tx, key: str, lang: str = "") -> Readable | None:
    """One of them."""
    row = tx.one(
        f"{_READABLE} AND editions.issue_key = %(key)s ORDER BY editions.issue_key, sends.edition_number DESC",
        key=key,
        **_wish(lang),
    )
    return Readable(**row) if row else None


def _wish(lang: str) -> dict[str, Any]:
    """The premium texts that a reader of a language wants, the best first."""
    own = code(lang)
    languages = [one for one in (own, own.partition("-")[0]) if one]
    return {"lang": own, "names": [*dict.fromkeys(f"{one} {PREMIUM}" for one in languages), PREMIUM]}
