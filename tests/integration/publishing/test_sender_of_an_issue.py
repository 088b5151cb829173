"""`From:` and `Reply-To:` of one issue: read in the front matter, verified with SES, kept by the send."""

from __future__ import annotations

import email
from dataclasses import replace
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.core.errors import Refused
from mailer.core.settings import Settings
from mailer.editions.site import edition_files
from mailer.editions.source import front_matter
from mailer.flows.publishing.publish import Request, adopt_issues, preview_publish, publish
from mailer.flows.publishing.publish_plan import Action
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.transports.outbox import Outbox
from mailer.transports.ses import Ses
from mailer.transports.ses_fast import FastSes
from tests.factories import add_subscribers, edition, old, settings
from tests.fakes.ses import FakeSes

ANNA = "Müller, Anna <anna@example.org>"
OWN = edition(sender=ANNA, reply_to="desk@replies.example.org")


@pytest.fixture
def conf(tmp_path: Path, database: Database) -> Settings:
    add_subscribers(database, 1)
    conf = settings(tmp_path, reply_to="all@example.org")
    adopt_issues(database, conf, [old()])
    return conf


def publish_one(database: Database, conf: Settings, issue: Edition) -> int:
    [send_id] = publish(database, conf, [old(), issue], [], Outbox(conf.outbox), Request()).send_ids
    return send_id


def deliver(database: Database, conf: Settings, send_id: int) -> EmailMessage:
    advance_sends(database, conf)
    deliver_send(database, conf, Outbox(conf.outbox), send_id)
    [path] = conf.outbox.glob("*.eml")
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def senders(message: EmailMessage) -> tuple[str, str]:
    return message["From"].addresses[0].addr_spec, message["Reply-To"].addresses[0].addr_spec


def test_an_issues_own_sender_and_replies_are_in_its_email_and_the_list_stays_the_newsletters(
    database: Database, conf: Settings
) -> None:
    message = deliver(database, conf, publish_one(database, conf, OWN))
    assert senders(message) == ("anna@example.org", "desk@replies.example.org")
    assert message["From"].addresses[0].display_name == "Müller, Anna"
    assert message["List-Id"].startswith('"The Letter"')


def test_a_later_change_of_the_settings_does_not_alter_a_send(database: Database, conf: Settings) -> None:
    send_id = publish_one(database, conf, edition())
    changed = replace(conf, sender="Other <other@example.org>", reply_to="elsewhere@example.org")
    assert senders(deliver(database, changed, send_id)) == ("letter@example.org", "all@example.org")


def test_a_send_from_before_an_upgrade_uses_the_newsletters_replies(database: Database, conf: Settings) -> None:
    send_id = publish_one(database, conf, edition())
    with database.transaction() as tx:
        tx.run("UPDATE sends SET reply_to = NULL")
    assert senders(deliver(database, conf, send_id))[1] == "all@example.org"


@pytest.mark.parametrize("changed", [replace(OWN, sender=""), replace(OWN, reply_to="")], ids=["From", "Reply-To"])
def test_another_merge_changes_the_sender_of_a_waiting_send(database: Database, conf: Settings, changed: Edition) -> None:
    waits = replace(conf, hold=timedelta(minutes=5))
    send_id = publish_one(database, waits, OWN)
    same = publish(database, waits, [old(), OWN], [], Outbox(conf.outbox), Request())
    assert not same.plan.of(Action.UPDATE)
    done = publish(database, waits, [old(), changed], [], Outbox(conf.outbox), Request())
    assert len(done.plan.of(Action.UPDATE)) == 1
    with database.transaction() as tx:
        tx.run("UPDATE sends SET due_at = now()")
    sender = "anna@example.org" if changed.sender else "letter@example.org"
    assert senders(deliver(database, conf, send_id)) == (sender, changed.reply_to or "all@example.org")


