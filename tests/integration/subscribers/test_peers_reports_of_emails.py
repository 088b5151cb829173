"""More of what people reported of other newsletter tools, tried on ours: lists, events, sends. Each test names the report."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.flows.events import email_events
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import send_control
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_report import make_report
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers import erasure, exports, imports
from mailer.flows.subscribers.imports import ImportPlan, ImportRequest
from mailer.flows.subscribers.unsubscribe_by_email import UnsubscribeEmailOutcome, process_email
from mailer.store.sending.sends import SendState
from mailer.store.subscribers import suppressions
from mailer.transports.outbox import Outbox, OutboxEmail
from tests import factories, web
from tests.web import Web

ADA, BOB = "ada@example.org", "bob@example.org"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python",))


def import_list(newsletter: Web, data: str, evidence: str = "asked on paper") -> ImportPlan:
    path = newsletter.settings.build.parent / "list.csv"
    path.write_text(data, encoding="utf-8")
    return imports.apply_import(newsletter.database, newsletter.settings, ImportRequest(path, evidence=evidence))


def rows(newsletter: Web, columns: str) -> list[tuple[object, ...]]:
    with newsletter.database.transaction() as tx:
        return [tuple(row.values()) for row in tx.all(f"SELECT {columns} FROM subscribers ORDER BY id")]


def suppress(newsletter: Web, *emails: str, reason: str = "hard bounce") -> None:
    with newsletter.database.transaction() as tx:
        suppressions.add(tx, list(emails), reason)


def why_suppressed(newsletter: Web) -> dict[str, str]:
    with newsletter.database.transaction() as tx:
        return {row["email_normal"]: row["reason"] for row in tx.all("SELECT email_normal, reason FROM suppressions")}


def unsubscribe_url(email: OutboxEmail) -> str:
    [found] = re.findall(r"<(https?://[^>]+)>", dict(email.headers)["List-Unsubscribe"])
    return str(found)


def start_send(newsletter: Web, edition: Edition | None = None) -> int:
    adopt_issues(newsletter.database, newsletter.settings, [factories.old()])
    issues = [factories.old(), edition or factories.edition()]
    transport = Outbox(newsletter.settings.outbox)
    [send_id] = publish(newsletter.database, newsletter.settings, issues, [], transport, Request()).send_ids
    return send_id


def finish_send(newsletter: Web, send_id: int) -> None:
    for _ in range(200):
        if list_send_statuses(newsletter.database, str(send_id))[0].send.state == SendState.FINISHED:
            return
        advance_sends(newsletter.database, newsletter.settings)
        deliver_send(newsletter.database, newsletter.settings, Outbox(newsletter.settings.outbox), send_id)
    raise AssertionError("the send does not finish")


def tell(newsletter: Web, event: str, send_id: int, email: str = ADA) -> None:
    with newsletter.database.transaction() as tx:
        known = tx.value("SELECT id FROM subscribers WHERE email_normal = %(email)s", email=email)
    accepted = AcceptedEmail(f"m-{send_id}-{known}", email, {"send": str(send_id), "subscriber": str(known)}, "Subject", 0.0)
    body = json.dumps(event_json(FakeEvent(event, accepted, 1.0)))
    assert email_events.process_messages(newsletter.database, newsletter.settings, [body]).recorded == 1


# https://github.com/knadh/listmonk/issues/2452, 2496 and 2008
def test_listmonk_2452_an_import_keeps_apart_who_unsubscribed_and_whose_address_bounced(newsletter: Web) -> None:
    import_list(newsletter, f"email\n{ADA}\n{BOB}\n")
    newsletter.client.post(f"/leave/{_token(newsletter)}", data={"List-Unsubscribe": "One-Click"})
    suppress(newsletter, BOB)
    before = rows(newsletter, "state, unsubscribed_at")
    import_list(newsletter, f"email,state,tags\n{ADA},active,new\n{BOB},active,new\n")
    assert rows(newsletter, "state, unsubscribed_at") == before
    assert [state for state, _ in before] == ["unsubscribed", "active"]
    assert why_suppressed(newsletter) == {BOB: "hard bounce"}


def _token(newsletter: Web) -> str:
    return tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1))


# https://github.com/knadh/listmonk/issues/1547
def test_listmonk_1547_a_name_may_be_empty(newsletter: Web) -> None:
    assert import_list(newsletter, 'email,name,attributes\na@example.com,,"{}"\nb@example.com,"",\n').counts["new"] == 2


# https://github.com/justingit/dada-mail/issues/513
def test_dada_513_columns_of_an_export_may_be_moved_before_it_is_imported(newsletter: Web) -> None:
    import_list(newsletter, f"email,tags\n{ADA},python\n")
    file = io.BytesIO()
    exports.export_subscribers(newsletter.database, file)
    table = list(csv.reader(io.StringIO(file.getvalue().decode())))
    moved = io.StringIO()
    csv.writer(moved).writerows(row[::-1] for row in table)
    done = import_list(newsletter, moved.getvalue())
    assert (done.format, done.counts["same"], done.counts["refused"]) == ("postmerge", 1, 0)


# https://github.com/gophish/gophish/issues/764
@pytest.mark.parametrize("cell", ['"""Adam Baker"" <adam@example.org>"', "Adam Baker <adam@example.org>", "<adam@example.org>"])
def test_gophish_764_an_address_with_a_name_is_read_or_refused_at_its_line_and_never_stored_whole(
    newsletter: Web, cell: str
) -> None:
    done = import_list(newsletter, f"email\n{cell}\n{ADA}\n")
    assert done.read == 2
    assert {email for (email,) in rows(newsletter, "email")} <= {ADA, "adam@example.org"}
    assert done.counts["new"] + done.counts["refused"] == 2


