"""One issue with anything in it never stops the others: it is cleaned, or left out with an error at its line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import feedparser
import pytest
from lxml import etree

from mailer.core.characters import ILLEGAL
from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL, Template
from mailer.editions.mail import issue_renderer, plain_text
from tests.integration.editions.test_editions import NewsletterFolder, newsletter

__all__ = ["newsletter"]
HEAD = "Title: Bad\nDate: 2026-11-24 09:00\nSend: yes\n"
GOOD = ["first", "second"]  # the keys of the issues that the newsletter has beside the bad one


def left_out(newsletter: NewsletterFolder) -> list[str]:
    """Build, expect the others to be there, and give back the errors."""
    report = newsletter.build()
    assert sorted(edition.key for edition in report.editions) == GOOD
    return [str(finding) for finding in report.findings if finding.level == "error"]


@pytest.mark.parametrize("character", ["\x07", "\0", "\x0b", "\x1b", "\x7f", "\ufffe", "\uffff"])
def test_a_character_that_no_feed_or_header_can_carry_is_left_out_of_every_field_and_named(
    newsletter: NewsletterFolder, character: str
) -> None:
    fields = "Subject: a{0}b\nPreheader: c{0}d\nSummary: e{0}f\nTags: g{0}h\nCorrected: 2026-11-25 i{0}j\nFormerly: k{0}l\n"
    newsletter.write("bad.md", HEAD.replace("Bad", f"B{character}ad") + fields.format(character), f"Te{character}xt.\n")
    report = newsletter.build()
    edition = next(edition for edition in report.editions if edition.key == "bad")
    assert (edition.title, edition.subject, edition.preheader) == ("Bad", "ab", "cd")
    lines = [finding.line for finding in report.findings if finding.path == "content/issues/bad.md"]
    assert lines == [1, 4, 5, 6, 7, 8, 9, 11]
    assert f"U+{ord(character):04X}" in report.findings[-1].message
    site = newsletter.folder / "build" / "site"
    for path in [*site.glob("feeds/**/*.*"), *site.glob("**/*.html"), site / "sitemap.xml"]:
        assert not ILLEGAL.search(path.read_text(encoding="utf-8")), path
    etree.parse(site / "feeds/all.atom.xml")
    assert json.loads((site / "feeds/all.json").read_bytes())["items"][0]["tags"] == ["gh"]
    assert not feedparser.parse((site / "feeds/all.rss.xml").read_bytes()).bozo


def test_a_character_written_as_a_reference_is_left_out_of_page_feed_and_email(newsletter: NewsletterFolder) -> None:
    newsletter.write("bad.md", HEAD, "a &#7; b &#x1f; &#xFFFE; &#0; ![c&#7;d](https://x.example/&#7;e.png) &#169;\n")
    report = newsletter.build()
    edition = next(edition for edition in report.editions if edition.key == "bad")
    assert not ILLEGAL.search(edition.html + edition.text + edition.body)
    assert "©" in edition.body
    etree.parse(newsletter.folder / "build/site/feeds/all.rss.xml")


def test_bidirectional_overrides_never_reach_the_inbox(newsletter: NewsletterFolder) -> None:
    newsletter.write("bad.md", HEAD + "Subject: Pay \u202eevil\u202c\n", "Text.\n")
    report = newsletter.build()
    edition = next(edition for edition in report.editions if edition.key == "bad")
    assert "\u202e" not in edition.subject
    assert any(finding.line == 4 and "U+202E" in finding.message for finding in report.findings)


YAML = "---\ntitle: Bad\ndate: 2026-11-24 09:00\nsend: yes\nsubject: |\n  Hello\n  Bcc: all@example.org\n---\n\nText.\n"


def test_a_subject_of_several_lines_is_one_header(newsletter: NewsletterFolder) -> None:
    (newsletter.issues / "bad.md").write_text(YAML)
    edition = next(edition for edition in newsletter.build().editions if edition.key == "bad")
    template = Template.prepare(
        subject=edition.subject, html="x", text="x", sender="a@example.org", digest="0" * 64, lang="en", list_id="<x.example>"
    )
    raw = template.fill(to="b@example.org", unsubscribe_url=UNSUBSCRIBE_URL)
    assert b"Subject: Hello Bcc: all@example.org\r\n" in raw


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("Tags: ???", "'???' has no letter or digit for an address: correct `Tags:`."),
        ("Tags: fine, ..", "'..' has no letter or digit"),
        ("Tags: \U0001f389", "'\U0001f389' has no letter or digit"),
        ("Category: ???", "correct `Category:`."),
        ("Author: ???", "correct `Author:`."),
        ("Tags: " + "x" * 300, "is longer than 240 bytes: shorten it in `Tags:`."),
        ("Slug: " + "x" * 300, "is longer than 240 bytes: give it a short `Slug:`."),
        ("Template: nothing", "`Template: nothing` is not in the theme"),
        ("Template: ../../pelicanconf", "is not in the theme"),
        ("Modified: soon", "`Modified: soon` is not a valid date"),
        ("Modified: 2026-01-01 00:00 +9999", "`Modified: 2026-01-01 00:00 +9999` is not a valid date"),
        ("Date: 2026-01-01 00:00 +9999", "`Date: 2026-01-01 00:00 +9999` is not a valid date"),
        ("Date: 9999-12-31 23:59", "`Date: 9999-12-31 23:59` is not a valid date"),
        ("Send: 9999-12-31 23:59 America/New_York", "names a time or a time zone that doesn't exist"),
        ("Send: 9999-12-31 23:59 -05:00", "names a time or a time zone that doesn't exist"),
    ],
)
def test_a_field_with_which_no_site_can_be_built_is_an_error_at_its_line(
    newsletter: NewsletterFolder, line: str, sentence: str
) -> None:
    newsletter.write("bad.md", HEAD + line + "\n")
    [error] = left_out(newsletter)
    assert error.startswith("content/issues/bad.md:4: error: ")
    assert sentence in error


@pytest.mark.parametrize(
    "line",
    [
        "Formerly: " + "x" * 300,
        "Audio: " + "x" * 5000,
        "Settings: x",
        "Get_content: x",
        "Is_valid: x",
        "Default_template: x",
        "Postmerge_of: x",
        "__class__: x",
        "Override_save_as: ../../x",
        "Timezone: Mars",
    ],
)
def test_a_field_that_would_break_the_build_is_passed_over(newsletter: NewsletterFolder, line: str) -> None:
    newsletter.write("bad.md", HEAD + line + "\n")
    report = newsletter.build()
    assert sorted(edition.key for edition in report.editions) == ["bad", *GOOD]
    assert [finding for finding in report.findings if finding.level == "error"] == []


def test_a_text_that_fails_to_render_omits_only_its_issue(
    newsletter: NewsletterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = plain_text.plain

    def fail_for_bad(root: etree._Element, lang: str) -> str:
        if "unlucky" in "".join(map(str, root.itertext())):
            raise RecursionError("too deep")
        return usual(root, lang)

    monkeypatch.setattr(issue_renderer, "plain", fail_for_bad)
    newsletter.write("bad.md", HEAD + "Tags: alone\n", "An unlucky text.\n")
    [error] = left_out(newsletter)
    assert re.match(r"content/issues/bad\.md:\d+: error: The issue cannot be rendered \(RecursionError", error)
    site = newsletter.folder / "build/site"
    assert not (site / "issues/bad").exists()
    assert not (site / "tags/alone").exists()
    assert "issues/bad/" not in "".join(path.read_text() for path in site.rglob("*.html"))


@pytest.mark.parametrize("name", [b"caf\xe9.md", b"d\xe9/x.md"])
def test_a_name_that_is_not_utf_8_is_named_and_left_out(newsletter: NewsletterFolder, name: bytes) -> None:
    path = os.path.join(os.fsencode(newsletter.issues), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_text(HEAD + "\nText.\n")
    [error] = left_out(newsletter)
    assert "?" in error
    assert error.endswith(":1: error: The name of this file or of its folder is not valid UTF-8: rename it.")


HTML = "<html><head><title>Bad</title><meta name='date' content='{}'><meta name='status' content='{}'></head>Text</html>"
RST = "Bad\n###\n\n:date: 2026-11-24\n:send: yes\n"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "bad.html",
            HTML.format("2026-11-24", "published"),
            "bad.html:1: error: This file format is not supported for issues: write it",
        ),
        ("bad.html", HTML.format("soon", "published"), "bad.html:1: error: The file was skipped (ValueError: 'soon' is not"),
        ("bad.rst", RST + "\nText\x07.\n", "bad.rst:7: error: The character U+0007 is not allowed in pages"),
        ("bad.rst", RST + ":tags: ???\n\nText.\n", "'???' has no letter or digit"),
        ("bad.rst", RST + ":template: nothing\n\nText.\n", "`Template: nothing` is not in the theme"),
        ("bad.rst", ":date: 2026-11-24\n\nText.\n", "bad.rst:1: error: The title is missing"),
        ("bad.rst", "Bad\n###\n\nText.\n", "bad.rst:1: error: The date is missing"),
        ("bad.rst", RST + ":modified: soon\n\nText.\n", "bad.rst:1: error: The file was skipped (ValueError: 'soon' is not"),
    ],
)
def test_a_file_of_another_format_is_left_out_at_its_name(
    newsletter: NewsletterFolder, name: str, text: str, sentence: str
) -> None:
    (newsletter.issues / name).write_text(text)
    errors = left_out(newsletter)
    assert any(sentence in error for error in errors), errors


@pytest.mark.parametrize(
    ("name", "text"), [("b.html", HTML.format("2026-11-24", "draft")), ("b.rst", RST + ":status: draft\n")]
)
def test_a_draft_of_another_format_is_left_out(newsletter: NewsletterFolder, name: str, text: str) -> None:
    (newsletter.issues / name).write_text(text + "\nText.\n")
    assert left_out(newsletter) == []


def test_a_page_that_cannot_be_written_names_the_issue(newsletter: NewsletterFolder) -> None:
    newsletter.write("bad.md", HEAD)
    template = newsletter.folder / "theme/templates/article.html"
    template.write_text("{% if article.slug == 'bad' %}{{ 1 // 0 }}{% endif %}")
    with pytest.raises(BadInput, match=r"in the page of bad\.md"):
        newsletter.build()


@pytest.mark.parametrize("line", ["draft: true", "published: no", "isDraft: 1", "headless: true", "permalink: false"])
def test_a_draft_in_another_generators_words_has_no_page_and_no_edition(newsletter: NewsletterFolder, line: str) -> None:
    newsletter.write("bad.md", HEAD + line + "\n")
    assert left_out(newsletter) == []
    assert not (newsletter.folder / "build/site/issues/bad").exists()


@pytest.mark.parametrize(
    "line", ["Status: hidden", "unlisted: true", "publishDate: 2999-01-01", "Draft: maybe", "Status: drft"]
)
def test_what_contradicts_send_is_an_error_and_never_an_edition(newsletter: NewsletterFolder, line: str) -> None:
    newsletter.write("bad.md", HEAD + line + "\n")
    [error] = left_out(newsletter)
    assert error.startswith("content/issues/bad.md:4: error: ")


def test_a_date_ahead_with_send_yes_is_an_error_and_with_a_time_is_not(newsletter: NewsletterFolder) -> None:
    head = HEAD.replace("2026-11-24", "2999-11-24")
    newsletter.write("bad.md", head)
    [error] = left_out(newsletter)
    assert "write `Send: 2999-11-24 09:00 UTC` to send it then" in error
    newsletter.write("bad.md", head.replace("Send: yes", "Send: 2999-11-24 09:00 UTC"))
    assert "bad" in [edition.key for edition in newsletter.build().editions]


def test_a_hidden_issue_in_two_languages_has_its_pages_and_stops_nothing(newsletter: NewsletterFolder) -> None:
    hidden = "Title: Bad\nDate: 2026-11-24 09:00\nStatus: hidden\n"
    newsletter.write("bad.md", hidden)
    newsletter.write("bad.de.md", hidden + "Lang: de\n")
    assert left_out(newsletter) == []
    assert "data-digest" in newsletter.page("issues/bad/index.html")
    assert "data-digest" in newsletter.page("issues/bad/de/index.html")
    newsletter.write("bad.de.md", hidden.replace("hidden", "published") + "Lang: de\n")
    [error] = left_out(newsletter)
    assert error.startswith("content/issues/bad.de.md:3: error: `Status: hidden` must be the same in all languages")


@pytest.mark.parametrize("leads_to", ["another issue", "a folder", "a file that is no issue", "a file outside of the content"])
def test_what_a_symbolic_link_leads_to_is_named_and_left_out(newsletter: NewsletterFolder, leads_to: str) -> None:
    issues = newsletter.folder / "content/issues"
    if leads_to == "a folder":
        (issues / "bad.md").mkdir()
        (newsletter.folder / "elsewhere").mkdir()
        (newsletter.folder / "elsewhere/issue.md").write_text(HEAD + "\nText.\n")
        (issues / "bad.md/link").symlink_to(newsletter.folder / "elsewhere")
    else:
        targets = {"another issue": next(issues.glob("*.md")), "a file that is no issue": issues / "text.txt"}
        target = targets.get(leads_to, newsletter.folder / "issue.md")
        if not target.exists():
            target.write_text(HEAD + "\nText.\n")
        (issues / "bad.md").symlink_to(target)
    [error] = left_out(newsletter)
    named = r"content/issues/bad\.md(:1: error: A symbolic link leads to this file|/link:1: error: This link leads to a folder)"
    assert re.match(named, error)
