"""Growth and churn as counts, without watching anybody: opens and clicks are not recorded, so none are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mailer.core.db import Database
from mailer.core.i18n import local_time
from mailer.core.settings import Settings
from mailer.store.operations import growth
from mailer.store.operations.growth import Cohort, GrowthCounts, IssueLosses
from mailer.store.sending import counters

GROUPS = ("source", "topic", "language")
COHORT_MONTHS = (1, 3, 6, 12)
COUNTED = ("joined", "confirmed", "unsubscribed", "bounced", "complained", "net")
_MAX_GROUPS = 50
_MAX_COHORTS = 36
_LATEST_ISSUES = 50


@dataclass(frozen=True)
class Growth:
    """How the list grew since a day of the site's zone; ``groups`` by source, topic and language."""

    since: date
    subscribers: int
    days: Sequence[GrowthCounts]
    groups: dict[str, Sequence[GrowthCounts]]
    cohorts: Sequence[Cohort]
    issues: Sequence[IssueLosses]

    @property
    def total(self) -> GrowthCounts:
        """The sum of all days."""
        return sum_counts(self.days)


def measure_growth(database: Database, settings: Settings, days: int) -> Growth:
    """Count the changes of the last ``days`` days, today included."""
    zone = local_time.zone().key
    since = local_time.to_local(datetime.now(UTC)).date() - timedelta(days=days - 1)
    with database.transaction() as tx:
        growth.collect_changes(tx)
        return Growth(
            since=since,
            subscribers=growth.count_reached(tx),
            days=growth.count_by_day(tx, since, zone),
            groups={name: growth.count_by_group(tx, name, since, zone, settings.topics, _MAX_GROUPS) for name in GROUPS},
            cohorts=growth.list_cohorts(tx, zone, COHORT_MONTHS, _MAX_COHORTS),
            issues=growth.list_issue_losses(tx, since, zone, _LATEST_ISSUES),
        )


def make_empty(database: Database, days: int) -> Growth:
    """Return growth without changes, until it is counted."""
    since = local_time.to_local(datetime.now(UTC)).date() - timedelta(days=days - 1)
    return Growth(since, count_all(database), [], {name: [] for name in GROUPS}, [], [])


def count_all(database: Database) -> int:
    """Count the subscribers in any state, from sums."""
    with database.transaction() as tx:
        return counters.count_subscribers(tx)


def sum_counts(days: Sequence[GrowthCounts]) -> GrowthCounts:
    """Return the sum of days."""
    return GrowthCounts("total", **{name: sum(getattr(day, name) for day in days) for name in COUNTED if name != "net"})


def growth_facts(found: Growth) -> dict[str, Any]:
    """The growth as JSON data."""
    return {
        "since": found.since.isoformat(),
        "subscribers": found.subscribers,
        "total": _counts(found.total),
        "days": [{"day": one.name, **_counts(one)} for one in found.days],
        **{name: [{name: one.name or None, **_counts(one)} for one in counts] for name, counts in found.groups.items()},
        "cohorts": [
            {"month": one.month, "confirmed": one.confirmed, "kept": {str(k): v for k, v in one.kept.items()}, "now": one.now}
            for one in found.cohorts
        ],
        "issues": [vars(one) for one in found.issues],
    }


def _counts(one: GrowthCounts) -> dict[str, int]:
    return {name: getattr(one, name) for name in COUNTED}
