"""The texts of issues without a send, such as those of an adopted archive, as the last publish had them."""

from __future__ import annotations

from mailer.core.db import Tx
from mailer.core.edition import Edition


def save(tx: Tx, key: str, edition: Edition) -> None:
    """Store what everybody may read of an issue; nothing is written if it is the same."""
    tx.run(
        """
        INSERT INTO issue_texts (key, subject, preheader, image, source, html, text)
        VALUES (%(key)s, %(subject)s, %(preheader)s, %(image)s, %(source)s, %(html)s, %(text)s)
        ON CONFLICT (key) DO UPDATE SET
            subject = excluded.subject,
            preheader = excluded.preheader,
            image = excluded.image,
            source = excluded.source,
            html = excluded.html,
            text = excluded.text
        WHERE issue_texts IS DISTINCT FROM excluded
        """,
        key=key,
        subject=edition.subject,
        preheader=edition.preheader,
        image=edition.image,
        source=edition.source,
        html=edition.html,
        text=edition.text,
    )
