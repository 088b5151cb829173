from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mailer.core.edition import Edition
from mailer.flows.publishing.issue_identity import Match, estimate_similarity, identify_issues, sketch
from mailer.store.publishing.issues import KnownIssue
from tests.factories import NOW, PROSE, edition

OLD = "The council met in the old hall, and nobody could agree on the colour of the new bridge over the river."
NEW = "Seven swans were counted at dawn by volunteers who had slept badly in a cold hut near the reeds."
OTHER = "A recipe for bread without yeast: flour, water, salt, patience, and an oven that somebody watches."


def issue(path: str, text: str, title: str = "", day: int = 0, key: str = "", named: bool = False) -> Edition:
    name = path.rpartition("/")[2].removesuffix(".md")
    values = {"path": path, "title": title or f"Title of {name}", "dated": NOW + timedelta(days=day), "named": named}
    return edition(key or name, body=f"<p>{text}</p>", **values)


def known(*editions: Edition, seen: int = 0) -> list[KnownIssue]:
    """The ledger's rows after these editions were published."""
    at = NOW + timedelta(hours=seen)
    return [
        KnownIssue(one.key, one.path, one.title, one.dated, one.digest, sketch(one.body), url=one.url, last_seen_at=at)
        for one in editions
    ]


def who(rows: list[KnownIssue], *editions: Edition) -> dict[str, str]:
    """For each path: the known root, or "new KEY"; a "?" where it is uncertain."""
    return {path: _said(match) for path, match in identify_issues(editions, rows, {row.root for row in rows}).items()}


def _said(match: Match) -> str:
    mark = "?" if match.ambiguous else "!" if match.rival else ""
    return (match.root if match.issue else f"new {match.key}") + mark


OLD_AT_A, NEW_AT_A = issue("a.md", OLD), issue("a.md", NEW, "Swans", 7)

