"""Editions as they were handed over for a send."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mailer.db import Tx
from mailer.edition import Edition


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
            INSERT INTO edition_variants (edition_id, name, digest, preheader, html, text, body)
            VALUES (%(edition_id)s, %(name)s, %(digest)s, %(preheader)s, %(html)s, %(text)s, %(body)s)
            """,
            edition_id=edition_id,
            **vars(variant),
        )
    return edition_id


def variants(tx: Tx, edition: Stored) -> dict[str, Stored]:
    """The other texts of a stored edition, by the variant's name."""
    rows = tx.all("SELECT name, digest, preheader, html, text FROM edition_variants WHERE edition_id = %(id)s", id=edition.id)
    return {row.pop("name"): replace(edition, **row) for row in rows}


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
