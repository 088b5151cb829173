"""Unsubscribing by email: what counts, what is only answered with a link, what is ignored, and that there are no loops."""

from __future__ import annotations

import json
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mailer import cli
from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.message import leave_mailto
from mailer.fakes.sns_signer import SnsSigner
from mailer.flows.events import email_events
from mailer.flows.subscribers.signup import add_subscriber
from mailer.flows.subscribers.unsubscribe_by_email import UnsubscribeEmailOutcome, process_email
from mailer.webhooks.sns import SnsVerifier
from tests import web
from tests.web import Web

ADA, BOB = "ada@example.org", "bob@example.org"
LEAVE = "leave@news.example.org"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:events"


@pytest.fixture
def letter(database: Database, tmp_path: Path) -> Web:
    letter = web.make(tmp_path, database, unsubscribe_address=LEAVE)
    for email in (ADA, BOB):
        add_subscriber(database, letter.settings, email, [], confirmed=True)
    return letter


def token(letter: Web, subscriber_id: int = 1) -> str:
    return tokens.leave_token(letter.settings.need_secrets(), subscriber_id, 7)


def mail(subject: str = "", text: str = "", sender: str = ADA, to: str = LEAVE, **headers: str) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = sender, to, subject
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


def give(letter: Web, raw: bytes) -> UnsubscribeEmailOutcome:
    return process_email(letter.database, letter.settings, raw)


def test_every_issue_offers_an_email_that_leaves_when_it_is_sent(letter: Web) -> None:
    letter.send()
    offered = next(mail for mail in letter.mails() if mail.to == ADA)
    header = dict(offered.headers)["List-Unsubscribe"]
    page, mailto = header.split(", ")
    assert page.startswith("<http")
    assert mailto.startswith(f"<mailto:{LEAVE}?subject=leave%20")
    subject = mailto.partition("?subject=")[2].rstrip(">").replace("%20", " ")
    assert give(letter, mail(subject)) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert (letter.state(ADA), letter.state(BOB)) == ("left", "active")
    assert give(letter, mail(subject)) is UnsubscribeEmailOutcome.ALREADY
    with letter.database.transaction() as tx:
        assert tx.value("SELECT source FROM consents WHERE kind = 'left'") == "mail"


def test_without_an_address_nothing_is_offered(database: Database, tmp_path: Path) -> None:
    letter = web.make(tmp_path, database)
    letter.send()
    assert all("mailto" not in dict(mail.headers)["List-Unsubscribe"] for mail in letter.mails())
    assert leave_mailto("", "x") == ""


@pytest.mark.parametrize("sender", [ADA, BOB, "stranger@example.org", "somebody@forwarded.example"])
def test_the_token_counts_from_whatever_address(letter: Web, sender: str) -> None:
    assert give(letter, mail(f"Re: leave {token(letter)}", sender=sender)) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert (letter.state(ADA), letter.state(BOB)) == ("left", "active")


def test_the_token_may_stand_in_the_address(letter: Web) -> None:
    assert give(letter, mail("", to=f"leave+{token(letter)}@news.example.org")) is UnsubscribeEmailOutcome.UNSUBSCRIBED


def test_a_program_may_send_the_email_for_somebody(letter: Web) -> None:
    assert give(letter, mail(f"leave {token(letter)}", Auto_Submitted="auto-generated")) is UnsubscribeEmailOutcome.UNSUBSCRIBED


@pytest.mark.parametrize("word", ["Unsubscribe", "please unsubscribe me.", "Abmelden", "Se désabonner", "Baja", "退订"])
def test_a_reply_that_says_so_and_quotes_ones_own_issue_leaves(letter: Web, word: str) -> None:
    quoted = f"{word}\n\n> On Tuesday The Letter wrote:\n> Unsubscribe: https://news.example.org/leave/{token(letter)}\n"
    assert give(letter, mail("Re: An issue", quoted)) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert letter.state(ADA) == "left"


def test_a_friendly_reply_leaves_nobody(letter: Web) -> None:
    quoted = f"Great issue, I will never unsubscribe!\n\n> Unsubscribe: https://x.org/leave/{token(letter)}\n"
    assert give(letter, mail("Re: An issue", quoted)) is UnsubscribeEmailOutcome.NO_REQUEST
    assert letter.state(ADA) == "active"
    assert letter.counted("transactional_mails") == 0


def test_a_forwarded_issue_lets_nobody_leave_for_another(letter: Web) -> None:
    quoted = f"unsubscribe\n\n> Unsubscribe: https://x.org/leave/{token(letter)}\n"
    assert give(letter, mail("Re: An issue", quoted, sender=BOB)) is UnsubscribeEmailOutcome.LINK_SENT
    assert (letter.state(ADA), letter.state(BOB)) == ("active", "active")


