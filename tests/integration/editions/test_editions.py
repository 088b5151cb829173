"""One build makes the page, the feed entry and the mail from the same body; what is wrong in a source is a finding."""

from __future__ import annotations

import email
import email.policy
import filecmp
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import feedparser
import pytest
from lxml import etree, html
from PIL import Image

from mailer import editions
from mailer.core.edition import Edition, Finding, SendIntent
from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL, Template
from mailer.editions import BuildOptions, Report
from mailer.editions.site.preview import Preview
from tests.conftest import ROOT

SITE = "https://news.example.org"
BODY = """
Hello *there*, see [the other issue]({filename}second.md) and [a place](/about/).

![A chart]({static}/images/chart.png)

| city | emails |
|------|------:|
| Ulm  |    12 |

```python
print("sent")
```

A claim.[^1]

[^1]: With a source.
"""


class NewsletterFolder:
    """A small newsletter in a folder, built with the real theme."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.issues = folder / "content" / "issues"
        self.issues.mkdir(parents=True)
        (folder / "content" / "images").mkdir()
        Image.new("RGB", (8, 4)).save(folder / "content" / "images" / "chart.png")
        shutil.copytree(ROOT / "theme", folder / "theme")
        shutil.copy(ROOT / "pelicanconf.py", folder / "pelicanconf.py")

    def write(self, name: str, head: str, body: str = "Some text.\n") -> Path:
        path = self.issues / name
        path.write_text(f"{head.strip()}\n\n{body}", encoding="utf-8")
        return path

    def build(self, into: str = "build") -> Report:
        return editions.build(self.options(into))

    def options(self, into: str = "build") -> BuildOptions:
        return BuildOptions(
            content=self.folder / "content",
            site=self.folder / into / "site",
            editions=self.folder / into / "editions",
            cache=self.folder / into / "cache",
            config=self.folder / "pelicanconf.py",
            site_url=SITE,
            postal_address="1 Example Street",
        )

    def page(self, where: str) -> str:
        return (self.folder / "build" / "site" / where).read_text(encoding="utf-8")


@pytest.fixture
def newsletter(tmp_path: Path) -> NewsletterFolder:
    made = NewsletterFolder(tmp_path)
    made.write("first.md", "Title: First\nDate: 2026-11-01 09:00\nTags: python\nLang: de", BODY)
    made.write("second.md", "Title: Second\nDate: 2026-11-08 09:00\nSend: yes\nPreheader: Short & sweet")
    return made


def one(report: Report, key: str) -> Edition:
    [edition] = [edition for edition in report.editions if edition.key == key]
    return edition


def told(report: Report, level: str) -> list[str]:
    return [str(finding) for finding in report.findings if finding.level == level]


def test_an_edition_has_its_markdown_without_paid_text_and_its_picture(tmp_path: Path) -> None:
    newsletter = NewsletterFolder(tmp_path)
    newsletter.write("one.md", "Title: One\nDate: 2026-11-01 09:00\nImage: images/a b.png", "Hello *there*.\n")
    newsletter.write("two.md", "Title: Two\nDate: 2026-11-02 09:00\nImage: https://x.example/y.png", "Text.\n")
    paid = "Free words here.\n\n::: premium\n\nPaid words that nobody else may read at all.\n\n:::\n"
    newsletter.write("three.md", "Title: Three\nDate: 2026-11-03 09:00", paid)
    report = newsletter.build()
    assert (one(report, "one").source, one(report, "one").image) == ("Hello *there*.\n", f"{SITE}/images/a%20b.png")
    assert one(report, "two").image == "https://x.example/y.png"
    assert one(report, "three").source.startswith("Free words here.\n")
    assert "Paid words" not in one(report, "three").source
    assert one(report, "three").variants


def skeleton(fragment: str) -> list[tuple[str, str, str]]:
    """Tags, link targets and text of a fragment; styles that an email needs inline do not count."""
    root = html.fragment_fromstring(fragment, create_parent="div")
    return [
        (str(e.tag), e.get("href") or e.get("src") or "", " ".join(((e.text or "") + "|" + (e.tail or "")).split()))
        for e in root.iter()
    ][1:]


def inside_body(element: etree._Element) -> bool:
    return any("data-digest" in parent.attrib for parent in element.iterancestors())


def carried(page: str) -> tuple[str, str]:
    """Digest and body of a page or an email: the element that carries ``data-digest``."""
    [element] = [element for element in html.document_fromstring(page).iter() if "data-digest" in element.attrib]
    inner = (element.text or "") + "".join(html.tostring(child, encoding="unicode") for child in element)
    return element.get("data-digest", ""), inner


def test_page_feeds_and_email_carry_the_same_body_and_digest(newsletter: NewsletterFolder) -> None:
    edition = one(newsletter.build(), "first")
    page = newsletter.page("issues/first/index.html")
    assert edition.body in page, "the page holds the very bytes of the body"
    assert carried(page)[0] == edition.digest
    email_digest, email_body = carried(edition.html)
    assert email_digest == edition.digest
    assert skeleton(email_body) == skeleton(edition.body)
    for feed in ("feeds/all.rss.xml", "feeds/all.atom.xml", "feeds/tag/python.rss.xml"):
        read = feedparser.parse(newsletter.page(feed), sanitize_html=False, resolve_relative_uris=False)
        entry = next(entry for entry in read.entries if entry.title == "First")
        assert entry.content[0].value.strip() == edition.body.strip(), feed
        assert edition.digest in {tag.term for tag in entry.tags}, feed
    assert edition.digest in edition.text


def test_the_sent_bytes_carry_the_digest_and_the_subscribers_own_link(newsletter: NewsletterFolder) -> None:
    edition = one(newsletter.build(), "first")
    raw = Template.prepare(
        subject=edition.subject, html=edition.html, text=edition.text, sender="L <l@example.org>", digest=edition.digest,
        lang=edition.lang, list_id="<l>",
    ).fill(to="ada@example.org", unsubscribe_url="https://x.org/leave/abc")  # fmt: skip
    message = email.message_from_bytes(raw, policy=email.policy.default)
    text, page = (part.get_content() for part in message.iter_parts())
    assert message["X-Postmerge-Digest"] == edition.digest
    assert carried(page)[0] == edition.digest
    assert UNSUBSCRIBE_URL not in text + page
    assert "https://x.org/leave/abc" in text
    assert 'href="https://x.org/leave/abc"' in page


def test_every_link_and_image_of_an_email_is_absolute(newsletter: NewsletterFolder) -> None:
    edition = one(newsletter.build(), "first")
    root = html.document_fromstring(edition.html)
    assert isinstance(root, html.HtmlElement)
    targets = [link for _, _, link, _ in root.iterlinks() if UNSUBSCRIBE_URL not in link]
    assert f"{SITE}/issues/second/" in targets
    assert f"{SITE}/images/chart.png" in targets
    assert f"{SITE}/about/" in targets
    assert all(target.startswith(("https://", "http://", "mailto:")) for target in targets)


def test_the_email_has_what_an_email_needs(newsletter: NewsletterFolder) -> None:
    report = newsletter.build()
    first, second = one(report, "first"), one(report, "second")
    root = html.document_fromstring(first.html)
    assert (root.get("lang"), root.get("dir")) == ("de", "ltr")
    assert all(table.get("role") == "presentation" for table in root.iter("table") if not inside_body(table))
    assert f'href="{first.url}"' in first.html
    assert "1 Example Street" in first.html
    assert "1 Example Street" in first.text
    assert "Short &amp; sweet" in second.html
    assert (second.preheader, second.send, first.send) == ("Short & sweet", SendIntent.YES, SendIntent.NO)
    assert "style=" in first.html


def test_the_text_part_is_readable(newsletter: NewsletterFolder) -> None:
    text = one(newsletter.build(), "first").text
    assert "Hello *there*, see the other issue [1]" in text
    assert f"[1] {SITE}/issues/second/" in text
    assert "[Bild: A chart]" in text, "in the language of the issue"
    assert re.search(r"city +emails\n-+ +-+\nUlm +12", text)
    assert '    print("sent")' in text
    assert all(len(line) <= 78 for line in text.splitlines() if "http" not in line)


def test_code_between_fences_is_code_in_lists_and_quotes_too(newsletter: NewsletterFolder) -> None:
    in_list = "1. Do this:\n\n    ```python\n    print(1)\n    ```\n\n2. Then that.\n\n"
    newsletter.write("code.md", "Title: Code\nDate: 2026-11-20", in_list + "> ```\n> quoted\n> ```\n\n    if deep:\n")
    made = one(newsletter.build(), "code")
    for shown in (made.body, newsletter.page("issues/code/index.html"), made.html):
        blocks = ["".join(map(str, block.itertext())) for block in html.fromstring(shown).iter("pre")]
        assert blocks == ["print(1)\n", "quoted\n", "if deep:\n"]
        assert "```" not in shown
    assert [line for line in made.text.splitlines() if line.strip() in ("print(1)", "quoted", "if deep:")] != []
    assert "`" not in made.text


@pytest.mark.parametrize("after", ["rust,ignore", "python copy", "jsx:src/a.js", 'js title="a.js" copy', "sh $ ls"])
def test_whatever_stands_after_a_fence_the_code_stays_code(newsletter: NewsletterFolder, after: str) -> None:
    newsletter.write("code.md", "Title: Code\nDate: 2026-11-20", f"Before.\n\n```{after}\nfirst()\nsecond()\n```\n\nAfter.\n")
    made = one(newsletter.build(), "code")
    blocks = ["".join(map(str, block.itertext())) for block in html.fromstring(made.html).iter("pre")]
    assert blocks == ["first()\nsecond()\n"]
    assert "\n    first()\n    second()\n" in made.text


def test_feeds_say_the_summary_that_is_written(newsletter: NewsletterFolder) -> None:
    newsletter.write("said.md", "Title: Said\nDate: 2026-11-20\nPreheader: Grey line\nSummary: Cats & dogs", "Some text.\n")
    newsletter.write("unsaid.md", "Title: Unsaid\nDate: 2026-11-20", "This & that.\n")
    assert one(newsletter.build(), "said").preheader == "Grey line"
    for path in ("feeds/all.rss.xml", "feeds/all.atom.xml"):
        entries = {entry.title: entry for entry in feedparser.parse(newsletter.page(path)).entries}
        assert entries["Said"].summary == "Cats & dogs"
    items = {item["title"]: item for item in json.loads(newsletter.page("feeds/all.json"))["items"]}
    assert items["Said"]["summary"] == "Cats & dogs"
    assert items["Unsaid"]["summary"] == "This & that."


def test_guids_stay_when_title_date_and_text_change(newsletter: NewsletterFolder) -> None:
    newsletter.build()
    before = {e.title: e.id for e in feedparser.parse(newsletter.page("feeds/all.rss.xml")).entries}
    newsletter.write("first.md", "Title: Another\nDate: 2026-11-02 09:00", "Else.\n")
    newsletter.build()
    after = {e.title: e.id for e in feedparser.parse(newsletter.page("feeds/all.rss.xml")).entries}
    assert after["Another"] == before["First"]


def test_nothing_that_runs_reaches_page_feed_or_email(newsletter: NewsletterFolder) -> None:
    body = '<script>alert(1)</script><p onclick="x()">Text <a href="javascript:alert(1)">link</a></p><iframe></iframe>'
    newsletter.write("second.md", "Title: Second\nDate: 2026-11-08", body + "\n")
    report = newsletter.build()
    edition = one(report, "second")
    assert not re.search(r"alert|onclick|<iframe", edition.body + edition.html)
    warned = "\n".join(told(report, "warning"))
    for what in ("<script>", "onclick=", "href=javascript:alert(1)", "<iframe>"):
        assert f"content/issues/second.md:4: warning: {what}" in warned, what


@pytest.mark.parametrize(
    ("head", "place", "sentence"),
    [
        ("Date: 2026-11-01", ":1:", "`Title:` is missing"),
        ("Title: X", ":1:", "`Date:` is missing"),
        ("Title: X\nDate: someday", ":2:", "`Date: someday` is not a valid date"),
        ("Title: X\nDate: 10:30", ":2:", "`Date: 10:30` is not a valid date"),
        ("Title: X\nDate: 2026-11-01\nSend: soon", ":3:", "`Send: soon` is not valid"),
        ("Title: X\nDate: 2026-11-01\nSend: 2026-12-01 09:00", ":3:", "has no time zone"),
        ("Title: X\nDate: 2026-11-01\nSend: 2027-03-28 02:30 Europe/Berlin", ":3:", "doesn't exist"),
        ("Title: X\nDate: 2026-11-01\nSend: 2026-12-01 09:00 Europe/Berlni", ":3:", "is not a time zone: write a name such as"),
        ("Title: X\nDate: 2026-11-01\nEdition: two", ":3:", "is not a positive whole number"),
        ("Title: X\nDate: 2026-11-01\nAudience: python and", ":3:", "cannot be read at column 11"),
    ],
)
def test_a_broken_issue_is_an_error_at_its_line_and_the_others_are_built(
    newsletter: NewsletterFolder, head: str, place: str, sentence: str
) -> None:
    newsletter.write("bad.md", head)
    report = newsletter.build()
    [error] = told(report, "error")
    assert error.startswith(f"content/issues/bad.md{place} error: ")
    assert sentence in error
    assert [edition.key for edition in report.editions] == ["first", "second"]


def test_of_two_issues_with_one_id_both_are_named_and_the_older_is_built(newsletter: NewsletterFolder) -> None:
    newsletter.write("a-copy.md", "Title: X\nDate: 2026-11-20\nId: first\nSend: yes")
    report = newsletter.build()
    copy, first = (one for one in report.findings if one.level == "error")
    assert str(copy).startswith(
        "content/issues/a-copy.md:3: error: The issue key 'first' is also used by content/issues/first.md"
    )
    assert str(first).startswith(
        "content/issues/first.md:1: error: The issue key 'first' is also used by content/issues/a-copy"
    )
    assert (copy.issue, copy.asks) == ("", 1), "publishing refuses, whatever was sent from that path before"
    assert [edition.path for edition in report.editions] == ["content/issues/first.md", "content/issues/second.md"]


def test_an_error_in_a_translation_says_which_issue_asks_to_be_sent(newsletter: NewsletterFolder) -> None:
    newsletter.write("hello.md", "Title: Hello\nDate: 2026-11-02\nSend: yes\nEdition: 2")
    newsletter.write("hello.de.md", "Title: Hallo\nDate: soon\nLang: de")
    newsletter.write("quiet.md", "Title: Quiet\nDate: soon")
    found = {one.path: (one.issue, one.asks) for one in newsletter.build().findings if one.level == "error"}
    assert found == {"content/issues/hello.de.md": ("content/issues/hello.md", 2), "content/issues/quiet.md": ("", 0)}


def test_a_file_that_is_not_utf_8_is_named_and_not_sent(newsletter: NewsletterFolder) -> None:
    path = newsletter.write("bad.md", "Title: Bad\nDate: 2026-11-02\nSend: yes")
    path.write_bytes(path.read_bytes() + b"\nGr\xfc\xdfe\n")
    report = newsletter.build()
    assert told(report, "error") == ["content/issues/bad.md:7: error: The file is not UTF-8 here: save it as UTF-8."]
    path.write_bytes(path.read_bytes().replace(b"Send: yes", b"Send: no"))
    report = newsletter.build()
    assert "Gr��e" in one(report, "bad").body
    assert told(report, "error") == []


def test_smaller_slips_are_warnings_at_their_line(newsletter: NewsletterFolder) -> None:
    newsletter.write("slips.md", "Title: X\nDate: 2026-11-20\nPreheder: oops\nSlug: second", "See [it]({filename}gone.md).\n")
    taken = "The slug 'second' is taken by content/issues/second.md, so this issue is at 'slips': give it a different `Slug:`."
    assert told(newsletter.build(), "warning") == [
        "content/issues/slips.md:3: warning: Unknown field `Preheder:`. Did you mean `Preheader:`?",
        f"content/issues/slips.md:4: warning: {taken}",
        "content/issues/slips.md:6: warning: The linked file gone.md doesn't exist: correct the name, or add the file.",
    ]


def test_titles_in_any_script_have_pages_of_their_own(newsletter: NewsletterFolder) -> None:
    for number, title in enumerate(("新闻", "新聞", "الأخبار", "Новости")):
        newsletter.write(f"{title}.md", f"Title: {title}\nDate: 2026-10-0{number + 1}\nLang: ar")
    report = newsletter.build()
    assert told(report, "error") == []
    assert len({edition.url for edition in report.editions}) == 6
    assert 'dir="rtl"' in one(report, "الأخبار").html


def test_two_issues_whose_names_have_only_symbols_do_not_collide(newsletter: NewsletterFolder) -> None:
    for name in ("!!!.md", "???.md"):
        newsletter.write(name, f"Title: {name}\nDate: 2026-10-01")
    report = newsletter.build()
    assert len({edition.key for edition in report.editions}) == 4


@pytest.mark.parametrize("theme", ["notmyidea", "ours"])
def test_a_build_without_the_plugin_says_so_and_the_old_site_stays(newsletter: NewsletterFolder, theme: str) -> None:
    newsletter.build()
    before = newsletter.page("index.html")
    lines = ["PLUGINS = []"] + ([f"THEME = {theme!r}"] if theme != "ours" else [])
    with (newsletter.folder / "pelicanconf.py").open("a") as config:
        config.write("\n" + "\n".join(lines) + "\n")
    with pytest.raises(BadInput, match=r"does not load the plugin.*`postmerge init` says which line to add"):
        newsletter.build()
    assert newsletter.page("index.html") == before


def test_a_broken_email_template_is_one_sentence_with_its_place(newsletter: NewsletterFolder) -> None:
    template = newsletter.folder / "theme" / "templates" / "email" / "edition.html"
    template.write_text("<html><body>{{ title </body></html>")
    with pytest.raises(BadInput, match=r"email template has an error .*theme/templates/email/edition.html"):
        newsletter.build()


def test_a_broken_page_template_is_one_sentence_with_its_place_and_the_old_site_stays(newsletter: NewsletterFolder) -> None:
    newsletter.build()
    (newsletter.folder / "theme" / "templates" / "article.html").write_text("\n{% if %}")
    with pytest.raises(BadInput, match=r"cannot be built .*article.html, line 2"):
        newsletter.build()
    (newsletter.folder / "theme" / "templates" / "article.html").write_text("\n\n{{ no.such.thing }}")
    with pytest.raises(BadInput, match=r"'no' is undefined.*article.html, line 3"):
        newsletter.build()
    assert "First" in newsletter.page("issues/first/index.html")


def test_a_deleted_issue_has_no_page_and_no_edition(newsletter: NewsletterFolder) -> None:
    newsletter.build()
    (newsletter.issues / "second.md").unlink()
    (newsletter.issues / "first.md").write_text("Title: First\nDate: 2026-11-01 09:00\n\nAlone.\n")
    newsletter.build()
    assert not (newsletter.folder / "build" / "site" / "issues" / "second").exists()
    assert not [path for path in (newsletter.folder / "build").glob(".site*/**/*") if not path.is_dir()]
    assert [edition.key for edition in editions.load(newsletter.folder / "build" / "editions").editions] == ["first"]


def test_an_unchanged_page_keeps_its_file_and_a_failed_build_changes_nothing(newsletter: NewsletterFolder) -> None:
    first, second = (newsletter.folder / "build" / "site" / "issues" / name / "index.html" for name in ("first", "second"))
    newsletter.build()
    newsletter.build()
    before = first.stat(), second.stat()
    path = newsletter.issues / "second.md"
    path.write_text(path.read_text() + "\nOne line more.\n")
    (newsletter.folder / "theme" / "templates" / "tags.html").write_text("{% if %}")
    with pytest.raises(BadInput):
        newsletter.build()
    assert (first.stat().st_ino, second.read_text().count("One line more")) == (before[0].st_ino, 0)
    shutil.copy(ROOT / "theme" / "templates" / "tags.html", newsletter.folder / "theme" / "templates")
    newsletter.build()
    assert first.stat().st_mtime_ns == before[0].st_mtime_ns, "who copies the site by dates has nothing to do"
    assert second.stat().st_mtime_ns > before[1].st_mtime_ns
    assert "One line more" in second.read_text()


def test_what_was_a_folder_may_become_a_file_and_the_other_way_round(newsletter: NewsletterFolder) -> None:
    conf = newsletter.folder / "pelicanconf.py"
    pretty = conf.read_text()
    for number in range(4):
        conf.write_text(pretty if number % 2 else pretty + '\nARTICLE_SAVE_AS = ARTICLE_LANG_SAVE_AS = "issues/{slug}"\n')
        newsletter.build()
        found = [
            str(path.relative_to(newsletter.folder / "build/site/issues"))
            for path in (newsletter.folder / "build/site/issues").rglob("*")
        ]
        assert sorted(found) == (
            ["first", "first/index.html", "second", "second/index.html"] if number % 2 else ["first", "second"]
        )


def test_a_handed_over_edition_is_the_one_that_was_built(newsletter: NewsletterFolder) -> None:
    built = newsletter.build()
    loaded = editions.load(newsletter.folder / "build" / "editions")
    assert loaded.editions == built.editions


def test_an_edition_that_was_changed_after_the_build_is_refused(newsletter: NewsletterFolder) -> None:
    newsletter.build()
    folder = newsletter.folder / "build" / "editions"
    path = next(path for path in folder.glob("*.json") if "Short" in path.read_text())
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "body": facts["body"] + "<p>more</p>"}))
    with pytest.raises(BadInput, match=r"second in .* was changed after the build: run `postmerge build` again"):
        editions.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(BadInput, match="run `postmerge build` first"):
        editions.load(folder)


@pytest.mark.slow
def test_a_build_with_the_cache_is_byte_for_byte_the_clean_one(newsletter: NewsletterFolder) -> None:
    chance = random.Random(7)
    for number in range(6):
        newsletter.write(
            f"issue-{number}.md", f"Title: Issue {number}\nDate: 2026-09-{number + 1:02}\nTags: t{number % 3}", BODY
        )
    newsletter.build()
    for step in range(len(EDITS)):
        edit(newsletter, chance, step)
        newsletter.build()
        shutil.rmtree(newsletter.folder / "clean", ignore_errors=True)
        newsletter.build(into="clean")
        assert differences(newsletter.folder / "build" / "site", newsletter.folder / "clean" / "site") == []
        assert differences(newsletter.folder / "build" / "editions", newsletter.folder / "clean" / "editions") == []


EDITS = ("text", "gone", "mail", "rename", "config", "page", "title", "date", "tags", "language", "text")


def edit(newsletter: NewsletterFolder, chance: random.Random, step: int) -> None:
    """Something that a writer or a designer does between two builds."""
    path = chance.choice(sorted(newsletter.issues.glob("issue-*.md")))
    text, theme = path.read_text(), newsletter.folder / "theme" / "templates"
    match EDITS[step]:
        case "text":
            path.write_text(text + f"\nEdit {step}.\n")
        case "gone":
            path.unlink()
        case "rename":
            path.rename(path.with_name(f"renamed-{step}.md"))
        case "title":
            path.write_text(text.replace("Title: ", "Title: New & newer "))
        case "date":
            path.write_text(text.replace("Date: 2026-09", "Date: 2026-08"))
        case "tags":
            path.write_text(text.replace("Tags: ", "Tags: fresh, "))
        case "language":
            path.write_text(f"Lang: ar\n{text}")
        case "mail":
            template = theme / "email" / "edition.html"
            template.write_text(template.read_text().replace("</body>", f"<p>step {step}</p></body>"))
        case "page":
            template = theme / "article.html"
            template.write_text(template.read_text().replace("<article>", f'<article data-step="{step}">'))
        case "config":
            config = newsletter.folder / "pelicanconf.py"
            guess = 'MARKDOWN["extension_configs"]["markdown.extensions.codehilite"]["guess_lang"] = True'
            config.write_text(f"{config.read_text()}\n{guess}\n")


def differences(one: Path, other: Path) -> list[str]:
    """Files that are in one folder only, or differ."""
    names = {str(p.relative_to(root)) for root in (one, other) for p in root.rglob("*") if p.is_file()}
    _, unlike, missing = filecmp.cmpfiles(one, other, sorted(names), shallow=False)
    return unlike + missing


def test_a_cached_value_that_was_damaged_counts_as_missing(newsletter: NewsletterFolder) -> None:
    first = newsletter.build()
    for path in (newsletter.folder / "build" / "cache").rglob("*.json"):
        path.write_text(path.read_text()[:-20])
    again = newsletter.build()
    assert (again.reused, again.editions) == (0, first.editions)


def test_no_content_folder_is_one_sentence(newsletter: NewsletterFolder) -> None:
    shutil.rmtree(newsletter.folder / "content")
    with pytest.raises(BadInput, match="run `postmerge init` to start a newsletter here"):
        newsletter.build()


def test_findings_read_like_a_compilers() -> None:
    assert str(Finding("error", "content/a.md", 3, "No.")) == "content/a.md:3: error: No."


def test_a_correction_shows_on_the_page_and_in_the_feeds_and_keeps_the_digest(newsletter: NewsletterFolder) -> None:
    head = "Title: Hello\nDate: 2026-11-20 09:00\nSend: yes"
    newsletter.write("hello.md", head)
    before = newsletter.build().editions[0]
    newsletter.write("hello.md", f"{head}\nCorrected: 2026-11-25 The <table> had last year's figures.")
    after = newsletter.build()
    assert after.editions[0] == before
    page = newsletter.page("issues/hello/index.html")
    assert 'Corrected on <time datetime="2026-11-25T00:00:00+00:00">25 November 2026</time>' in page
    assert "The &lt;table&gt; had last year&#39;s figures." in page
    assert '"dateModified": "2026-11-25T00:00:00+00:00"' in page
    feed = feedparser.parse(newsletter.page("feeds/all.atom.xml"))
    assert feed.entries[0].updated.startswith("2026-11-25")
    assert feed.entries[0].published.startswith("2026-11-20")
    assert json.loads(newsletter.page("feeds/all.json"))["items"][0]["date_modified"].startswith("2026-11-25")
    newsletter.write("hello.md", f"{head}\nCorrected: yesterday")
    warning = next(finding for finding in newsletter.build().findings if "Corrected" in finding.message)
    assert (warning.level, warning.line) == ("warning", 4)
    assert "write the date" in warning.message


def long_issue(newsletter: NewsletterFolder, mode: str) -> tuple[Report, Edition | None]:
    """An issue of some 160 KB with twenty headings, built with POSTMERGE_CLIP set."""
    config = newsletter.folder / "pelicanconf.py"
    config.write_text((ROOT / "pelicanconf.py").read_text() + f"\nPOSTMERGE_CLIP = {mode!r}\n")
    body = "".join(f"## Part {n}\n\n{'Some words of the text, again and again. ' * 180}\n\n" for n in range(20))
    newsletter.write("long.md", "Title: Long\nDate: 2026-11-24 09:00\nSend: yes", body + "The very end.\n")
    report = newsletter.build()
    return report, next((edition for edition in report.editions if edition.key == "long"), None)


def test_a_long_email_is_cut_at_a_heading_and_its_text_stays_whole(newsletter: NewsletterFolder) -> None:
    report, edition = long_issue(newsletter, "cut")
    assert edition
    size = len(edition.html.encode())
    assert 92_000 < size < 102 * 1024
    kept = re.findall(r"Part (\d+)</h2>", edition.html)
    assert kept == [str(number) for number in range(len(kept))]
    assert re.search(rf'<a href="{edition.url}#part-{len(kept)}"[^>]*>Read the rest on the web</a>', edition.html)
    assert UNSUBSCRIBE_URL in edition.html.split("Read the rest on the web")[1]
    assert "The very end." in edition.text
    assert "The very end." in edition.body
    assert [str(f) for f in report.findings if f.level == "error"] == []
    assert any(f"ends before “Part {len(kept)}”" in finding.message for finding in report.findings)


def test_a_long_email_is_refused_or_pointed_out_by_setting(newsletter: NewsletterFolder) -> None:
    report, _ = long_issue(newsletter, "refuse")
    assert [finding.level for finding in report.findings if "Gmail shows only 102 KB" in finding.message] == ["error"]
    report, edition = long_issue(newsletter, "warn")
    assert edition
    assert [finding.level for finding in report.findings if "Gmail clips it at 102 KB" in finding.message] == ["warning"]
    assert "The very end." in edition.html
    with pytest.raises(BadInput, match="POSTMERGE_CLIP is 'maybe': set it to"):
        long_issue(newsletter, "maybe")


def by_itself(newsletter: NewsletterFolder, into: str = "build") -> subprocess.CompletedProcess[str]:
    """`postmerge build` in a process of its own, which has one thread as a user's has."""
    folder = newsletter.folder
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "POSTMERGE_CONTENT": str(folder / "content"),
        "POSTMERGE_BUILD": str(folder / into),
        "POSTMERGE_CONFIG": str(folder / "pelicanconf.py"),
        "POSTMERGE_SITE_URL": SITE,
        "POSTMERGE_POSTAL_ADDRESS": "1 Example Street",
    }
    command = [sys.executable, "-m", "mailer.cli", "build"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)


