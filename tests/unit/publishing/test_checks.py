"""Each check finds its fault at its line and column, and keeps quiet about what is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer import checks
from mailer.checks import CHECKS, Context, Document, Ledger, Remark, Rendered, word_list
from mailer.editions.mail.canonical_html import REMOVED_ELEMENTS, canonical
from mailer.editions.source import site_config

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HEAD = "Title: Hello\nDate: 2026-11-24 09:00\nPreheader: In short\nSend: yes\n"


def found(folder: Path, text: str | bytes, **more: object) -> list[Remark]:
    """What the checks say about one file in a content folder with a draft and a picture beside it."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "good.png").write_bytes(b"\x89PNG")
    (folder / "images" / "heavy.png").write_bytes(b"\0" * 1_200_000)
    (folder / "images" / "bad.svg").write_text("<svg><script>alert(1)</script></svg>")
    (folder / "draft.md").write_text("Title: Draft\nStatus: draft\n\nSoon.\n")
    (folder / "other.md").write_text("Title: Other\nDate: 2026-11-01\nSlug: same\n\nText.\n")
    (folder / "paid.md").write_text("Title: Paid\nDate: 2026-11-01\nId: sent\n\n:::premium\nMore.\n:::\n")
    data = text if isinstance(text, bytes) else text.encode()
    doc = Document(folder / "hello.md", "content/hello.md", data)
    every = [
        doc,
        *(Document(p, f"content/{p.name}", p.read_bytes()) for p in sorted(folder.glob("*.md")) if p.name != "hello.md"),
    ]
    siblings = checks.siblings(every, folder, "en", "UTC", ("slug",))
    values: dict[str, object] = {
        "now": NOW,
        "siblings": siblings,
        "words": word_list("GitHub\nPostgre, Postgress => PostgreSQL\n"),
    }
    return checks.examine([doc], Context(folder, **{**values, **more}))  # type: ignore[arg-type]


def body(text: str) -> str:
    return f"{HEAD}\n{text}\n"


LEDGER = Ledger(
    lambda rule: ["pyhton"] if "pyhton" in rule else [], lambda rule, key: 0 if "nobody" in rule else 9, {("sent", 1): "0" * 64}
)
LONG = body("Long.\n\n" + "- word [link](https://example.org/)\n" * 3000)

