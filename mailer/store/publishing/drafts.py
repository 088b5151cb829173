"""Issues written through the API, until a merge makes them issues of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each, json


@dataclass(frozen=True)
class Draft:
    """A draft. ``reason`` says why its last change is not in the repository, '' if it is."""

    id: int
    key: str
    branch: str
    path: str
    fields: dict[str, Any]
    source: str
    pushed_commit: str
    pull_request: str
    reason: str
    created_at: datetime


_COLUMNS = "id, key, branch, path, fields, source, pushed_commit, pull_request, reason, created_at"
_UNMERGED = "NOT EXISTS (SELECT FROM issues WHERE issues.key = drafts.key)"


def add(tx: Tx, key: str, path: str, fields: Mapping[str, Any], source: str) -> Draft | None:
    """Add a draft; None if an issue or another draft has its key."""
    row = tx.one(
        f"""
        INSERT INTO drafts (key, branch, path, fields, source)
        SELECT %(key)s, 'postmerge/' || %(key)s, %(path)s, %(fields)s, %(source)s
        WHERE NOT EXISTS (SELECT FROM issues WHERE key = %(key)s)
        ON CONFLICT (key) DO NOTHING
        RETURNING {_COLUMNS}
        """,
        key=key,
        path=path,
        fields=json(dict(fields)),
        source=source,
    )
    return Draft(**row) if row else None


def list_all(tx: Tx) -> list[Draft]:
    """All drafts that are no issues of the ledger yet, oldest first."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM drafts WHERE {_UNMERGED} ORDER BY id"), Draft)


def get(tx: Tx, draft_id: int) -> Draft | None:
    """Return a draft, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM drafts WHERE id = %(id)s", id=draft_id)
    return Draft(**row) if row else None


def claim(tx: Tx, draft_id: int, seconds: int) -> datetime | None:
    """Claim a draft that nobody else has claimed, for so long; return until when, or None."""
    found = tx.value(
        """
        UPDATE drafts SET claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
        WHERE id = %(id)s AND (claimed_until < clock_timestamp()) IS NOT FALSE
        RETURNING claimed_until
        """,
        id=draft_id,
        seconds=seconds,
    )
    return found if isinstance(found, datetime) else None


def release(tx: Tx, draft_id: int, claim: datetime) -> None:
    """End a claim, unless it has expired and somebody else has another one."""
    tx.run("UPDATE drafts SET claimed_until = NULL WHERE id = %(id)s AND claimed_until = %(claim)s", id=draft_id, claim=claim)


def set_content(tx: Tx, draft: Draft, fields: Mapping[str, Any], source: str) -> Draft:
    """Store new content; return the draft with it."""
    row = tx.one(
        f"""
        UPDATE drafts SET fields = %(fields)s, source = %(source)s, updated_at = now() WHERE id = %(id)s
        RETURNING {_COLUMNS}
        """,
        id=draft.id,
        fields=json(dict(fields)),
        source=source,
    )
    assert row
    return Draft(**row)


def set_outcome(tx: Tx, draft: Draft) -> None:
    """Store what became of a push: the branch, its commit, the pull request, the reason."""
    tx.run(
        """
        UPDATE drafts
        SET branch = %(branch)s, pushed_commit = %(pushed_commit)s, pull_request = %(pull_request)s, reason = %(reason)s
        WHERE id = %(id)s
        """,
        id=draft.id,
        branch=draft.branch,
        pushed_commit=draft.pushed_commit,
        pull_request=draft.pull_request,
        reason=draft.reason,
    )


def delete(tx: Tx, draft_id: int) -> bool:
    """Delete a draft; return whether there was one."""
    return tx.run("DELETE FROM drafts WHERE id = %(id)s", id=draft_id) > 0
