"""The monthly report: one email about last month to each operator, queued once however many schedulers run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mailer import editions
from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.i18n import local_time
from mailer.core.settings import Settings
from mailer.flows.billing.revenue import measure_revenue
from mailer.flows.operations.growth import COUNTED, sum_counts
from mailer.store.operations import growth
from mailer.store.sending import deliveries, digests
from mailer.store.transactional import transactional_emails

logger = log.get("report")

KEEP_REPORTS_FOR = timedelta(days=400)
_INTERVAL_SECONDS = 300.0
_MAX_REPORTED_SENDS = 60


class MonthlyReports:
    """Queues last month's report. Safe to run concurrently."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._recipients = list_recipients(settings)
        self._last = -_INTERVAL_SECONDS
        self._done: date | None = None

    def run_due(self) -> None:
        """Queue the report if a month has ended. Raises Unavailable."""
        if not self._recipients or time.monotonic() - self._last < _INTERVAL_SECONDS:
            return
        self._last = time.monotonic()
        today = local_time.to_local(datetime.now(UTC)).date()
        if (month := find_last_month(today)) != self._done:
            queue_report(self._database, self._settings, month)
            self._done = month


def list_recipients(settings: Settings) -> Sequence[str]:
    """Return who gets the report: owners of the desk, else reviewers. The operator's settings vouch for their addresses."""
    if not settings.monthly_report:
        return ()
    by_normal = {addresses.normal(one): one for one in reversed(settings.desk_owners or settings.reviewers)}
    return tuple(reversed(by_normal.values()))


def find_last_month(today: date) -> date:
    """Return the first day of the month before."""
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


def queue_report(database: Database, settings: Settings, month: date) -> int:
    """Queue the report about a month; return how many emails are new: 0 if they were queued before, or nothing happened."""
    onces = {f"report:{month:%Y-%m}:{addresses.normal(one)}": one for one in list_recipients(settings)}
    with database.transaction() as tx:
        missing = onces.keys() - transactional_emails.list_known(tx, list(onces))
    if not missing or not (facts := collect_facts(database, settings, month)):
        return 0
    with log.in_request(), database.transaction() as tx:
        transactional_emails.delete_reports(tx, KEEP_REPORTS_FOR)
        queued = [
            transactional_emails.queue(tx, "report", None, {**facts, "to": onces[once]}, once=once) for once in sorted(missing)
        ]
        number = sum(bool(email_id) for email_id in queued)
        if number:
            logger.info("report.queued", month=facts["month"], emails=number)
    return number


def collect_facts(database: Database, settings: Settings, month: date) -> dict[str, Any] | None:
    """Count what happened in a month of the site's zone, as JSON data; None if nothing did."""
    name, zone = f"{month:%Y-%m}", local_time.zone()
    start = datetime(month.year, month.month, 1, tzinfo=zone)
    end = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=zone)
    with database.transaction() as tx:
        growth.collect_changes(tx)
        days = [day for day in growth.count_by_day(tx, month, zone.key) if day.name.startswith(name)]
        sends = _list_sends(tx, month, start, end)
        subscribers = growth.count_reached(tx)
    if not days and not sends:
        return None
    total = sum_counts(days)
    return {
        "month": name,
        "lang": editions.site_lang(settings.config),
        "subscribers": subscribers,
        "growth": {one: getattr(total, one) for one in COUNTED},
        "sends": sends,
        "paid": _measure_paid(database, settings, month) if settings.sells else None,
    }


def _list_sends(tx: Tx, month: date, start: datetime, end: datetime) -> list[dict[str, Any]]:
    found = digests.list_sends(tx, start, end)[:_MAX_REPORTED_SENDS]
    counts = deliveries.count_by_state(tx, [one["id"] for one in found])
    losses = {one.send_id: one for one in growth.list_issue_losses(tx, month, local_time.zone().key, _MAX_REPORTED_SENDS)}
    return [
        {
            "title": one["title"],
            "url": one["url"],
            "emails": sum(counts[one["id"]].values()),
            "delivered": counts[one["id"]]["delivered"],
            "bounced": counts[one["id"]]["bounced"],
            "complained": counts[one["id"]]["complained"],
            "unsubscribed": losses[one["id"]].unsubscribed if one["id"] in losses else 0,
        }
        for one in found
    ]


def _measure_paid(database: Database, settings: Settings, month: date) -> dict[str, Any]:
    found = measure_revenue(database, settings, months=2)
    last = next((one for one in found.months if one.month == f"{month:%Y-%m}"), None)
    return {
        "began": last.began if last else 0,
        "ended": last.ended if last else 0,
        "monthly_revenue": {currency: amount for currency, amount in found.mrr.items() if amount},
    }
