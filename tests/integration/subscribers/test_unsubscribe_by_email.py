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
from mailer.core.message import unsubscribe_mailto
from mailer.fakes.sns_signer import SnsSigner
from mailer.flows.events import email_events
from mailer.flows.subscribers import unsubscribe_by_email
from mailer.flows.subscribers.signup import add_subscriber
from mailer.flows.subscribers.unsubscribe_by_email import UnsubscribeEmailOutcome, process_email
from mailer.webhooks.sns import SnsVerifier
from tests import web
from tests.web import Web

ADA, BOB = "ada@example.org", "bob@example.org"
UNSUBSCRIBE = "leave@news.example.org"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:events"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    newsletter = web.make(tmp_path, database, unsubscribe_address=UNSUBSCRIBE)
    for email in (ADA, BOB):
        add_subscriber(database, newsletter.settings, email, [], confirmed=True)
    return newsletter


def token(newsletter: Web, subscriber_id: int = 1) -> str:
    return tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(subscriber_id), 7)


def make_email(subject: str = "", text: str = "", sender: str = ADA, to: str = UNSUBSCRIBE, **headers: str) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = sender, to, subject
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


def give(newsletter: Web, raw: bytes) -> UnsubscribeEmailOutcome:
    return process_email(newsletter.database, newsletter.settings, raw)


def test_every_issue_offers_an_address_that_unsubscribes_by_email(newsletter: Web) -> None:
    newsletter.send()
    offered = next(email for email in newsletter.emails() if email.to == ADA)
    header = dict(offered.headers)["List-Unsubscribe"]
    page, mailto = header.split(", ")
    assert page.startswith("<http")
    assert mailto.startswith(f"<mailto:{UNSUBSCRIBE}?subject=leave%20")
    subject = mailto.partition("?subject=")[2].rstrip(">").replace("%20", " ")
    assert give(newsletter, make_email(subject)) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert (newsletter.state(ADA), newsletter.state(BOB)) == ("unsubscribed", "active")
    assert give(newsletter, make_email(subject)) is UnsubscribeEmailOutcome.ALREADY
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT source FROM consents WHERE kind = 'unsubscribed'") == "mail"


