"""A site that asks for GitHub's dialect of Markdown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import comrak
import pytest

from mailer.core.errors import BadInput
from mailer.editions.mail.gfm import GfmOptions
from mailer.editions.mail.markdown_to_html import Cache, Workshop, convert_all
from tests.integration.editions.test_builds import QUICK
from tests.integration.editions.test_editions import SITE, NewsletterFolder
from tests.machine import measure_slowness

BODY = "A line\n- ~~gone~~\n- [x] done\n\n> [!NOTE]\n> See www.example.org.\n"


@pytest.fixture
def newsletter(tmp_path: Path) -> NewsletterFolder:
    made = NewsletterFolder(tmp_path)
    made.write("first.md", "Title: First\nDate: 2026-11-01 09:00\nSend: yes", BODY)
    choose(made, QUICK + 'POSTMERGE_MARKDOWN = ""')
    return made


def choose(newsletter: NewsletterFolder, line: str) -> None:
    config = newsletter.folder / "pelicanconf.py"
    config.write_text(f"{config.read_text()}\n{line}\n")


def test_the_dialect_changes_page_and_email_but_no_key(newsletter: NewsletterFolder) -> None:
    [before] = newsletter.build().editions
    choose(newsletter, 'POSTMERGE_MARKDOWN = "gfm"')
    [after] = newsletter.build().editions
    assert (after.key, after.number) == (before.key, before.number)
    assert "~~gone~~" in before.html
    page = (newsletter.folder / "build/site/issues/first/index.html").read_text()
    for shown in (page, after.html):
        assert "<del>gone</del>" in shown
        assert "☑ done" in shown
        assert 'href="http://www.example.org"' in shown


def test_an_unknown_dialect_is_one_sentence(newsletter: NewsletterFolder) -> None:
    choose(newsletter, 'POSTMERGE_MARKDOWN = "github"')
    with pytest.raises(BadInput, match='write "gfm", or remove the line'):
        newsletter.build()


def github(newsletter: NewsletterFolder) -> NewsletterFolder:
    choose(newsletter, 'POSTMERGE_MARKDOWN = "gfm"')
    return newsletter


class Panic(BaseException):
    """What a panic in Rust becomes in Python: no Exception."""


def test_a_text_with_which_the_library_fails_is_named_and_stops_nothing(
    newsletter: NewsletterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = comrak.render_markdown

    def fail_for_one(text: str, *options: Any) -> str:
        if "unlucky" in text:
            raise Panic("index out of bounds")
        return convert(text, *options)

    monkeypatch.setattr(comrak, "render_markdown", fail_for_one)
    newsletter.write("bad.md", "Title: Bad\nDate: 2026-11-02", "An unlucky <b> text.\n")
    newsletter.write("asked.md", "Title: Asked\nDate: 2026-11-02\nSend: yes", "An unlucky text.\n")
    newsletter.write("paid.md", "Title: Paid\nDate: 2026-11-02", "Free.\n\n:::premium\nAn unlucky text.\n:::\n")
    report = github(newsletter).build()
    assert sorted(one.key for one in report.editions) == ["bad", "first", "paid"]
    said = "(Panic: index out of bounds); its source is shown instead: simplify the text."
    found = [(one.path, one.message) for one in report.findings if said in one.message]
    assert found == [
        (f"content/issues/{name}.md", f"This file cannot be converted from Markdown {said}") for name in ("bad", "paid")
    ]
    assert "<pre>An unlucky &lt;b&gt; text.\n</pre>" in newsletter.page("issues/bad/index.html")
    [refused] = [one for one in report.findings if one.level == "error"]
    assert refused.path == "content/issues/asked.md"
    assert refused.message.endswith("(Panic: index out of bounds), so it cannot be sent: simplify the text.")
    [paid] = [one for one in report.editions if one.key == "paid"]
    assert "unlucky" not in paid.html
    assert "An unlucky text." in paid.variants[0].html


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("odd"), "odd"),
        (Panic("index"), "Panic: index"),
        (RecursionError("maximum"), "HTML nested more than 100 levels deep"),
    ],
)
def test_whatever_the_library_raises_is_the_reason_why_a_text_has_no_html(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    def fail(*given: object) -> str:
        raise error

    monkeypatch.setattr(comrak, "render_markdown", fail)
    made = convert_all({"a": "text"}, GfmOptions(), Workshop(Cache(None)))
    assert (made.html, made.failed) == ({"a": None}, {"a": said})


def test_a_link_between_issues_leads_to_the_page_as_on_github(newsletter: NewsletterFolder) -> None:
    newsletter.write("zweite über.md", "Title: Second\nDate: 2026-11-02", "## 你好\n\n![Chart](../images/chart.png)\n")
    newsletter.write(
        "third.md", "Title: Third\nDate: 2026-11-03",
        "[a](./first.md#top) [b](<zweite über.md#你好>) [c](nowhere.md)\n\n:::premium\n[d](first.md)\n:::\n",
    )  # fmt: skip
    report = github(newsletter).build()
    second, third = (next(one for one in report.editions if one.title == title) for title in ("Second", "Third"))
    assert f'src="{SITE}/images/chart.png"' in second.html
    assert 'id="你好"' in second.body
    assert f'href="{SITE}/issues/first/#top"' in third.html
    assert f'href="{second.url}#你好"' in unquote(third.html)
    assert f'href="{SITE}/issues/first/">d</a>' in third.variants[0].html
    messages = [one.message for one in report.findings if one.level != "note"]
    assert "The linked file nowhere.md doesn't exist: correct the name, or add the file." in messages


def test_components_are_boxes_and_buttons_in_page_and_email(newsletter: NewsletterFolder) -> None:
    body = ":::sponsor By Example\nThey *help*.\n:::\n\n:::button\n[Read on](https://example.org/)\n:::\n\n> [!TIP]\n> Do.\n"
    newsletter.write("boxes.md", "Title: Boxes\nDate: 2026-11-02", body)
    edition = next(one for one in github(newsletter).build().editions if one.key == "boxes")
    assert '<div class="admonition sponsor">' in newsletter.page("issues/boxes/index.html")
    assert 'class="sponsortable"' in edition.html
    assert 'class="buttontable"' in edition.html
    assert 'class="boxtable"' in edition.html
    assert ":::" not in edition.html + edition.text


def test_monstrous_texts_are_named_in_one_sentence_each_and_the_others_are_built(newsletter: NewsletterFolder) -> None:
    head = "Title: Bad\nDate: 2026-11-02\n"
    texts = {
        "a-deep": head.encode() + b"\n" + b">" * 1000 + b" deep",
        "b-html": head.encode() + b"\n" + b"<b>" * 1000 + b" deep",
        "c-large": head.encode() + b"\n" + b"word " * 1_000_000,
        "d-wide": head.encode() + b"\n" + b"|a" * 1000 + b"|\n" + b"|-" * 1000 + b"|\n" + b"|b\n" * 10,
        "e-bytes": head.encode() + b"Send: yes\n\nGr\xfc\xdfe\n",
        "f-words": f"{head}Send: yes\n\nText.\n".encode("utf-16"),
        "f-cells": head.encode() + b"\n" + b"|a" * 100 + b"|\n" + b"|-" * 100 + b"|\n" + (b"|b" * 100 + b"|\n") * 100,
    }
    for name, data in texts.items():
        (newsletter.issues / f"{name}.md").write_bytes(data)
    report = github(newsletter).build()
    assert [one.issue for one in report.findings if one.path.endswith("f-words.md")] == ["content/issues/f-words.md"], "it asks"
    assert {"first", "f-cells"} <= {one.key for one in report.editions}
    said = {path: [one.message for one in report.findings if one.path.endswith(f"/{path}.md")] for path in texts}
    assert said == {
        "a-deep": [
            "This file cannot be converted from Markdown (quotes or lists nested more than 100 levels deep); its source is "
            "shown instead: simplify the text."
        ],
        "b-html": [
            "HTML nested more than 100 levels deep is not allowed in emails and feeds and was removed: correct or delete it."
        ],
        "c-large": ["The file is larger than 4 MB: move images into separate files, or split the text."],
        "d-wide": [
            "This file cannot be converted from Markdown (a table with more than 200 columns); its source is shown instead: "
            "simplify the text."
        ],
        "e-bytes": ["The file is not UTF-8 here: save it as UTF-8."],
        "f-words": ["The file is not UTF-8 here: save it as UTF-8."],
        "f-cells": ["The email has 1241 KB of HTML, and Gmail clips it at 102 KB: shorten it, or set POSTMERGE_CLIP = 'cut'."],
    }


def test_monstrous_texts_are_named_in_the_other_dialect_too(newsletter: NewsletterFolder) -> None:
    texts = {
        "a-quotes": "".join("> " * level + "x\n" for level in range(120)),
        "b-lists": "".join("    " * level + "- x\n" for level in range(120)),
        "c-cells": "|a" * 100 + "|\n" + "|-" * 100 + "|\n" + ("|b" * 100 + "|\n") * 100,
    }
    for name, text in texts.items():
        newsletter.write(f"{name}.md", "Title: Bad\nDate: 2026-11-02\n", text)
    report = newsletter.build()
    assert {*texts, "first"} == {one.key for one in report.editions}
    assert [[one.message for one in report.findings if one.path.endswith(f"/{path}.md")] for path in texts] == [
        [
            "This file cannot be converted from Markdown (quotes or lists nested more than 100 levels deep); its source is "
            "shown instead: simplify the text."
        ],
        [
            "This file cannot be converted from Markdown (lists nested more than 50 levels deep); its source is shown instead: "
            "simplify the text."
        ],
        ["The email has 1241 KB of HTML, and Gmail clips it at 102 KB: shorten it, or set POSTMERGE_CLIP = 'cut'."],
    ]
    assert "- x" in newsletter.page("issues/b-lists/index.html")


@pytest.mark.parametrize("line", ["> " * 1000 + "x", "- " * 1000 + "x", "{0}- x", "{0}1. x\n", "{1}x", '<div markdown="1">\n'])
def test_no_depth_takes_the_other_dialect_long(line: str) -> None:
    text = "\n".join(line.format("    " * level, "> " * level) for level in range(1000))
    started = time.process_time()
    made = convert_all({"a": text}, {"extensions": ["markdown.extensions.extra"]}, Workshop(Cache(None)))
    assert time.process_time() - started < 2 * measure_slowness()
    assert "levels deep" in made.failed["a"]


@pytest.mark.parametrize(
    "opened", ['<div markdown="1">\n' * 2, "<section markdown>\n\n<div markdown>\n\n<div>\n", "<div>\n" * 2]
)
def test_no_text_is_lost_in_elements_that_are_not_closed(opened: str) -> None:
    text = f"Before.\n\n{opened}Inside.\n\nThe *end*."
    made = convert_all({"a": text}, {"extensions": ["markdown.extensions.extra"]}, Workshop(Cache(None)))
    found = made.html["a"] or ""
    assert [one for one in ("Before.", "Inside.", "end") if one not in found] == []
