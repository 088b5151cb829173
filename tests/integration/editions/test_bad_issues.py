"""Whatever an issue contains, the others are built, what is omitted is named, and no page or email carries a script."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from lxml import html

from mailer.core.errors import BadInput
from tests.integration.editions.test_editions import NewsletterFolder, newsletter

__all__ = ["newsletter"]
HEAD = "Title: Bad\nDate: 2026-11-24 09:00\nSend: yes\n"
SCRIPTS = """
<script>alert(1)</script><img src=x onerror="alert(2)"><a href="java\tscript:alert(3)">x</a>
<svg onload="alert(4)"><script>alert(5)</script><a xlink:href="javascript:alert(6)"><text>t</text></a>
<animate attributeName="href" values="javascript:alert(7)"/><set attributeName="onmouseover" to="alert(8)"/>
<foreignObject><iframe srcdoc="<script>alert(9)</script>"></iframe></foreignObject></svg>
<iframe src="javascript:alert(10)"></iframe><object data="x.swf"></object><embed src="x">
<form action="/x"><button formaction="javascript:alert(11)">
<math><mtext></form><form><mglyph><style></math><img src onerror=alert(12)>
[a](javascript:alert(13)) ![b](data:image/svg+xml;base64,PHN2Zy8+) <b style="x:expression(alert(14))">c</b>
<details open ontoggle=alert(15)><summary>s</summary></details><base href="https://evil.example/">
<meta http-equiv=refresh content="0;url=//evil.example">
[button](javascript:alert(16)){: .button onclick="alert(17)" }
"""


def running(text: str) -> list[str]:
    """What in a document would run."""
    root = html.document_fromstring(text)
    found = []
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        own = element.tag == "script" and (element.get("type") == "application/ld+json" or "/theme/" in element.get("src", ""))
        if element.tag in ("script", "iframe", "object", "embed", "animate", "set", "foreignobject", "base") and not own:
            found.append(element.tag)
        for name, value in element.attrib.items():
            flat = "".join(value.split()).lower() if isinstance(value, str) else ""
            if str(name).lower().startswith("on") or flat.startswith(("javascript:", "data:image/svg", "vbscript:")):
                found.append(f"{element.tag} {name!s}={flat}")
    return found


def test_no_page_email_or_feed_carries_a_script(newsletter: NewsletterFolder) -> None:
    newsletter.write("bad.md", HEAD, SCRIPTS)
    report = newsletter.build()
    edition = next(edition for edition in report.editions if edition.key == "bad")
    assert running(edition.html) == []
    assert running(newsletter.page("issues/bad/index.html")) == []
    assert running(f"<body>{edition.body}</body>") == []
    said = " ".join(finding.message for finding in report.findings if finding.path.endswith("bad.md"))
    for what in ("<script>", "onerror=", "<iframe>", "<form>"):
        assert what in said


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bom-crlf.md", b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode() + b"\r\nText.\r\n"),
        ("yaml.md", b"---\ntitle: 'Bad'\ndate: 2026-11-24 09:00\nsend: yes\n---\n\nText.\n"),
        ("\U0001f600 \u4f60\u597d.md", HEAD.encode() + b"\nText.\n"),
        ("broken.md", HEAD.encode() + b"\n```\n**never [closed](\n\n> > > - 1. Text.\n"),
        ("deep.md", HEAD.encode() + b"\n" + b"<b>" * 250 + b"Text."),
        ("big.md", HEAD.encode() + b"\n" + b"Text and *more* text, again and again.\n\n" * 5_000),
        pytest.param(
            "big.md",
            HEAD.encode() + b"\n" + b"Text and *more* text, again and again.\n\n" * 52_000,
            marks=pytest.mark.slow,
            id="two megabytes",
        ),
    ],
)
def test_an_odd_file_is_an_issue_all_the_same(newsletter: NewsletterFolder, name: str, data: bytes) -> None:
    (newsletter.issues / name).write_bytes(data)
    report = newsletter.build()
    assert len(report.editions) == 3
    edition = next(edition for edition in report.editions if edition.title == "Bad")
    assert "Text" in edition.text
    assert [finding for finding in report.findings if finding.level == "error"] == []


YAML = """---
# Written by another program
title: "It is \\"bad\\""
subject: >-
  A subject in
  two lines: folded
tags:
  - one
  - 'two words'
  - "three"
date: 2026-11-24 09:00
audience: everyone
preheader: 'It''s short'
send: yes
---

