"""From Stripe's post to a subscriber's access through real Valkey: the wake-up, the worker, the scheduler."""

from __future__ import annotations

import time
from pathlib import Path

from mailer.core.db import Database
from mailer.fakes.fake_stripe import FakeStripe
from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.scheduled.time_jumps import TimeJumps
from mailer.transports.outbox import Outbox
from mailer.workers import scheduler
from mailer.workers.actors import WakeUps, WorkerContext, WorkerThreads
from tests import paying, processes
from tests.paying import Shop


def test_an_event_wakes_the_worker_and_the_scheduler_replaces_a_lost_wake_up(
    database: Database, tmp_path: Path, redis_url: str
) -> None:
    with FakeStripe(int(time.time())) as fake:
        settings = paying.settings(tmp_path, database, fake, redis_url=redis_url)
        shop, wake_ups = Shop(settings, database, fake), WakeUps(redis_url)
        workshop = WorkerThreads(WorkerContext(database, settings, Outbox(settings.outbox), "The Letter"))
        workshop.start()
        try:
            shop.add_subscriber()
            shop.buy()
            fake.deliver(shop.post)
            assert wake_ups.enqueue_payments()
            processes.eventually(lambda: shop.entitlement().state is EntitlementState.PAYING, 20, "the wake-up arrived")
            shop.add_subscriber("bob@example.org")
            shop.buy("bob@example.org")
            fake.deliver(shop.post)
            scheduler.run_round(database, settings, wake_ups, TimeJumps())
            processes.eventually(
                lambda: shop.entitlement("bob@example.org").state is EntitlementState.PAYING,
                20,
                "the scheduler woke the worker",
            )
        finally:
            workshop.stop(10)
