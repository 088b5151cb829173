"""The monthly report: what it says, to whom it goes, and that it goes once."""

from __future__ import annotations

import email
import email.policy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.i18n import local_time
from mailer.core.settings import Settings
from mailer.exchange.email_outcomes import EventKind
from mailer.flows.events.email_events import record_events
from mailer.flows.operations import monthly_report
from mailer.flows.operations.monthly_report import MonthlyReports, find_last_month, queue_report
from mailer.flows.transactional.report_emails import compose_report
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.store.subscribers import subscribers
from mailer.store.transactional.transactional_emails import ClaimedEmail
from mailer.transports.outbox import Outbox
from mailer.webhooks.ses_events import SesEvent
from tests import factories
from tests.integration.sending.test_send_control import begin, run, send_all

THIS = date.today().replace(day=1)
OWNERS = ("Ada@example.org", "bob@example.org")


@pytest.fixture
def conf(tmp_path: Path, database: Database) -> Settings:
    (tmp_path / "pelicanconf.py").write_text("SITENAME = 'The Letter'\nDEFAULT_LANG = 'de'\n")
    more = {"monthly_report": True, "desk": True, "desk_owners": OWNERS, "config": tmp_path / "pelicanconf.py"}
    return factories.settings(tmp_path, database.url, plans=tmp_path / "none.toml", **more)  # type: ignore[arg-type]


@pytest.fixture
def busy(database: Database, conf: Settings) -> Database:
    """A month with a send to 1,200 subscribers, of whom two unsubscribed."""
    send_id = begin(database, replace(conf, first_slice=100.0), 1200)
    send_all(database, conf, send_id)
    run(database, "UPDATE deliveries SET state = 'delivered' WHERE subscriber_id > 10")
    for one in (1, 2):
        with database.transaction() as tx:
            subscribers.unsubscribe(tx, one)
    for file in conf.outbox.glob("*"):
        file.unlink()
    return database


def list_reports(conf: Settings) -> list[EmailMessage]:
    found = [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in conf.outbox.glob("*.eml")]
    return sorted(found, key=lambda one: one["To"])


def deliver(database: Database, conf: Settings) -> list[EmailMessage]:
    while deliver_batch(database, conf, Outbox(conf.outbox), "The Letter"):
        pass
    return list_reports(conf)


def read(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part
    return str(part.get_content()).replace("\n", " ")


def test_it_says_in_the_sites_language_what_the_month_brought(busy: Database, conf: Settings) -> None:
    assert queue_report(busy, conf, THIS) == 2
    ada, bob = deliver(busy, conf)
    assert (ada["To"], bob["To"]) == OWNERS
    assert str(ada["Subject"]).startswith("The Letter im ")
    text = read(ada)
    for said in (
        "Abonnements derzeit: 1.198.", "Neu angemeldet: 1.200. Bestätigt: 1.200.", "Abgemeldet: 2.",
        "Veränderung in diesem Monat: +1.198.", "Title of 2026-11-24-hello",
        " 1.200. Zugestellt: 1.190. Unzustellbar: 0. Als Spam gemeldet: 0. Abgemeldet: 2.", "/desk/growth",
    ):  # fmt: skip
        assert said in text, said
    assert "Umsatz" not in text
    assert 'lang="de"' in read(ada, "html")
    assert "subscriber-" not in text


@pytest.mark.parametrize("lang", ["en", "fr", "es", "zh", "xx"])
def test_each_language_has_its_words(busy: Database, conf: Settings, lang: str) -> None:
    conf.config.write_text(f"SITENAME = 'The Letter'\nDEFAULT_LANG = '{lang}'\n")
    queue_report(busy, conf, THIS)
    text = read(deliver(busy, conf)[0])
    said = {"fr": "Désabonnements\xa0: 2.", "es": "Bajas: 2.", "zh": "退订：2。"}.get(lang, "Unsubscribed: 2.")
    assert said in text


def test_what_was_paid_is_told_where_something_is_sold(busy: Database, conf: Settings) -> None:
    facts = monthly_report.collect_facts(busy, conf, THIS)
    assert facts
    assert facts["paid"] is None
    paid = {"began": 2, "ended": 1, "monthly_revenue": {"eur": 4950, "usd": 100}}
    email = ClaimedEmail(1, "report", 0, "writer@example.org", datetime.now(UTC), {**facts, "paid": paid})
    text = " ".join(compose_report(conf, "The Letter", email).before)
    assert "Bezahlte Abos: 2 begonnen, 1 beendet. Umsatz im Monat: 49,50\xa0€. Umsatz im Monat: 1,00\xa0$." in text
    sells = monthly_report._measure_paid(busy, conf, THIS)
    assert sells == {"began": 0, "ended": 0, "monthly_revenue": {}}


def test_many_schedulers_send_it_once(busy: Database, conf: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: queue_report(busy, conf, THIS), range(8))) == 2
    assert len(deliver(busy, conf)) == 2
    assert queue_report(busy, conf, THIS) == 0
    assert queue_report(busy, replace(conf, desk_owners=(*OWNERS, "eve@example.org")), THIS) == 1