CASES: list[tuple[str, str | bytes, int, int, dict[str, object]]] = [
    ("encoding", b"Title: Hello\nDate: 2026-11-24\n\nGr\xfc\xdfe\n", 4, 1, {}),
    ("head-unreadable", "---\ntitle: Hello\ndate: 2026-11-24\nsome words\n---\n\nText.\n", 4, 1, {}),
    ("head-unreadable", "---\ntitle: Hello\ndate: 2026-11-24\n\nText.\n", 1, 1, {}),
    ("title-missing", "Date: 2026-11-24\n\nText.\n", 1, 1, {}),
    ("paid-text", body("Text.\n\n> :::premium\n\nMore."), 8, 1, {}),
    ("paid-unsold", body("Text.\n\n:::premium\nMore.\n:::"), 8, 1, {"unsold": "no plans"}),
    ("paid-unsold", HEAD + "Access: premium\n\nText.\n", 5, 1, {"unsold": "no key"}),
    ("title-double", body("# Hello\n\nText."), 6, 1, {}),
    ("field-unknown", "Title: Hello\nDate: 2026-11-24\nSned: yes\n\nText.\n", 3, 1, {}),
    ("field-double", "Title: Hello\nTitle: Again\nDate: 2026-11-24\n\nText.\n", 2, 1, {}),
    ("date-unreadable", "Title: Hello\nDate: soon\n\nText.\n", 2, 1, {}),
    ("date-old", "Title: Hello\nDate: 2026-10-24\nSend: yes\n\nText.\n", 2, 1, {}),
    ("date-future", "Title: Hello\nDate: 2028-10-24\n\nText.\n", 2, 1, {}),
    ("send-unreadable", "Title: Hello\nDate: 2026-11-24\nSend: 2026-12-01 09:00\n\nText.\n", 3, 1, {}),
    ("schedule-past", "Title: Hello\nDate: 2026-11-24\nSend: 2026-11-01 09:00 UTC\n\nText.\n", 3, 1, {}),
    ("schedule-night", "Title: Hello\nDate: 2026-11-24\nSend: 2026-12-01 03:00 UTC\n\nText.\n", 3, 1, {}),
    ("audience-unreadable", HEAD + "Audience: a or\n\nText.\n", 5, 1, {}),
    ("audience-tag", HEAD + "Audience: pyhton\n\nText.\n", 5, 1, {"ledger": LEDGER}),
    ("audience-nobody", HEAD + "Audience: nobody\n\nText.\n", 5, 1, {"ledger": LEDGER}),
    ("subject-long", f"Title: {'long ' * 20}\nDate: 2026-11-24\nSend: yes\n\nText.\n", 1, 1, {}),
    ("preheader-missing", "Title: Hello\nDate: 2026-11-24\nSend: yes\n\nText.\n", 1, 1, {}),
    ("slug-double", HEAD + "Slug: same\n\nText.\n", 5, 1, {}),
    ("translation", "Title: Hallo\nDate: 2026-11-24\nLang: de\nSlug: same\nSend: yes\n\nText.\n", 5, 1, {}),
    ("translation", "Title: Hallo\nDate: 2026-11-24\nLang: de\nSlug: paid\n\nText.\n", 1, 1, {}),
    ("sent-changed", HEAD + "Id: sent\n\nText.\n", 1, 1, {"ledger": LEDGER, "render": lambda path: Rendered(9, "1" * 64)}),
    ("link-scheme", body("See [it](htps://example.org/)."), 6, 10, {}),
    ("link-scheme", body("See [it](www.example.org/a)."), 6, 10, {}),
    ("link-scheme", body("See [it](https:/example.org/)."), 6, 10, {}),
    ("link-scheme", body("See [it](http//example.org/)."), 6, 10, {}),
    ("link-http", body("See [it there](http://example.org/)."), 6, 16, {}),
    ("link-http", body("See [it there](HTTP://example.org/)."), 6, 16, {}),
    ("link-local", body("See <http://localhost:8025/>."), 6, 6, {}),
    ("link-local", body("See [the map](http://printer/map)."), 6, 15, {}),
    ("link-file", body("See [it there](other.md#top)."), 6, 16, {}),
    ("link-file", body("See [it there]({filename}gone.md)."), 6, 16, {}),
    ("link-draft", body("See [it there]({filename}draft.md)."), 6, 16, {}),
    ("link-empty", body("<a href=''>There</a>"), 6, 1, {}),
    ("link-empty", body("See [it there]()."), 6, 5, {}),
    ("link-text", body("Read it [here](https://example.org/)."), 6, 9, {}),
    ("link-text", body("Read it [here][ref].\n\n[ref]: https://example.org/"), 6, 9, {}),
    ("link-text", body("Read it [here].\n\n[Here]: https://example.org/"), 6, 9, {}),
    ("link-text", body("<p>Read it <a href='https://example.org/'>Here</a>.</p>"), 6, 12, {}),
    ("link-text", "Title: Hallo\nDate: 2026-11-24\nLang: de-AT\n\nLies [mehr …](https://example.org/).\n", 5, 6, {}),
    ("link-text", body("[இங்கே கிளிக் செய்யவும்](https://example.org/)"), 6, 1, {"lang": "ta"}),
    ("reference-missing", body("See [it there][ref]."), 6, 5, {}),
    ("alt-empty", body("![]({static}/images/good.png)"), 6, 1, {}),
    ("alt-empty", body("![][chart]\n\n[chart]: {static}/images/good.png"), 6, 1, {}),
    ("image-missing", body("![A chart]({static}/images/gone.png)"), 6, 12, {}),
    ("image-missing", body("![A chart](images/good.png)"), 6, 12, {}),
    ("image-missing", body("![A chart][chart]\n\n[chart]: {static}/images/gone.png"), 8, 10, {}),
    ("video-picture", body("https://youtu.be/dQw4w9WgXcQ"), 6, 1, {}),
    ("cover-missing", HEAD + "Cover: images/gone.png\n\nText.\n", 5, 1, {}),
    ("image-heavy", body("<img alt='A chart' src='{static}/images/heavy.png'>"), 6, 25, {}),
    ("image-heavy", body("![A chart]({static}/images/heavy.png)"), 6, 12, {}),
    ("image-format", body("![A chart](https://example.org/bad.svg)"), 6, 12, {}),
    ("image-format", body("![A chart](https://example.org/a.webp?b)"), 6, 12, {}),
    ("image-format", body("![A chart](data:image/png;base64,AAAA)"), 6, 12, {}),
    ("image-script", body("![A chart]({static}/images/bad.svg)"), 6, 12, {}),
    ("github-differs", body("See https://example.org/ for more."), 6, 5, {}),
    ("github-differs", body("This is ~~not~~ so."), 6, 9, {}),
    ("github-differs", body("- [x] done"), 6, 1, {}),
    ("github-differs", body("> [!NOTE]\n> Read."), 6, 1, {}),
    ("github-differs", body("A line\n- an item"), 6, 1, {}),
    ("github-differs", body("- a\n  - b"), 6, 1, {}),
    ("github-differs", body("!!! note\n    Read."), 6, 1, {}),
    ("github-differs", body("[Read this](https://example.org/){: .button }"), 6, 34, {}),
    ("github-differs", body("Term\n:   What it means."), 6, 1, {}),
    ("not-rendered", body("So $e = mc^2$ holds."), 6, 4, {}),
    ("not-rendered", body("See [[another note]]."), 6, 5, {}),
    ("not-rendered", body("This is ==marked== text."), 6, 9, {}),
    ("not-rendered", body("```mermaid\ngraph TD\n```"), 6, 1, {}),
    ("not-rendered", body("Done :tada: at last."), 6, 6, {}),
    ("link-short", body("See [the talk](https://bit.ly/3xYz)."), 6, 16, {}),
    ("link-short", body("The talk: https://bit.ly/3xYz."), 6, 11, {}),
    ("link-short", body("The talk: HTTPS://T.CO/3xYz, again."), 6, 11, {}),
    ("heading-first", body("#### One\n\nText."), 6, 1, {}),
    ("attachment-missing", body("Please find attached the minutes."), 6, 8, {}),
    ("attachment-missing", body("The minutes are attached."), 6, 13, {}),
    ("attachment-missing", HEAD + "Lang: de\n\nDas Protokoll findest du im Anhang.\n", 7, 26, {}),
    ("attachment-missing", HEAD + "Lang: zh\n\n会议记录请见附件。\n", 7, 5, {}),
    ("color-dark", body('A <span style="color: #222">dark</span> word.'), 6, 16, {}),
    ("color-dark", body('A <font color="navy">dark</font> word.'), 6, 3, {}),
    ("color-dark", body('A <mark style="background: #ffc">light</mark> one.'), 6, 16, {}),
    ("subject-year", HEAD.replace("Hello", "News of November 2025") + "\nText.\n", 1, 1, {}),
    ("subject-year", HEAD + "Subject: News, 2025-11-24\n\nText.\n", 5, 1, {}),
    ("subject-year", HEAD + "Lang: de\nSubject: Neues vom 24. November 2025\n\nText.\n", 6, 1, {}),
    ("heading-jump", body("## One\n\n#### Two"), 8, 1, {}),
    ("placeholder", body("First.\n\nTODO: the rest"), 8, 1, {}),
    ("placeholder", body("Hello {{ name }}."), 6, 7, {}),
    ("placeholder", body("A [link TBD] follows."), 6, 3, {}),
    ("placeholder", body("A [link] follows, for [your name]."), 6, 3, {}),
    ("placeholder", body("- TBD"), 6, 1, {}),
    ("placeholder", body("## **TODO**"), 6, 1, {}),
    ("placeholder", body("Read [TK] first."), 6, 6, {}),
    ("placeholder", body("XXX ask Ada"), 6, 1, {}),
    ("placeholder", body("![TODO]({static}/images/good.png)"), 6, 3, {}),
    ("placeholder", body("<img src='{static}/images/good.png' alt='TBD'>"), 6, 42, {}),
    ("placeholder", body("See [TODO](https://example.org/)."), 6, 6, {}),
    ("placeholder", HEAD.replace("Hello", "TODO") + "\nText.\n", 1, 8, {}),
    ("placeholder", HEAD.replace("Hello", "TODO title") + "\nText.\n", 1, 8, {}),
    ("placeholder", HEAD.replace("Hello", "FIXME") + "\nText.\n", 1, 8, {}),
    ("placeholder", HEAD.replace("Hello", "XXX") + "\nText.\n", 1, 8, {}),
    ("placeholder", HEAD.replace("In short", "[TK]") + "\nText.\n", 3, 12, {}),
    ("placeholder", HEAD + "Subject: Hi {{ first_name }}\n\nText.\n", 5, 13, {}),
    ("placeholder", HEAD + "Summary: Lorem ipsum dolor\n\nText.\n", 5, 10, {}),
    ("placeholder", HEAD + "Tags: TBD\n\nText.\n", 5, 7, {}),
    ("placeholder", "---\ntitle: Hello\ndate: 2026-11-24\nsummary: >\n  Words and\n  TODO: more\n---\n\nText.\n", 6, 3, {}),
    ("variable-unknown", body("Hello ${name},"), 6, 7, {}),
    ("variable-unknown", body("Hello <%= name %>,"), 6, 7, {}),
    ("variable-unknown", body("Hello {name},"), 6, 7, {}),
    ("variable-unknown", HEAD + "Subject: Hi *|FNAME|*\n\nText.\n", 5, 13, {}),
    ("variable-unknown", HEAD + "Subject: Hi ${name}\n\nText.\n", 5, 13, {}),
    ("variable-unknown", HEAD + "Subject: Hi {first name}\n\nText.\n", 5, 13, {}),
    ("not-yet", HEAD + "Status: hidden\n\nText.\n", 5, 1, {}),
    ("not-yet", HEAD + "Draft: maybe\n\nText.\n", 5, 1, {}),
    ("not-yet", HEAD.replace("11-24", "11-26") + "\nText.\n", 2, 1, {}),
    ("character", HEAD + "Summary: A\x07B\n\nText.\n", 5, 11, {}),
    ("character", body("Te\x1bxt."), 6, 3, {}),
    ("character", HEAD + "Subject: A\u202eB\n\nText.\n", 5, 11, {}),
    ("variable-unknown", body("Hello *|FNAME|*,"), 6, 7, {}),
    ("variable-unknown", body("[A page]({filname}x.md)"), 6, 10, {}),
    ("box-title", body("Text.\n\n:::note\nEin Hinweis.\n:::"), 8, 1, {"lang": "de", "gfm": True}),
    ("box-title", f"{HEAD}Lang: fr\n\n:::sponsor\nMerci.\n:::\n", 7, 1, {"gfm": True}),
    ("spelling", body("It is on Github."), 6, 10, {}),
    ("spelling", body("We use Postgress now."), 6, 8, {}),
    ("html-forbidden", body("Text <script>alert(1)</script>"), 6, 6, {}),
    ("html-forbidden", body('<p onclick="x()">Text</p>'), 6, 13, {}),
    ("html-email", body("<video src='x.mp4'></video>"), 6, 1, {}),
    ("markdown-unclosed", body("```python\nprint()"), 6, 1, {}),
    ("markdown-unclosed", body("Text <!-- a comment"), 6, 6, {}),
    ("markdown-unclosed", body("See [it there](https://example.org/"), 6, 14, {}),
    ("markdown-unclosed", body("See [it there](https://example.org/ and\nso on.\n\nMore (much)."), 6, 14, {}),
    ("markdown-unclosed", body("See [it there] (https://example.org/)"), 6, 14, {}),
    ("emphasis-unclosed", body("This is **bold and stays so."), 6, 9, {}),
    ("footnote-missing", body("A claim.[^1]"), 6, 9, {}),
    ("footnote-missing", body("A claim.[^1]\n\n[^1]: One.\n\n[^1]: Two."), 10, 1, {}),
    ("markdown-unclosed", body("Before.\n\n<?php echo 1;\n\nGone."), 8, 1, {}),
    ("markdown-unclosed", body("Before.\n\n<![CDATA[ Gone > too"), 8, 1, {}),
    ("table-cells", body("| a | b |\n|---|:-:|\n| 1 | 2 | 3 |\n| 1 | 2 |\n"), 8, 1, {}),
    ("table-cells", body("a | b\n--|--\n1 | 2 \\\\| 3 | 4\n"), 8, 1, {}),
    ("footnote-missing", body("A claim.\n\n[^1]: Nobody asks."), 8, 1, {}),
    ("size-clip", LONG, 6, 1, {"render": lambda path: Rendered(120_000, "0" * 64)}),
]  # fmt: skip


