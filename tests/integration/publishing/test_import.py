"""``postmerge import``: another tool's archive becomes issues, in two steps, once, and nothing of it can be sent."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.store.publishing import issues
from mailer.store.sending import sends
from tests import archives, commands, factories
from tests.conftest import ROOT
from tests.processes import environment

QUICK = "\nPOSTMERGE_CARDS = False\nPOSTMERGE_SEARCH = False\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "news"
    (made / "content" / "issues").mkdir(parents=True)
    (made / "theme").symlink_to(ROOT / "theme")
    (made / "pelicanconf.py").write_text((ROOT / "pelicanconf.py").read_text("utf-8") + QUICK)
    return made


def run(folder: Path, database: Database | None, *words: str) -> subprocess.CompletedProcess[str]:
    environ = environment(factories.settings(folder, database.url), {}) if database else {"PATH": os.environ["PATH"]}
    return commands.run(folder, environ, *words)


def bring(folder: Path, database: Database | None, path: Path, *words: str) -> dict[str, Any]:
    done = run(folder, database, "import", str(path), "--json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def written(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.parent.rglob("*") if path.is_file() and "build" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in paths if path.is_relative_to(folder / "content")}


@pytest.fixture
def substack(tmp_path: Path) -> Path:
    return archives.write_substack(tmp_path / "export.zip")


def test_the_first_step_shows_what_would_be_written(folder: Path, database: Database, substack: Path) -> None:
    done = run(folder, database, "import", str(substack))
    assert (done.returncode, written(folder)) == (0, {})
    assert "Substack: Would write 3 issues (1 draft) and 0 pictures; 0 already here." in done.stdout
    assert "content/issues/2024-02-05-paid-post.md (paid)" in done.stdout
    assert "posts/101.hello-world.html: 2 subscribe or share buttons removed." in done.stdout
    assert "Nothing was written." in done.stdout
    with database.transaction() as tx:
        assert issues.list_all(tx) == []


def test_substacks_posts_become_issues_with_their_dates_and_addresses(folder: Path, database: Database, substack: Path) -> None:
    assert bring(folder, database, substack, "--apply")["written"] == 3
    found = written(folder)
    assert found["content/issues/2024-01-05-hello-world.md"] == (
        "Title: Hello & <world>\nDate: 2024-01-05 10:00\nSlug: hello-world\nFormerly: /p/hello-world\n"
        "Summary: A first, long line\nSend: no\n\n"
        '![Alt x](https://substackcdn.com/b.png "A caption")\n\nHello **bold** text, 5 \\* 3, &lt;b>, &amp;amp;.[^1]\n\n'
        "<https://www.youtube.com/watch?v=abc>\n\n[^1]: A note.\n"
    )
    assert (
        "Access: premium\nSend: no\n\nFree to read.\n\n<!-- more -->\n\nOnly" in found["content/issues/2024-02-05-paid-post.md"]
    )
    assert "Status: draft" in found["content/issues/a-draft.md"]
    site = folder / "build" / "site"
    assert "/issues/hello-world/" in (site / "p" / "hello-world" / "index.html").read_text("utf-8")
    assert "Only for those who pay" not in (site / "issues" / "paid-post" / "index.html").read_text("utf-8")


def test_the_ledger_knows_what_was_imported_and_can_send_none_of_it(folder: Path, database: Database, substack: Path) -> None:
    factories.add_subscribers(database, 3)
    assert bring(folder, database, substack, "--apply")["adopted"] == 2
    for path in (folder / "content" / "issues").iterdir():
        path.write_text(path.read_text("utf-8").replace("Send: no", "Send: yes"), "utf-8")
    assert run(folder, database, "publish", "--no-gate", "--allow", "old").returncode in (0, 2)
    done = run(folder, database, "publish", "--no-gate", "--json")
    assert json.loads(done.stdout)["sends"] == []
    with database.transaction() as tx:
        assert sends.list_all(tx) == []
        assert {one.key for one in issues.list_all(tx) if one.adopted_edition} == {"hello-world", "paid-post"}


def test_importing_again_adds_what_is_new_whatever_was_edited_or_moved(
    folder: Path, database: Database, tmp_path: Path
) -> None:
    bring(folder, database, archives.write_substack(tmp_path / "one.zip"), "--apply")
    home = folder / "content" / "issues"
    (home / "2024-01-05-hello-world.md").rename(home / "renamed.md")
    edited = (home / "renamed.md").read_text("utf-8").replace("Slug: hello-world\n", "").replace("Hello &", "Good day")
    (home / "renamed.md").write_text(edited, "utf-8")
    before = written(folder)
    again = bring(folder, database, tmp_path / "one.zip", "--apply")
    assert (again["written"], len(again["present"]), written(folder)) == (0, 3, before)
    rows = [*archives.SUBSTACK_ROWS, archives.substack_row("104.later", "Later", "2024-03-05")]
    later = archives.write_substack(tmp_path / "two.zip", rows, {**archives.SUBSTACK_TEXTS, "104.later": "<p>New.</p>"})
    assert bring(folder, database, later, "--apply")["written"] == 1


def test_a_waiting_issue_of_the_newsletter_is_still_sent_after_an_import(
    folder: Path, database: Database, substack: Path
) -> None:
    factories.add_subscribers(database, 3)
    (folder / "content" / "issues" / "old.md").write_text("Title: Old\nDate: 2020-01-01\n\nText.\n")
    assert run(folder, database, "adopt").returncode == 0
    (folder / "content" / "issues" / "mine.md").write_text(
        f"Title: Mine\nDate: {factories.NOW:%Y-%m-%d}\nSend: yes\n\nA text of my own.\n"
    )
    bring(folder, database, substack, "--apply")
    steps = json.loads(run(folder, database, "plan", "--no-gate", "--json").stdout)["steps"]
    assert [(step["issue"], step["action"]) for step in steps if step["action"] != "keep"] == [("mine", "send")]


def test_the_first_adoption_covers_what_was_there_before_the_import(folder: Path, database: Database, substack: Path) -> None:
    factories.add_subscribers(database, 3)
    (folder / "content" / "issues" / "mine.md").write_text(
        f"Title: Mine\nDate: {factories.NOW:%Y-%m-%d}\nSend: yes\n\nA text of my own.\n"
    )
    bring(folder, database, substack, "--apply")
    assert json.loads(run(folder, database, "publish", "--no-gate", "--json").stdout)["sends"] == []


def test_without_a_database_the_files_say_that_they_are_not_to_be_sent(folder: Path, substack: Path) -> None:
    done = run(folder, None, "import", str(substack), "--apply")
    assert done.returncode == 0, done.stderr
    assert "run `postmerge adopt` where it is." in done.stdout
    assert all("Send: no" in text for text in written(folder).values())


def test_two_posts_of_one_address_no_date_no_title_and_odd_names(folder: Path, tmp_path: Path) -> None:
    rows = [
        archives.substack_row("1.same", "First"),
        archives.substack_row("2.same", "Second", "2024-02-01"),
        archives.substack_row("3.no-date", "Undated", "soon"),
        archives.substack_row("4.no-title", ""),
        archives.substack_row("5.../../etc/passwd", "Out\nFormerly: /x"),
        archives.substack_row("6.gone", "Gone"),
    ]
    texts = {row["post_id"]: f"<p>The text of {number}.</p>" for number, row in enumerate(rows[:5], 1)}
    path = archives.write_substack(tmp_path / "odd.zip", rows, {**texts, "5.../../etc/passwd": ""})
    found = bring(folder, None, path, "--apply")
    assert sorted(written(folder)) == [
        "content/issues/2024-01-05-no-title.md", "content/issues/2024-01-05-same.md", "content/issues/2024-02-01-same-2.md",
        "content/issues/no-date.md",
    ]  # fmt: skip
    said = [f"{one['where']}: {one['message']}" for one in found["remarks"]]
    assert "posts/2.same.html: The address /p/same belongs to posts/1.same.html too, which keeps it." in said
    assert "posts/2.same.html: The address 'same' is taken, so this post is at 'same-2'." in said
    assert "posts/3.no-date.html: It has no date, and became a draft." in said
    assert "posts/4.no-title.html: It has no title, and got 'The text of 4.'." in said
    assert "posts.csv: 6.gone: The text of this post is not in the archive: left out." in said
    assert bring(folder, None, path, "--apply")["written"] == 0


def test_nothing_is_written_outside_or_by_halves(folder: Path, tmp_path: Path, substack: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "content" / "issues").rmdir()
    (folder / "content" / "issues").symlink_to(outside)
    done = run(folder, None, "import", str(substack), "--apply")
    assert (done.returncode, list(outside.iterdir())) == (1, [])
    assert "leads out of the content folder: nothing was imported." in done.stderr
    assert [path.name for path in folder.iterdir() if path.name.startswith(".postmerge-import")] == []


@pytest.mark.parametrize("kind", ["missing", "empty", "half a ZIP", "not an archive"])
def test_what_is_no_archive_is_refused_in_one_sentence(folder: Path, tmp_path: Path, substack: Path, kind: str) -> None:
    data = {"empty": b"", "half a ZIP": substack.read_bytes()[:-10], "not an archive": b"\x00\x01" * 99}
    path = tmp_path / "thing"
    if kind in data:
        path.write_bytes(data[kind])
    done = run(folder, None, "import", str(path), "--apply")
    assert (done.returncode, written(folder)) == (1, {})
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
