"""The canonical body: what is mended in an issue's HTML."""

from __future__ import annotations

import re

import pytest

from mailer.editions.mail.canonical_html import canonical


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2 3 3 2 3 4", "2 3 3 2 3 4"),
        ("3 3 4 3", "2 2 3 2"),
        ("4 2 4 4 3", "2 2 3 3 3"),
        ("1 3 5 1 2", "1 2 3 1 2"),
        ("2 5 6 5 2 3", "2 3 4 3 2 3"),
        ("6", "2"),
    ],
)
def test_headings_never_skip_a_level(written: str, shown: str) -> None:
    body = canonical("".join(f'<h{n} id="x">A <em>b</em></h{n}>\n' for n in written.split()), "https://x.example/").html
    assert re.findall(r"<h(\d) id", body) == re.findall(r"</h(\d)>", body) == shown.split()


PAGE = "https://news.example.org/issues/hello/"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("chart.png", f"{PAGE}chart.png"),
        ("chart.png 2x", f"{PAGE}chart.png 2x"),
        ("/a.png 480w, ../b.png 800w", "https://news.example.org/a.png 480w, https://news.example.org/issues/b.png 800w"),
        ("https://cdn.example/a.png 1x, b.png 2x", f"https://cdn.example/a.png 1x, {PAGE}b.png 2x"),
    ],
)
@pytest.mark.parametrize("tag", ["img", "source"])
def test_every_picture_of_a_srcset_has_a_whole_address(tag: str, written: str, shown: str) -> None:
    assert f'srcset="{shown}"' in canonical(f'<picture><{tag} srcset="{written}"></picture>', PAGE).html


@pytest.mark.parametrize(
    ("tag", "name"),
    [("a", "href"), ("img", "src"), ("video", "src"), ("video", "poster"), ("blockquote", "cite"), ("img", "longdesc"),
     ("td", "background")],
)  # fmt: skip
def test_every_address_is_whole(tag: str, name: str) -> None:
    cell = ("<table><tr>", "</tr></table>") if tag == "td" else ("<p>", "</p>")
    shown = canonical(f'{cell[0]}<{tag} {name}="more.png">x</{tag}>{cell[1]}', PAGE).html
    assert f'{name}="{PAGE}more.png"' in shown


@pytest.mark.parametrize("name", ["formaction", "FormAction", "srcdoc", "onclick", "ONLOAD", "onerror"])
@pytest.mark.parametrize("tag", ["p", "a", "img", "button", "iframe"])
def test_no_attribute_that_runs_or_leads_a_form_away_is_kept(tag: str, name: str) -> None:
    body = canonical(f'<div><{tag} {name}="https://evil.example/" class="x">text</{tag}></div>', PAGE)
    assert name.lower() not in body.html.lower()
    assert "evil" not in body.html
    assert body.dropped


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "vbscript:x", "data:text/html,x", "file:///etc",
     "data:image/svg+xml,x", "blob:x"],
)  # fmt: skip
@pytest.mark.parametrize(("tag", "name"), [("a", "href"), ("img", "src"), ("a", "xlink:href"), ("video", "poster")])
def test_no_address_that_runs_is_kept(tag: str, name: str, address: str) -> None:
    for page in (PAGE, ""):
        body = canonical(f'<p><{tag} {name}="{address}">x</{tag}></p>', page)
        assert f"{name}=" not in body.html
        assert body.dropped


def test_a_scheme_with_a_line_break_in_it_is_only_a_name_beside_the_page() -> None:
    assert f'href="{PAGE}java%20script:alert(1)"' in canonical('<p><a href="java\nscript:alert(1)">x</a></p>', PAGE).html