def many(newsletter: NewsletterFolder) -> None:
    """More issues than are written by one process."""
    for number in range(60):
        newsletter.write(f"issue-{number}.md", f"Title: Issue {number}\nDate: 2026-09-01\nTags: t{number % 3}", "One line.\n")


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor makes them by itself")
def test_two_processes_make_the_pages_and_they_are_those_of_one(newsletter: NewsletterFolder) -> None:
    many(newsletter)
    assert by_itself(newsletter).returncode == 0
    newsletter.write("issue-7.md", "Title: Another\nDate: 2026-09-01\nTags: t2", "Two lines.\n")
    assert by_itself(newsletter).returncode == 0
    assert by_itself(newsletter, into="clean").returncode == 0
    assert differences(newsletter.folder / "build" / "site", newsletter.folder / "clean" / "site") == []
    assert differences(newsletter.folder / "build" / "editions", newsletter.folder / "clean" / "editions") == []
    with (newsletter.folder / "pelicanconf.py").open("a") as config:
        config.write('\nimport os\nJINJA_GLOBALS = {**globals().get("JINJA_GLOBALS", {}), "pid": os.getpid}\n')
    template = newsletter.folder / "theme" / "templates" / "article.html"
    template.write_text(template.read_text().replace("<article", '<article data-pid="{{ pid() }}"', 1))
    assert by_itself(newsletter).returncode == 0
    pages = [path.read_text() for path in (newsletter.folder / "build" / "site" / "issues").glob("issue-*/index.html")]
    made_by = Counter(found[1] for page in pages if (found := re.search(r'data-pid="(\d+)"', page)))
    assert sorted(made_by.values()) == pytest.approx([30, 30], abs=2)


