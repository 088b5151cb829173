"""The email's components, from plain Markdown; and that mail programs know the HTML and CSS in use, by caniemail's data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lxml import html
from lxml.html import HtmlElement

from tests.data.caniemail import TARGET
from tests.integration.editions.test_editions import NewsletterFolder, newsletter

__all__ = ["newsletter"]
HEAD = "Title: All of it\nDate: 2026-11-24 09:00\nSend: yes\nPreheader: In short\nAuthor: Ada"
ALL = """
## Heading

A paragraph with *emphasis*, **weight**, `code`, a [link](https://example.org/), and a claim.[^1]

:::button
[Read the report](https://example.org/report)
:::

<p><img src="https://example.org/chart.png" alt="A chart of emails" title="Emails a day, in thousands" width="600"></p>

> Said by somebody.

:::sponsor Supported by Example
They make [examples](https://example.net/) for all.
:::

> [!NOTE]
> This is to be noted.

---

| city | emails |
|------|------:|
| Ulm  |    12 |

1. one
2. two

```python
print("sent")  # a comment
```

### Smaller

- a
- b

[^1]: With a source.
"""
# The email must use nothing that these programs do not support, except for the reasons below.
PROGRAMS = (
    "gmail.desktop-webmail", "gmail.ios", "gmail.android", "outlook.windows", "outlook.outlook-com", "outlook.macos",
    "outlook.ios", "outlook.android", "apple-mail.macos", "apple-mail.ios", "yahoo.desktop-webmail", "thunderbird.macos",
)  # fmt: skip
EXCEPTIONS = {
    "css-font-weight": "bold only; questionable are only numbers",
    "css-linear-gradient": "the striped edge only; behind it bgcolor is blue",
    "css-text-align": "left, right and center only; questionable are only start and end",
    "html-align": "says in old words what text-align says",
    "css-at-media": "only improves: without it the fluid table of 600 px stands as it is",
    "css-at-media-prefers-color-scheme": "only improves: without it the email is light, or darkened by the program itself",
    "css-background-image": "the striped edge only; behind it bgcolor is blue",
    "css-background": "shorthand with a colour only, which is what all programs take from it",
    "css-border-radius": "corners only; they are square in Outlook",
    "css-display": "hides the preheader, which is small and transparent too; buttons lie in a cell with a colour of its own",
    "css-display-none": "hides the preheader, which is small and transparent too",
    "css-font-size": "all in px; questionable are only other units",
    "css-height": "height: auto beside max-width on pictures; Outlook takes the width attribute",
    "css-line-height": "Outlook rounds it",
    "css-margin": "some programs drop it on the body or negative values; ours are positive and inside",
    "css-max-width": "the width of 600 px is repeated in a table for Outlook, and pictures carry a width attribute",
    "css-max-height": "hides the preheader, which is small and transparent too",
    "css-opacity": "hides the preheader, which is small and transparent too",
    "css-overflow": "tables wider than the screen scroll where that is known",
    "css-padding": "on cells, where all programs know it; Outlook drops it on links and boxes, which lie in cells",
    "css-pseudo-class-not": "tables that scroll, inside @media screen only",
    "css-selector-attribute": "tables that scroll, inside @media screen only",
    "css-table-layout": "keeps long words from widening the email",
    "css-text-decoration": "questionable are only values that are not used",
    "css-white-space": "code wraps where pre-wrap is known, and scrolls elsewhere",
    "css-word-break": "the digest breaks where that is known",
    "css-word-wrap": "long addresses break where that is known",
    "css-border": "shorthand of width, style and colour",
    "css-width": "on the email's table only; it stands in attributes too",
    "css-important": "in the style block, which programs without it drop as a whole",
    "html-anchor-links": "footnotes lead to the page on the web where jumping inside an email is not known",
    "html-aria-label": "names a footnote's arrow for screen readers where that is known",
    "html-aria-hidden": "hides spaces from screen readers where that is known",
    "html-body": "styles are repeated on the outer table",
    "html-dir": "repeated on the parts whose direction differs",
    "html-lang": "some programs drop it; nothing is lost for the eye",
    "html-meta-color-scheme": "only a hint; without it the email is darkened by the program or stays light",
    "html-style": "all that matters is inside the tags as well; the block holds media queries only",
    "html-role": "some programs drop it",
    "html-width": "questionable are only elements that are not pictures or tables",
    "html-height": "questionable are only elements that are not pictures or tables",
}  # fmt: skip


@pytest.fixture
def email(newsletter: NewsletterFolder) -> HtmlElement:
    with (newsletter.folder / "pelicanconf.py").open("a") as config:
        config.write('\nPOSTMERGE_AUTHORS = {"Ada": {"url": "https://ada.example", "picture": "images/chart.png"}}\n')
    newsletter.write("all.md", HEAD, ALL)
    report = newsletter.build()
    assert [finding for finding in report.findings if finding.path.endswith("all.md")] == []
    edition = next(edition for edition in report.editions if edition.key == "all")
    (newsletter.folder / "mail.html").write_text(edition.html)
    (newsletter.folder / "mail.txt").write_text(edition.text)
    return html.document_fromstring(edition.html)


def texts(root: HtmlElement, path: str) -> list[str]:
    found = root.xpath(path)
    assert isinstance(found, list)
    return [" ".join(one.text_content().split()) for one in found if isinstance(one, HtmlElement)]


def test_components_are_made_of_plain_markdown(email: HtmlElement) -> None:
    assert texts(email, "//table[@class='buttontable']//td[@bgcolor]/a") == ["Read the report"]
    assert texts(email, "//div[@class='figure'][img[@alt='A chart of emails'][@width='600']]/div") == [
        "Emails a day, in thousands"
    ]
    assert texts(email, "//td[@class='sponsorcell']/p") == ["Supported by Example", "They make examples for all."]
    assert texts(email, "//td[@class='boxcell']/p") == ["Note", "This is to be noted."]
    assert texts(email, "//div[contains(@class, 'body')]//blockquote") == ["Said by somebody."]


def test_every_email_is_accessible(email: HtmlElement) -> None:
    assert (email.get("lang"), email.get("dir")) == ("en", "ltr")
    layout = [table for table in email.iter("table") if not table.findall(".//th")]
    assert {table.get("role") for table in layout} == {"presentation"}
    assert all("alt" in image.attrib for image in email.iter("img"))
    whole = html.tostring(email, encoding="unicode")
    assert 'width="600"' in whole
    assert whole.index("In short") < whole.index("All of it", whole.index("<body"))
    assert not re.search(r"<script|<link|<form|url\(", whole)


def test_the_text_part_holds_the_same_components(email: HtmlElement, newsletter: NewsletterFolder) -> None:
    text = (newsletter.folder / "mail.txt").read_text()
    for line in (
        "Read the report [2]",
        "[Image: A chart of emails]",
        "Emails a day, in thousands",
        "Supported by Example",
        "> Said by somebody.",
        "[2] https://example.org/report",
        '    print("sent")  # a comment',
    ):
        assert line in text
    assert re.search(r"^Ulm +12$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("First.[^a]\n\n:::sponsor\nBuy it.\n:::\n\nThen this.[1]\n\n[^a]: A note.", "First. Then this."),
        ("> [!NOTE]\n> Only a box.", "Note Only a box."),
        ("Postgres " + "是数据库。" * 40, "Postgres " + "是数据库。" * 20 + "是…"),
        ("word " * 40, "word " * 21 + "word…"),
        ("слово " * 40, "слово " * 17 + "слово…"),
    ],
    ids=["notes and boxes", "nothing else", "no spaces", "spaces", "spaces between other characters"],
)
def test_an_email_without_a_preheader_begins_with_the_authors_own_words(
    newsletter: NewsletterFolder, text: str, beginning: str
) -> None:
    newsletter.write("begins.md", "Title: 从未到来的回答\nDate: 2026-11-24\nLang: zh", text)
    edition = next(edition for edition in newsletter.build().editions if edition.key == "begins")
    assert edition.preheader == beginning
    assert edition.text.splitlines()[:2] == ["从未到来的回答", "=" * 14]


def test_page_and_feed_keep_the_body_as_it_is(email: HtmlElement, newsletter: NewsletterFolder) -> None:
    page = newsletter.page("issues/all/index.html")
    assert '<a class="button" href="https://example.org/report">Read the report</a>' in page
    assert "<figcaption>Emails a day, in thousands</figcaption></figure>" in page
    assert 'class="admonition sponsor"' in page
    assert "buttontable" not in page


def used(email: Path) -> set[str]:
    """The features in use, by caniemail's names."""
    text = email.read_text()
    root = html.document_fromstring(text)
    features = json.loads(TARGET.read_text())["features"]
    styles = [element.get("style", "") for element in root.iter() if isinstance(element.tag, str)]
    block = " ".join(element.text or "" for element in root.iter("style"))
    rules = re.sub(r"@media[^{]*\{|\}", " ", block)
    declared = "; ".join(styles + re.findall(r"\{([^{}]*)\}", block))
    properties = {name.lower() for name in re.findall(r"(?:^|[;\s])([a-z-]+)\s*:", declared)}
    found = {f"css-{name}" for name in properties}
    found |= {
        f"css-{name}".rpartition("-")[0]
        for name in properties
        if name.startswith(("margin-", "padding-", "border-", "background-"))
    }
    found |= {"css-at-media"} if "@media" in block else set()
    found |= {f"css-at-media-{name}" for name in ("prefers-color-scheme", "hover", "orientation") if name in block}
    found |= {f"css-{name}" for name in ("linear-gradient", "rgb", "rgba") if f"{name}(" in block + declared}
    found |= {
        f"css-function-{name}" for name in ("clamp", "max", "min", "light-dark") if re.search(rf"\b{name}\(", block + declared)
    }
    found |= {
        f"css-unit-{name}" for name in ("ch", "em", "rem", "vh", "vw", "calc") if re.search(rf"\d{name}\b|{name}\(", declared)
    }
    found |= {f"css-pseudo-class-{name}" for name in re.findall(r":([a-z-]+)(?=[\s,({])", rules.split("{")[0] + rules)}
    found |= {"css-selector-attribute"} if re.search(r"\[[a-z]+[\]=]", rules) else set()
    found |= {"css-display-none"} if re.search(r"display:\s*none", declared) else set()
    found |= {"css-display-flex"} if re.search(r"display:\s*flex", declared) else set()
    found |= {"css-important"} if "!important" in declared else set()
    tags = {str(element.tag) for element in root.iter() if isinstance(element.tag, str)}
    names = {str(name) for element in root.iter() if isinstance(element.tag, str) for name in element.attrib}
    found |= {f"html-{name}" for name in tags | names if name != "link"}
    found |= {"html-anchor-links"} if re.search(r'href="[^"]*#', text) else set()
    found |= {"html-meta-color-scheme"} if 'name="color-scheme"' in text else set()
    return {name for name in found if name in features}


def test_email_clients_support_the_html_and_css_in_use(email: HtmlElement, newsletter: NewsletterFolder) -> None:
    features = json.loads(TARGET.read_text())["features"]
    in_use = used(newsletter.folder / "mail.html")
    assert len(in_use) > 40
    doubtful = {
        name: sorted(program for program in PROGRAMS if features[name]["support"].get(program, "y") in "na")
        for name in sorted(in_use)
    }
    assert {name: who for name, who in doubtful.items() if who and name not in EXCEPTIONS} == {}


def test_every_exception_has_a_reason_and_a_use(email: HtmlElement, newsletter: NewsletterFolder) -> None:
    features = json.loads(TARGET.read_text())["features"]
    in_use = used(newsletter.folder / "mail.html")
    needless = [
        n for n in EXCEPTIONS if n not in in_use or not any(features[n]["support"].get(p, "y") in "na" for p in PROGRAMS)
    ]
    assert needless == []
