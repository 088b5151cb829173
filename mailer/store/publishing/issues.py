"""Issues in the ledger: which were published, under which keys, and what identifies them after a rename."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailer.core.db import Tx, each

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class KnownIssue:
    """An issue as last published, under one of its keys; ``url`` is its page."""

    key: str
    path: str
    title: str
    dated: datetime
    digest: str
    sketch: list[int] = field(default_factory=list)
    renamed_from: str | None = None
    adopted_edition: int | None = None
    url: str = ""
    last_seen_at: datetime = _NEVER

    @property
    def root(self) -> str:
        """The first key of a renamed issue, otherwise its own."""
        return self.renamed_from or self.key


def lock(tx: Tx) -> None:
    """Allow one publish at a time, until the end of the transaction."""
    tx.run("SELECT pg_advisory_xact_lock(hashtext('postmerge.publish'))")


def list_all(tx: Tx) -> list[KnownIssue]:
    """Return all issues in the order in which they were first seen, without the steps of sequences."""
    rows = tx.all(
        """
        SELECT key, path, title, dated, digest, sketch, renamed_from, adopted_edition, url, last_seen_at
        FROM issues
        WHERE NOT is_step
        ORDER BY first_seen_at, key
        """
    )
    return each(rows, KnownIssue)


def save(tx: Tx, issue: KnownIssue) -> None:
    """Store an issue as it is now; adoptions and renames are never undone."""
    tx.run(
        """
        INSERT INTO issues (key, path, title, dated, digest, sketch, renamed_from, adopted_edition, url)
        VALUES (%(key)s, %(path)s, %(title)s, %(dated)s, %(digest)s, %(sketch)s, %(renamed_from)s, %(adopted)s, %(url)s)
        ON CONFLICT (key) DO UPDATE SET
            path = EXCLUDED.path,
            title = EXCLUDED.title,
            dated = EXCLUDED.dated,
            digest = EXCLUDED.digest,
            sketch = EXCLUDED.sketch,
            url = EXCLUDED.url,
            adopted_edition = greatest(issues.adopted_edition, EXCLUDED.adopted_edition),
            last_seen_at = now()
        """,
        key=issue.key,
        path=issue.path,
        title=issue.title,
        dated=issue.dated,
        digest=issue.digest,
        sketch=issue.sketch,
        renamed_from=issue.renamed_from,
        adopted=issue.adopted_edition,
        url=issue.url,
    )
