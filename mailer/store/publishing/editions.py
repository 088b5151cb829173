"""Editions stored for sends, with their variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each
from mailer.core.edition import PREMIUM, Edition, Variant, is_premium
from mailer.core.i18n import code, wider

Fingerprint = tuple[str, ...]  # a text's name ("": the original) and everything that goes into its email


@dataclass(frozen=True)
class StoredEdition:
    """The text that emails are built from."""

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


def save(tx: Tx, root: str, edition: Edition, commit_id: str = "") -> int:
    """Store an edition, with its variants, for a send of the issue with the key ``root``; return its id."""
    edition_id = int(
        tx.value(
            """
            INSERT INTO editions (
                issue_key, number, digest, title, subject, preheader, lang, url, html, text, body, commit_id, source, image
            )
            VALUES (
                %(root)s, %(number)s, %(digest)s, %(title)s, %(subject)s, %(preheader)s, %(lang)s, %(url)s, %(html)s,
                %(text)s, %(body)s, %(commit_id)s, %(source)s, %(image)s
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
            body=edition.body,
            commit_id=commit_id,
            source=edition.source,
            image=edition.image,
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


def list_variants(tx: Tx, edition: StoredEdition) -> dict[str, StoredEdition]:
    """Return the other texts of a stored edition, by the variant's name."""
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


def list_languages(tx: Tx) -> list[str]:
    """Return the languages of all issues so far, as codes in lower case."""
    rows = tx.all(
        """
        SELECT lower(lang) AS lang FROM editions
        UNION
        SELECT lower(own_lang) FROM edition_variants WHERE own_lang <> ''
        ORDER BY lang
        """
    )
    return [row["lang"] for row in rows]


def list_fingerprints(tx: Tx, edition_ids: Sequence[int]) -> dict[int, set[Fingerprint]]:
    """Return the fingerprints of each stored edition's texts."""
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
    found: dict[int, set[Fingerprint]] = {edition_id: set() for edition_id in edition_ids}
    for row in rows:
        found[row.pop("id")].add(tuple(row.values()))
    return found


def compute_fingerprints(edition: Edition) -> set[Fingerprint]:
    """Return the fingerprints of an edition that may not be stored."""
    texts: list[tuple[str, Edition | Variant]] = [("", edition), *((one.name, one) for one in edition.variants)]
    return {
        (name, one.digest, one.title, one.subject, one.preheader, one.lang, one.url, one.html, one.text) for name, one in texts
    }


def list_pages(tx: Tx, edition_id: int) -> list[tuple[str, str]]:
    """Return URL and digest of each public page of a stored edition: the original's first, then those of its translations."""
    edition = get(tx, edition_id)
    free = {name: one for name, one in list_variants(tx, edition).items() if not is_premium(name)}
    return [(one.url, one.digest) for one in (edition, *free.values())]


def get(tx: Tx, edition_id: int) -> StoredEdition:
    """Return a stored edition. Raises LookupError."""
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
    return StoredEdition(**row)


@dataclass(frozen=True)
class ReadableIssue:
    """An issue for reading on the web: its premium text, in the subscriber's language if it is translated.

    ``url`` is the original's, which identifies the issue in feeds of every language; ``at`` is when its send began.
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
        AND (sends.step_id IS NULL OR sends.issue_key = editions.issue_key)
"""


def list_readable(tx: Tx, limit: int, lang: str = "") -> list[ReadableIssue]:
    """Return sent issues with a premium text, newest first, each in its newest edition; ``lang`` is the subscriber's.

    Steps of sequences are not among them: who has not had one must not find it in a list.
    """
    rows = tx.all(
        f"""
        SELECT * FROM ({_READABLE} AND sends.step_id IS NULL ORDER BY editions.issue_key, sends.edition_number DESC) AS newest
        ORDER BY at DESC, key
        LIMIT %(limit)s
        """,
        limit=limit,
        **_build_text_parameters(lang),
    )
    return each(rows, ReadableIssue)


def find_readable(tx: Tx, key: str, lang: str = "") -> ReadableIssue | None:
    """Return the sent issue with this key, if it has a premium text."""
    row = tx.one(
        f"{_READABLE} AND editions.issue_key = %(key)s ORDER BY editions.issue_key, sends.edition_number DESC",
        key=key,
        **_build_text_parameters(lang),
    )
    return ReadableIssue(**row) if row else None


def _build_text_parameters(lang: str) -> dict[str, Any]:
    """Build the parameters for a language: the variants' names, best first."""
    own = code(lang)
    languages = [one for one in (*wider(own), own.partition("-")[0]) if one]
    return {"lang": own, "names": [*dict.fromkeys(f"{one} {PREMIUM}" for one in languages), PREMIUM]}
