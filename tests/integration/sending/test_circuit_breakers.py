"""Brakes and the operator's word: a stopped send that is resumed goes on, and stops again only for what is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.scheduled.send_scheduler import tend, watch
from mailer.flows.sending import send_control
from mailer.flows.sending.delivery_worker import deliver
from mailer.transports.outbox import Outbox
from tests.factories import settings
from tests.integration.sending.test_send_control import begin, only, run, send_all, turn_bad


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, first_slice_wait=timedelta(hours=1), first_slice=50.0)


def brake(database: Database, conf: Settings, readers: int = 1000) -> int:
    """A send whose first slice had too many hard bounces; it is stopped."""
    send_id = begin(database, conf, readers)
    send_all(database, conf, send_id)
    turn_bad(database, "bounced", "hard", readers // 100 + 1)
    watch(database)
    assert only(database).send.state == "stopped"
    return send_id


def test_a_send_that_a_brake_stopped_goes_on_at_the_operators_word(database: Database, conf: Settings) -> None:
    send_id = brake(database, conf)
    turn_bad(database, "bounced", "hard", 9)  # they come while the operator looks at the addresses
    send_control.resume(database, str(send_id), sure=True)
    watch(database)
    assert only(database).send.state == "sending"
    run(database, "UPDATE sends SET look_until = now()")
    send_all(database, conf, send_id)
    send_all(database, conf, send_id)
    one = only(database)
    assert (one.send.state, one.deliveries["accepted"], one.deliveries["bounced"]) == ("finished", 980, 20)


def test_a_resumed_send_is_stopped_again_by_what_is_new(database: Database, conf: Settings) -> None:
    send_id = brake(database, conf)
    send_control.resume(database, str(send_id), sure=True)
    run(database, "UPDATE sends SET look_until = now()")
    tend(database, conf)
    deliver(database, conf, Outbox(conf.outbox), send_id)
    turn_bad(database, "bounced", "hard", 6)
    tend(database, conf)
    one = only(database)
    assert one.send.state == "stopped"
    assert "6 hard bounces of 500 mails since it was resumed are more than 1.0%" in one.send.reason
    send_control.resume(database, str(send_id), sure=True)
    tend(database, conf)
    assert only(database).send.state == "finished"


def test_an_operators_own_stop_excuses_no_outcomes(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 1000)
    send_all(database, conf, send_id)
    send_control.stop(database, str(send_id), "a wrong link")
    turn_bad(database, "bounced", "hard", 6)
    send_control.resume(database, str(send_id), sure=True)
    watch(database)
    assert "6 hard bounces of 500 mails are more" in only(database).send.reason


@pytest.mark.parametrize("look", [timedelta(0), timedelta(hours=1)])
def test_outcomes_are_judged_before_the_rest_follows(database: Database, conf: Settings, look: timedelta) -> None:
    quick = replace(conf, first_slice_wait=look)
    send_id = begin(database, quick, 1000)
    tend(database, quick)
    deliver(database, quick, Outbox(quick.outbox), send_id)
    if look:
        tend(database, quick)
    turn_bad(database, "bounced", "hard", 6)
    run(database, "UPDATE sends SET look_until = now() WHERE look_until IS NOT NULL")
    assert tend(database, quick).sends == ()
    one = only(database)
    assert (one.send.state, one.send.open_wave, one.deliveries["pending"]) == ("stopped", 0, 500)


BAD = [("bounced", "hard", 6, "hard bounces"), ("bounced", "soft", 26, "soft bounces"), ("complained", "", 2, "complaints")]


@pytest.mark.parametrize(("state", "detail", "number", "name"), BAD, ids=[name for *_, name in BAD])
def test_what_the_operator_knew_of_stops_no_send_again_and_as_much_of_the_same_does(
    database: Database, conf: Settings, state: str, detail: str, number: int, name: str
) -> None:
    send_id = begin(database, conf, 1000)
    send_all(database, conf, send_id)
    turn_bad(database, state, detail, number)
    watch(database)
    assert f"{number} {name} of 500 mails are more" in only(database).send.reason
    send_control.resume(database, str(send_id), sure=True)
    run(database, "UPDATE sends SET look_until = now()")
    tend(database, conf)
    deliver(database, conf, Outbox(conf.outbox), send_id)
    watch(database)
    assert only(database).send.state == "sending"
    turn_bad(database, state, detail, number - 1)
    watch(database)
    assert only(database).send.state == "sending"
    turn_bad(database, state, detail, 1)
    watch(database)
    assert f"{number} {name} of 500 mails since it was resumed are more" in only(database).send.reason
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM notices") == 2
