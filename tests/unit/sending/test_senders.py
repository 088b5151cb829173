"""The sender's name as people write it: read leniently, and right in the header whatever it contains."""

from __future__ import annotations

import email
from email import policy
from email.header import decode_header, make_header

import pytest

from mailer.core.characters import Sender, parse_sender
from mailer.core.errors import BadInput
from mailer.core.message import format_sender, plain_message
from mailer.core.settings import Settings, load

ADDRESS = "anna@example.org"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"Anna @ Work <{ADDRESS}>", "Anna @ Work"),
        (f"Müller, Anna <{ADDRESS}>", "Müller, Anna"),
        (f'"Müller, Anna" <{ADDRESS}>', "Müller, Anna"),
        (f"'Anna; Bob' <{ADDRESS}>", "Anna; Bob"),
        (f'Anna "The Pen" Müller <{ADDRESS}>', 'Anna "The Pen" Müller'),
        (f'"Anna \\"The Pen\\" M." <{ADDRESS}>', 'Anna "The Pen" M.'),
        (f"Anna (Work) <{ADDRESS}>", "Anna (Work)"),
        (f"Anna: <3 code <{ADDRESS}>", "Anna: <3 code"),
        (f"anna@home.example <{ADDRESS}>", "anna@home.example"),
        (f"=?utf-8?q?M=C3=BCller=2C_Anna?= <{ADDRESS}>", "Müller, Anna"),
        (f"週刊ポスト・マージ<{ADDRESS}>", "週刊ポスト・マージ"),
        (f"O'Brien & Söhne <{ADDRESS}>", "O'Brien & Söhne"),
        (f"{ADDRESS} (Anna)", "Anna"),
        (f"<{ADDRESS}>", ""),
        (ADDRESS, ""),
    ],
)
def test_a_senders_name_is_read_as_people_write_it_and_comes_back_from_the_header(text: str, name: str) -> None:
    assert parse_sender(text) == (name, ADDRESS)
    assert load({"POSTMERGE_SENDER": text}).mailbox == ADDRESS
    raw = plain_message(to="b@x.org", subject="S", html="<p>h", text="t", sender=text, lang="en", headers={})
    [found] = email.message_from_bytes(raw, policy=policy.default)["From"].addresses
    assert (found.display_name, found.addr_spec) == (name, ADDRESS)


@pytest.mark.parametrize("text", ["Anna", "Anna <anna>", "Anna <a@b@c.org>", "<>", "Anna <a b@c.org>", "a@b.org, c@d.org"])
def test_a_sender_without_one_address_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"write it as Name <address@your.domain>"):
        parse_sender(text)
    with pytest.raises(BadInput, match="POSTMERGE_SENDER is "):
        load({"POSTMERGE_SENDER": text})


def test_a_long_name_is_encoded_in_words_of_a_lines_length() -> None:
    header = format_sender(Sender("Ä" * 120, ADDRESS))
    lines = header.split("\r\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 78 + len(ADDRESS)
    assert str(make_header(decode_header(header.replace("\r\n", "")))) == f"{'Ä' * 120} <{ADDRESS}>"


def test_a_sender_of_two_lines_adds_no_header() -> None:
    with pytest.raises(BadInput, match="more than one line"):
        parse_sender(f"Anna\r\nBcc: x@example.org <{ADDRESS}>")


def test_without_a_sender_there_is_no_mailbox() -> None:
    assert Settings().mailbox == ""


def test_replies_go_where_the_newsletter_wants_them() -> None:
    raw = plain_message(
        to="b@x.org", subject="S", html="<p>h", text="t", sender=ADDRESS, lang="en", headers={}, reply_to="Müller, A. <r@x.org>"
    )
    [found] = email.message_from_bytes(raw, policy=policy.default)["Reply-To"].addresses
    assert (found.display_name, found.addr_spec) == ("Müller, A.", "r@x.org")
    without = plain_message(to="b@x.org", subject="S", html="<p>h", text="t", sender=ADDRESS, lang="en", headers={})
    assert b"Reply-To" not in without
    assert load({"POSTMERGE_REPLY_TO": "r@x.org"}).reply_to == "r@x.org"
    with pytest.raises(BadInput, match="POSTMERGE_REPLY_TO is 'nobody'"):
        load({"POSTMERGE_REPLY_TO": "nobody"})
