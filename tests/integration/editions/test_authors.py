"""Authors: one byline on the page, in the email and in the feeds, outside of the digest; and the invitation to reply."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import feedparser
import pytest

from mailer import editions
from mailer.core.errors import BadInput
from mailer.editions.mail.byline import IssueAuthor, format_byline, format_plain_byline, invites_reply, read_authors
from mailer.editions.source import front_matter
from mailer.editions.source.front_matter import Source
from tests.integration.editions.test_editions import SITE, NewsletterFolder, newsletter, one

__all__ = ["newsletter"]
ADA = '{"Ada": {"url": "https://ada.example/", "picture": "images/chart.png"}}'
ISSUE = "Title: Hello\nDate: 2026-11-24 09:00\nSend: yes"


def declare(newsletter: NewsletterFolder, line: str) -> None:
    path = newsletter.folder / "pelicanconf.py"
    path.write_text(f"{path.read_text()}\nPOSTMERGE_SEARCH = POSTMERGE_CARDS = False\n{line}\n")


def test_page_email_and_feeds_name_the_authors_and_the_edition_stays_the_same(newsletter: NewsletterFolder) -> None:
    declare(newsletter, f"POSTMERGE_AUTHORS = {ADA}")
    newsletter.write("first.md", ISSUE)
    before = one(newsletter.build(), "first")
    newsletter.write("first.md", f"{ISSUE}\nAuthors: Ada, Ben & Co")
    newsletter.write("first.de.md", "Title: Hallo\nDate: 2026-11-24 09:00\nLang: de")
    report = newsletter.build()
    edition = one(report, "first")
    assert report.findings == ()
    assert (edition.key, edition.digest, edition.body, edition.send) == (before.key, before.digest, before.body, before.send)
    assert "By " not in before.text
    byline = 'By <a href="https://ada.example/">Ada</a> and Ben &amp; Co'
    assert byline in re.sub(' style="[^"]*"', "", edition.html)
    assert f'src="{SITE}/images/chart.png" alt="" width="32" height="32"' in edition.html
    assert "By Ada (https://ada.example/) and Ben & Co\n" in edition.text
    assert "Von Ada (https://ada.example/) und Ben & Co\n" in edition.variants[0].text, "a translation has its issue's authors"
    page = newsletter.page("issues/first/index.html")
    assert byline in page
    assert '<meta name="author" content="Ben &amp; Co">' in page
    facts = json.loads(re.findall(r'ld\+json">(.*?)</script>', page)[0])
    ada = {"name": "Ada", "url": "https://ada.example/"}
    assert facts["author"] == [
        {"@type": "Person", **ada, "image": f"{SITE}/images/chart.png"}, {"@type": "Person", "name": "Ben & Co"},
    ]  # fmt: skip
    item = next(entry for entry in json.loads(newsletter.page("feeds/all.json"))["items"] if entry["url"] == edition.url)
    assert item["authors"] == [{**ada, "avatar": f"{SITE}/images/chart.png"}, {"name": "Ben & Co"}]
    in_atom = [{"name": "Ada", "href": ada["url"]}, {"name": "Ben & Co"}]
    for kind, authors in (("atom", in_atom), ("rss", [{"name": "Ada"}, {"name": "Ben & Co"}])):
        read = feedparser.parse(newsletter.page(f"feeds/all.{kind}.xml"))
        [entry] = [entry for entry in read.entries if entry.link == edition.url]
        assert entry.authors == authors, kind


def test_author_with_a_comma_means_several_if_each_is_described(newsletter: NewsletterFolder) -> None:
    declare(newsletter, 'POSTMERGE_AUTHORS = {"Ada": {"url": "https://ada.example/"}, "Grace": {}}')
    newsletter.write("first.md", f"{ISSUE}\nAuthor: Ada, Grace")
    newsletter.write("second.md", f"{ISSUE}\nAuthor: Grace, Countess of Code")
    report = newsletter.build()
    assert "By Ada (https://ada.example/) and Grace\n" in one(report, "first").text
    assert "By Grace, Countess of Code\n" in one(report, "second").text


def test_the_usual_author_has_a_byline_only_if_described(newsletter: NewsletterFolder) -> None:
    newsletter.write("first.md", ISSUE)
    declare(newsletter, 'AUTHOR = "Ada"')
    assert "By Ada" not in one(newsletter.build(), "first").text
    declare(newsletter, f"POSTMERGE_AUTHORS = {ADA}")
    assert "By Ada (https://ada.example/)" in one(newsletter.build(), "first").text


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (["Ada"], "POSTMERGE_AUTHORS in pelicanconf.py is no dictionary"),
        ({"Ada": "https://ada.example"}, "the author 'Ada' can have texts for"),
        ({"Ada": {"email": "ada@example.org"}}, "the author 'Ada' can have texts for"),
        ({" ": {}}, "the author ' ' needs a name"),
        ({"Ada": {"url": "javascript:alert(1)"}}, "the author 'Ada' has the \"url\" 'javascript:alert(1)': write a whole"),
        ({"Ada": {"picture": "images/none.jpg"}}, "the author 'Ada' has the picture 'images/none.jpg', which is no file"),
        ({"Ada": {"picture": "../pelicanconf.py"}}, "the author 'Ada' has the picture '../pelicanconf.py', which is no file"),
    ],
)
def test_what_is_wrong_in_the_authors_is_one_sentence(tmp_path: Path, declared: object, message: str) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(BadInput, match=re.escape(message)):
        read_authors({"POSTMERGE_AUTHORS": declared}, tmp_path, SITE)


def test_bylines_are_written_as_the_language_does_and_escape_names() -> None:
    authors = [IssueAuthor("A <b>"), IssueAuthor("B {x}", "https://b.example/?a=1&b=2"), IssueAuthor("C %(x)s")]
    assert format_byline(authors, "en") == 'By A &lt;b&gt;, <a href="https://b.example/?a=1&amp;b=2">B {x}</a> and C %(x)s'
    assert format_plain_byline(authors, "de") == "Von A <b>, B {x} (https://b.example/?a=1&b=2) und C %(x)s\n"
    assert format_plain_byline(authors[:1], "zh") == "作者：A <b>\n"
    assert format_byline([], "en") == format_plain_byline([], "en") == ""


def test_emails_invite_replies_where_the_setting_says_so(newsletter: NewsletterFolder) -> None:
    declare(newsletter, "POSTMERGE_INVITE_REPLY = True")
    newsletter.write("first.md", ISSUE)
    newsletter.write("second.md", f"{ISSUE}\nReply-To: noreply@example.org\nLang: de")
    report = editions.build(replace(newsletter.options(), sender="Anna <anna@example.org>"))
    sentence = "Have a question or a thought? Just reply to this email."
    first, second = one(report, "first"), one(report, "second")
    assert sentence in first.text
    assert sentence in first.html
    assert "Antworten Sie einfach" not in second.text + second.html
    assert sentence not in newsletter.page("issues/first/index.html")


@pytest.mark.parametrize(
    ("reply_to", "sender", "field", "is_invited"),
    [
        ("", "Anna <anna@example.org>", "", True),
        ("", "", "", False),
        ("", "The Letter <no-reply@example.org>", "", False),
        ("", "noreply+letter@example.org", "", False),
        ("anna@example.org", "donotreply@example.org", "", True),
        ("", "noreply@example.org", "reply-to", True),
        ("", "noreply@example.org", "from", True),
        ("noreply@example.org", "ben@example.org", "from", False),
    ],
)
def test_replies_are_invited_only_if_they_go_somewhere(reply_to: str, sender: str, field: str, is_invited: bool) -> None:
    asked = front_matter.asked(Source("a.md", {field: "anna@example.org"} if field else {}))
    assert invites_reply(asked, reply_to, sender) is is_invited
