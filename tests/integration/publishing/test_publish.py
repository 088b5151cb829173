from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition, Finding, SendIntent, Variant
from mailer.core.errors import BadInput, Refused
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.core.settings import Settings
from mailer.flows.publishing.preflight import ALLOWED
from mailer.flows.publishing.publish import Published, Request, adopt_issues, cancel_send, preview_publish, publish
from mailer.flows.publishing.publish_plan import Action
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.send_status import list_send_statuses
from mailer.store.sending.sends import SendState
from mailer.transports.base import AccountLimits, Answer, Envelope
from tests.factories import NOW, add_subscribers, edition, old, settings, sums_add_up
from tests.pages import Page
from tests.pages import web as web

Publish = Callable[..., Published]


class Limits:
    """A transport that only knows its limits; nothing in publishing may send."""

    name = "limits"

    def __init__(self, account: AccountLimits | None = None) -> None:
        self._account = account

    def send(self, envelope: Envelope) -> Answer:
        raise AssertionError("publishing sent an email")

    def account(self) -> AccountLimits | None:
        return self._account


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path)


@pytest.fixture
def run(database: Database, conf: Settings) -> Publish:
    """Publish these editions; the ledger already knows one old issue."""
    add_subscribers(database, 10, ("python",))
    adopt_issues(database, conf, [old()])

    def call(
        *editions: Edition,
        allow: Sequence[str] = (),
        issue: str = "",
        findings: Sequence[Finding] = (),
        account: AccountLimits | None = None,
        gate: bool = False,
        conf: Settings = conf,
        keep_old: bool = True,
    ) -> Published:
        found = [*([old()] if keep_old else []), *editions]
        return publish(database, conf, found, findings, Limits(account), Request(issue, allow, gate))

    return call


def states(database: Database) -> list[str]:
    return [str(one.send.state) for one in list_send_statuses(database)]


def test_publishing_freezes_the_audience_once(database: Database, run: Publish) -> None:
    assert len(run(edition()).send_ids) == 1
    assert run(edition()).send_ids == ()
    [one] = list_send_statuses(database)
    assert one.send.audience_size == 10
    assert one.deliveries["pending"] == 10
    assert sums_add_up(database)


def test_the_first_publish_on_an_empty_ledger_adopts_and_sends_nothing(database: Database, conf: Settings) -> None:
    add_subscribers(database, 3)
    done = publish(database, conf, [old(), edition()], [], Limits(), Request())
    assert done.plan.first
    assert done.send_ids == ()
    assert publish(database, conf, [old(), edition()], [], Limits(), Request()).send_ids == ()
    assert len(publish(database, conf, [old(), edition()], [], Limits(), Request(issue="2026-11-24-hello")).send_ids) == 1


def test_a_typo_fix_after_the_send_sends_nothing(database: Database, run: Publish) -> None:
    run(edition())
    advance_once(database)
    assert run(replace(edition(), digest="0" * 64, body="<p>fixed</p>")).send_ids == ()
    assert states(database) == ["sending"]


def advance_once(database: Database) -> None:
    advance_sends(database, settings(Path()))


@pytest.mark.parametrize("change", ["path only", "title too", "text too"])
def test_a_rename_sends_nothing(database: Database, run: Publish, change: str) -> None:
    before = edition()
    run(before)
    advance_once(database)
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
    advance_once(database)
    assert len(run(edition("two", title="This week", body="<p>one two three four five six</p>")).send_ids) == 1


@pytest.fixture
def holding(conf: Settings) -> Settings:
    return replace(conf, hold=timedelta(minutes=10))