# https://github.com/mautic/mautic/issues/5149
def test_mautic_5149_an_address_in_capitals_is_the_same_subscriber(newsletter: Web) -> None:
    import_list(newsletter, f"email\n{ADA}\n")
    done = import_list(newsletter, "email,tags\nADA@EXAMPLE.ORG,python\n")
    assert (done.counts["new"], done.counts["changed"]) == (0, 1)
    assert rows(newsletter, "email, tags") == [(ADA, ["python"])]


# https://github.com/mautic/mautic/issues/1138
def test_mautic_1138_an_address_keeps_its_capitals_and_is_compared_without_them(newsletter: Web) -> None:
    for email in ("Ada.Lovelace@Example.org", "ada.lovelace@example.org"):
        newsletter.subscribe(email)
    newsletter.work()
    assert rows(newsletter, "email") == [("Ada.Lovelace@example.org",)]
    assert [email.to for email in newsletter.emails()] == ["Ada.Lovelace@example.org"]


# https://github.com/mautic/mautic/issues/5949
def test_mautic_5949_who_unsubscribed_and_is_created_again_stays_unsubscribed(newsletter: Web) -> None:
    import_list(newsletter, f"email\n{ADA}\n")
    newsletter.client.post(f"/leave/{_token(newsletter)}", data={"List-Unsubscribe": "One-Click"})
    client = newsletter.holder(base_url="http://127.0.0.1")
    assert client.post("/v1/subscribers", json={"email_address": ADA.upper(), "type": "regular"}).status_code == 400
    import_list(newsletter, f"email,state\n{ADA.upper()},active\n")
    assert rows(newsletter, "state") == [("unsubscribed",)]


# https://github.com/mautic/mautic/issues/4895
def test_mautic_4895_a_list_with_the_former_address_of_who_unsubscribed_brings_nobody_back(newsletter: Web) -> None:
    import_list(newsletter, f"email\n{ADA}\n")
    client = newsletter.holder(base_url="http://127.0.0.1")
    assert client.patch(f"/v1/subscribers/{ADA}", json={"email_address": BOB}).status_code == 200
    newsletter.client.post(f"/leave/{_token(newsletter)}", data={"List-Unsubscribe": "One-Click"})
    import_list(newsletter, f"email\n{ADA}\n")
    assert newsletter.state(BOB) == "unsubscribed"
    assert newsletter.state(ADA) != "active"