NOT_UTF_8 = b"Title: Hello\nDate: 2026-11-24\nSned: yes\n\nGr\xfc\xdfe from Github, [here](http://example.org/).\n"


def test_a_file_that_is_not_utf_8_is_never_rewritten(tmp_path: Path) -> None:
    readable = NOT_UTF_8.replace(b"\xfc\xdf", "üß".encode())
    assert sum(one.fix is not None for one in found(tmp_path, readable)) >= 2
    broken = found(tmp_path, NOT_UTF_8)
    assert {"encoding", "field-unknown", "spelling"} <= {one.id for one in broken}
    assert [one for one in broken if one.fix] == []
    doc = Document(tmp_path / "hello.md", "content/hello.md", NOT_UTF_8)
    assert checks.fixed(doc, broken)[1] == 0


@pytest.mark.parametrize(("name", "text", "line", "column", "more"), CASES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(CASES)])
def test_a_fault_is_found_at_its_place(
    tmp_path: Path, name: str, text: str | bytes, line: int, column: int, more: dict[str, object]
) -> None:
    places = [(one.line, one.column) for one in found(tmp_path, text, **more) if one.id == name]
    assert (line, column) in places


def test_every_check_that_needs_no_network_has_a_case() -> None:
    assert set(CHECKS) - {name for name, *_ in CASES} == {
        "link-dead",
        "link-moved",
        "link-slow",
        "words-unknown",
        "words-invalid",
        "sequence",  # of several files together
        "lang-missing",  # by the file's name
    }


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("other.de.md", "", "add `Lang: de`"),
        ("other.pt-BR.md", "", "add `Lang: pt-BR`"),
        ("other.de.md", "Lang: de\n", ""),
        ("alone.de.md", "", ""),
        ("other.2.md", "", ""),
        ("other.draft.md", "", ""),
    ],
)
def test_a_file_named_like_a_translation_needs_its_language(tmp_path: Path, name: str, fields: str, said: str) -> None:
    (tmp_path / "other.md").write_text(f"{HEAD}\nText.\n")
    (tmp_path / name).write_text(f"{HEAD}{fields}\nText.\n")
    docs = [Document(path, path.name, path.read_bytes()) for path in sorted(tmp_path.glob("*.md"))]
    siblings = checks.siblings(docs, tmp_path, "en", "UTC", ("slug",))
    found = [one for one in checks.examine(docs, Context(tmp_path, now=NOW, siblings=siblings)) if one.id == "lang-missing"]
    assert [(one.path, one.level, said in one.message) for one in found] == ([(name, "error", True)] if said else [])