def test_the_scheduler_queues_last_months_and_counts_only_once(
    busy: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(busy, f"UPDATE sends SET started_at = '{find_last_month(THIS) + timedelta(days=3)}'")
    counted: list[date] = []
    real = monthly_report.collect_facts

    def collect(database: Database, settings: Settings, month: date) -> object:
        counted.append(month)
        return real(database, settings, month)

    monkeypatch.setattr(monthly_report, "collect_facts", collect)
    monkeypatch.setattr(monthly_report, "_INTERVAL_SECONDS", 0.0)
    for _ in range(2):
        reports = MonthlyReports(busy, conf)
        for _ in range(3):
            reports.run_due()
    assert counted == [find_last_month(local_time.to_local(datetime.now(UTC)).date())]
    assert len(deliver(busy, conf)) == 2


def test_it_is_off_unless_it_is_switched_on_and_a_month_without_anything_has_none(busy: Database, conf: Settings) -> None:
    assert queue_report(busy, replace(conf, monthly_report=False), THIS) == 0
    assert queue_report(busy, replace(conf, desk_owners=()), THIS) == 0
    assert queue_report(busy, conf, date(2020, 5, 1)) == 0
    assert queue_report(busy, replace(conf, desk_owners=(), reviewers=("rev@example.org",)), THIS) == 1


def test_an_address_that_bounced_gets_no_more_and_subscribers_are_untouched(busy: Database, conf: Settings) -> None:
    queue_report(busy, conf, THIS)
    deliver(busy, conf)
    with busy.transaction() as tx:
        [row] = tx.all("SELECT id FROM transactional_emails WHERE facts ->> 'to' = 'Ada@example.org'")
    record_events(busy, conf, [SesEvent(EventKind.HARD_BOUNCE, datetime.now(UTC), "m", email_id=row["id"])])
    with busy.transaction() as tx:
        assert tx.all("SELECT email_normal FROM suppressions") == [{"email_normal": "ada@example.org"}]
        tx.run("UPDATE transactional_emails SET once = NULL")
    assert queue_report(busy, conf, THIS) == 2
    assert [one["To"] for one in deliver(busy, conf)] == ["Ada@example.org", "bob@example.org", "bob@example.org"]
    with busy.transaction() as tx:
        assert tx.value("SELECT count(*) FROM subscribers WHERE state = 'active'") == 1198


def test_months_of_the_sites_zone(busy: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    local_time.use_zone(lambda: "Pacific/Auckland")
    try:
        run(busy, "UPDATE sends SET started_at = '2026-05-31 13:00+00'")  # 1 June there
        assert queue_report(busy, conf, date(2026, 5, 1)) == 0
        assert queue_report(busy, conf, date(2026, 6, 1)) == 2
    finally:
        local_time.use_zone()
