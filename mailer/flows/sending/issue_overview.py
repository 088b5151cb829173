"""Issues as emails, for the API: list them, find one, its analytics, its editions. Read-only."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mailer.core import public_ids
from mailer.core.db import Database
from mailer.store.sending import deliveries, issue_overview
from mailer.store.sending.issue_overview import EditionText, IssueRow, IssueText, SendFeedback

NO_TEXT = IssueText("", "", "")
_STATUS = {
    "scheduled": "scheduled",
    "holding": "about_to_send",
    "sending": "in_flight",
    "finished": "sent",
    "paused": "paused",
    "stopped": "errored",
    "cancelled": "suppressed",
    "draft": "draft",
}


@dataclass(frozen=True)
class IssueOverview:
    """An issue with its newest send, and ``counts``, its deliveries by state (empty without a send)."""

    row: IssueRow
    text: IssueText
    counts: dict[str, int]

    @property
    def body(self) -> str:
        """Its Markdown; of an edition that was stored without, the plain text."""
        return self.text.source or self.text.text

    @property
    def number(self) -> int:
        """The number that its public id encodes."""
        return issue_number(self.row.key)

    @property
    def status(self) -> str:
        """The API's word for the state; an issue without a send is in the archive, as Buttondown's sent emails are."""
        return _STATUS.get(self.row.state or "", "sent")


@dataclass(frozen=True)
class Analytics:
    """The outcomes of a send, in subscribers."""

    recipients: int
    deliveries: int
    temporary_failures: int
    permanent_failures: int
    complaints: int
    unsubscriptions: int
    bounced: int
    failed: int


_NONE = Analytics(0, 0, 0, 0, 0, 0, 0, 0)


def issue_number(key: str) -> int:
    """Derive an issue's number from its key: the same on every server."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def list_issues(database: Database) -> list[IssueRow]:
    """All issues, newest first, without bodies."""
    with database.transaction() as tx:
        return issue_overview.list_all(tx)


def load_overviews(database: Database, rows: Sequence[IssueRow]) -> list[IssueOverview]:
    """Add bodies and counts to these issues."""
    with database.transaction() as tx:
        texts = issue_overview.list_texts(tx, [row.edition_id for row in rows if row.edition_id])
        own = issue_overview.list_own_texts(tx, [row.key for row in rows if not row.edition_id])
        counts = deliveries.count_by_state(tx, [row.send_id for row in rows if row.send_id])
    found = {row.key: texts.get(row.edition_id, NO_TEXT) if row.edition_id else own.get(row.key, NO_TEXT) for row in rows}
    return [IssueOverview(row, found[row.key], counts.get(row.send_id or 0, {})) for row in rows]


def find_issue(database: Database, public: str) -> IssueOverview | None:
    """Find an issue by its public id or key; None if there is none."""
    wanted = public_ids.number("em", public)
    for row in list_issues(database):
        if row.key == public or (wanted is not None and issue_number(row.key) == wanted):
            return load_overviews(database, [row])[0]
    return None


def find_by_keys(database: Database, keys: Collection[str]) -> dict[str, IssueOverview]:
    """The issues with these keys."""
    found = load_overviews(database, [row for row in list_issues(database) if row.key in keys]) if keys else []
    return {one.row.key: one for one in found}


def load_analytics(database: Database, found: Sequence[IssueOverview]) -> list[Analytics]:
    """The analytics of each issue's send, in the same order; all 0 without a send."""
    with database.transaction() as tx:
        outcomes = issue_overview.list_feedback(tx, [one.row.send_id for one in found if one.row.send_id])
    return [_sum_analytics(one.counts, outcomes[one.row.send_id]) if one.row.send_id else _NONE for one in found]


def list_editions(database: Database, issue: IssueOverview) -> list[EditionText]:
    """Every uploaded edition of the issue, oldest first."""
    with database.transaction() as tx:
        return issue_overview.list_editions(tx, issue.row.key)


def _sum_analytics(counts: Mapping[str, int], more: SendFeedback) -> Analytics:
    return Analytics(
        recipients=sum(counts[state] for state in ("accepted", "delivered", "bounced", "complained", "uncertain")),
        deliveries=counts["delivered"] + counts["complained"],
        temporary_failures=more.soft_bounced,
        permanent_failures=counts["bounced"] + counts["failed"],
        complaints=counts["complained"],
        unsubscriptions=more.unsubscribed,
        bounced=counts["bounced"],
        failed=counts["failed"],
    )