@pytest.mark.parametrize("client", [Ses, FastSes])
def test_an_address_that_ses_has_not_verified_refuses_the_send_and_names_what_to_verify(
    database: Database, conf: Settings, ses: FakeSes, client: type[Ses | FastSes]
) -> None:
    ses.control(identities={"letter@example.org": "verified", "all@example.org": "verified", "replies.example.org": "pending"})
    with pytest.raises(Refused) as refused:
        publish(database, conf, [old(), OWN], [], client(), Request())
    assert str(refused.value).splitlines() == [
        "SES has not verified anna@example.org, the address in `From:` of issues/2026-11-24-hello.md: verify anna@example.org"
        " or the domain example.org in the SES console (Identities), or publish with `--allow sender`.",
        "SES has not verified desk@replies.example.org, the address in `Reply-To:` of issues/2026-11-24-hello.md: verify"
        " desk@replies.example.org or the domain replies.example.org in the SES console (Identities), or publish with"
        " `--allow sender`.",
    ]
    assert not preview_publish(database, conf, [old(), edition()], [], client(), Request()).refusals
    assert not preview_publish(database, conf, [old(), OWN], [], client(), Request(allow=("sender",))).refusals


def test_a_verified_domain_covers_its_addresses_and_subdomains(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(identities={"example.org": "verified"})
    assert not preview_publish(database, conf, [old(), OWN], [], FastSes(), Request()).refusals
    ses.control(identities={"letter@example.org": "verified"})
    [refusal] = preview_publish(database, conf, [old(), edition()], [], FastSes(), Request()).refusals
    assert "all@example.org, the address in POSTMERGE_REPLY_TO: verify" in refusal.sentence


def test_credentials_that_may_not_ask_refuse_only_what_an_issue_chose(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(identities={"example.org": "denied", "replies.example.org": "denied"})
    assert not preview_publish(database, conf, [old(), edition()], [], FastSes(), Request()).refusals
    refusals = preview_publish(database, conf, [old(), OWN], [], FastSes(), Request()).refusals
    assert [one.name for one in refusals] == ["sender", "sender"]
    assert "give them ses:GetEmailIdentity" in refusals[0].sentence


def test_an_issue_with_a_sender_needs_none_in_the_settings(database: Database, conf: Settings) -> None:
    bare = replace(conf, sender="")
    with pytest.raises(Refused, match="No sender is set"):
        publish_one(database, bare, edition())
    assert senders(deliver(database, bare, publish_one(database, bare, OWN)))[0] == "anna@example.org"


@pytest.mark.parametrize(
    "line", ["From: Anna", "Reply-To: a@b@example.org", "From: Ännchen@example.org", "From: a@b.org, c@d.org"]
)
def test_a_sender_that_is_no_address_is_an_error_at_its_line_where_the_issue_asks_to_be_sent(line: str) -> None:
    source = front_matter.split("issues/a.md", f"Title: A\nSend: yes\n{line}\n\nText.\n".encode())
    assert front_matter.asked(source).sender == ""
    [found] = source.findings
    assert (found.level, found.line) == ("error", 3)
    assert found.message == f"`{line}` is not valid: write it as `{line.split(':')[0]}: Name <address@your.domain>`."
    unsent = front_matter.split("issues/a.md", f"Title: A\n{line}\n\nText.\n".encode())
    front_matter.asked(unsent)
    assert unsent.findings == []


def test_the_sender_comes_from_the_front_matter_and_through_the_file_of_the_edition() -> None:
    source = front_matter.split("issues/a.md", f"Title: A\nFrom: {ANNA}\nReply-To: desk@example.org\n\nText.\n".encode())
    asked = front_matter.asked(source)
    assert (asked.sender, asked.reply_to) == (ANNA, "desk@example.org")
    assert edition_files.from_bytes(edition_files.to_bytes(OWN)) == OWN


def test_without_a_region_the_question_names_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(Refused, match="region"):
        Ses().is_verified("a@example.org")
