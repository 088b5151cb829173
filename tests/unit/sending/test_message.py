from __future__ import annotations

import email
import email.policy
import re
import timeit
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.core import addresses
from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL, Template, list_id, mailable, plain_message

URL = "https://news.example.org/leave/" + "aB3_-" * 13
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\x00"), max_size=300)


def template(**more: str) -> Template:
    values = {
        "subject": "Hello",
        "html": f'<p>Héllo <a href="{UNSUBSCRIBE_URL}">leave</a></p>',
        "text": f"Héllo\n\n{UNSUBSCRIBE_URL}\n",
        "sender": "The Lettér <letter@example.org>",
        "digest": "a" * 64,
        "lang": "en",
        "list_id": list_id("The Letter <letter@example.org>", "https://news.example.org/x/"),
        **more,
    }
    return Template.prepare(**values)  # type: ignore[arg-type]


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def bodies(raw: bytes) -> tuple[str, str]:
    text, html = (str(part.get_content()).replace("\r\n", "\n") for part in parsed(raw).iter_parts())
    return text, html


@given(TEXTS, TEXTS, TEXTS)
def test_any_text_comes_back_as_it_was(before: str, between: str, after: str) -> None:
    text = before + UNSUBSCRIBE_URL + between + UNSUBSCRIBE_URL + after
    raw = template(text=text, html="<p>" + text).fill(to="a@example.org", unsubscribe_url=URL)
    got_text, got_html = bodies(raw)
    assert got_text == text.replace(UNSUBSCRIBE_URL, URL)
    assert got_html == "<p>" + text.replace(UNSUBSCRIBE_URL, URL)


@given(TEXTS)
def test_every_line_is_short_and_ends_with_crlf(text: str) -> None:
    raw = template(text=text + UNSUBSCRIBE_URL, html=text * 5 + UNSUBSCRIBE_URL).fill(to="a@example.org", unsubscribe_url=URL)
    body = raw.partition(b"\r\n\r\n")[2]
    assert all(len(line) <= 78 for line in body.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_the_one_click_headers_are_whole_in_the_bytes() -> None:
    raw = template().fill(to="ada@example.org", unsubscribe_url=URL)
    assert f"\r\nList-Unsubscribe: <{URL}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    assert b"\r\nX-Postmerge-Digest: " + b"a" * 64 + b"\r\n" in raw
    assert b'\r\nList-Id: "The Letter" <news.example.org>\r\n' in raw


def test_subject_and_sender_in_any_script_are_read_back() -> None:
    subject = "Größe 信 " * 20
    message = parsed(template(subject=subject).fill(to="a@example.org", unsubscribe_url=URL))
    assert message["subject"] == subject.strip()
    assert message["from"] == "The Lettér <letter@example.org>"
    assert message["to"] == "a@example.org"


@pytest.mark.parametrize(
    "bad", ["a@example.org\r\nBcc: x@y.org", "a b@example.org", "a@x.org,b@y.org", "ä@example.org", "@x.org"]
)
def test_an_address_cannot_smuggle_anything(bad: str) -> None:
    with pytest.raises(BadInput):
        template().fill(to=bad, unsubscribe_url=URL)


def test_a_subject_cannot_smuggle_a_header() -> None:
    message = parsed(template(subject="Hello\r\nBcc: x@y.org").fill(to="a@example.org", unsubscribe_url=URL))
    assert message["bcc"] is None
    assert message["subject"] == "Hello Bcc: x@y.org"


def test_a_sender_that_is_no_address_is_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"write it as Name <address@your.domain>"):
        template(sender="The Letter")


def test_an_international_domain_is_written_in_ascii() -> None:
    assert mailable("ada@müller.example") == "ada@xn--mller-kva.example"


def test_a_transactional_email_is_marked_as_automatic() -> None:
    raw = plain_message(to="a@x.org", subject="S", html="<p>h", text="t", sender="L <l@x.org>", lang="de", headers={"X-A": "b"})
    message = parsed(raw)
    assert (message["auto-submitted"], message["x-a"], message["content-language"]) == ("auto-generated", "b", "de")
    assert message["list-unsubscribe"] is None
    assert bodies(raw) == ("t", "<p>h")


def test_issues_and_transactional_emails_ask_for_no_automatic_reply() -> None:
    issue = parsed(template().fill(to="a@x.org", unsubscribe_url=URL))
    assert (issue["Precedence"], issue["X-Auto-Response-Suppress"]) == ("list", "OOF, AutoReply")
    assert issue["List-Id"]
    assert "Auto-Submitted" not in issue  # a person wrote it
    single = parsed(
        plain_message(to="a@b.org", subject="Hi", html="<p>Hi</p>", text="Hi", sender="L <l@b.org>", lang="en", headers={})
    )
    assert (single["Auto-Submitted"], single["X-Auto-Response-Suppress"]) == ("auto-generated", "OOF, AutoReply")
    assert "Precedence" not in single  # an answer to one person, who waits for it


def test_the_link_in_html_is_escaped() -> None:
    _, html = bodies(template().fill(to="a@x.org", unsubscribe_url='https://x.org/?a=1&b="2"'))
    assert re.search(r'href="https://x.org/\?a=1&amp;b=&quot;2&quot;"', html)


def test_filling_a_40_kb_body_takes_far_less_than_building_it() -> None:
    big = template(html=("<p>word</p>" * 3700) + UNSUBSCRIBE_URL)
    seconds = timeit.timeit(lambda: big.fill(to="a@example.org", unsubscribe_url=URL), number=200) / 200
    assert seconds < 0.001


@pytest.mark.parametrize("character", ["\x07", "\0", "\x1b", "\x7f", "\r", "\n"])
def test_no_control_character_reaches_a_header(character: str) -> None:
    raw = template(subject=f"He{character}llo").fill(to="a@example.org", unsubscribe_url=URL)
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", head)
    with pytest.raises(BadInput, match="Reply-To would contain a line break or a control character"):
        plain_message(
            to="a@example.org", subject="x", html="x", text="x", sender="a@example.org", lang="en",
            headers={"Reply-To": f"a{character}b"},
        )  # fmt: skip


def test_a_control_character_in_the_senders_name_is_left_out() -> None:
    raw = template(sender="The \x07Letter <letter@example.org>").fill(to="a@example.org", unsubscribe_url=URL)
    assert b"From: The Letter <letter@example.org>\r\n" in raw


def test_a_domain_is_written_as_dns_knows_it_today() -> None:
    for typed in ("ada@straße.example", "ada@xn--strae-oqa.example"):
        address = addresses.check(typed)
        assert mailable(address) == addresses.normal(address) == "ada@xn--strae-oqa.example"
    assert addresses.normal("ada@strasse.example") == "ada@strasse.example"