@pytest.mark.parametrize("gone", ["the file", "its `Send:`"])
def test_what_a_merge_cancelled_is_sent_once_when_a_merge_brings_it_back(
    database: Database, run: Publish, holding: Settings, gone: str
) -> None:
    [send_id] = run(edition(), conf=holding).send_ids
    without = [] if gone == "the file" else [replace(edition(), send=SendIntent.NO)]
    run(*without, conf=holding)
    assert states(database) == ["cancelled"]
    for _ in range(3):
        assert (
            run(*without, edition("other", send=SendIntent.NO, body="<p>An unrelated page.</p>"), conf=holding).send_ids == ()
        )
    assert states(database) == ["cancelled"]
    assert sums_add_up(database)

    before = list_send_statuses(database)[0].send.due_at
    done = run(edition(), conf=holding)
    assert done.send_ids == (send_id,)
    assert done.plan.of(Action.SEND)[0].why == f"asks to be sent again: send {send_id}, which a merge cancelled, is armed again"
    [one] = list_send_statuses(database)
    assert (one.send.state, one.send.audience_size, one.send.reason) == (SendState.HOLDING, 10, "")
    assert one.send.due_at > before, "the hold window begins again"
    assert sums_add_up(database)
    assert run(edition(), conf=holding).send_ids == ()
    assert len(states(database)) == 1


def test_what_comes_back_has_the_text_and_the_audience_of_the_last_merge(
    database: Database, run: Publish, holding: Settings
) -> None:
    run(edition(), conf=holding)
    run(conf=holding)
    again = edition(body="<p>Written once more, from the beginning.</p>", audience="python and not beginners")
    run(again, conf=holding, allow=["unknown-tag"])
    [one] = list_send_statuses(database)
    assert (one.send.digest, one.send.audience, one.send.audience_size) == (again.digest, again.audience, 10)


def test_what_the_operator_cancelled_stays_cancelled_until_they_say_so(
    database: Database, run: Publish, holding: Settings
) -> None:
    run(edition(), conf=holding)
    cancel_send(database, "2026-11-24-hello")
    for editions in ([edition()], [], [edition()], [edition(body="<p>Changed all over.</p>")]):
        done = run(*editions, conf=holding)
        assert done.send_ids == ()
        said = [step.why for step in done.plan.steps if step.key == "2026-11-24-hello"]
        assert said == ["cancelled by the operator: `postmerge publish --issue 2026-11-24-hello` sends it"] * len(editions)
    assert states(database) == ["cancelled"]
    assert len(run(edition(), conf=holding, issue="2026-11-24-hello").send_ids) == 1
    assert states(database) == ["holding"]


@pytest.mark.parametrize("asks", [{"send": SendIntent.NO}, {"send": SendIntent.AT, "send_at": NOW + timedelta(days=3)}])
def test_what_the_operator_chose_is_sent_whatever_is_merged_meanwhile(
    database: Database, run: Publish, holding: Settings, asks: dict[str, Any]
) -> None:
    quiet = edition(**asks)
    run(quiet, conf=holding, issue=quiet.key)
    due = list_send_statuses(database)[0].send.due_at
    for again in (quiet, edition(body="<p>Better words.</p>", **asks)):
        run(again, conf=holding)
        [one] = list_send_statuses(database)
        assert (one.send.state, one.send.due_at, one.send.digest) == (SendState.HOLDING, due, again.digest)
    assert sums_add_up(database)
    run(conf=holding)
    assert states(database) == ["cancelled"], "its issue is gone"


def test_choosing_a_scheduled_issue_sends_it_now(database: Database, run: Publish, holding: Settings) -> None:
    later = edition(send=SendIntent.AT, send_at=NOW + timedelta(days=3))
    run(later, conf=holding)
    run(later, conf=holding, issue=later.key)
    run(later, conf=holding)
    [one] = list_send_statuses(database)
    assert one.send.state is SendState.HOLDING
    assert one.send.due_at < NOW + timedelta(hours=1)


def test_a_cancelled_send_that_the_operator_cancels_too_stays_cancelled(
    database: Database, run: Publish, holding: Settings
) -> None:
    run(edition(), conf=holding)
    run(conf=holding)
    cancel_send(database, "2026-11-24-hello")
    assert run(edition(), conf=holding).send_ids == ()
    assert states(database) == ["cancelled"]