GOOD = """
## One

A [page]({filename}other.md), a [place](https://example.org/a_(b)), <https://example.org/>, and [a name][ref].
A list of `[tags][like]` this, `{{ code }}`, `**` and GitHub; my-github-name, github.com/x and PostgreSQL.

![A chart with [brackets]]({static}/images/good.png)

### Two

```python
todo = "TODO: http://localhost/ {{ x }} **"
```

    indented = "<script> [x][y] FIXME: "

1. A list

    ```
    {{ x }} TODO: http://localhost/
    ```

    > A quote, and code below it:

        {{ code }} http://localhost/ [x][y]

    - deeper

            {{ code }} http://localhost/

```code``` begins this line. He wrote “lorem ipsum”, of [your] book; see src/**/*.rs.

A list of #[link] attributes, #![link(name)], and [what it is][deep], or [a chart](/images/good.png).

[deep]: #two

- **bold** item
- another [**bold**](https://example.org/)

A claim.[^1] The TODO app is done. Rust has #[link] and #![link(x)]. 2 ** 3 is 8. [std][BTree] Fix.

<!-- TODO: a comment may say so, http://localhost too -->

[^1]: With a source.

[ref]: https://example.org/ref "Title"
"""


@pytest.mark.parametrize("change", [lambda text: text, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text])
def test_what_is_right_is_left_alone(tmp_path: Path, change: Callable[[str], str]) -> None:
    said = found(tmp_path, change(body(GOOD.replace("[std][BTree] Fix", "Fix"))), ledger=LEDGER)
    assert [str(one) for one in said] == []


