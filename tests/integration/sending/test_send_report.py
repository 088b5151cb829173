from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import environment
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_report import SendReport, make_report, report_facts
from mailer.flows.sending.send_report_page import render_report
from mailer.transports.outbox import Outbox
from tests import commands
from tests.factories import add_subscribers, edition, old, settings


@pytest.fixture
def sent(database: Database, tmp_path: Path) -> int:
    """A finished send with each kind of outcome, over 30 domains, its claims spread over 90 s; its id."""
    conf = settings(tmp_path)
    add_subscribers(database, 600)
    with database.transaction() as tx:
        tx.script("UPDATE subscribers SET email_normal = format('r%s@d%s.example', id, 1 + id % 30)")
        tx.script("UPDATE subscribers SET email_normal = format('r%s@big.example', id) WHERE id % 2 = 0")
        tx.script("UPDATE subscribers SET email = email_normal")
    adopt_issues(database, conf, [old()])
    outbox = Outbox(conf.outbox)
    issue = edition(subject='<script>alert("1")</script> & more')
    [send_id] = publish(database, replace(conf, first_slice=100.0), [old(), issue], [], outbox, Request()).send_ids
    advance_sends(database, conf)
    with database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unsubscribed' WHERE id <= 5")
    deliver_send(database, conf, outbox, send_id)
    with database.transaction() as tx:
        tx.run("UPDATE deliveries SET claimed_at = timestamptz '2026-11-24 10:00Z' + interval '1 second' * (subscriber_id / 7)")
        tx.run("UPDATE deliveries SET state = 'bounced', detail = 'hard: 550 <r9@d1.example> unknown' WHERE subscriber_id = 9")
        tx.run("UPDATE deliveries SET state = 'uncertain', detail = 'the answer was lost' WHERE subscriber_id IN (11, 12)")
    advance_sends(database, conf)
    return send_id


def test_the_sums_of_the_report_add_up_to_the_audience(database: Database, sent: int) -> None:
    found = make_report(database, str(sent))
    assert found.adds_up
    assert found.sum_sentence() == (
        "The sums add up: 592 accepted + 5 skipped + 1 bounced + 2 uncertain = 600 subscribers in the audience."
    )
    assert sum(found.timeline.emails) == found.span.emails == 595
    assert sum(reason.number for reason in found.reasons) == 5 + 1 + 2
    assert found.seconds == 85
    assert found.timeline.width == 1


def test_a_missing_row_makes_the_report_say_that_the_sums_do_not_add_up(database: Database, sent: int) -> None:
    with database.transaction() as tx:
        tx.run("DELETE FROM deliveries WHERE subscriber_id = 100")
    found = make_report(database, str(sent))
    assert not found.adds_up
    assert "do NOT add up" in render_report(found)


def test_the_largest_domains_come_first_and_the_rest_is_summed(database: Database, sent: int) -> None:
    found = make_report(database, str(sent))
    assert found.domains[0].name == "big.example"
    assert found.domains[0].total == 300
    assert len(found.domains) == found.domain_count == 16
    with database.transaction() as tx:
        tx.script("UPDATE subscribers SET email_normal = format('r@x%s.example', id) WHERE id > 500")
    found = make_report(database, str(sent))
    assert found.domain_count == 116
    assert [one.name for one in found.domains].index("") == 20
    assert sum(one.total for one in found.domains) == 600


def test_no_address_is_in_the_report_and_markup_of_an_issue_is_text(database: Database, sent: int) -> None:
    found = make_report(database, str(sent))
    html, facts = render_report(found), json.dumps(report_facts(found), default=str)
    for text in (html, facts):
        assert not re.search(r"[\w.]+@[\w.]+\.example", text)
        assert "(address)" in text
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_stands_alone(database: Database, sent: int) -> None:
    html = render_report(make_report(database, str(sent)))
    assert not re.search(r"(src|href|url\()", html)
    assert html.count("<svg") == 2
    assert 'name="viewport"' in html


def test_the_delay_until_delivery_is_counted_from_the_events(database: Database, sent: int) -> None:
    assert sum(make_report(database, str(sent)).delays) == 0
    assert "the reader's server</h2>" not in render_report(make_report(database, str(sent)))
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO delivery_events (send_id, subscriber_id, kind, at)
            SELECT send_id, subscriber_id, 'delivery',
                claimed_at + CASE WHEN subscriber_id <= 40 THEN interval '3 s' ELSE '9 m' END
            FROM deliveries WHERE subscriber_id BETWEEN 31 AND 60
            """
        )
    found = make_report(database, str(sent))
    assert found.delays == (0, 10, 0, 0, 20, 0, 0, 0)
    assert "30 deliveries were reported" in render_report(found)


def test_a_send_that_has_not_started_has_a_report_too(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    add_subscribers(database, 3)
    adopt_issues(database, conf, [old()])
    publish(database, conf, [old(), edition()], [], Outbox(conf.outbox), Request())
    found: SendReport = make_report(database, edition().key)
    assert (found.outcomes["pending"], found.span.emails, found.timeline.emails) == (3, 0, ())
    assert "not yet" in render_report(found)


def test_an_unknown_send_is_named(database: Database) -> None:
    with pytest.raises(BadInput, match="There is no send 'nothing'"):
        make_report(database, "nothing")


def test_the_command_prints_and_writes(database: Database, database_url: str, sent: int, tmp_path: Path) -> None:
    words = ("report", str(sent), "--html", str(tmp_path / "report.html"))
    env = environment(settings(tmp_path, database_url))
    shown = commands.run(tmp_path, env, *words)
    assert shown.returncode == 0, shown.stderr
    assert "The sums add up" in shown.stdout
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    facts = commands.run(tmp_path, env, *words, "--json")
    assert json.loads(facts.stdout)["adds_up"] is True
    refused = commands.run(tmp_path, env, *words[:-1], str(tmp_path / "nowhere" / "report.html"))
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr


def test_five_emails_have_no_rate_and_no_percentage(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    add_subscribers(database, 5)
    adopt_issues(database, conf, [old()])
    [send_id] = publish(database, conf, [old(), edition()], [], Outbox(conf.outbox), Request()).send_ids
    advance_sends(database, conf)
    deliver_send(database, conf, Outbox(conf.outbox), send_id)
    with database.transaction() as tx:
        tx.run("UPDATE deliveries SET claimed_at = now() + interval '1 second' * subscriber_id")
    found = make_report(database, str(send_id))
    assert (found.span.emails, found.rate, report_facts(found)["emails_per_second"]) == (5, 0, None)
    page = render_report(found)
    assert " %" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "Each bar is" not in page


def test_the_shell_completes_the_keys_of_sends(database: Database, tmp_path: Path, sent: int) -> None:
    environ = {**environment(settings(tmp_path, database.url)), "_POSTMERGE_COMPLETE": "bash_complete"}
    for line in ("postmerge report 2026", "postmerge pause ", "postmerge status 2"):
        asked = {"COMP_WORDS": line, "COMP_CWORD": "2", **environ}
        assert commands.run(tmp_path, asked).stdout == "plain,2026-11-24-hello\n"
    assert sent