CASES: dict[str, tuple[list[KnownIssue], list[Edition], dict[str, str]]] = {
    "nothing changed": (known(OLD_AT_A), [OLD_AT_A], {"a.md": "a"}),
    "a word changed": (known(OLD_AT_A), [issue("a.md", OLD.replace("river", "stream"))], {"a.md": "a"}),
    "the text is another, title and date are the same": (known(OLD_AT_A), [issue("a.md", NEW)], {"a.md": "a"}),
    "renamed": (known(OLD_AT_A), [issue("b.md", OLD)], {"b.md": "a"}),
    "renamed and edited": (known(OLD_AT_A), [issue("b.md", OLD.replace("river", "stream"), "Title of a")], {"b.md": "a"}),
    "renamed, with another title and date": (known(OLD_AT_A), [issue("b.md", OLD, "B", 3)], {"b.md": "a"}),
    "renamed, and a new file has the old name": (
        known(OLD_AT_A), [issue("b.md", OLD, "Title of a"), NEW_AT_A], {"b.md": "a", "a.md": "new a-2"},
    ),
    "the same, with the same date": (
        known(OLD_AT_A), [issue("b.md", OLD, "Title of a"), issue("a.md", NEW)], {"b.md": "a", "a.md": "new a-2"},
    ),
    "two files exchange their names": (
        known(OLD_AT_A, issue("b.md", NEW)),
        [issue("a.md", NEW, "Title of b"), issue("b.md", OLD, "Title of a")],
        {"a.md": "b", "b.md": "a"},
    ),
    "the same, with one title, one date, and much text in common": (
        known(issue("a.md", OLD, "T"), issue("b.md", f"{OLD} And more of it today.", "T")),
        [issue("b.md", OLD, "T"), issue("a.md", f"{OLD} And more of it today.", "T")],
        {"a.md": "b", "b.md": "a"},
    ),
    "the same, with one text": (
        known(issue("a.md", OLD), issue("b.md", OLD, day=3)),
        [issue("a.md", OLD, "Title of b", 3), issue("b.md", OLD, "Title of a")],
        {"a.md": "b", "b.md": "a"},
    ),
    "copied as the start of a new issue": (
        known(OLD_AT_A), [OLD_AT_A, issue("b.md", f"{OLD} {NEW} {OTHER}", "B", 7)], {"a.md": "a", "b.md": "new b"},
    ),
    "copied and not yet edited, while the first is corrected": (
        known(OLD_AT_A),
        [issue("a.md", OLD.replace("river", "stream")), issue("b.md", OLD, "B", 7)],
        {"a.md": "a", "b.md": "new b"},
    ),
    "a new file of a known name in another folder": (
        known(issue("2026-11/index.md", OLD, key="index")),
        [issue("2026-11/index.md", OLD.replace("river", "stream"), key="2026-11"),
         issue("2026-10-late/index.md", NEW, key="2026-10-late")],
        {"2026-11/index.md": "index", "2026-10-late/index.md": "new 2026-10-late"},
    ),
    "a new file that takes a known key": (
        known(issue("2026/01.md", OLD, key="01")),
        [issue("2025/01.md", NEW, "B", -9, key="01"), issue("2026/01.md", OLD, key="2026-01")],
        {"2026/01.md": "01", "2025/01.md": "new 01-2"},
    ),
    "a folder renamed": (
        known(*(issue(f"old/{name}.md", text, f"T{name}") for name, text in (("01", OLD), ("02", NEW), ("03", OTHER)))),
        [issue(f"new/{name}.md", text, f"T{name}") for name, text in (("01", OLD), ("02", NEW), ("03", OTHER))],
        {"new/01.md": "01", "new/02.md": "02", "new/03.md": "03"},
    ),
    "a folder renamed, whose issues are all alike": (
        known(*(issue(f"old/0{n}.md", OLD, f"T{n}", n) for n in range(4))),
        [issue(f"new/0{n}.md", OLD, f"T{n}", n) for n in range(4)],
        {f"new/0{n}.md": f"0{n}" for n in range(4)},
    ),
    "moved to another folder under the same name, rewritten": (
        known(OLD_AT_A), [issue("archive/a.md", NEW, "Title of a")], {"archive/a.md": "a"},
    ),
    "the same, with another date: perhaps next year's": (
        known(OLD_AT_A), [issue("archive/a.md", NEW, "Title of a", 3)], {"archive/a.md": "a?"},
    ),
    "another issue with the name of one that is gone": (
        known(issue("2025/01.md", OLD, key="01")), [issue("2026/01.md", NEW, "B", 9, key="01")], {"2026/01.md": "new 01-2"},
    ),
    "a translation is the only text left": (
        known(issue("hello.md", OLD)), [issue("hello.de.md", OTHER, "Hallo", key="hello")], {"hello.de.md": "hello"},
    ),
    "a file filled with another issue": (known(OLD_AT_A), [NEW_AT_A], {"a.md": "a?"}),
    "the same, and it says that it is new": (
        known(OLD_AT_A), [replace(NEW_AT_A, key="swans", named=True)], {"a.md": "new swans"},
    ),
    "the same, and it says that it is not": (known(OLD_AT_A), [replace(NEW_AT_A, named=True)], {"a.md": "a"}),
    "a file removed and, later, another of its name": (
        [*known(OLD_AT_A), *known(issue("z.md", OTHER), seen=1)], [issue("z.md", OTHER), NEW_AT_A],
        {"z.md": "z", "a.md": "new a-2"},
    ),
    "a file removed and, later, brought back": (
        [*known(OLD_AT_A), *known(issue("z.md", OTHER), seen=1)], [issue("z.md", OTHER), OLD_AT_A], {"z.md": "z", "a.md": "a"},
    ),
    "half of a removed issue's text in a new one": (
        known(OLD_AT_A), [issue("b.md", f"{OLD} And more of it today.", "B", 7)], {"b.md": "a?"},
    ),
    "half of a removed issue's text, and its date, under another title": (
        [*known(OLD_AT_A), *known(issue("z.md", OTHER), seen=1)],
        [issue("z.md", OTHER), issue("b.md", f"{OLD} And more of it today.", "B")],
        {"z.md": "z", "b.md": "a?"},
    ),
    "the title and the template of last week's issue, which is gone": (
        known(OLD_AT_A), [issue("b.md", f"{OLD} And more of it today.", "Title of a", 7)], {"b.md": "a?"},
    ),
    "the name and the title of another year's issue, which is gone": (
        known(issue("2025/01.md", OLD, "January", key="01")), [issue("2026/01.md", NEW, "January", 9, key="01")],
        {"2026/01.md": "01?"},
    ),
    "the name and the date of an issue that was gone before": (
        [*known(OLD_AT_A), *known(issue("z.md", OTHER), seen=1)], [issue("z.md", OTHER), issue("x/a.md", NEW, "Swans")],
        {"z.md": "z", "x/a.md": "new a-2"},
    ),
    "renamed and rewritten, and a new file has the old name": (
        known(OLD_AT_A), [issue("b.md", OTHER, "Title of a"), NEW_AT_A], {"b.md": "a", "a.md": "new a-2"},
    ),
    "back at a path that another issue had in the meantime": (
        [*known(OLD_AT_A), *known(issue("a.md", NEW, "Swans", 7, key="a-2"), seen=1)], [OLD_AT_A], {"a.md": "a"},
    ),
    "a copy at the side while the first one moves": (
        [*known(OLD_AT_A, issue("b.md", OLD, "Title of a"))],
        [issue("b.md", OLD, "Title of a"), issue("c.md", OLD, "Title of a"), NEW_AT_A],
        {"a.md": "new a-2", "b.md": "b", "c.md": "a"},
    ),
    "an Id, added later": (known(OLD_AT_A), [replace(OLD_AT_A, key="bridge", named=True)], {"a.md": "a"}),
    "an Id that moves with its issue": (
        known(issue("a.md", OLD, key="x", named=True)),
        [issue("b.md", OTHER, "B", 9, key="x", named=True), NEW_AT_A],
        {"b.md": "x", "a.md": "new a"},
    ),
    "an Id that another file's issue has": (
        known(OLD_AT_A), [issue("b.md", NEW, "B", 7, key="a", named=True), issue("a.md", OLD, key="new-slug")],
        {"a.md": "a", "b.md": "new a-2!"},
    ),
    "the same, once more": (
        [*known(OLD_AT_A), replace(known(issue("a.md", OLD, key="y"), seen=1)[0], renamed_from="a"),
         *known(issue("b.md", NEW, "B", 7, key="a-2"), seen=1)],
        [issue("b.md", NEW, "B", 7, key="a", named=True), replace(OLD_AT_A, key="y", named=True)],
        {"a.md": "a", "b.md": "a-2!"},
    ),
    "an Id that was copied, while the first file got another": (
        known(OLD_AT_A), [issue("b.md", NEW, "B", 7, key="a", named=True), replace(OLD_AT_A, key="y", named=True)],
        {"a.md": "a", "b.md": "new a-2!"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_key_moves_only_with_its_issue(name: str) -> None:
    rows, editions, expected = CASES[name]
    assert who(rows, *editions) == expected
    assert who(rows, *reversed(editions)) == expected, "the order of files does not matter"


def test_a_renamed_issue_is_known_by_its_present_path_only() -> None:
    before, after = known(OLD_AT_A), known(issue("b.md", OLD), seen=1)
    rows = [*before, replace(after[0], renamed_from="a")]
    assert who(rows, NEW_AT_A, issue("b.md", OLD)) == {"a.md": "new a-2", "b.md": "a"}
    assert who(rows, OLD_AT_A) == {"a.md": "a"}


def test_nearly_the_same_text_is_named_whichever_file_is_new() -> None:
    def copied(rows: list[KnownIssue], *editions: Edition) -> dict[str, str]:
        return {path: match.copied for path, match in identify_issues(editions, rows).items() if match.copied}

    long = f"{OLD} {NEW} {OTHER}"
    edited = issue("a.md", long.replace("river", "stream"))
    assert copied(known(issue("a.md", long)), edited, issue("b.md", long, "B", 7)) == {"b.md": "a.md"}
    assert copied(known(issue("a.md", long)), edited, issue("b.md", long + " Really.", "B", 7)) == {"b.md": "a.md"}
    assert copied(known(issue("a.md", long)), edited, issue("b.md", NEW, "B", 7)) == {}
    assert copied([], issue("c.md", long), issue("d.md", long, "D", 1)) == {"d.md": "c.md"}


def test_the_same_text_is_wholly_alike_and_another_text_is_not() -> None:
    assert estimate_similarity(sketch(PROSE), sketch(PROSE)) == 1.0
    assert estimate_similarity(sketch(PROSE), sketch("something else about quite another matter of the week")) == 0.0


def test_a_small_edit_stays_alike() -> None:
    assert estimate_similarity(sketch(PROSE), sketch(PROSE.replace("small group", "little group"))) > 0.5