def test_a_page_that_cannot_be_made_in_the_process_beside_is_told_as_ever(newsletter: NewsletterFolder) -> None:
    many(newsletter)
    assert by_itself(newsletter).returncode == 0
    old = newsletter.page("issues/issue-7/index.html")
    template = newsletter.folder / "theme" / "templates" / "article.html"
    template.write_text(template.read_text().replace("<article", "{{ article.nothing.at.all }}<article", 1))
    done = by_itself(newsletter)
    assert done.returncode == 1
    assert "The site cannot be built (UndefinedError" in " ".join(done.stderr.split())
    assert newsletter.page("issues/issue-7/index.html") == old


def test_a_preview_makes_the_edition_that_the_build_makes_also_where_another_issue_has_the_slug(
    newsletter: NewsletterFolder,
) -> None:
    for year in (2024, 2025):
        (newsletter.issues / f"{year}").mkdir()
        newsletter.write(f"{year}/01.md", f"Title: January\nDate: {year}-01-31 09:00", "[Up](../)\n")
    built = {edition.path: edition for edition in newsletter.build().editions}
    preview = Preview(newsletter.options())
    for path in sorted(newsletter.issues.rglob("*.md")):
        shown = preview.show(path)
        assert shown.edition == built[path.relative_to(newsletter.folder).as_posix()]
    assert {one.url for one in built.values()} >= {f"{SITE}/issues/01/", f"{SITE}/issues/2025-01/"}


def test_a_hidden_issue_with_the_key_of_a_public_one_takes_nothing_from_it(newsletter: NewsletterFolder) -> None:
    newsletter.write("public.md", "Title: Public\nDate: 2026-11-02 09:00\nId: one\nTags: kept\nFormerly: old")
    newsletter.write("hidden.md", "Title: Hidden\nDate: 2026-11-03 09:00\nId: one\nStatus: hidden")
    report = newsletter.build()
    assert one(report, "one").title == "Public"
    assert "issues/public/" in newsletter.page("issues/old/index.html")
    assert "Hidden" not in newsletter.page("feeds/all.json")
    assert "Public" in newsletter.page("feeds/tag/kept.json")