@pytest.mark.parametrize(
    "text",
    [
        body("TODO el mundo lo sabe."),
        body("**TODO EL MUNDO**\n\nTodo bien."),
        body("My favourite\nTODO apps are old."),
        HEAD.replace("Hello", "TODO sobre Rust") + "\nText.\n",
        HEAD.replace("Hello", "TODO") + "Lang: es\n\nText.\n",
        HEAD.replace("Hello", "The TODO app, Super Bowl XXX, and `${name}`") + "\nText.\n",
        body("The venue is TBD, see [**TBD**](https://example.org/) and `${name}`, `{name}`, `<%= name %>`."),
        body('Use std::{fs, io}, impl Trait for T {block}, f"hello {name}", ${}, {}, {x}, {#id} and {: .button }.'),
        body("<https://example.org/{name}> and [it there](https://example.org/{owner}/{name})."),
        body("[TODO]: https://example.org/\n\nSee [TODO]."),
    ],
)
def test_what_only_looks_left_to_fill_in_is_left_alone(tmp_path: Path, text: str) -> None:
    found_here = [str(one) for one in found(tmp_path, text) if one.id in ("placeholder", "variable-unknown")]
    assert found_here == []


def test_a_braced_word_is_a_warning_and_a_braced_name_in_the_subject_an_error(tmp_path: Path) -> None:
    for text, level in ((body("Hello {name},"), "warning"), (HEAD + "Subject: Hi {name}\n\nText.\n", "error")):
        [one] = [one for one in found(tmp_path, text) if one.id == "variable-unknown"]
        assert one.level == level