Text.
"""


def test_a_head_in_yaml_is_read_as_yaml_has_it(newsletter: NewsletterFolder) -> None:
    (newsletter.issues / "yaml.md").write_text(YAML)
    flow = YAML.replace("tags:\n  - one\n  - 'two words'\n  - \"three\"", "tags: [one, 'two words', three]")
    (newsletter.issues / "flow.md").write_text(flow)
    report = newsletter.build()
    for key in ("yaml", "flow"):
        edition = next(edition for edition in report.editions if edition.key == key)
        assert (edition.title, edition.subject) == ('It is "bad"', "A subject in two lines: folded")
        assert (edition.preheader, edition.send, edition.body) == ("It's short", "yes", "<p>Text.</p>\n")
        page = newsletter.page(f"issues/{key}/index.html")
        assert [f">{tag}</a>" in page for tag in ("one", "two words", "three")] == [True] * 3
    assert [finding for finding in report.findings if "yaml.md" in finding.path] == []


def test_a_line_of_a_yaml_head_that_is_no_field_is_named_and_never_mailed(newsletter: NewsletterFolder) -> None:
    newsletter.write("yaml.md", YAML.replace("audience:", "who gets it\naudience:"))
    report = newsletter.build()
    assert all(edition.key != "yaml" for edition in report.editions)
    [error] = [str(finding) for finding in report.findings if finding.level == "error"]
    assert error.startswith("content/issues/yaml.md:12: error: ")
    assert ": error: This line of the front matter is not a field: write `Name: value`" in error


def test_a_picture_of_forty_megabytes_is_pointed_out_and_built(newsletter: NewsletterFolder) -> None:
    with (newsletter.folder / "content/images/huge.png").open("wb") as file:
        file.truncate(40_000_000)
    newsletter.write("bad.md", HEAD, "![A map]({static}/images/huge.png)\n")
    assert any(edition.key == "bad" for edition in newsletter.build().editions)


SVG = """<?xml version="1.0"?><?xml-stylesheet href="https://evil.example/x.css"?>
<!DOCTYPE svg [<!ENTITY x "y"><!ATTLIST svg onfocus CDATA "alert(0)">]>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="alert(1)">
<title>A bird</title><script>alert(2)</script><a xlink:href="java&#10;script:alert(3)"><circle r="4" onclick="alert(4)"/></a>
<foreignObject><body xmlns="http://www.w3.org/1999/xhtml" onload="alert(5)"/></foreignObject>
<set attributeName="onmouseover" to="alert(6)"/><animate attributeName="xlink:href" values="javascript:alert(7)"/>
<use href="data:image/svg+xml,&lt;svg onload='alert(8)'/&gt;#a"/><h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(9)</h:script>
<image href="data:image/png;base64,AA=="/><animate attributeName="r" values="1;2"/></svg>"""


def test_a_picture_with_scripts_is_published_without_them(newsletter: NewsletterFolder) -> None:
    (newsletter.folder / "content/images/bird.svg").write_text(SVG)
    (newsletter.folder / "content/images/bird.svgz").write_bytes(gzip.compress(SVG.encode()))
    clean = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'
    (newsletter.folder / "content/images/clean.svg").write_bytes(clean)
    newsletter.write("bad.md", HEAD, "![A bird]({static}/images/bird.svg)\n")
    report = newsletter.build()
    images = newsletter.folder / "build/site/images"
    made = (images / "bird.svg").read_text()
    assert gzip.decompress((images / "bird.svgz").read_bytes()).decode() == made
    assert "alert" not in made
    assert "evil" not in made
    assert all(kept in made for kept in ("<title>A bird</title>", '<circle r="4"/>', "data:image/png", 'attributeName="r"'))
    assert (images / "clean.svg").read_bytes() == clean
    assert (newsletter.folder / "content/images/bird.svg").read_text() == SVG, "the source stays as it is"
    [finding] = [one for one in report.findings if one.path == "content/images/bird.svg"]
    for what in ("<script>", "onload=", "onclick=", "href=javascript:", "<foreignobject>", "<set>", "<!DOCTYPE>"):
        assert what in finding.message
    assert any(edition.key == "bad" for edition in report.editions)


@pytest.mark.parametrize(
    "data", [b"", b"<svg><a></svg>", b"<html><script>1</script></html>", b"\x1f\x8bno", gzip.compress(b" " * (40 << 20))]
)
def test_a_picture_that_is_none_is_not_published(newsletter: NewsletterFolder, data: bytes) -> None:
    (newsletter.folder / "content/images/bird.svg").write_bytes(data)
    report = newsletter.build()
    assert not (newsletter.folder / "build/site/images/bird.svg").exists()
    [finding] = [one for one in report.findings if one.path == "content/images/bird.svg"]
    assert "not published" in finding.message
    assert len(report.editions) == 2


def test_a_template_with_an_error_stops_the_build_with_its_line_and_keeps_the_old_site(newsletter: NewsletterFolder) -> None:
    newsletter.build()
    before = newsletter.page("index.html")
    template: Path = newsletter.folder / "theme/templates/article.html"
    template.write_text(template.read_text() + "\n{% if %}\n")
    with pytest.raises(BadInput, match=r"article\.html, line \d+"):
        newsletter.build()
    assert newsletter.page("index.html") == before


def test_a_broken_issue_is_named_and_the_others_are_built(newsletter: NewsletterFolder) -> None:
    newsletter.write("bad.md", "Date: 2026-11-24\nSend: yes", "No title.\n")
    report = newsletter.build()
    assert len(report.editions) == 2
    [finding] = [finding for finding in report.findings if finding.level == "error"]
    assert str(finding).startswith("content/issues/bad.md:1: error: `Title:` is missing")
