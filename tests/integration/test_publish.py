from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.db import Database
from mailer.edition import Edition, Finding, Wish
from mailer.errors import BadInput, Refused
from mailer.flows.publish import Published, Request, adopt, cancel, look, publish
from mailer.flows.status import status
from mailer.flows.tend import tend
from mailer.settings import Settings
from mailer.store.sends import State
from mailer.transports.base import Account, Answer, Envelope
from tests.factories import NOW, edition, old, readers, settings, sums_add_up

Publish = Callable[..., Published]


class Limits:
    """A transport that only knows its limits; nothing in publishing may send."""

    name = "limits"

    def __init__(self, account: Account | None = None) -> None:
        self._account = account

    def send(self, envelope: Envelope) -> Answer:
        raise AssertionError("publishing sent a mail")

    def account(self) -> Account | None:
        return self._account


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path)


@pytest.fixture
def run(database: Database, conf: Settings) -> Publish:
    """Publish these editions; the ledger already knows one old issue."""
    readers(database, 10, ("python",))
    adopt(database, conf, [old()])

    def call(
        *editions: Edition,
        allow: Sequence[str] = (),
        issue: str = "",
        findings: Sequence[Finding] = (),
        account: Account | None = None,
        gate: bool = False,
        conf: Settings = conf,
        keep_old: bool = True,
    ) -> Published:
        found = [*([old()] if keep_old else []), *editions]
        return publish(database, conf, found, findings, Limits(account), Request(issue, allow, gate))

    return call


def states(database: Database) -> list[str]:
    return [str(one.send.state) for one in status(database)]


def test_publishing_freezes_the_audience_once(database: Database, run: Publish) -> None:
    assert len(run(edition()).send_ids) == 1
    assert run(edition()).send_ids == ()
    [one] = status(database)
    assert one.send.audience_size == 10
    assert one.deliveries["pending"] == 10
    assert sums_add_up(database)


def test_the_first_publish_on_an_empty_ledger_adopts_and_sends_nothing(database: Database, conf: Settings) -> None:
    readers(database, 3)
    done = publish(database, conf, [old(), edition()], [], Limits(), Request())
    assert done.plan.first
    assert done.send_ids == ()
    assert publish(database, conf, [old(), edition()], [], Limits(), Request()).send_ids == ()
    assert len(publish(database, conf, [old(), edition()], [], Limits(), Request(issue="2026-11-24-hello")).send_ids) == 1


def test_a_typo_fix_after_the_send_sends_nothing(database: Database, run: Publish) -> None:
    run(edition())
    tend_once(database)
    assert run(replace(edition(), digest="0" * 64, body="<p>fixed</p>")).send_ids == ()
    assert states(database) == ["sending"]


def tend_once(database: Database) -> None:
    tend(database, settings(Path()))


@pytest.mark.parametrize("change", ["path only", "title too", "text too"])
def test_a_rename_sends_nothing(database: Database, run: Publish, change: str) -> None:
    before = edition()
    run(before)
    tend_once(database)
    after = edition("2026-11-24-hello-world", body=before.body)
    if change == "path only":
        after = replace(after, title=before.title)
    if change == "text too":
        after = edition("2026-11-24-hello-world", body=before.body.replace("small group", "little group"))
    assert run(after).send_ids == ()
    assert run(before).send_ids == ()
    assert run(after).send_ids == ()
    assert len(states(database)) == 1


def test_a_new_issue_with_the_title_of_a_deleted_one_is_sent(database: Database, run: Publish) -> None:
    run(edition("one", title="This week", body="<p>alpha beta gamma delta epsilon</p>", dated=NOW - timedelta(days=6)))
    tend_once(database)
    assert len(run(edition("two", title="This week", body="<p>one two three four five six</p>")).send_ids) == 1


def test_a_revert_in_the_hold_window_cancels_and_merging_again_does_not_send(
    database: Database, run: Publish, conf: Settings
) -> None:
    holding = replace(conf, hold=timedelta(minutes=10))
    run(edition(), conf=holding)
    assert states(database) == ["holding"]
    run(conf=holding)
    assert states(database) == ["cancelled"]
    assert run(edition(), conf=holding).send_ids == ()
    assert len(run(edition(number=2), conf=holding).send_ids) == 1


def test_an_edit_in_the_hold_window_changes_what_is_sent(database: Database, run: Publish, conf: Settings) -> None:
    holding = replace(conf, hold=timedelta(minutes=10))
    run(edition(), conf=holding)
    due = status(database)[0].send.due_at
    assert run(edition(body="<p>better</p>", audience="python"), conf=holding).send_ids == ()
    [one] = status(database)
    assert one.send.digest == edition(body="<p>better</p>").digest
    assert (one.send.audience, one.send.audience_size, one.send.due_at) == ("python", 10, due)
    assert sums_add_up(database)


def test_a_schedule_moves_with_the_file_and_freezes_when_due(database: Database, run: Publish) -> None:
    later, sooner = NOW + timedelta(days=3), NOW + timedelta(days=1)
    run(edition(send=Wish.AT, send_at=later))
    [one] = status(database)
    assert (one.send.state, one.send.due_at, one.send.audience_size) == (State.SCHEDULED, later, None)
    run(edition(send=Wish.AT, send_at=sooner))
    assert status(database)[0].send.due_at == sooner
    with database.transaction() as tx:
        tx.run("UPDATE sends SET due_at = now() - interval '1 second'")
        tx.run("INSERT INTO subscribers (email, email_normal, state) VALUES ('late@example.org', 'late@example.org', 'active')")
    tend_once(database)
    [one] = status(database)
    assert (one.send.state, one.send.audience_size) == (State.SENDING, 11)