# https://github.com/TryGhost/Ghost/pull/27408
def test_ghost_27408_who_bounced_was_deleted_and_is_added_again_stays_suppressed(newsletter: Web) -> None:
    import_list(newsletter, f"email\n{ADA}\n{BOB}\n")
    suppress(newsletter, ADA)
    erasure.erase_by_email(newsletter.database, newsletter.settings, ADA)
    client = newsletter.holder(base_url="http://127.0.0.1")
    client.post("/v1/subscribers", json={"email_address": ADA, "type": "regular"})
    import_list(newsletter, f"email,state\n{ADA},active\n")
    finish_send(newsletter, start_send(newsletter))
    newsletter.work()
    assert {email.to for email in newsletter.emails()} == {BOB}


# https://github.com/TryGhost/Ghost/issues/25732
def test_ghost_25732_an_export_carries_suppressions_to_another_server(newsletter: Web) -> None:
    import_list(newsletter, f"email\n{ADA}\n{BOB}\n")
    suppress(newsletter, ADA)
    suppress(newsletter, "nobody@example.org", reason="complaint")
    file = io.BytesIO()
    exports.export_subscribers(newsletter.database, file)
    with newsletter.database.transaction() as tx:
        tx.run("DELETE FROM suppressions")
    import_list(newsletter, file.getvalue().decode())
    assert why_suppressed(newsletter) == {ADA: "hard bounce", "nobody@example.org": "complaint"}


# https://github.com/TryGhost/Ghost/pull/15937 and https://github.com/buttondown/roadmap/issues/1332
@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("Complaint", "complaint"),
        ("Permanent/General", "hard bounce"),
        ("Permanent/OnAccountSuppressionList", ""),
        ("Complaint/OnAccountSuppressionList", ""),
    ],
)
def test_ghost_15937_and_buttondown_1332_a_complaint_is_one_and_no_bounce_is(newsletter: Web, event: str, reason: str) -> None:
    import_list(newsletter, f"email\n{ADA}\n")
    send_id = start_send(newsletter)
    finish_send(newsletter, send_id)
    tell(newsletter, event, send_id)
    assert why_suppressed(newsletter).get(ADA, "") == reason


