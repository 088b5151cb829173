"""Issues as mails: the list, one, how its send went, its editions. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mailer.core import public_ids
from mailer.core.db import Database
from mailer.store.sending import deliveries, issue_overview
from mailer.store.sending.issue_overview import Body, Outcome, Row

_STATUS = {
    "scheduled": "scheduled",
    "holding": "about_to_send",
    "sending": "in_flight",
    "finished": "sent",
    "paused": "paused",
    "stopped": "errored",
    "cancelled": "suppressed",
}


@dataclass(frozen=True)
class Mail:
    """An issue with its newest send. ``body`` is the plain text; ``counts`` its deliveries by state, empty without a send."""

    row: Row
    body: str
    counts: dict[str, int]

    @property
    def number(self) -> int:
        """What its public id is made from."""
        return number(self.row.key)

    @property
    def status(self) -> str:
        """The contract's word: an issue without a send was public before, or is not to be mailed."""
        return _STATUS.get(self.row.state or "", "imported")


@dataclass(frozen=True)
class Analytics:
    """How a send went, in readers."""

    recipients: int
    deliveries: int
    temporary_failures: int
    permanent_failures: int
    complaints: int
    unsubscriptions: int
    bounced: int
    failed: int


_NONE = Analytics(0, 0, 0, 0, 0, 0, 0, 0)


def number(key: str) -> int:
    """The number of an issue, from its key: the same on every server."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def every(database: Database) -> list[Row]:
    """All issues, the newest first, without bodies."""
    with database.transaction() as tx:
        return issue_overview.every(tx)


def whole(database: Database, rows: Sequence[Row]) -> list[Mail]:
    """These issues with their bodies and counts."""
    with database.transaction() as tx:
        texts = issue_overview.bodies(tx, [row.edition_id for row in rows if row.edition_id])
        counts = deliveries.counts(tx, [row.send_id for row in rows if row.send_id])
        return [Mail(row, texts.get(row.edition_id or 0, ""), counts.get(row.send_id or 0, {})) for row in rows]


def find(database: Database, public: str) -> Mail | None:
    """The issue with this public id or key, or None."""
    wanted = public_ids.number("em", public)
    for row in every(database):
        if row.key == public or (wanted is not None and number(row.key) == wanted):
            return whole(database, [row])[0]
    return None


def of_keys(database: Database, keys: Collection[str]) -> dict[str, Mail]:
    """The issues with these keys."""
    found = whole(database, [row for row in every(database) if row.key in keys]) if keys else []
    return {mail.row.key: mail for mail in found}


def analytics(database: Database, found: Sequence[Mail]) -> list[Analytics]:
    """How the send of each went, in their order; all 0 without one."""
    with database.transaction() as tx:
        outcomes = issue_overview.outcomes(tx, [mail.row.send_id for mail in found if mail.row.send_id])
    return [_analytics(mail.counts, outcomes[mail.row.send_id]) if mail.row.send_id else _NONE for mail in found]


def history(database: Database, mail: Mail) -> list[Body]:
    """Every edition of the issue that was handed over, the oldest first."""
    with database.transaction() as tx:
        return issue_overview.history(tx, mail.row.key)


def _analytics(counts: Mapping[str, int], more: Outcome) -> Analytics:
    return Analytics(
        recipients=sum(counts[state] for state in ("accepted", "delivered", "bounced", "complained", "uncertain")),
        deliveries=counts["delivered"] + counts["complained"],
        temporary_failures=more.soft,
        permanent_failures=counts["bounced"] + counts["failed"],
        complaints=counts["complained"],
        unsubscriptions=more.left,
        bounced=counts["bounced"],
        failed=counts["failed"],
    )