def test_after_a_cancelled_send_the_audience_of_edition_1_is_right(database: Database, run: Publish, holding: Settings) -> None:
    second = edition(number=2, audience="sent edition 1", body="<p>Corrected: it was nine.</p>")
    run(edition(audience="python"), conf=holding)
    run(conf=holding)
    with pytest.raises(Refused, match="is empty"):
        run(second, conf=holding)
    run(edition(audience="python"), conf=holding)
    with database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'delivered'")
        tx.run("UPDATE sends SET state = 'finished', started_at = now()")
    assert [step.size for step in run(second, conf=holding).plan.of(Action.SEND)] == [10]


def test_a_merge_that_was_too_late_to_cancel_sends_nothing_again(database: Database, run: Publish) -> None:
    run(edition())
    advance_once(database)
    run()
    assert states(database) == ["sending"]
    assert run(edition()).send_ids == ()
    assert list_send_statuses(database)[0].deliveries["pending"] == 10


def test_an_edit_in_the_hold_window_changes_what_is_sent(database: Database, run: Publish, conf: Settings) -> None:
    holding = replace(conf, hold=timedelta(minutes=10))
    run(edition(), conf=holding)
    due = list_send_statuses(database)[0].send.due_at
    assert run(edition(body="<p>better</p>", audience="python"), conf=holding).send_ids == ()
    [one] = list_send_statuses(database)
    assert one.send.digest == edition(body="<p>better</p>").digest
    assert (one.send.audience, one.send.audience_size, one.send.due_at) == ("python", 10, due)
    assert sums_add_up(database)


def test_a_schedule_moves_with_the_file_and_freezes_when_due(database: Database, run: Publish) -> None:
    later, sooner = NOW + timedelta(days=3), NOW + timedelta(days=1)
    run(edition(send=SendIntent.AT, send_at=later))
    [one] = list_send_statuses(database)
    assert (one.send.state, one.send.due_at, one.send.audience_size) == (SendState.SCHEDULED, later, None)
    run(edition(send=SendIntent.AT, send_at=sooner))
    assert list_send_statuses(database)[0].send.due_at == sooner
    with database.transaction() as tx:
        tx.run("UPDATE sends SET due_at = now() - interval '1 second'")
        tx.run("INSERT INTO subscribers (email, email_normal, state) VALUES ('late@example.org', 'late@example.org', 'active')")
    advance_once(database)
    [one] = list_send_statuses(database)
    assert (one.send.state, one.send.audience_size) == (SendState.SENDING, 11)