# https://github.com/Notifuse/notifuse/issues/313
def test_notifuse_313_confirming_twice_neither_toggles_nor_asks_again(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    [path] = [one for one in web.paths(newsletter.emails()[0].text, newsletter.settings) if one.startswith("/confirm/")]
    for _ in range(3):
        assert newsletter.client.get(path).status_code == 200
        assert newsletter.client.post(path).status_code == 200
        newsletter.work()
    assert (newsletter.state(ADA), len(newsletter.emails())) == ("active", 1)


# https://github.com/buttondown/roadmap/issues/334
def test_buttondown_334_nobody_reads_that_they_are_subscribed_before_they_confirm(newsletter: Web) -> None:
    answer = newsletter.client.post("/subscribe", data={"email": ADA, "token": newsletter.form_token()})
    assert "Check your inbox" in answer.text
    assert not re.search(
        r"you(’|')re (now |officially )?subscribed\b(?! yet)", answer.text.partition("and you’re subscribed")[0], re.I
    )


# https://github.com/buttondown/roadmap/issues/1152
def test_buttondown_1152_who_is_added_as_confirmed_gets_no_email_that_asks(newsletter: Web) -> None:
    client = newsletter.holder(base_url="http://127.0.0.1")
    assert client.post("/v1/subscribers", json={"email_address": ADA, "type": "regular"}).status_code == 201
    newsletter.work()
    assert (newsletter.state(ADA), newsletter.emails()) == ("active", [])


# https://github.com/knadh/listmonk/issues/3063
def test_listmonk_3063_the_one_click_header_of_a_confirmation_email_works_if_it_has_one(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    [email] = newsletter.emails()
    headers = dict(email.headers)
    assert ("List-Unsubscribe" in headers) == ("List-Unsubscribe-Post" in headers)
    if "List-Unsubscribe" in headers:
        answer = newsletter.client.post(unsubscribe_url(email), data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, newsletter.state(ADA)) == (200, "unsubscribed")


# https://github.com/justingit/dada-mail/issues/363
def test_dada_363_the_unsubscribe_header_is_each_subscribers_own(newsletter: Web) -> None:
    newsletter.send(3)
    emails = newsletter.emails()
    assert len({unsubscribe_url(email) for email in emails}) == 3
    newsletter.client.post(unsubscribe_url(emails[1]), data={"List-Unsubscribe": "One-Click"})
    gone = {email.to for email in emails if newsletter.state(email.to) == "unsubscribed"}
    assert gone == {emails[1].to}


# https://github.com/knadh/listmonk/issues/1311
@pytest.mark.parametrize("encoding", ["8bits", "8-bit", "utf-8", "", "x-unknown"])
def test_listmonk_1311_an_email_with_an_odd_encoding_is_read_all_the_same(newsletter: Web, encoding: str) -> None:
    import_list(newsletter, f"email\n{ADA}\n")
    raw = (
        f"From: {ADA}\r\nTo: leave@example.org\r\nSubject: unsubscribe\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\nunsubscribe\r\n"
    )
    outcome = process_email(newsletter.database, newsletter.settings, raw.encode(), is_sender_verified=True)
    assert (outcome, newsletter.state(ADA)) == (UnsubscribeEmailOutcome.UNSUBSCRIBED, "unsubscribed")


# https://github.com/knadh/listmonk/issues/1931 and 1789
def test_listmonk_1931_a_whole_batch_of_blocked_subscribers_ends_no_send_and_the_report_adds_up(newsletter: Web) -> None:
    factories.add_subscribers(newsletter.database, 300)
    send_id = start_send(newsletter)
    advance_sends(newsletter.database, newsletter.settings)  # the audience is frozen
    blocked = {f"subscriber-{number}@example.org" for number in range(20, 260)}
    suppress(newsletter, *blocked)
    finish_send(newsletter, send_id)
    got = [email.to for email in newsletter.emails()]
    assert (len(got), len(set(got)), blocked & set(got)) == (60, 60, set())
    outcomes = make_report(newsletter.database, f"send:{send_id}").outcomes
    assert (sum(outcomes.values()), outcomes["skipped"]) == (300, 240)


# https://github.com/knadh/listmonk/issues/2591
def test_listmonk_2591_a_send_that_was_paused_and_resumed_reaches_everybody(newsletter: Web) -> None:
    factories.add_subscribers(newsletter.database, 200)
    send_id = start_send(newsletter)
    advance_sends(newsletter.database, newsletter.settings)
    for _ in range(3):
        send_control.pause_send(newsletter.database, f"send:{send_id}")
        deliver_send(newsletter.database, newsletter.settings, Outbox(newsletter.settings.outbox), send_id)
        send_control.resume_send(newsletter.database, f"send:{send_id}")
        advance_sends(newsletter.database, newsletter.settings)
    finish_send(newsletter, send_id)
    got = [email.to for email in newsletter.emails()]
    assert (len(got), len(set(got))) == (200, 200)


# https://github.com/nickcv-ln/yii2-mandrill/issues/19 and https://github.com/ArtskydJ/comicsrss.com/issues/118
@pytest.mark.parametrize("subject", ["Müller & Söhne’s “best” <tags>", 'He said "it\'s 5 > 4"', "&amp; 🙂 日本語"])
def test_mandrill_19_the_subject_arrives_as_it_was_written(newsletter: Web, subject: str) -> None:
    import_list(newsletter, f"email\n{ADA}\n")
    finish_send(newsletter, start_send(newsletter, replace(factories.edition(), subject=subject)))
    assert [email.subject for email in newsletter.emails()] == [subject]
