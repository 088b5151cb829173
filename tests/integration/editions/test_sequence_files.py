"""Sequences as files: steps become editions, their pages are in no list, and what is wrong is said at its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer import editions
from mailer.core.edition import SequenceRules, Trigger
from mailer.editions.site.preview import Preview

CONFIG = """
from mailer.defaults import *
SITENAME = "The Letter"
SITEURL = "https://letter.example"
POSTMERGE_MARKDOWN = "gfm"
POSTMERGE_SEARCH = False
POSTMERGE_CARDS = False
"""
RULES = 'trigger = "confirmed"\n'
STEPS = {
    "01-hello.md": "Title: Hello\nAfter: 0\n\nWelcome.\n",
    "02-more.md": "Title: More\nAfter: 3d\n\nMore text.\n",
}


def build(folder: Path, files: dict[str, str], rules: str | None = RULES, **more: str) -> editions.Report:
    """Build a site of one issue and one sequence."""
    texts = {f"sequences/welcome/{name}": text for name, text in files.items()}
    if rules is not None:
        texts["sequences/welcome/sequence.toml"] = rules
    texts |= {"issues/2026-11-24-first.md": "Title: First\nDate: 2026-11-24\nSend: yes\n\nAn issue.\n", **more}
    for name, text in texts.items():
        path = folder / "content" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "pelicanconf.py").write_text(CONFIG, encoding="utf-8")
    build_folder = folder / "build"
    return editions.build(
        editions.BuildOptions(
            folder / "content", build_folder / "site", build_folder / "editions", None, folder / "pelicanconf.py"
        )
    )


def test_steps_are_editions_with_variants_and_pages_in_no_list(tmp_path: Path) -> None:
    paid = ":::premium\nOnly for paid subscribers.\n:::\n"
    files = {
        **STEPS,
        "01-hello.md": f"Title: Hello\nAfter: 0\n\nWelcome.\n\n{paid}",
        "01-hello.de.md": f"Title: Hallo\nLang: de\nAfter: 0\n\nWillkommen.\n\n{paid}",
    }
    report = build(tmp_path, files, 'trigger = "tagged"\ntag = "Course"\nhours = "08:00-20:00"\nzone = "Europe/Berlin"\n')
    assert report.findings == ()
    issue, hello, more = report.editions
    assert (issue.key, issue.step) == ("2026-11-24-first", None)
    assert hello.step
    assert hello.step.sequence == SequenceRules(
        "welcome", Trigger.TAGGED, "course", hours="08:00-20:00", zone="Europe/Berlin"
    )  # fmt: skip
    assert (hello.key, hello.url) == ("sequences/welcome/hello", "https://letter.example/sequences/welcome/hello/")
    assert [one.name for one in hello.variants] == ["premium", "de", "de premium"]
    assert more.step
    assert (more.step.name, more.step.position, more.step.after) == ("more", 2, 3 * 86_400)
    assert "2000" not in hello.html + hello.text
    assert [one.step for one in editions.load(tmp_path / "build/editions").editions] == [one.step for one in report.editions]
    site = tmp_path / "build/site"
    page = (site / "sequences/welcome/hello/index.html").read_text()
    assert "Welcome." in page
    assert 'name="robots" content="noindex"' in page
    assert "Only for paid" not in page
    lists = [path for path in site.rglob("*") if path.is_file() and "sequences" not in path.relative_to(site).parts]
    assert not [path for path in lists if b"sequences/welcome" in path.read_bytes()]


def test_the_preview_shows_a_step_as_it_is_sent(tmp_path: Path) -> None:
    edition = next(one for one in build(tmp_path, STEPS).editions if one.step and one.step.name == "hello")
    built = tmp_path / "build"
    options = editions.BuildOptions(tmp_path / "content", built / "site", built / "editions", None, tmp_path / "pelicanconf.py")
    shown = Preview(options).show(tmp_path / "content/sequences/welcome/01-hello.md")
    assert shown.findings == ()
    assert shown.edition
    assert (shown.edition.url, shown.edition.html, shown.edition.text) == (edition.url, edition.html, edition.text)
    assert "2000" not in shown.page


def test_an_issue_has_the_same_edition_beside_a_sequence(tmp_path: Path) -> None:
    alone = build(tmp_path / "alone", {}, None)
    beside = build(tmp_path / "beside", STEPS)
    assert alone.editions[0] == beside.editions[0]
    [file] = (tmp_path / "alone/build/editions").glob("[0-9a-f]*.json")
    assert b'"step"' not in file.read_bytes()


@pytest.mark.parametrize(
    ("files", "rules", "path", "message"),
    [
        (STEPS, "", "sequence.toml", "There is no `trigger`: write what enrols a subscriber, one of "),
        (STEPS, 'trigger = "opened"', "sequence.toml", '`trigger = "opened"` is not one: write what enrols'),
        (STEPS, "trigger = confirmed", "sequence.toml", "The file is not valid TOML ("),
        (STEPS, None, "sequence.toml", "welcome has steps but no sequence.toml: add one"),
        (STEPS, RULES + 'next = "course"', "sequence.toml", "`next` is not known here: use trigger,"),
        (STEPS, 'trigger = "tagged"', "sequence.toml", "`tag` belongs to"),
        (STEPS, 'trigger = "tagged"\ntag = "a"\nstop = "a"', "sequence.toml", "`stop` is the tag that enrols, so nobody"),
        (STEPS, RULES + 'audience = "and"', "sequence.toml", "`audience`: "),
        (STEPS, RULES + 'hours = "8-20"', "sequence.toml", '`hours = "8-20"` is not valid: write it as'),
        (STEPS, RULES + 'zone = "CET+1"', "sequence.toml", "`zone`: 'CET+1' is not a time zone"),
        (STEPS, 'trigger = "pause over"\nbackfill = true', "sequence.toml", "`backfill` means nothing with"),
        ({}, RULES, "sequence.toml", "The sequence has no steps: add 01-hello.md beside this file."),
        (
            {"01-a.md": STEPS["01-hello.md"], "03-c.md": STEPS["02-more.md"]}, RULES, "03-c.md",
            "The step 02 is missing before this one: add it, or rename this file to 02-c.md.",
        ),
        (
            {"01-a.md": STEPS["01-hello.md"], "01-b.md": STEPS["02-more.md"]}, RULES, "01-b.md",
            "01-a.md has the number 01 too: give each step its own.",
        ),
        (
            {"01-a.md": STEPS["01-hello.md"], "01-a.de.md": STEPS["01-hello.md"]}, RULES, "01-a.de.md",
            "This looks like a translation of 01-a.md: add `Lang: de`, or give it a number of its own.",
        ),
        (
            {"01-a.md": STEPS["01-hello.md"], "02-a.md": STEPS["02-more.md"]}, RULES, "02-a.md",
            "The step 01 is also named 'a': give each its own name.",
        ),
        (
            {**STEPS, "03-c.de.md": "Title: C\nLang: de\nAfter: 1d\n\nNur deutsch.\n"}, RULES, "03-c.de.md",
            "This step is only in 'de', and the sequence is in 'en': add its text in 'en', or correct `Lang:`.",
        ),
        ({"01-a.md": "Title: A\n\nText.\n"}, RULES, "01-a.md", "`After:` is missing: write how long after"),
        ({"01-a.md": "Title: A\nAfter: soon\n\nText.\n"}, RULES, "01-a.md", "`After: soon` is not a time up to 366 days:"),
        ({"01-a.md": "Title: A\nAfter: 0\nSend: yes\n\nText.\n"}, RULES, "01-a.md", "`Send:` is for issues, and a step has"),
        ({"hello.md": STEPS["01-hello.md"]}, RULES, "hello.md", "A step's file begins with its number: rename hello.md to 01-"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_at_its_file_and_no_step_is_sent(
    tmp_path: Path, files: dict[str, str], rules: str | None, path: str, message: str
) -> None:
    report = build(tmp_path, files, rules)
    errors = [one for one in report.findings if one.level == "error"]
    assert [one.path for one in errors if one.message.startswith(message)] == [f"content/sequences/welcome/{path}"], errors
    assert [one.key for one in report.editions] == ["2026-11-24-first"]
    assert len(list((tmp_path / "build/site/issues").glob("*/index.html"))) == 1


def test_a_field_of_steps_in_an_issue_is_an_error(tmp_path: Path) -> None:
    more = {"issues/2026-11-25-b.md": "Title: B\nDate: 2026-11-25\nAfter: 3d\n\nText.\n"}
    [error] = build(tmp_path, STEPS, **more).findings
    assert error.message.startswith("`After:` is for the steps of a sequence: remove it")


def test_a_draft_is_no_step_and_a_renumbered_file_stays_one(tmp_path: Path) -> None:
    files = {**STEPS, "02-more.md": "Title: More\nStatus: draft\nAfter: 3d\n\nText.\n", "03-last.md": STEPS["02-more.md"]}
    report = build(tmp_path, files)
    assert [one.step.name for one in report.editions if one.step] == ["hello", "last"]
    assert report.findings == ()
