"""What could not be done is tried again, ever more seldom, and not before its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailer.core.db import Database, Tx
from mailer.store.billing import erased_customers, stripe_events
from mailer.store.events import rejected_events
from mailer.store.subscribers import signup_limits, subscribers
from mailer.store.transactional import transactional_emails

MINUTES = [1, 2, 4, 8, 16, 32, 60, 60, 60]
Queue = tuple[str, Callable[[Tx], object], Callable[[Tx], object]]


def add_event(tx: Tx) -> None:
    stripe_events.add(tx, "evt_1", "invoice.paid", "in_1", datetime.now(UTC))


def add_erased_customer(tx: Tx) -> None:
    subscribers.add(tx, "ada@example.org", "ada@example.org", [])
    tx.run("INSERT INTO customers (stripe_id, subscriber_id) VALUES ('cus_1', 1)")
    erased_customers.add(tx, 1)


QUEUES: dict[str, Queue] = {
    "an event of Stripe's": ("stripe_events", add_event, lambda tx: stripe_events.claim_due(tx, 10)),
    "a payer who was erased": ("customer_deletions", add_erased_customer, erased_customers.claim_next),
}


@pytest.mark.parametrize("name", QUEUES)
def test_what_stripe_does_not_answer_is_asked_ever_more_seldom_up_to_once_an_hour(database: Database, name: str) -> None:
    table, add, take = QUEUES[name]
    with database.transaction() as tx:
        add(tx)
    for minutes in MINUTES:
        with database.transaction() as tx:
            assert take(tx)
            assert not take(tx)
            tx.run(f"UPDATE {table} SET due_at = due_at - make_interval(mins => %(n)s, secs => -5)", n=minutes)
        with database.transaction() as tx:
            assert not take(tx)
            tx.run(f"UPDATE {table} SET due_at = due_at - interval '6 seconds'")


@pytest.mark.parametrize("name", QUEUES)
def test_what_is_done_is_not_done_again(database: Database, name: str) -> None:
    table, add, take = QUEUES[name]
    with database.transaction() as tx:
        add(tx)
        tx.run(f"UPDATE {table} SET done_at = now()")
        assert not take(tx)


def test_a_payer_who_is_erased_once_more_is_looked_at_once_more(database: Database) -> None:
    with database.transaction() as tx:
        add_erased_customer(tx)
    with database.transaction() as tx:
        first = erased_customers.claim_next(tx)
        assert first
    with database.transaction() as tx:
        erased_customers.add(tx, 1)
        erased_customers.mark_done(tx, first)  # the worker had begun before the second time
        assert erased_customers.JOBS.has_work(tx)


@pytest.mark.parametrize(("days", "is_counted"), [(0, True), (6, True), (7, False), (8, False)])
def test_events_of_unknown_emails_are_counted_for_a_week(database: Database, days: int, is_counted: bool) -> None:
    with database.transaction() as tx:
        rejected_events.add_unknown(tx, Counter({"send": 2, "delivery": 1}))
        rejected_events.add_unknown(tx, Counter({"send": 3}))
        tx.run("UPDATE unknown_events SET day = day - %(days)s", days=days)
        found = rejected_events.count_unknown_by_kind(tx, timedelta(days=7))
    assert found == ({"delivery": 1, "send": 5} if is_counted else {})


@pytest.mark.parametrize(("age", "is_over"), [("9 minutes", False), ("11 minutes", True)])
def test_a_used_limit_is_free_again_when_its_time_is_over(database: Database, age: str, is_over: bool) -> None:
    with database.transaction() as tx:
        assert signup_limits.use(tx, [("a", "key", 6)], timedelta(hours=1)) == ""
        for _ in range(5):
            signup_limits.use(tx, [("a", "key", 6)], timedelta(hours=1))
        assert signup_limits.use(tx, [("a", "key", 6)], timedelta(hours=1)) == "a"
        tx.run(f"UPDATE limits SET used_until = used_until - interval '{age}'")
        assert (signup_limits.use(tx, [("a", "key", 6)], timedelta(hours=1)) == "") is is_over


def test_one_matter_is_told_once(database: Database) -> None:
    with database.transaction() as tx:
        subscribers.add(tx, "ada@example.org", "ada@example.org", [])
        asked = [transactional_emails.queue(tx, "paid", 1, once=once) for once in ("gift:1", "gift:1", "gift:2", None, None)]
    assert [bool(one) for one in asked] == [True, False, True, True, True]