def test_a_fault_in_the_text_of_an_old_issue_is_a_warning_but_one_of_its_paid_part_an_error(tmp_path: Path) -> None:
    text = "Title: Old\nDate: 2020-01-02\nSend: no\n\nLorem ipsum, [a](#), [b](gone.md). <script>x</script>\n"
    assert {one.level for one in found(tmp_path, text)} == {"warning"}
    assert "error" in {one.level for one in found(tmp_path, text.replace("Send: no\n", ""))}
    assert "error" in {one.level for one in found(tmp_path, text + "\n:::premium\nMore.\n")}


def test_a_character_that_cannot_be_carried_is_removed_by_fix(tmp_path: Path) -> None:
    doc = Document(tmp_path / "hello.md", "content/hello.md", (HEAD + "Summary: A\x07B\n\nTe\x1bxt.\n").encode())
    data, number = checks.fixed(doc, checks.examine([doc], Context(tmp_path, now=NOW)))
    assert (data.decode(), number) == (HEAD + "Summary: AB\n\nText.\n", 2)


@pytest.mark.parametrize("line", ["draft: true", "published: false", "headless: true"])
def test_a_draft_in_another_generators_words_has_no_page_to_link_to(tmp_path: Path, line: str) -> None:
    (tmp_path / "soon.md").write_text(f"Title: Soon\n{line}\n\nText.\n")
    assert "link-draft" in [one.id for one in found(tmp_path, body("See [it there]({filename}soon.md)."))]


@pytest.mark.parametrize("head", ["Slug: same", "Slug: paid\nAccess: open"])
def test_a_translation_is_no_second_issue_and_no_changed_one(tmp_path: Path, head: str) -> None:
    ledger = Ledger(lambda rule: [], lambda rule, key: 9, {("same", 1): "0" * 64, ("paid", 1): "0" * 64})
    text = f"Title: Hallo\nDate: 2026-11-24\nLang: de\nSummary: Kurz\n{head}\n\nDeutsche Worte.\n"
    said = found(tmp_path, text, ledger=ledger, render=lambda path: Rendered(9, "1" * 64))
    assert [str(one) for one in said] == []


def test_after_a_fix_nothing_is_left_to_fix_and_the_rest_is_unchanged(tmp_path: Path) -> None:
    text = "\ufeff" + (
        HEAD + "Sumary: Short\n\n# Hello\n\nOn Github, [it there](htps://a.example/), [it too] (https://b.example/)\n"
    ).replace("\n", "\r\n")
    doc = Document(tmp_path / "hello.md", "content/hello.md", text.encode())
    ctx = Context(tmp_path, now=NOW, words=word_list("GitHub"))
    data, number = checks.fixed(doc, checks.examine([doc], ctx))
    assert number == 5
    assert data.decode() == text.replace("Sumary", "Summary").replace("# Hello\r\n\r\n", "").replace(
        "Github", "GitHub"
    ).replace("htps:", "https:").replace("] (", "](")
    again = Document(doc.path, doc.shown, data)
    assert [one for one in checks.examine([again], ctx) if one.fix] == []


def test_what_is_named_as_on_disk_gets_the_braces_that_lead_to_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "good.png").write_bytes(b"\x89PNG")
    (tmp_path / "issues").mkdir()
    (tmp_path / "issues" / "other.md").write_text("Title: Other\n\nText.\n")
    text = body("[A](other.md#b) [B](gone.md) ![C](images/good.png) ![D](../images/good.png) [E](www.example.org)")
    doc, ctx = Document(tmp_path / "issues" / "hello.md", "hello.md", text.encode()), Context(tmp_path, now=NOW)
    data, number = checks.fixed(doc, checks.examine([doc], ctx))
    assert (data.decode(), number) == (body(
        "[A]({filename}other.md#b) [B](gone.md) ![C]({static}/images/good.png) ![D]({static}../images/good.png)"
        " [E](https://www.example.org)"
    ), 4)  # fmt: skip
    again = Document(doc.path, doc.shown, data)
    assert [(one.id, one.fix) for one in checks.examine([again], ctx)] == [("link-file", None)]