def test_two_publishes_at_once_make_one_send(database: Database, run: Publish) -> None:
    results: list[Published] = []
    threads = [threading.Thread(target=lambda: results.append(run(edition()))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert sum(len(result.send_ids) for result in results) == 1
    assert status(database)[0].deliveries["pending"] == 10


def test_cancel_stops_a_holding_send_and_refuses_a_running_one(database: Database, run: Publish, conf: Settings) -> None:
    run(edition(), conf=replace(conf, hold=timedelta(minutes=10)))
    cancel(database, "2026-11-24-hello")
    assert states(database) == ["cancelled"]
    run(edition("other", body="<p>quite another text for another day</p>"))
    tend_once(database)
    with pytest.raises(Refused, match="is sending: only a send that has not begun can be cancelled"):
        cancel(database, "other")
    with pytest.raises(BadInput, match="There is no send 'nothing'"):
        cancel(database, "nothing")


REFUSALS: dict[str, tuple[list[Edition], dict[str, object], str]] = {
    "many": ([edition("a"), edition("b", body="<p>b</p>")], {}, "2 issues ask to be mailed at once"),
    "old": ([edition(dated=NOW - timedelta(days=30))], {}, "is dated 30 days ago"),
    "late": ([edition(send=Wish.AT, send_at=NOW - timedelta(days=2))], {}, "which is past"),
    "unknown-tag": ([edition(audience="not pyhton")], {}, "names the tag 'pyhton', which no subscriber has"),
    "quota": ([edition()], {"account": Account(rate=14, quota=200, sent=195)}, "SES takes only 5 more mails"),
    "sandbox": ([edition()], {"account": Account(rate=1, quota=200, sent=0, production=False)}, "in the sandbox"),
    "duplicate": ([edition(body=old().body)], {}, "has the same text as the issue 2020-01-01-old"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_guard_refuses_until_it_is_allowed(database: Database, run: Publish, name: str) -> None:
    editions, more, sentence = REFUSALS[name]
    with pytest.raises(Refused, match=sentence) as caught:
        run(*editions, **more)
    assert f"--allow {name}" in str(caught.value)
    assert states(database) == []
    assert len(run(*editions, allow=[name], **more).send_ids) == len(editions)


def test_a_quota_of_nothing_is_refused_whatever_is_allowed(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match=r"no mail at all \(a quota of 0\)"):
        run(edition(), account=Account(rate=1, quota=0, sent=0), allow=["quota"])
    assert states(database) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sender": ""}, "No sender is set"),
        ({"postal_address": ""}, "No postal address is set"),
    ],
)
def test_sending_needs_a_sender_and_a_postal_address(
    database: Database, run: Publish, conf: Settings, change: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Refused, match=sentence):
        run(edition(), conf=replace(conf, **change))  # type: ignore[arg-type]
    assert states(database) == []


def test_an_audience_of_nobody_is_refused(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match="is nobody"):
        run(edition(audience="not python"))


def test_a_page_that_is_not_live_is_refused(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match="does not show this issue yet"):
        run(edition(), gate=True)
    assert states(database) == []


def test_an_error_in_any_source_refuses_with_its_place(database: Database, run: Publish) -> None:
    broken = Finding("error", "issues/x.md", 3, "`Send:` has no zone: write it as 2026-12-01 09:00 Europe/Berlin.")
    with pytest.raises(Refused, match=r"issues/x.md:3: `Send:` has no zone"):
        run(edition(), findings=[broken])
    assert states(database) == []


def test_looking_writes_nothing(database: Database, run: Publish, conf: Settings) -> None:
    outlook = look(database, conf, [old(), edition()], [], Limits(), Request())
    assert [step.key for step in outlook.plan.steps if step.size] == ["2026-11-24-hello"]
    assert states(database) == []


def test_a_correction_is_mailed_to_those_who_got_the_first_edition(database: Database, run: Publish) -> None:
    run(edition(), edition("another"), allow=("many", "duplicate"))
    with database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'delivered' WHERE subscriber_id IN (SELECT id FROM subscribers LIMIT 3)")
        tx.run("UPDATE deliveries SET state = 'skipped' WHERE state = 'pending'")
        tx.run("UPDATE sends SET state = 'finished', started_at = now()")
        tx.run("UPDATE deliveries SET state = 'skipped' WHERE send_id <> (SELECT min(id) FROM sends)")
    assert run(edition()).send_ids == ()
    done = run(
        edition(number=2, audience="sent edition 1 and python", body="<p>Corrected: it was nine, not six, of the ten.</p>")
    )
    assert [step.size for step in done.plan.steps if step.edition and step.edition.number == 2] == [3]
    newest = status(database)[0].send
    assert (newest.edition_number, newest.audience_size) == (2, 3)


def test_a_correction_to_nobody_is_refused(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match=r"'sent edition 1' of issues/2026-11-24-hello\.md is nobody"):
        run(edition(number=2, audience="sent edition 1"))
