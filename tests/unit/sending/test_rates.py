"""A worker's rate and quota without Redis or SES: what was taken is counted once, and limits are asked for when it matters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailer.core.errors import Unavailable
from mailer.core.rate_limiter import QUOTA_RESERVE, NoRateLimit, SendSlots
from mailer.flows.sending import send_rate
from mailer.flows.sending.send_rate import REFRESH_SECONDS, REFRESH_SECONDS_NEAR_QUOTA, SendRate, quota_reserve
from mailer.transports.base import AccountLimits, Answer, Envelope

ACCOUNT = AccountLimits(rate=10, quota=50_000, sent=0)


class Clock:
    """``time.monotonic`` of the module under test, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Ses:
    """An account whose numbers a test sets; it counts how often it is asked."""

    name = "ses"

    def __init__(self, account: AccountLimits | None = ACCOUNT) -> None:
        self.account_now, self.asked, self.away = account, 0, False

    def send(self, envelope: Envelope) -> Answer:
        raise AssertionError

    def account(self) -> AccountLimits | None:
        self.asked += 1
        if self.away:
            raise Unavailable("SES cannot be asked.")
        return self.account_now

    def used(self, sent: float) -> None:
        self.account_now = replace(ACCOUNT, sent=sent)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(send_rate, "time", clock)
    return clock


def test_emails_that_ses_has_counted_are_not_counted_twice(clock: Clock) -> None:
    ses = Ses()
    rate = SendRate(ses, NoRateLimit())
    free = rate.quota_left()
    assert rate.take_slots(1000).slots.count == 1000
    assert rate.quota_left() == free - 1000
    ses.used(1000)
    clock.now += REFRESH_SECONDS
    assert rate.quota_left() == free - 1000
    rate.take_slots(500)
    assert rate.quota_left() == free - 1500


@pytest.mark.parametrize(
    ("left", "bulk", "urgent"), [(0, 0, 0), (500, 0, 500), (501, 1, 501), (600, 100, 600), (50_000, 1000, 1000)]
)
def test_bulk_keeps_exactly_the_reserve_for_transactional_emails(clock: Clock, left: int, bulk: int, urgent: int) -> None:
    for wanted, granted, is_urgent in ((1000, bulk, False), (1000, urgent, True)):
        rate = SendRate(Ses(replace(ACCOUNT, sent=50_000 - left)), NoRateLimit())
        allowed = rate.take_slots(wanted, urgent=is_urgent)
        assert (allowed.slots.count, allowed.quota_exhausted) == (granted, granted == 0)


@pytest.mark.parametrize(("quota", "kept"), [(50_000, 500), (1000, 10), (200, 10), (5, 5), (0, 0), (-1, 0)])
def test_the_reserve_is_one_hundredth_and_ten_at_least(quota: int, kept: int) -> None:
    assert QUOTA_RESERVE == 0.01
    assert quota_reserve(replace(ACCOUNT, quota=quota)) == kept


def test_the_limits_are_asked_for_every_30_seconds_and_sooner_when_little_is_left(clock: Clock) -> None:
    ses = Ses()
    rate = SendRate(ses, NoRateLimit())
    for seconds, asked in ((0, 1), (REFRESH_SECONDS - 1, 1), (1, 2), (REFRESH_SECONDS_NEAR_QUOTA + 1, 2)):
        clock.now += seconds
        rate.quota_left()
        assert ses.asked == asked
    ses.used(50_000 - ACCOUNT.rate * REFRESH_SECONDS + 1)
    clock.now += REFRESH_SECONDS
    rate.quota_left()
    for seconds, asked in ((REFRESH_SECONDS_NEAR_QUOTA - 1, 3), (1, 4), (REFRESH_SECONDS_NEAR_QUOTA - 1, 4), (1, 5)):
        clock.now += seconds
        rate.quota_left()
        assert ses.asked == asked


def test_after_throttling_the_limits_are_asked_for_within_a_second(clock: Clock) -> None:
    ses = Ses()
    rate = SendRate(ses, NoRateLimit())
    rate.quota_left()
    clock.now += 2
    rate.reduce()
    rate.quota_left()
    assert ses.asked == 1
    clock.now += 1
    rate.quota_left()
    assert ses.asked == 2
    clock.now += REFRESH_SECONDS - 0.5
    rate.reduce()  # it does not put off what is about to be asked anyway
    clock.now += 0.5
    rate.quota_left()
    assert ses.asked == 3


def test_throttling_cuts_the_rate_that_the_account_has(clock: Clock) -> None:
    cut: list[float] = []

    class CutRateLimit(NoRateLimit):
        def reduce(self, rate: float) -> None:
            cut.append(rate)

    rate = SendRate(Ses(), CutRateLimit())
    rate.quota_left()
    rate.reduce()
    assert cut == [10]


def test_while_ses_cannot_be_asked_the_last_limits_hold_and_at_first_those_of_a_new_account(clock: Clock) -> None:
    rates: list[float] = []

    class SeenRateLimit(NoRateLimit):
        def take_slots(self, wanted: int, rate: float, urgent: bool = False) -> SendSlots:
            rates.append(rate)
            return SendSlots(wanted)

    ses = Ses()
    ses.away = True
    rate = SendRate(ses, SeenRateLimit())
    assert rate.take_slots(1000).slots.count == 200 - 10
    ses.away = False
    clock.now += REFRESH_SECONDS
    assert rate.take_slots(1000).slots.count == 1000
    ses.away = True
    clock.now += REFRESH_SECONDS
    assert rate.take_slots(1000).slots.count == 1000
    assert rates == [1, 10, 10]


def test_a_transport_without_limits_is_never_slowed(clock: Clock) -> None:
    rate = SendRate(Ses(None), NoRateLimit())
    allowed = rate.take_slots(10**6)
    assert (allowed.slots.count, allowed.quota_exhausted, rate.quota_left()) == (10**6, False, float("inf"))
    rate.reduce()