def test_the_sender_alone_proves_nothing_and_gets_a_link_within_its_limits(letter: Web) -> None:
    for _ in range(5):
        assert give(letter, mail("unsubscribe", sender=f"Ada <{ADA.upper()}>")) is UnsubscribeEmailOutcome.LINK_SENT
    assert letter.state(ADA) == "active"
    assert letter.counted("transactional_mails") == 3
    letter.work()
    answer = letter.mails()[0]
    assert answer.to == ADA
    assert dict(answer.headers)["Auto-Submitted"] == "auto-generated"
    assert give(letter, answer.raw) is UnsubscribeEmailOutcome.AUTOMATIC  # even if our own answer came back to us
    assert give(letter, mail("unsubscribe", sender="nobody@example.org")) is UnsubscribeEmailOutcome.LINK_SENT
    assert letter.counted("transactional_mails") == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Return_Path": "<>"},
        {"X_Autoreply": "yes"},
        {"X_Failed_Recipients": ADA},
        {"sender": "MAILER-DAEMON@example.org"},
        {"sender": "<>"},
    ],
)
def test_bounces_and_answers_of_machines_are_ignored_whatever_they_carry(letter: Web, headers: dict[str, str]) -> None:
    before = letter.dump()
    raw = mail(f"leave {token(letter)}", "unsubscribe", **headers)
    assert give(letter, raw) is UnsubscribeEmailOutcome.AUTOMATIC
    assert letter.dump() == before


@pytest.mark.parametrize("headers", [{"Precedence": "bulk"}, {"List_Id": "<x.org>"}, {"Auto_Submitted": "auto-generated"}])
def test_machines_that_prove_nothing_are_not_answered(letter: Web, headers: dict[str, str]) -> None:
    assert give(letter, mail("unsubscribe", **headers)) is UnsubscribeEmailOutcome.AUTOMATIC
    assert letter.counted("transactional_mails") == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 100,
        b"From: ada@example.org\r\nSubject: =?utf-9?q?x?=\r\n\r\nunsubscribed",
        b"From: ada@example.org\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n" * 5000,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000)),
        b"From: ada@example.org\r\nContent-Type: text/plain; charset=nothing\r\n\r\n\xff\xfe",
        b"From: @@@\r\nTo: " + b"<a@" * 3000 + b"\r\nSubject: unsubscribe\r\n\r\n",
        ("leave " + "A" * 43).encode(),
    ],
)
def test_rubbish_breaks_nothing_and_changes_nothing(letter: Web, raw: bytes) -> None:
    before = letter.dump()
    assert give(letter, raw) in (UnsubscribeEmailOutcome.AUTOMATIC, UnsubscribeEmailOutcome.NO_REQUEST)
    assert letter.dump() == before


def test_the_command_reads_one_email_and_waits_for_a_database_that_is_away(
    letter: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", letter.settings.database_url)
    monkeypatch.setenv("POSTMERGE_SECRET", letter.settings.secret)
    raw = mail(f"leave {token(letter)}")
    done = CliRunner().invoke(cli.cli, ["unsubscribe-by-email"], input=raw)
    assert (done.exit_code, done.output) == (0, "The subscriber is unsubscribed.\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert CliRunner().invoke(cli.cli, ["unsubscribe-by-email"], input=raw).exit_code == 75


def test_ses_hands_over_whole_emails_and_headers_alone(letter: Web) -> None:
    settings = replace(letter.settings, sns_topic=TOPIC)
    net = SnsSigner("http://127.0.0.1:1")
    verifier = SnsVerifier(TOPIC, lambda url: net.certificate, "http://127.0.0.1:1")
    headers = [{"name": "From", "value": ADA}, {"name": "Subject", "value": f"leave {token(letter)}"}]
    bare = {"notificationType": "Received", "mail": {"headers": headers}, "receipt": {"action": {"type": "S3"}}}
    whole = {
        "notificationType": "Received",
        "mail": {"headers": []},
        "receipt": {"action": {"type": "SNS", "encoding": "UTF-8"}},
        "content": mail(f"leave {token(letter, 2)}", "x" * 100_000).decode(),
    }
    app = letter.app(settings=settings)
    app.state.sns = verifier
    client = TestClient(app)
    for facts, email in ((bare, ADA), (whole, BOB)):
        answer = client.post("/webhooks/ses", content=net.message(TOPIC, json.dumps(facts)))
        assert (answer.status_code, answer.json()["detail"]) == (200, str(UnsubscribeEmailOutcome.UNSUBSCRIBED))
        assert letter.state(email) == "left"
        again = email_events.process_sns_message(letter.database, settings, verifier, net.message(TOPIC, json.dumps(facts)))
        assert again == str(UnsubscribeEmailOutcome.ALREADY)
    odd: dict[str, object] = {"notificationType": "Received", "mail": None, "receipt": [], "content": 7}
    assert email_events.process_sns_message(letter.database, settings, verifier, net.message(TOPIC, json.dumps(odd))) == str(
        UnsubscribeEmailOutcome.AUTOMATIC
    )
