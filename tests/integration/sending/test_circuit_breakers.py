"""Circuit breakers and resuming: a resumed send continues, and stops again only because of new outcomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.scheduled.send_scheduler import advance_sends, check_circuit_breakers
from mailer.flows.sending import send_control
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.transports.outbox import Outbox
from tests.factories import settings
from tests.integration.sending.test_send_control import begin, only, run, send_all, turn_bad


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, first_slice_wait=timedelta(hours=1), first_slice=50.0)


def trip_breaker(database: Database, conf: Settings, subscribers: int = 1000) -> int:
    """A send whose first slice had too many hard bounces; it is stopped."""
    send_id = begin(database, conf, subscribers)
    send_all(database, conf, send_id)
    turn_bad(database, "bounced", "hard bounce", subscribers // 100 + 1)
    check_circuit_breakers(database)
    assert only(database).send.state == "stopped"
    return send_id


def test_a_send_stopped_by_a_circuit_breaker_continues_when_the_operator_resumes_it(database: Database, conf: Settings) -> None:
    send_id = trip_breaker(database, conf)
    turn_bad(database, "bounced", "hard bounce", 9)  # they come while the operator looks at the addresses
    send_control.resume_send(database, str(send_id), sure=True)
    check_circuit_breakers(database)
    assert only(database).send.state == "sending"
    run(database, "UPDATE sends SET watch_until = now()")
    send_all(database, conf, send_id)
    send_all(database, conf, send_id)
    one = only(database)
    assert (one.send.state, one.deliveries["accepted"], one.deliveries["bounced"]) == ("finished", 980, 20)


def test_a_resumed_send_is_stopped_again_by_what_is_new(database: Database, conf: Settings) -> None:
    send_id = trip_breaker(database, conf)
    send_control.resume_send(database, str(send_id), sure=True)
    run(database, "UPDATE sends SET watch_until = now()")
    advance_sends(database, conf)
    deliver_send(database, conf, Outbox(conf.outbox), send_id)
    turn_bad(database, "bounced", "hard bounce", 6)
    advance_sends(database, conf)
    one = only(database)
    assert one.send.state == "stopped"
    assert "6 hard bounces in 500 emails since it was resumed exceed 1.0%" in one.send.reason
    send_control.resume_send(database, str(send_id), sure=True)
    advance_sends(database, conf)
    assert only(database).send.state == "finished"


def test_an_operators_own_stop_excuses_no_outcomes(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 1000)
    send_all(database, conf, send_id)
    send_control.stop_send(database, str(send_id), "a wrong link")
    turn_bad(database, "bounced", "hard bounce", 6)
    send_control.resume_send(database, str(send_id), sure=True)
    check_circuit_breakers(database)
    assert "6 hard bounces in 500 emails exceed" in only(database).send.reason


@pytest.mark.parametrize("look", [timedelta(0), timedelta(hours=1)])
def test_outcomes_are_judged_before_the_rest_follows(database: Database, conf: Settings, look: timedelta) -> None:
    quick = replace(conf, first_slice_wait=look)
    send_id = begin(database, quick, 1000)
    advance_sends(database, quick)
    deliver_send(database, quick, Outbox(quick.outbox), send_id)
    if look:
        advance_sends(database, quick)
    turn_bad(database, "bounced", "hard bounce", 6)
    run(database, "UPDATE sends SET watch_until = now() WHERE watch_until IS NOT NULL")
    assert advance_sends(database, quick).sends == ()
    one = only(database)
    assert (one.send.state, one.send.open_wave, one.deliveries["pending"]) == ("stopped", 0, 500)


BAD = [
    ("bounced", "hard bounce", 6, "hard bounces"), ("bounced", "soft bounce", 26, "soft bounces"),
    ("bounced", "general bounce", 26, "soft bounces"), ("complained", "complaint", 2, "complaints"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "kind", "number", "name"), BAD, ids=[kind for _, kind, *_ in BAD])
def test_what_the_operator_knew_of_stops_no_send_again_and_as_much_of_the_same_does(
    database: Database, conf: Settings, state: str, kind: str, number: int, name: str
) -> None:
    send_id = begin(database, conf, 1000)
    send_all(database, conf, send_id)
    turn_bad(database, state, kind, number)
    check_circuit_breakers(database)
    assert f"{number} {name} in 500 emails exceed" in only(database).send.reason
    send_control.resume_send(database, str(send_id), sure=True)
    run(database, "UPDATE sends SET watch_until = now()")
    advance_sends(database, conf)
    deliver_send(database, conf, Outbox(conf.outbox), send_id)
    check_circuit_breakers(database)
    assert only(database).send.state == "sending"
    turn_bad(database, state, kind, number - 1)
    check_circuit_breakers(database)
    assert only(database).send.state == "sending"
    turn_bad(database, state, kind, 1)
    check_circuit_breakers(database)
    assert f"{number} {name} in 500 emails since it was resumed exceed" in only(database).send.reason
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM notices") == 2
