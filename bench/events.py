"""Taking events in at full load: a real `postmerge events` process, a durable Postgres, the fake SES's queue beside them.

    .venv/bin/python -m bench.events --emails 20000

Prints events a second from the first commit to the last, and CPU-seconds for 10,000 events: ours, Postgres, the fake. With
``--beside 10000`` it sends an issue to so many subscribers twice: alone, and while the whole backlog is taken in.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

import psutil

from bench.figures import Figures, parser
from bench.send import BODY, bench_settings, cpu, is_finished, postgres_cpu
from mailer.core import log
from mailer.core.db import Database
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.send_status import list_send_statuses
from mailer.store.sending import deliveries
from mailer.transports.outbox import Outbox
from mailer.workers.actors import WakeUps
from tests import factories, processes
from tests.fakes.ses import FakeSes

CLAIM = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Measured:
    """What one run showed; CPU in CPU-seconds."""

    events: int
    seconds: float
    ours: float
    postgres: float
    fake: float
    delivered: int


def measure(emails: int, processes_of_ours: int) -> Measured:
    """Two events (send and delivery) for each of ``emails`` accepted emails, all waiting when we begin."""
    with bench_settings(32) as (conf, database), FakeSes() as ses, ExitStack() as stack:
        send_id = _sent(database, conf, emails)
        ses.control(events={"visibility_s": 300})
        ses.fill(send_id, emails)
        fake = psutil.Process(ses.pid)
        more = {**ses.environ, "POSTMERGE_SQS_QUEUE_URL": ses.queue_url}
        pg_before, fake_before = postgres_cpu(database), sum(fake.cpu_times()[:2])
        team = [stack.enter_context(processes.running("events", conf, more)) for _ in range(processes_of_ours)]
        while not (begun := _recorded(database)):
            time.sleep(0.01)
        started = time.perf_counter()
        while (done := _recorded(database)) < 2 * emails:
            time.sleep(0.1)
        seconds = time.perf_counter() - started
        ours = cpu([one.pid for one in team])
        return Measured(
            events=done - begun,
            seconds=seconds,
            ours=ours,
            postgres=postgres_cpu(database) - pg_before,
            fake=sum(fake.cpu_times()[:2]) - fake_before,
            delivered=list_send_statuses(database)[0].deliveries["delivered"],
        )


@dataclass(frozen=True)
class Slowed:
    """Emails a second of the same send alone and beside the backlog, and how many events were left when it was done."""

    alone: float
    beside: float
    left: int


def slowed(emails: int, subscribers: int) -> Slowed:
    """A send to ``subscribers``, without and with a backlog of two events for each of ``emails`` emails of an earlier one."""
    with bench_settings(96) as (conf, database), FakeSes() as ses, ExitStack() as stack:
        earlier = _sent(database, conf, emails)
        with database.transaction() as tx:
            tx.run("UPDATE subscribers SET tags = '{chosen}' WHERE id <= %(subscribers)s", subscribers=subscribers)
        ses.control(latency_s=0.05)
        more = {**ses.environ, "POSTMERGE_SQS_QUEUE_URL": ses.queue_url}
        for command in ("scheduler", "worker"):
            stack.enter_context(processes.running(command, conf, more))
        time.sleep(2)
        alone = _rate(database, conf, ses, "alone")
        ses.control(events={"visibility_s": 300})
        ses.fill(earlier, emails)
        ses.control(events={})
        stack.enter_context(processes.running("events", conf, more))
        while not _recorded(database):
            time.sleep(0.01)
        beside = _rate(database, conf, ses, "beside")
        return Slowed(alone, beside, 2 * emails - _recorded(database))


def _rate(database: Database, conf: Settings, ses: FakeSes, key: str) -> float:
    """Emails a second of one send, by SES's log."""
    html = f'<html lang="en"><body>{BODY}<a href="{UNSUBSCRIBE_URL}">Leave</a></body></html>'
    issue = factories.edition(key, body=f"{BODY}<p>{key}</p>", html=html, audience="chosen")
    issues = [
        factories.old(),
        factories.edition(),
        *([factories.edition("alone", body=f"{BODY}<p>alone</p>")] if key == "beside" else []),
        issue,
    ]
    [send_id] = publish(database, conf, issues, [], Outbox(conf.outbox), Request(issue=key)).send_ids
    WakeUps(conf.redis_url).enqueue_send(send_id)
    while not is_finished(database, send_id):
        time.sleep(0.1)
    at = sorted(email["at"] for email in ses.accepted() if email["tags"].get("send") == str(send_id))
    return float(len(at) / (at[-1] - at[0]))


def _sent(database: Database, conf: Settings, emails: int) -> int:
    """A send whose emails were all accepted, without sending them."""
    factories.add_subscribers(database, emails)
    adopt_issues(database, conf, [factories.old()])
    conf = replace(conf, first_slice=100)
    issues = [factories.old(), factories.edition()]
    [send_id] = publish(database, conf, issues, [], Outbox(conf.outbox), Request()).send_ids
    advance_sends(database, conf)
    with database.transaction() as tx:
        deliveries.claim(tx, send_id, CLAIM, emails)
        tx.run("UPDATE deliveries SET state = 'accepted', settled_at = now(), message_id = md5(subscriber_id::text)")
    return send_id


def _recorded(database: Database) -> int:
    with database.transaction() as tx:
        return int(tx.value("SELECT count(*) FROM delivery_events"))


def main() -> None:
    """Run and print the table."""
    command = parser(__doc__)
    command.add_argument("--emails", type=int, default=20_000)
    command.add_argument("--processes", type=int, default=1)
    command.add_argument("--beside", type=int, default=0, metavar="READERS", help="send to so many beside the backlog")
    options = command.parse_args()
    log.configure("error")
    found = measure(options.emails, options.processes)
    tens = 2 * options.emails / 10_000
    rows = [
        ("events recorded", f"{2 * options.emails:,}, {found.delivered:,} emails delivered"),
        ("seconds for the whole queue", f"{found.seconds:.1f}"),
        ("events a second", f"{found.events / found.seconds:,.0f}"),
        ("CPU-seconds for 10,000 events, ours", f"{found.ours / tens:.2f}"),
        ("  Postgres", f"{found.postgres / tens:.2f}"),
        ("  the fake SES", f"{found.fake / tens:.2f}"),
    ]
    if options.beside:
        both = slowed(options.emails, options.beside)
        rows += [
            (f"emails a second of a send to {options.beside:,}, alone", f"{both.alone:,.0f}"),
            ("  beside the whole queue", f"{both.beside:,.0f}, {1 - both.beside / both.alone:.0%} slower"),
            ("  events left when it was done", f"{both.left:,}"),
        ]
    Figures("events", ("what", "figure"), rows).show(options.save)


if __name__ == "__main__":
    main()