def test_without_an_address_nothing_is_offered(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    newsletter.send()
    assert all("mailto" not in dict(email.headers)["List-Unsubscribe"] for email in newsletter.emails())
    assert unsubscribe_mailto("", "x") == ""


@pytest.mark.parametrize("sender", [ADA, BOB, "stranger@example.org", "somebody@forwarded.example"])
def test_the_token_counts_from_whatever_address(newsletter: Web, sender: str) -> None:
    assert give(newsletter, make_email(f"Re: leave {token(newsletter)}", sender=sender)) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert (newsletter.state(ADA), newsletter.state(BOB)) == ("unsubscribed", "active")


def test_the_token_may_stand_in_the_address(newsletter: Web) -> None:
    assert (
        give(newsletter, make_email("", to=f"leave+{token(newsletter)}@news.example.org"))
        is UnsubscribeEmailOutcome.UNSUBSCRIBED
    )


def test_a_program_may_send_the_email_for_somebody(newsletter: Web) -> None:
    assert (
        give(newsletter, make_email(f"leave {token(newsletter)}", Auto_Submitted="auto-generated"))
        is UnsubscribeEmailOutcome.UNSUBSCRIBED
    )


@pytest.mark.parametrize("word", ["Unsubscribe", "please unsubscribe me.", "Abmelden", "Se désabonner", "Baja", "退订"])
def test_a_reply_that_asks_for_it_and_quotes_the_senders_own_issue_unsubscribes(newsletter: Web, word: str) -> None:
    quoted = f"{word}\n\n> On Tuesday The Letter wrote:\n> Unsubscribe: https://news.example.org/leave/{token(newsletter)}\n"
    assert give(newsletter, make_email("Re: An issue", quoted)) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert newsletter.state(ADA) == "unsubscribed"


@pytest.mark.parametrize("subject", ["退订", "désabonnement", "=?utf-8?q?d=C3=A9sabonnement?="])
def test_a_subject_is_read_whether_or_not_it_is_encoded(newsletter: Web, subject: str) -> None:
    raw = f"From: {ADA}\r\nTo: {UNSUBSCRIBE}\r\nSubject: {subject}\r\n\r\n".encode()
    outcome = process_email(newsletter.database, newsletter.settings, raw, is_sender_verified=True)
    assert outcome is UnsubscribeEmailOutcome.UNSUBSCRIBED


def make_html_email(html: str, subject: str = "Re: An issue") -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = ADA, UNSUBSCRIBE, subject
    made.set_content(html, subtype="html")
    return made.as_bytes()


HTML_REPLIES = [
    "<html><head><title>x</title><style>p {{}}</style></head><body><p>Bitte <b>abmelden</b></p>{quote}</body></html>",
    "<div dir='ltr'>Please remove me from your list.<br></div><br>{quote}",
    "<p>Bonjour,</p><p>Merci de me d&eacute;sinscrire.</p><p>Ada</p>{quote}",
]
HTML_QUOTES = [
    "<blockquote>An issue. <a href='{link}'>Unsubscribe</a></blockquote>",
    "<div class='gmail_quote'>On 24 Nov 2026 Ada wrote:<br>An issue. <a href='{link}'>Unsubscribe</a></div>",
    "<hr><div id=divRplyFwdMsg><b>From:</b> The Letter</div><div>An issue. <a href='{link}'>Unsubscribe</a></div>",
]


@pytest.mark.parametrize("quote", HTML_QUOTES)
@pytest.mark.parametrize("reply", HTML_REPLIES)
def test_a_reply_in_html_alone_is_read_without_what_it_quotes(newsletter: Web, reply: str, quote: str) -> None:
    link = f"https://news.example.org/leave/{token(newsletter)}"
    friendly = reply.format(quote=quote.format(link=link)).replace("Bitte <b>abmelden</b>", "Danke!")
    friendly = friendly.replace("Please remove me from your list.", "Nice!").replace(
        "Merci de me d&eacute;sinscrire.", "Merci !"
    )
    assert give(newsletter, make_html_email(friendly)) is UnsubscribeEmailOutcome.KEPT
    assert newsletter.state(ADA) == "active"
    asked = make_html_email(reply.format(quote=quote.format(link=link)))
    assert give(newsletter, asked) is UnsubscribeEmailOutcome.UNSUBSCRIBED


QUOTES = [
    "> An issue\n> Unsubscribe: {link}",
    "-----Ursprüngliche Nachricht-----\nVon: The Letter\nunsubscribe\n{link}",
    "On Tue, 24 Nov 2026 at 10:00, The Letter <l@example.org> wrote:\nunsubscribe\n{link}",
    "________________________________\nFrom: The Letter <l@example.org>\nunsubscribe\n{link}",
    "Le 24/11/2026 à 10:00, The Letter a écrit :\n\nunsubscribe\n{link}",
    "-- \nAda\n\nunsubscribe\n{link}",
]


@pytest.mark.parametrize("quote", QUOTES)
def test_what_a_reply_quotes_in_whatever_form_is_no_request(newsletter: Web, quote: str) -> None:
    quoted = quote.format(link=f"https://news.example.org/leave/{token(newsletter)}")
    assert give(newsletter, make_email("Re: An issue", f"Nice!\n\n{quoted}")) is UnsubscribeEmailOutcome.KEPT
    assert newsletter.state(ADA) == "active"
    asked = make_email("Re: An issue", f"Hello,\n\nplease remove me\n\n{quoted}")
    assert give(newsletter, asked) is UnsubscribeEmailOutcome.UNSUBSCRIBED


def test_an_answer_below_what_it_quotes_is_read(newsletter: Web) -> None:
    text = f"On 24 Nov 2026, The Letter wrote:\n> An issue: https://x.org/leave/{token(newsletter)}\n\nplease remove me\n"
    assert give(newsletter, make_email("Re: An issue", text)) is UnsubscribeEmailOutcome.UNSUBSCRIBED


def test_the_title_of_an_issue_in_a_reply_is_no_request(newsletter: Web) -> None:
    quoted = f"Nice!\n\n> https://x.org/leave/{token(newsletter)}\n"
    assert give(newsletter, make_email("Re: Stop", quoted)) is UnsubscribeEmailOutcome.KEPT
    assert newsletter.state(ADA) == "active"


def test_a_plain_request_from_a_verified_sender_unsubscribes_and_any_other_only_gets_the_link(newsletter: Web) -> None:
    raw = make_email("", "Hi,\nplease remove me from your list\nThanks")
    assert give(newsletter, raw) is UnsubscribeEmailOutcome.LINK_SENT
    assert newsletter.state(ADA) == "active"
    unclear = make_email("", "How do I unsubscribe?")
    assert process_email(newsletter.database, newsletter.settings, unclear, True) is UnsubscribeEmailOutcome.KEPT
    assert newsletter.state(ADA) == "active"
    assert process_email(newsletter.database, newsletter.settings, raw, True) is UnsubscribeEmailOutcome.UNSUBSCRIBED
    assert process_email(newsletter.database, newsletter.settings, raw, True) is UnsubscribeEmailOutcome.ALREADY
    assert (newsletter.state(ADA), newsletter.state(BOB)) == ("unsubscribed", "active")


def test_an_email_that_names_two_senders_is_nobodys(newsletter: Web) -> None:
    raw = b"From: ada@example.org\r\nFrom: mallory@evil.example\r\nTo: x@y.org\r\nSubject: unsubscribe\r\n\r\nunsubscribe\r\n"
    assert process_email(newsletter.database, newsletter.settings, raw, True) is UnsubscribeEmailOutcome.KEPT
    assert newsletter.state(ADA) == "active"


@pytest.mark.parametrize(
    "head",
    [
        b"From: =?utf-8?q?ada=40example.org?= <mallory@evil.example>",
        b"From: =?utf-8?q?=3Cada=40example.org=3E?= <mallory@evil.example>",
        b"From: =?utf-8?q?ada?=@example.org <mallory@evil.example>",
        b"From: ada@example.org, mallory@evil.example",
        b"From: <ada@example.org> <mallory@evil.example>",
        b"From: ada@example.org (x) <mallory@evil.example>",
        b"From: group: ada@example.org, mallory@evil.example;",
        b"From: ada@example.org\0 <mallory@evil.example>",
        b'From: "ada@example.org' + b" " * 5000 + b'" <mallory@evil.example>',
        b"X: y\rFrom: ada@example.org\r\rhello\r\nFrom: mallory@evil.example",
        b"From: ada@example.org\r\nno header\r\nFrom: mallory@evil.example",
    ],
)
def test_an_email_whose_author_can_be_read_in_two_ways_unsubscribes_nobody(newsletter: Web, head: bytes) -> None:
    raw = head + b"\r\nTo: x@y.org\r\nSubject: unsubscribe\r\n\r\nunsubscribe\r\n"
    process_email(newsletter.database, newsletter.settings, raw, True)
    assert newsletter.state(ADA) == "active"


@pytest.mark.parametrize("sender", ['"ada@example.org" <Ada@Example.org>', "=?utf-8?q?=C3=84da?= <" + ADA + ">"])
def test_a_verified_sender_may_have_any_name(newsletter: Web, sender: str) -> None:
    raw = f"From: {sender}\r\nTo: x@y.org\r\nSubject: unsubscribe\r\n\r\n".encode()
    assert process_email(newsletter.database, newsletter.settings, raw, True) is UnsubscribeEmailOutcome.UNSUBSCRIBED


@pytest.mark.parametrize("sender", [ADA, "stranger@example.org"])
def test_an_email_that_asks_for_something_else_is_kept_and_answered_with_the_link(newsletter: Web, sender: str) -> None:
    for _ in range(5):
        assert give(newsletter, make_email("A question", "Who writes this?", sender)) is UnsubscribeEmailOutcome.KEPT
    [kept], _ = email_events.list_rejected(newsletter.database, 10)
    assert (kept.source, kept.times) == ("email", 5)
    assert "Who writes this?" in kept.body
    assert newsletter.counted("transactional_emails") == (3 if sender == ADA else 0)


def test_only_so_many_emails_are_kept(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsubscribe_by_email, "MAX_KEPT_EMAILS", 2)
    for number in range(4):
        give(newsletter, make_email("A question", f"Question {number}?"))
    kept, _ = email_events.list_rejected(newsletter.database, 10)
    assert sorted("Question 3?" in one.body or "Question 2?" in one.body for one in kept) == [True, True]


def test_a_friendly_reply_unsubscribes_nobody(newsletter: Web) -> None:
    quoted = f"Great issue, I will never unsubscribe!\n\n> Unsubscribe: https://x.org/leave/{token(newsletter)}\n"
    assert give(newsletter, make_email("Re: An issue", quoted)) is UnsubscribeEmailOutcome.KEPT
    assert newsletter.state(ADA) == "active"


def test_a_forwarded_issue_unsubscribes_nobody_else(newsletter: Web) -> None:
    quoted = f"unsubscribe\n\n> Unsubscribe: https://x.org/leave/{token(newsletter)}\n"
    assert give(newsletter, make_email("Re: An issue", quoted, sender=BOB)) is UnsubscribeEmailOutcome.LINK_SENT
    assert (newsletter.state(ADA), newsletter.state(BOB)) == ("active", "active")


def test_the_sender_alone_proves_nothing_and_gets_a_link_within_its_limits(newsletter: Web) -> None:
    for _ in range(5):
        assert give(newsletter, make_email("unsubscribe", sender=f"Ada <{ADA.upper()}>")) is UnsubscribeEmailOutcome.LINK_SENT
    assert newsletter.state(ADA) == "active"
    assert newsletter.counted("transactional_emails") == 3
    newsletter.work()
    answer = newsletter.emails()[0]
    assert answer.to == ADA
    assert dict(answer.headers)["Auto-Submitted"] == "auto-generated"
    assert give(newsletter, answer.raw) is UnsubscribeEmailOutcome.AUTOMATIC  # even if our own answer came back to us
    assert give(newsletter, make_email("unsubscribe", sender="nobody@example.org")) is UnsubscribeEmailOutcome.LINK_SENT
    assert newsletter.counted("transactional_emails") == 3


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
def test_bounces_and_answers_of_machines_are_ignored_whatever_they_carry(newsletter: Web, headers: dict[str, str]) -> None:
    before = newsletter.dump()
    raw = make_email(f"leave {token(newsletter)}", "unsubscribe", **headers)
    assert give(newsletter, raw) is UnsubscribeEmailOutcome.AUTOMATIC
    assert newsletter.dump() == before


@pytest.mark.parametrize("headers", [{"Precedence": "bulk"}, {"List_Id": "<x.org>"}, {"Auto_Submitted": "auto-generated"}])
def test_machines_that_prove_nothing_are_not_answered(newsletter: Web, headers: dict[str, str]) -> None:
    assert give(newsletter, make_email("unsubscribe", **headers)) is UnsubscribeEmailOutcome.AUTOMATIC
    assert newsletter.counted("transactional_emails") == 0


KEPT_TABLES = ("rejected_events", "transactional", "inbox_emails")  # the email is kept, and its sender may get the link


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
def test_rubbish_breaks_nothing_and_changes_nothing(newsletter: Web, raw: bytes) -> None:
    before = newsletter.dump(KEPT_TABLES)
    assert give(newsletter, raw) in (UnsubscribeEmailOutcome.AUTOMATIC, UnsubscribeEmailOutcome.KEPT)
    assert newsletter.dump(KEPT_TABLES) == before


def test_the_command_reads_one_email_and_waits_for_a_database_that_is_away(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", newsletter.settings.database_url)
    monkeypatch.setenv("POSTMERGE_SECRET", newsletter.settings.secret)
    raw = make_email(f"leave {token(newsletter)}")
    done = CliRunner().invoke(cli.cli, ["unsubscribe-by-email"], input=raw)
    assert (done.exit_code, done.output) == (0, "The subscriber is unsubscribed.\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert CliRunner().invoke(cli.cli, ["unsubscribe-by-email"], input=raw).exit_code == 75


def test_ses_hands_over_whole_emails_and_headers_alone(newsletter: Web) -> None:
    settings = replace(newsletter.settings, sns_topic=TOPIC)
    net = SnsSigner("http://127.0.0.1:1")
    verifier = SnsVerifier(TOPIC, lambda url: net.certificate, "http://127.0.0.1:1")
    headers = [{"name": "From", "value": ADA}, {"name": "Subject", "value": f"leave {token(newsletter)}"}]
    bare = {"notificationType": "Received", "mail": {"headers": headers}, "receipt": {"action": {"type": "S3"}}}
    whole = {
        "notificationType": "Received",
        "mail": {"headers": []},
        "receipt": {"action": {"type": "SNS", "encoding": "UTF-8"}},
        "content": make_email(f"leave {token(newsletter, 2)}", "x" * 100_000).decode(),
    }
    app = newsletter.app(settings=settings)
    app.state.sns = verifier
    client = TestClient(app)
    for facts, email in ((bare, ADA), (whole, BOB)):
        answer = client.post("/webhooks/ses", content=net.message(TOPIC, json.dumps(facts)))
        assert (answer.status_code, answer.json()["detail"]) == (200, str(UnsubscribeEmailOutcome.UNSUBSCRIBED))
        assert newsletter.state(email) == "unsubscribed"
        again = email_events.process_sns_message(newsletter.database, settings, verifier, net.message(TOPIC, json.dumps(facts)))
        assert again == str(UnsubscribeEmailOutcome.ALREADY)
    verified = {
        **whole,
        "receipt": {"dmarcVerdict": {"status": "PASS"}},
        "content": make_email("", "please remove me").decode(),
    }
    told = email_events.process_sns_message(newsletter.database, settings, verifier, net.message(TOPIC, json.dumps(verified)))
    assert told == str(UnsubscribeEmailOutcome.ALREADY)
    odd: dict[str, object] = {"notificationType": "Received", "mail": None, "receipt": [], "content": 7}
    assert email_events.process_sns_message(
        newsletter.database, settings, verifier, net.message(TOPIC, json.dumps(odd))
    ) == str(UnsubscribeEmailOutcome.AUTOMATIC)
