"""Premium text: variants with digests of their own, and no way for a word of it into what everybody can read."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import orjson
import pytest

from mailer import editions
from mailer.core.errors import BadInput, Refused
from mailer.editions import Report
from mailer.editions.source import paid_leaks
from tests.integration.editions.test_editions import NewsletterFolder

HEAD = "Title: The second winter\nDate: 2026-11-24 09:00\nSend: yes"
SECRET = "The ledger of the second winter names eleven cellars under the old brewery yard"
HEADING = "Eleven cellars below Brewery Lane"
BODY = f"""Everybody reads this first paragraph about the winter and its quiet beginnings.

:::premium
## {HEADING}

{SECRET}, and a map of them.
:::

Everybody reads the last paragraph too.
"""


@pytest.fixture
def newsletter(tmp_path: Path) -> NewsletterFolder:
    return NewsletterFolder(tmp_path)


def site_of(newsletter: NewsletterFolder) -> Path:
    return newsletter.folder / "build" / "site"


def everywhere(newsletter: NewsletterFolder, report: Report) -> str:
    """All that is public, unpacked and without tags, in one text."""
    found = [
        text for path in site_of(newsletter).rglob("*") if path.is_file() for text in paid_leaks.readable(path.read_bytes())
    ]
    for one in report.editions:
        found += [one.html, one.text, one.subject, one.preheader, one.body, one.title]
    return " ".join(paid_leaks.words(" ".join(found)))


def test_only_the_owner_reads_paid_text_in_files_that_are_not_public(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    newsletter.build()
    built = [path for path in (newsletter.folder / "build").rglob("*") if path.is_file() and not path.is_symlink()]
    private = [path for path in built if b"eleven cellars" in path.read_bytes()]
    assert {path.relative_to(newsletter.folder / "build").parts[0] for path in private} >= {"editions", "cache"}
    assert [str(path) for path in private if path.stat().st_mode & 0o077] == []


def plain(text: str) -> str:
    return " ".join(paid_leaks.words(text))


def test_one_source_makes_two_texts_with_digests_of_their_own(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    report = newsletter.build()
    [edition] = report.editions
    [paid] = edition.variants
    assert SECRET in paid.html
    assert SECRET in " ".join(paid.text.split())
    assert HEADING in paid.body
    assert paid.digest != edition.digest
    assert paid.digest in paid.html
    assert "Subscribe to read on" in edition.html
    assert "Subscribe to read on" not in paid.html
    for part in ("first paragraph", "last paragraph"):
        assert part in edition.body
        assert part in paid.body
    assert plain(SECRET) not in everywhere(newsletter, report)
    assert plain(HEADING) not in everywhere(newsletter, report)


def test_editions_are_read_back_as_they_were_built(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    built = newsletter.build().editions
    assert editions.load(newsletter.folder / "build" / "editions").editions == built


def test_a_changed_variant_is_noticed(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    newsletter.build()
    [path] = [p for p in (newsletter.folder / "build" / "editions").glob("*.json") if p.name != "report.json"]
    path.write_text(path.read_text().replace("and a map of them", "and no map of them"))
    with pytest.raises(BadInput, match="was changed after the build"):
        editions.load(path.parent)


def test_free_subscribers_can_get_words_of_their_own(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, f"{BODY}\n:::free\nThere is more below the yard for those who pay.\n:::\n")
    [edition] = newsletter.build().editions
    assert "for those who pay" in edition.body
    assert "for those who pay" not in edition.variants[0].body
    assert "This part is for paid subscribers" not in edition.body


def test_a_whole_issue_shows_its_teaser(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", f"{HEAD}\nAccess: premium", f"A teaser for all.\n\n<!-- more -->\n\n{SECRET}.\n")
    report = newsletter.build()
    [edition] = report.editions
    assert "A teaser for all" in edition.body
    assert "A teaser for all" in edition.variants[0].body
    assert SECRET in edition.variants[0].body
    assert plain(SECRET) not in everywhere(newsletter, report)


def test_a_whole_issue_without_a_teaser_shows_nothing_of_itself(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", f"{HEAD}\nAccess: premium\nTeaser: Soon <b>more</b>.", f"{SECRET}.\n")
    report = newsletter.build()
    assert plain(SECRET) not in everywhere(newsletter, report)
    assert "Soon &lt;b&gt;more" in report.editions[0].body


def test_an_early_issue_is_free_from_its_date_on(newsletter: NewsletterFolder) -> None:
    later = f"{HEAD}\nAccess: early\nFree-From: 2999-01-01 09:00 UTC"
    newsletter.write("winter.md", later, BODY)
    [edition] = newsletter.build().editions
    assert edition.variants
    assert "free for everyone from 1 January 2999" in edition.body
    newsletter.write("winter.md", later.replace("2999", "2020"), BODY)
    [edition] = newsletter.build().editions
    assert not edition.variants
    assert SECRET in edition.body
    assert ":::" not in edition.body


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        ("", f":::premium\n{SECRET}\n", "`:::premium` is never closed"),
        ("", f":::premuim\n{SECRET}\n:::\n", "Did you mean `:::premium`"),
        ("", f":::paid\n{SECRET}\n:::\n", "Did you mean `:::premium`"),
        ("", f"  :::premium\n{SECRET}\n:::\n", "reads like a fence of paid text but is none"),
        ("", f":::premium {SECRET}\n:::\n", "reads like a fence of paid text but is none"),
        ("", f":::premium\n:::premium\n{SECRET}\n:::\n", "is inside `:::premium` of line 5"),
        ("", f"{SECRET}\n\n:::\n", "closes nothing"),
        ("", f"```\n:::premium\n{SECRET}\n:::\n```\n", "is inside a code block"),
        ("", f"~~~~\nx\n~~~\n:::premium\n{SECRET}\n:::\n", "is inside a code block"),
        ("", "A.\n\n:::premium\n\n:::\n", "is empty"),
        ("Access: payed", SECRET, "is unknown"),
        ("Access: early", SECRET, "needs a date"),
        ("Access: premium", f":::premium\n{SECRET}\n:::\n\n<!-- more -->\nMore.\n", "contains a `:::premium` block"),
    ],
)
def test_a_slip_in_the_marks_keeps_the_issue_back_with_its_line(
    newsletter: NewsletterFolder, head: str, body: str, said: str
) -> None:
    newsletter.write("winter.md", f"{HEAD}\n{head}".strip(), body)
    report = newsletter.build()
    assert any(said in f.message and f.level == "error" and f.line >= 1 for f in report.findings), report.findings
    assert report.editions == ()
    assert plain(SECRET) not in everywhere(newsletter, report)


def test_a_page_and_restructured_text_cannot_hold_premium_text(newsletter: NewsletterFolder) -> None:
    (newsletter.folder / "content" / "pages").mkdir()
    (newsletter.folder / "content" / "pages" / "about.md").write_text(f"Title: About\n\n:::premium\n{SECRET}\n:::\n")
    (newsletter.issues / "old.rst").write_text(f"Old\n###\n\n:date: 2026-11-01\n:access: premium\n\n{SECRET}\n")
    report = newsletter.build()
    assert {f.path: f.level for f in report.findings} == {"content/pages/about.md": "error", "content/issues/old.rst": "error"}
    assert plain(SECRET) not in everywhere(newsletter, report)


def test_marks_in_code_can_be_shown(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, "```\n :::premium\n text\n :::\n```\n")
    report = newsletter.build()
    assert [f for f in report.findings if f.level == "error"] == []
    assert ":::premium" in report.editions[0].body


# Twenty ways by which premium text gets out. Here it stands where a build might take it from: nothing of it may appear.
IMPOSSIBLE: dict[str, str] = {
    "a heading in the table of contents": "".join(
        f"## Part {n} of the open text\n\n{'Words that all may read. ' * 60}\n\n" for n in range(6)
    )
    + f":::premium\n## {SECRET}\n\nMore.\n:::\n",
    "the title of a picture": f'Free.\n\n:::premium\n![x](/images/chart.png "{SECRET}")\n:::\n',
    "the words for who cannot see a picture": f"Free.\n\n:::premium\n![{SECRET}](/images/chart.png)\n:::\n",
    "the title of a link": f'Free.\n\n:::premium\n[a link](https://example.org "{SECRET}") here\n:::\n',
    "a summary made by itself": f":::premium\n{SECRET}.\n:::\n\nThe free text begins late.\n",
    "a footnote inside the block": f"Free.\n\n:::premium\nA claim.[^1]\n\n[^1]: {SECRET}.\n:::\n",
    "a footnote at the end of the file": f"Free.\n\n:::premium\nA claim.[^1]\n:::\n\nFree.\n\n[^1]: {SECRET}.\n",
    "a footnote of two paragraphs": f"Free.\n\n:::premium\nA claim.[^n]\n:::\n\n[^n]: It says:\n\n    {SECRET}.\n\nFree.\n",
    "a table": f"Free.\n\n:::premium\n| a | b |\n|---|---|\n| {SECRET} | 2 |\n:::\n",
    "code": f"Free.\n\n:::premium\n```python\n# {SECRET}\n```\n:::\n",
    "raw HTML": f"Free.\n\n:::premium\n<details><summary>{SECRET}</summary></details>\n:::\n",
    "a comment": f"Free.\n\n:::premium\n<!-- {SECRET} -->\nMore.\n:::\n",
}


@pytest.mark.parametrize("way", IMPOSSIBLE)
def test_no_way_out_of_a_block(newsletter: NewsletterFolder, way: str) -> None:
    newsletter.write("winter.md", HEAD, IMPOSSIBLE[way])
    report = newsletter.build()
    assert [f.message for f in report.findings if f.level == "error"] == []
    assert report.editions[0].variants
    assert plain(SECRET) not in everywhere(newsletter, report)


def _issue(head: str = "", more: str = "") -> Callable[[NewsletterFolder], object]:
    return lambda newsletter: newsletter.write("winter.md", f"{HEAD}\n{head}".strip(), f"{BODY}\n{more}\n")


def _file(name: str, data: bytes) -> Callable[[NewsletterFolder], object]:
    def plant(newsletter: NewsletterFolder) -> None:
        path = newsletter.folder / "content" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return plant


def _picture() -> bytes:
    body = b"Comment\0" + SECRET.encode()
    chunk = struct.pack(">I", len(body)) + b"tEXt" + body + struct.pack(">I", zlib.crc32(b"tEXt" + body))
    return b"\x89PNG\r\n\x1a\n" + chunk


def _restructured(newsletter: NewsletterFolder) -> None:
    (newsletter.issues / "old.rst").write_text(f"Old\n###\n\n:date: 2026-11-01\n\n{SECRET}.\n")


def _page(newsletter: NewsletterFolder) -> None:
    (newsletter.folder / "content" / "pages").mkdir()
    (newsletter.folder / "content" / "pages" / "about.md").write_text(f"Title: About\n\n{SECRET}\n")


def _sources(newsletter: NewsletterFolder) -> None:
    with (newsletter.folder / "pelicanconf.py").open("a") as config:
        config.write("\nOUTPUT_SOURCES = True\n")


def _theme(newsletter: NewsletterFolder) -> None:
    with (newsletter.folder / "theme" / "templates" / "base.html").open("a") as template:
        template.write(f"<meta name='description' content='{SECRET.upper()}'>")


# And here a person or a program has put it where everybody can read it: the build stops and names file and words.
CAUGHT: dict[str, Callable[[NewsletterFolder], object]] = {
    "Summary:": _issue(f"Summary: {SECRET}"),
    "Preheader:": _issue(f"Preheader: {SECRET}"),
    "Subject:": _issue(f"Subject: {SECRET}"),
    "Title: of another issue, and so its card": lambda newsletter: newsletter.write(
        "other.md", f"Title: {SECRET}\nDate: 2026-11-25 09:00"
    ),
    "Tags:": _issue(f"Tags: {SECRET}"),
    "a heading in the free text": _issue(more=f"## {HEADING}"),
    "the words for who cannot see a picture": _issue(more=f"![{SECRET}](/images/chart.png)"),
    "the title of a link": _issue(more=f'[a](https://example.org "{SECRET}")'),
    "an address": _issue(more=f"[a](https://example.org/?q={SECRET.replace(' ', '%20')})"),
    "with marks inside the words": _issue(more=SECRET.replace("winter", "win**ter**").replace("eleven", "*eleven*")),
    "with characters nobody sees": _issue(more=SECRET.replace("cellars", "cel\u00adlars").replace("old", "o\u200bld")),
    "as entities": _issue(more=SECRET.replace("e", "&#101;")),
    "a quotation in another issue": lambda newsletter: newsletter.write(
        "other.md", "Title: Other\nDate: 2026-11-25 09:00", f"> {SECRET}\n"
    ),
    "reStructuredText": _restructured,
    "a page": _page,
    "a text file beside the pictures": _file("notes.txt", SECRET.encode()),
    "JSON": _file("data.json", orjson.dumps({"a": SECRET}).replace(b"w", b"\\u0077")),
    "a source map": _file("app.js.map", orjson.dumps({"sourcesContent": [f"/* {SECRET} */"]})),
    "a packed file": _file("notes.gz", gzip.compress(SECRET.encode())),
    "the comment of a picture": _file("map.png", _picture()),
    "UTF-16": _file("notes16.txt", SECRET.encode("utf-16")),
    "a file's name": _file(f"{SECRET}.txt", b"x"),
    "the sources copied beside the pages": _sources,
    "the theme": _theme,
}


@pytest.mark.parametrize("way", CAUGHT)
def test_what_got_out_is_caught_and_nothing_is_published(newsletter: NewsletterFolder, way: str) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    newsletter.build()
    before = (site_of(newsletter) / "index.html").stat().st_ino
    CAUGHT[way](newsletter)
    with pytest.raises(Refused, match=r"contains paid text from content/issues/winter.md: “.+”"):
        newsletter.build()
    assert (site_of(newsletter) / "index.html").stat().st_ino == before


def test_a_built_site_that_was_changed_by_hand_is_caught_before_the_publish(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    report = newsletter.build()
    detector = paid_leaks.of_editions(report.editions)
    assert detector.find_in(site_of(newsletter)) == []
    (site_of(newsletter) / "extra.html").write_text(f"<p>{SECRET}</p>")
    [leak] = detector.find_in(site_of(newsletter))
    assert (leak.where, leak.path) == ("extra.html", "content/issues/winter.md")


def test_what_was_clean_is_looked_at_once_and_again_when_it_or_the_secret_changes(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>Nothing about the brewery.</p>")
    first = paid_leaks.LeakDetector([paid_leaks.Secret("a.md", SECRET)])
    assert first.find_in(tmp_path) == []
    again = paid_leaks.LeakDetector([paid_leaks.Secret("a.md", SECRET)])
    again.know(first.clean)
    again.find = lambda where, text: pytest.fail(f"{where} is looked at again")  # type: ignore[method-assign]
    assert again.find_in(tmp_path) == []
    assert again.clean == first.clean
    assert paid_leaks.LeakDetector([paid_leaks.Secret("a.md", f"{SECRET} More.")]).digest() != again.digest()
    last = paid_leaks.LeakDetector([paid_leaks.Secret("a.md", SECRET)])
    last.know(first.clean)
    (tmp_path / "page.html").write_text(f"<p>{SECRET}</p>")
    assert [leak.where for leak in last.find_in(tmp_path)] == ["page.html"]
    assert last.clean == set()


def test_the_common_words_of_two_issues_are_no_leak(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    newsletter.write("other.md", "Title: Other\nDate: 2026-11-25 09:00", "The old brewery yard, under the snow of winter.\n")
    assert len(newsletter.build().editions) == 2


def test_a_script_without_spaces_is_guarded_too(newsletter: NewsletterFolder) -> None:
    secret = "第二の冬の帳簿には古い醸造所の庭の下にある十一の地下室の名がある"
    newsletter.write("winter.md", HEAD, f"Free.\n\n:::premium\n{secret}\n:::\n")
    newsletter.build()
    newsletter.write("other.md", "Title: Other\nDate: 2026-11-25 09:00", f"前置き{secret[5:]}\n")
    with pytest.raises(Refused):
        newsletter.build()


def test_the_email_leads_free_subscribers_to_the_plans_where_something_was_omitted(newsletter: NewsletterFolder) -> None:
    newsletter.write("winter.md", f"{HEAD}\nLang: de", BODY)
    newsletter.write("open.md", "Title: Open\nDate: 2026-11-23 09:00", "All of it.\n")
    plans = newsletter.folder / "plans.toml"
    plans.write_text('[plans.monthly]\ntitle = "Monthly"\nprice = 5\nevery = "month"\n')
    open_, winter = editions.build(replace(newsletter.options(), plans=plans)).editions
    [paid] = winter.variants
    said = "Bezahltes Abonnement abschließen"
    assert said in winter.html
    assert f"{said} (5,00\N{NO-BREAK SPACE}€ im Monat): http" in winter.text
    box = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", unescape(winter.html.split('class="boxtable"')[1])))
    assert "Vollen Zugriff erhalten 5,00 € im Monat" in box
    assert winter.html.count("/join") == 2, "where the text ends, and as the button of the box"
    for text in (open_.html, open_.text, paid.html, paid.text):
        assert "/join" not in text


@pytest.mark.parametrize("sells", [True, False])
def test_the_site_leads_to_the_plans_only_where_something_is_sold(newsletter: NewsletterFolder, sells: bool) -> None:
    newsletter.write("winter.md", HEAD, BODY)
    if sells:  # as with a key and plans.toml where it is built
        with (newsletter.folder / "pelicanconf.py").open("a") as config:
            config.write("\nPOSTMERGE_JOIN = True\n")
    newsletter.build()
    pages = {path: path.read_text() for path in site_of(newsletter).rglob("*.html")}
    said = [text.count(">Become a paid subscriber</a>") for text in pages.values()]
    [issue] = [text for path, text in pages.items() if "winter" in str(path)]
    assert min(said) == (1 if sells else 0)
    assert issue.count(">Become a paid subscriber</a>") == (2 if sells else 0)
