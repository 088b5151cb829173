"""The fake SES's SMTP door, by Python's own SMTP client: the same log, latency and faults as by HTTP."""

from __future__ import annotations

import smtplib
import time
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from mailer.fakes import fake_ses_account
from tests.fakes.ses import FakeSes


@pytest.fixture
def ses() -> Iterator[FakeSes]:
    with FakeSes(smtp=True) as fake:
        yield fake


@pytest.fixture
def client(ses: FakeSes) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", ses.smtp_port, timeout=10) as connection:
        yield connection


def make_email(to: str = "reader@example.org", body: str = "Hello\n") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "letter@example.org", to, "An issue"
    made["List-Unsubscribe"] = "<https://example.org/leave/1>"
    made.set_content(body)
    return made


def test_emails_sent_by_smtp_are_in_the_same_log(ses: FakeSes, client: smtplib.SMTP) -> None:
    ses.control(latency_s=0.2)
    started = time.monotonic()
    client.send_message(make_email("one@example.org"))
    assert time.monotonic() - started >= 0.2, "the answer takes as long as by HTTP"
    client.send_message(make_email("two@example.org", "word " * 20_000))
    one, two = ses.accepted()
    assert (one["to"], one["subject"], one["unsubscribe_url"]) == ("one@example.org", "An issue", "https://example.org/leave/1")
    assert two["to"] == "two@example.org"
    assert two["size"] > 100_000
    assert ses.stats()["accepted"] == 2


def test_lines_of_dots_do_not_end_an_email_early(ses: FakeSes, client: smtplib.SMTP) -> None:
    client.sendmail("a@example.org", ["b@example.org"], b".\r\n..\r\n.")
    client.sendmail("a@example.org", ["b@example.org"], b"")
    assert [one["size"] for one in ses.accepted()] == [len(b".\r\n..\r\n.\r\n"), 2]


def test_throttling_is_a_454_and_takes_nothing(ses: FakeSes, client: smtplib.SMTP) -> None:
    ses.control(faults=[{"kind": "throttle", "next": 1}])
    with pytest.raises(smtplib.SMTPDataError) as caught:
        client.send_message(make_email())
    assert caught.value.smtp_code == 454
    assert "Throttling" in str(caught.value.smtp_error)
    client.send_message(make_email())
    assert len(ses.accepted()) == 1
    assert ses.stats()["throttled"] == 1


@pytest.mark.parametrize(("kind", "code", "accepted"), [("error_before", 451, 0), ("error_after", 451, 1), ("reject", 554, 0)])
def test_refusals_say_what_ses_says(ses: FakeSes, client: smtplib.SMTP, kind: str, code: int, accepted: int) -> None:
    ses.control(faults=[{"kind": kind, "next": 1}])
    with pytest.raises(smtplib.SMTPDataError) as caught:
        client.send_message(make_email())
    assert caught.value.smtp_code == code
    assert len(ses.accepted()) == accepted


@pytest.mark.parametrize(("kind", "accepted"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_gives_no_answer(ses: FakeSes, client: smtplib.SMTP, kind: str, accepted: int) -> None:
    ses.control(faults=[{"kind": kind, "next": 1}])
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        client.send_message(make_email())
    assert len(ses.accepted()) == accepted


def test_a_wrong_order_is_refused_and_the_connection_stays(ses: FakeSes, client: smtplib.SMTP) -> None:
    client.ehlo()
    assert client.docmd("DATA")[0] == 503
    assert client.docmd("RCPT TO:<b@example.org>")[0] == 503
    assert client.docmd("MAIL FROM:nobody")[0] == 501
    assert client.docmd("VRFY b")[0] == 502
    client.send_message(make_email())
    assert len(ses.accepted()) == 1


def test_an_email_that_ses_puts_together_is_logged_too(ses: FakeSes) -> None:
    body = (
        b'{"Destination": {"ToAddresses": ["simple@example.org"]}, "Content": {"Simple": {"Subject": {"Data": "Plain"}, '
        b'"Body": {"Html": {"Data": "<p>Hi</p>"}}, "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://x.example/l>"}]}}}'
    )
    credential = f"AWS4-HMAC-SHA256 Credential={fake_ses_account.ACCESS_KEY}/x"
    request = urllib.request.Request(f"{ses.url}/v2/email/outbound-emails", body, {"Authorization": credential})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    [one] = ses.accepted()
    assert (one["to"], one["subject"], one["unsubscribe_url"]) == ("simple@example.org", "Plain", "https://x.example/l")