@pytest.mark.parametrize(
    "text",
    [
        "- [x] (https://a.example/) is done",
        "- [ ] (https://a.example/) is to do",
        "Text[^1] (https://a.example/) and more\n\n[^1]: Note",
        "[Foo][bar] (https://a.example/)\n\n[bar]: https://b.example/",
        "[Foo] (https://a.example/)\n\n[foo]: https://b.example/",
        "\\[some\\] (https://a.example/), a[0] (https://a.example/), [1] (https://a.example/), a [sic] (https://a.example/)",
    ],
)
def test_brackets_before_an_address_that_are_no_link_stay(tmp_path: Path, text: str) -> None:
    assert [one.id for one in found(tmp_path, body(text), gfm=True)] == []


@pytest.mark.parametrize(
    "text",
    [
        "[A](https://a.example/long-\nname/of-it) and more",
        "[A](../../README.md)",
        "[A](../README.md)",
        '<img src=good.png alt="A">',
    ],
)
def test_what_a_fix_would_not_mend_is_only_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text("Text.\n")
    content = tmp_path / "content"
    (content / "issues").mkdir(parents=True)
    (content / "issues" / "good.png").write_bytes(b"\x89PNG")
    doc = Document(content / "issues" / "hello.md", "hello.md", body(text).encode())
    said = checks.examine([doc], Context(content, now=NOW))
    assert [one.fix for one in said] == [None]


def test_an_address_is_closed_before_the_sentence_ends(tmp_path: Path) -> None:
    doc = Document(tmp_path / "hello.md", "hello.md", body("See [A](https://a.example/b.\n\nMore (of it).").encode())
    data, _ = checks.fixed(doc, checks.examine([doc], Context(tmp_path, now=NOW)))
    assert data.decode() == body("See [A](https://a.example/b).\n\nMore (of it).")


def test_a_misspelt_field_does_not_become_a_second_one(tmp_path: Path) -> None:
    said = found(tmp_path, "Title: Hello\nTags: a\nTag: b\nDate: 2026-11-24\n\nText.\n")
    assert [(one.id, one.fix) for one in said if one.id == "field-unknown"] == [("field-unknown", None)]


def test_a_check_never_fails_on_strange_bytes(tmp_path: Path) -> None:
    import random

    chance = random.Random(5)
    signs = "[]()*`~#<>!-|:\n\\{}^\"' \tax\u05d0\u4e2d\U0001f600\0\r"
    for _ in range(300):
        found(tmp_path, HEAD + "\n" + "".join(chance.choice(signs) for _ in range(200)))
        found(tmp_path, bytes(chance.randrange(256) for _ in range(120)))


@pytest.mark.parametrize("name", sorted(REMOVED_ELEMENTS))
def test_the_check_names_each_element_that_is_removed_from_pages_and_emails(tmp_path: Path, name: str) -> None:
    assert canonical(f"<{name}></{name}>", "https://example.org/").dropped == (f"<{name}>",)
    assert f"<{name}> is removed" in " ".join(one.message for one in found(tmp_path, body(f"Text <{name}>")))


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5, or $10 a year; a == b and c == d; x[[1]] and `[[link]]`; at 10:30:45.",
        "A link <https://example.org/>, one to [a place](https://example.org/), and `~~code~~`.\n\n    https://example.org/",
        "- an item\nwith a second line\n- another item\n\n    - below it",
        "[a]\n\n[a]: https://example.org/\n",
        "A paragraph\n\n- and a list\n\nAnother\n\n1. and another",
    ],
)
def test_what_github_shows_in_the_same_way_is_not_named(tmp_path: Path, text: str) -> None:
    said = [one for one in found(tmp_path, body(text)) if one.id in ("github-differs", "not-rendered")]
    assert said == []