def test_two_publishes_at_once_make_one_send(database: Database, run: Publish) -> None:
    results: list[Published] = []
    threads = [threading.Thread(target=lambda: results.append(run(edition()))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert sum(len(result.send_ids) for result in results) == 1
    assert list_send_statuses(database)[0].deliveries["pending"] == 10


def test_cancel_stops_a_holding_send_and_refuses_a_running_one(database: Database, run: Publish, conf: Settings) -> None:
    run(edition(), conf=replace(conf, hold=timedelta(minutes=10)))
    cancel_send(database, "2026-11-24-hello")
    assert states(database) == ["cancelled"]
    run(edition("other", body="<p>quite another text for another day</p>"))
    advance_once(database)
    with pytest.raises(Refused, match="is sending: only a send that has not begun can be cancelled"):
        cancel_send(database, "other")
    with pytest.raises(BadInput, match="There is no send 'nothing'"):
        cancel_send(database, "nothing")


REFUSALS: dict[str, tuple[list[Edition], dict[str, object], str]] = {
    "many": ([edition("a"), edition("b", body="<p>b</p>")], {}, "2 issues ask to be sent at once"),
    "old": ([edition(dated=NOW - timedelta(days=30))], {}, "is dated 30 days ago"),
    "late": ([edition(send=SendIntent.AT, send_at=NOW - timedelta(days=2))], {}, "which is past"),
    "unknown-tag": ([edition(audience="not pyhton")], {}, "names the tag 'pyhton', which no subscriber has"),
    "quota": ([edition()], {"account": AccountLimits(rate=14, quota=200, sent=195)}, "SES accepts only 5 more emails"),
    "sandbox": ([edition()], {"account": AccountLimits(rate=1, quota=200, sent=0, production=False)}, "in the sandbox"),
    "duplicate": ([edition(body=old().body)], {}, "has nearly the same text as issues/2020-01-01-old.md"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_check_refuses_until_it_is_allowed(database: Database, run: Publish, name: str) -> None:
    editions, more, sentence = REFUSALS[name]
    with pytest.raises(Refused, match=sentence) as caught:
        run(*editions, **more)
    assert f"--allow {name}" in str(caught.value)
    assert states(database) == []
    assert len(run(*editions, allow=[name], **more).send_ids) == len(editions)


def test_a_quota_of_nothing_is_refused_whatever_is_allowed(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match=r"does not let this account send at all \(a quota of 0\)"):
        run(edition(), account=AccountLimits(rate=1, quota=0, sent=0), allow=["quota"])
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
    with pytest.raises(Refused, match="is empty"):
        run(edition(audience="not python"))


def test_a_page_that_is_not_live_is_refused(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match="does not show this issue yet"):
        run(edition(), gate=True)
    assert states(database) == []


BROKEN = Finding("error", "issues/x.md", 3, "`Send:` has no zone: write it as 2026-12-01 09:00 Europe/Berlin.")
ERRORS: dict[str, Finding] = {
    "in the issue": replace(BROKEN, path="issues/2026-11-24-hello.md"),
    "in a translation of it": replace(BROKEN, path="issues/2026-11-24-hello.de.md"),
    "in an issue that was left out and asks to be sent": replace(BROKEN, issue="issues/x.md", asks=1),
    "in another edition of an adopted issue": replace(
        BROKEN, path="issues/2020-01-01-old.md", issue="issues/2020-01-01-old.md", asks=2
    ),
}


@pytest.mark.parametrize("where", ERRORS)
def test_an_error_in_what_is_to_be_sent_refuses_with_its_place(database: Database, run: Publish, where: str) -> None:
    german = Variant("de", "", "", "", "", "", lang="de", path="issues/2026-11-24-hello.de.md")
    issue = replace(edition(), variants=(german,)) if "translation" in where else edition()
    with pytest.raises(Refused, match=rf"{ERRORS[where].path}:3: `Send:` has no zone") as caught:
        run(issue, findings=[ERRORS[where]])
    assert "--allow checks" in str(caught.value)
    assert states(database) == []
    assert len(run(issue, findings=[ERRORS[where]], allow=["checks"]).send_ids) == 1


def test_an_error_in_another_issue_keeps_nothing_from_being_sent(database: Database, run: Publish) -> None:
    adopted = replace(BROKEN, path="issues/2020-01-01-old.md", issue="issues/2020-01-01-old.md", asks=1)
    assert len(run(edition(), findings=[BROKEN, adopted]).send_ids) == 1
    advance_once(database)
    sent = replace(BROKEN, path="issues/2026-11-24-hello.md", issue="issues/2026-11-24-hello.md", asks=1)
    assert run(findings=[sent]).send_ids == ()


def test_an_error_in_an_issue_whose_send_waits_refuses_and_keeps_the_send(
    database: Database, run: Publish, holding: Settings
) -> None:
    run(edition(), conf=holding)
    broken = replace(BROKEN, path="issues/2026-11-24-hello.md", issue="issues/2026-11-24-hello.md", asks=1)
    with pytest.raises(Refused, match="has no zone"):
        run(conf=holding, findings=[broken])
    assert states(database) == ["holding"]


def test_the_first_publish_wants_every_issue_without_errors(database: Database, conf: Settings) -> None:
    with pytest.raises(Refused, match="has no zone"):
        publish(database, conf, [old()], [BROKEN], Limits(), Request())
    assert publish(database, conf, [old()], [BROKEN], Limits(), Request(allow=["checks"])).plan.first


def test_every_reason_is_named_once(database: Database, run: Publish) -> None:
    with pytest.raises(Refused) as caught:
        run(edition("a", dated=NOW - timedelta(days=30)), edition("b", body="<p>b</p>", audience="nobody"))
    lines = str(caught.value).split("\n")
    assert len(lines) == len(set(lines)) == 4
    assert [word in str(caught.value) for word in ("at once", "30 days ago", "'nobody', which", "is empty:")] == [True] * 4


OTHER = "<p>Seven swans were counted at dawn by volunteers who had slept badly in a cold hut.</p>"


def test_a_new_file_of_a_known_name_is_sent_once_and_the_known_issue_is_not_sent_again(
    database: Database, run: Publish
) -> None:
    run(edition("index", path="issues/2026-11/index.md", url="http://127.0.0.1:9/issues/index/"))
    advance_once(database)
    fixed = edition("2026-11", path="issues/2026-11/index.md", body=edition("index").body.replace("small", "little"))
    late = edition("2026-10-late", path="issues/2026-10-late/index.md", body=OTHER)
    done = run(late, fixed)
    assert [step.edition.path for step in done.plan.of(Action.SEND) if step.edition] == ["issues/2026-10-late/index.md"]
    assert run(late, fixed).send_ids == ()
    assert [one.send.issue_key for one in list_send_statuses(database)] == ["2026-10-late", "index"]


def test_a_rename_and_a_new_file_of_the_old_name_send_the_new_issue_only(database: Database, run: Publish) -> None:
    before = edition()
    run(before)
    advance_once(database)
    moved = replace(before, key="hello-old", path="issues/hello-old.md", url="http://127.0.0.1:9/issues/hello-old/")
    new = edition(title="Swans", body=OTHER, dated=NOW - timedelta(hours=1))
    done = run(new, moved)
    assert [(step.key, step.edition.title) for step in done.plan.of(Action.SEND) if step.edition] == [
        ("2026-11-24-hello-2", "Swans")
    ]
    for again in (run(new, moved), run(moved, new), run(moved)):
        assert again.send_ids == ()
    assert {one.send.issue_key: one.send.digest for one in list_send_statuses(database)} == {
        "2026-11-24-hello": before.digest, "2026-11-24-hello-2": new.digest,
    }  # fmt: skip


def test_a_new_file_beside_a_waiting_send_does_not_change_its_text(database: Database, run: Publish, holding: Settings) -> None:
    first = edition("01", path="issues/2026/01.md")
    run(first, conf=holding)
    second = edition("01", path="issues/2025/01.md", title="Swans", body=OTHER, dated=NOW - timedelta(days=3))
    run(second, replace(first, key="2026-01"), conf=holding)
    assert {(one.send.issue_key, one.send.digest, str(one.send.state)) for one in list_send_statuses(database)} == {
        ("01", first.digest, "holding"), ("01-2", second.digest, "holding"),
    }  # fmt: skip


@pytest.mark.parametrize("said", [{"key": "2026-11-24-hello", "named": True}, {"key": "swans", "named": True}])
def test_a_file_filled_with_another_issue_is_ambiguous_until_its_id_identifies_it(
    database: Database, run: Publish, said: dict[str, object]
) -> None:
    run(edition())
    advance_once(database)
    other = edition(title="Swans", body=OTHER, dated=NOW + timedelta(hours=9))
    with pytest.raises(Refused, match=r"may be a new issue or the one that was there, “Title of 2026-11-24-hello”") as caught:
        run(other)
    assert "`Id: 2026-11-24-hello`" in str(caught.value)
    sent = len(run(replace(other, **said)).send_ids)  # type: ignore[arg-type]
    assert sent == (1 if said["key"] == "swans" else 0)
    assert run(replace(other, **said)).send_ids == ()  # type: ignore[arg-type]


def test_a_finding_settled_with_allow_is_not_raised_again(database: Database, run: Publish) -> None:
    run(edition())
    advance_once(database)
    other = edition(title="Swans", body=OTHER, dated=NOW + timedelta(hours=9))
    assert run(other, allow=["identity"]).send_ids == ()
    assert run(other).send_ids == ()
    assert len(states(database)) == 1


def test_an_issue_does_not_lose_its_address_to_a_new_one(database: Database, run: Publish) -> None:
    first = edition("01", path="issues/2026/01.md")
    run(first)
    advance_once(database)
    moved = replace(first, key="2026-01", url="http://127.0.0.1:9/issues/2026-01/")
    new = edition("01", path="issues/2025/01.md", title="Swans", body=OTHER, send=SendIntent.NO)
    with pytest.raises(Refused, match=r"issues/2025/01\.md would take the address of issues/2026/01\.md"):
        run(new, moved)
    assert run(new, moved, allow=["url"]).send_ids == ()


def test_an_id_of_another_files_issue_is_refused_whatever_is_allowed(database: Database, run: Publish) -> None:
    run(edition())
    advance_once(database)
    thief = edition("2026-11-24-hello", path="issues/thief.md", title="Swans", body=OTHER, named=True)
    with pytest.raises(Refused, match=r"has the `Id: 2026-11-24-hello` of an issue that is in issues/2026-11-24-hello\.md"):
        run(replace(edition(), key="another-slug"), thief, allow=ALLOWED)
    assert len(states(database)) == 1


def test_a_copy_is_refused_also_when_the_advice_is_followed_in_the_wrong_file(database: Database, run: Publish) -> None:
    run(edition())
    advance_once(database)
    copy = edition("copy", title="Copy", body=edition().body)
    corrected = edition(body=edition().body.replace("small group", "little group"))
    for first, second in ((edition(), copy), (corrected, copy)):
        with pytest.raises(Refused, match=r"has nearly the same text as issues/2026-11-24-hello\.md"):
            run(first, second)
    assert len(states(database)) == 1


def test_one_name_for_two_issues_wants_the_path(database: Database, run: Publish) -> None:
    run(edition("01", path="issues/2026/01.md", send=SendIntent.NO))
    two = [edition("2026-01", path="issues/2026/01.md"), edition("01", path="issues/2025/01.md", title="Swans", body=OTHER)]
    with pytest.raises(BadInput, match=r"'01' may be issues/2026/01\.md or issues/2025/01\.md: name the issue by its path"):
        run(*two, issue="01", allow=["url"])
    assert len(run(*two, issue="issues/2025/01.md", allow=["url"]).send_ids) == 1


def test_looking_writes_nothing(database: Database, run: Publish, conf: Settings) -> None:
    outlook = preview_publish(database, conf, [old(), edition()], [], Limits(), Request())
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
    newest = list_send_statuses(database)[0].send
    assert (newest.edition_number, newest.audience_size) == (2, 3)


def test_a_correction_to_nobody_is_refused(database: Database, run: Publish) -> None:
    with pytest.raises(Refused, match=r"'sent edition 1' of issues/2026-11-24-hello\.md is empty"):
        run(edition(number=2, audience="sent edition 1"))


ANOTHER = edition("another", body="<p>quite another text for another day, with nothing of the first in it</p>")


@pytest.mark.parametrize("allow", [(), ("many",)])
@pytest.mark.parametrize("by", ["key", "path"])
def test_one_of_two_issues_is_chosen_and_the_other_is_not_mailed(
    database: Database, run: Publish, by: str, allow: tuple[str, ...]
) -> None:
    run(edition(), ANOTHER, issue=getattr(ANOTHER, by), allow=allow)
    assert [one.send.issue_key for one in list_send_statuses(database)] == ["another"]
    run(edition(), ANOTHER)
    assert sorted(one.send.issue_key for one in list_send_statuses(database)) == ["2026-11-24-hello", "another"]


def test_an_account_whose_sending_is_switched_off_is_not_published_into(database: Database, run: Publish) -> None:
    off = AccountLimits(rate=14, quota=50_000, sent=0, sending=False)
    for allow in ((), ("quota", "sandbox", "many", "old")):
        with pytest.raises(Refused, match="SES has switched sending off for this account"):
            run(edition(), account=off, allow=allow)
    assert states(database) == []
    run(edition(send=SendIntent.AT, send_at=NOW + timedelta(days=2)), account=off)  # it may be on again by then
    assert states(database) == ["scheduled"]


@pytest.mark.parametrize("left", [0, 9, 10, 11])
def test_an_audience_that_just_fits_into_the_quota_is_sent(database: Database, run: Publish, left: int) -> None:
    account = AccountLimits(rate=14, quota=1000, sent=1000 - left)
    if left < 10:
        with pytest.raises(Refused, match=f"10 subscribers, but SES accepts only {left} more"):
            run(edition(), account=account)
    else:
        assert len(run(edition(), account=account).send_ids) == 1


@pytest.mark.parametrize(
    ("issue", "refused"),
    [
        (edition(dated=NOW - timedelta(days=7) + timedelta(hours=1)), ""),
        (edition(dated=NOW - timedelta(days=7, hours=1)), "is dated 7 days ago"),
        (edition(send=SendIntent.AT, send_at=NOW - timedelta(hours=5)), ""),
        (edition(send=SendIntent.AT, send_at=NOW - timedelta(hours=7)), "which is past"),
        (edition(send=SendIntent.AT, send_at=NOW + timedelta(days=1), dated=NOW - timedelta(days=30)), ""),
        (edition(audience="not python", send=SendIntent.AT, send_at=NOW + timedelta(days=1)), ""),
    ],
)
def test_what_is_too_old_or_too_late_begins_at_its_limit(
    database: Database, run: Publish, issue: Edition, refused: str
) -> None:
    if refused:
        with pytest.raises(Refused, match=refused):
            run(issue)
    else:
        assert len(run(issue).send_ids) == 1


@pytest.mark.parametrize("shown", ["", "0" * 64, "the right one"])
def test_only_the_very_text_of_the_live_page_is_mailed(database: Database, run: Publish, web: str, shown: str) -> None:
    issue = edition(url=f"{web}/issue/")
    Page.digest = issue.digest if shown == "the right one" else shown
    if shown == "the right one":
        assert len(run(issue, gate=True).send_ids) == 1
        return
    with pytest.raises(Refused, match="shows another text" if shown else "does not show this issue yet"):
        run(issue, gate=True)
    assert states(database) == []


def test_the_page_of_each_translation_must_show_its_text_too(database: Database, run: Publish, web: str) -> None:
    issue = edition(url=f"{web}/issue/")
    Page.digest = issue.digest
    html = f'<html><body><p>deutsch</p><a href="{UNSUBSCRIBE_URL}">x</a></body></html>'
    german = Variant("de", "Kurz", html, f"deutsch {UNSUBSCRIBE_URL}", "<p>deutsch</p>", "e" * 64, lang="de", url=f"{web}/de/")
    with pytest.raises(Refused, match=r"/de/ shows another text"):
        run(replace(issue, variants=(german,)), gate=True)
    assert len(run(replace(issue, variants=(replace(german, digest=issue.digest),)), gate=True).send_ids) == 1


def test_who_looks_for_no_page_fetches_none(database: Database, run: Publish, web: str) -> None:
    Page.digest = "0" * 64
    assert len(run(edition(url=f"{web}/issue/")).send_ids) == 1