def test_lines_that_github_shows_otherwise_are_one_finding_for_each_kind(tmp_path: Path) -> None:
    text = body("See https://a.example/.\n\nSee https://b.example/.\n\n~~a~~\n\nSee www.c.example.")
    said = [one.message for one in found(tmp_path, text) if one.id == "github-differs"]
    assert said == [
        "GitHub makes a link of a bare address, and the email doesn't: write it between < and >. Also in lines 8, 12.",
        "GitHub strikes out text between ~~, and the email doesn't: write <del>…</del>.",
    ]
    assert [one for one in found(tmp_path, text, gfm=True) if one.id == "github-differs"] == []


@pytest.mark.parametrize(
    "text",
    [
        "**<span>All of this</span>** is bold, **<b>this** too</b>.",
        "<pre>\n[x](http://a.example/) **\n\n[y](http://b.example/) ~~z~~\n</pre>",
        "- ```\n  [x](http://a.example/)\n  ```\n\nText.",
        "1. ~~~ text\n   [x](http://a.example/)\n   ~~~\n2. Text.",
        "The trait is attached to a type, and the attachment of a lock is short. It is attached to nothing.",
        "The minutes are attached: [read them]({static}/images/a.pdf).",
        '<span style="color: #222; background: #fff">Both</span>, <span style="color: #c33">red</span>,'
        ' <span style="background: #111">dark</span>.',
        "See [the talk](https://t.company.example/x) and [another](https://example.org/?via=bit.ly).",
        "Write `https://bit.ly/x`, and see https://example.org/https://bit.ly/x, on http://localhost:8025 too.",
        "## One\n\n### Two\n\n#### Three",
    ],
)
def test_what_only_looks_like_a_fault_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.pdf").write_bytes(b"%PDF")
    assert [str(one) for one in found(tmp_path, body(text), gfm=True)] == []


@pytest.mark.parametrize(
    "title", ["The best of 2025", "What December 2024 brought", "News of May 2025", "2026-11-24", "Rust 2025"]
)
def test_a_year_that_is_no_date_of_last_year_is_left_alone(tmp_path: Path, title: str) -> None:
    text = HEAD.replace("Hello", title) + "\nText.\n"
    assert [one.message for one in found(tmp_path, text) if one.id == "subject-year"] == []


def test_links_of_one_kind_are_one_finding_and_each_is_fixed(tmp_path: Path) -> None:
    text = body("[A](http://github.com/a)\n\n[B](http://b.example/)\n\n[C](http://github.com/c)")
    doc = Document(tmp_path / "hello.md", "hello.md", text.encode())
    [one] = checks.examine([doc], Context(tmp_path, now=NOW))
    assert (one.line, one.message) == (6, "http://github.com/a is not encrypted: use https://. Also in lines 8, 10.")
    assert checks.fixed(doc, [one]) == (text.replace("http://github", "https://github").encode(), 2)


def test_a_message_is_never_cut_within_a_word(tmp_path: Path) -> None:
    text = body('{% import "partials/marketing.html" as marketing, and some more words that go on and on %}')
    [one] = found(tmp_path, text)
    said = one.message.partition("…")[0]
    assert text[text.index(said) + len(said)] == " "


def test_the_date_in_a_files_name_is_a_date(tmp_path: Path) -> None:
    data = b"Title: Hello\n\nText.\n"
    named = Document(tmp_path / "2026-11-24-hello.md", "hello.md", data, implied={"date": "2026-11-24T00:00:00"})
    assert checks.examine([named], Context(tmp_path, now=NOW)) == []
    assert [one.id for one in checks.examine([Document(tmp_path / "a.md", "a.md", data)], Context(tmp_path, now=NOW))] == [
        "date-unreadable"
    ]


def test_an_address_with_a_line_break_is_said_to_have_one(tmp_path: Path) -> None:
    said = found(tmp_path, body("See [A](https://a.example/?start=12\n34&end=5)."))
    assert [(one.id, "line break" in one.message, one.fix) for one in said] == [("markdown-unclosed", True, None)]


@pytest.mark.parametrize("plugin", ["jinja2content", "liquid_tags.img"])
def test_template_code_is_right_where_a_plugin_fills_it_in(tmp_path: Path, plugin: str) -> None:
    text = body("{% include a.html %}")
    assert [one.id for one in found(tmp_path, text)] == ["placeholder"]
    (tmp_path / "pelicanconf.py").write_text(f"PLUGINS = ['{plugin}']\nTIMEZONE = 'UTC'\nSITEURL = 'https://example.org'\n")
    assert found(tmp_path, text, has_templates=site_config.read(tmp_path, tmp_path / "pelicanconf.py").fills_templates) == []
