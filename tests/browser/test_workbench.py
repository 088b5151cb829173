"""`postmerge write` in a real browser: whatever is saved, it lives, names what is wrong at its line, and runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, expect

from mailer.fakes.free_ports import find_free_port
from tests.conftest import ROOT
from tests.integration.editions.test_bad_issues import SCRIPTS, SVG

HEAD = "Title: Bad\nDate: 2026-11-24 09:00\nSend: yes\n\n"
SMILE = "\U0001f600 你好.md"
PATIENCE = 150_000  # milliseconds; an issue of 2 MB takes a few seconds, and longer on a busy machine
RUNNING = """[
    ...[...document.querySelectorAll("iframe, object, embed, base, script")].filter(
        one => !/\\/theme\\//.test(one.src) && one.type !== "application/ld+json"),
    ...[...document.querySelectorAll("*")].filter(
        one => [...one.attributes].some(a => /^on/.test(a.name) || /^javascript:/.test(a.value))),
].length"""


class Bench:
    """A running `postmerge write` over a small newsletter, and the window that looks at its issue."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.folder, self.issue = folder, folder / "content" / "issues" / "bad.md"
        port = find_free_port()
        environ = {
            **os.environ, "POSTMERGE_CONTENT": str(folder / "content"), "POSTMERGE_CONFIG": str(folder / "pelicanconf.py"),
            "POSTMERGE_BUILD": str(folder / "build"), "POSTMERGE_SITE_URL": "https://news.example.org",
            "POSTMERGE_POSTAL_ADDRESS": "1 Example Street", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [sys.executable, "-m", "mailer.cli", "write", str(self.issue), "--port", str(port), "--until-eof"]
        self.process = subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.PIPE)
        self.page = browser.new_page()
        self.ran: list[str] = []
        self.page.on("dialog", self._asked)
        self._open(f"http://127.0.0.1:{port}/#issues%2Fbad.md")

    def _asked(self, dialog: Dialog) -> None:
        self.ran.append(dialog.message)
        dialog.dismiss()

    def _open(self, url: str) -> None:
        for _ in range(300):
            try:
                self.page.goto(url)
                break
            except Exception:
                time.sleep(0.2)
        self.page.wait_for_selector("#stage[data-turn]", timeout=PATIENCE)

    def save(self, action: Callable[[], object]) -> None:
        """Do something to a file and wait until the window shows what came of it."""
        turn = self.page.get_attribute("#stage", "data-turn") or ""
        action()
        expect(self.page.locator("#stage")).not_to_have_attribute("data-turn", turn, timeout=PATIENCE)
        assert self.process.poll() is None

    def shows(self, words: str) -> None:
        """The page and the email hold these words, and nothing in them ran."""
        for view in ("mail", "page"):
            self.page.click(f"[role=tab][data-view={view}]")
            expect(self.page.frame_locator("#stage iframe").locator("body")).to_contain_text(words, timeout=PATIENCE)
            frame = self.page.query_selector("#stage iframe")
            assert frame
            inside = frame.content_frame()
            assert inside
            found = inside.evaluate(RUNNING)
            assert found == 0, view
        assert self.ran == []

    def names(self, line: int, words: str) -> None:
        """Among the checks is this one, at this line."""
        row = self.page.locator("#checks li").filter(has=self.page.get_by_role("button", name=f"line {line}", exact=True))
        expect(row.filter(has_text=words).first).to_be_visible()

    def close(self) -> None:
        self.page.close()
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture
def bench(tmp_path: Path, browser: Browser) -> Iterator[Bench]:
    (tmp_path / "mailer").symlink_to(ROOT / "mailer")
    shutil.copy(ROOT / "pelicanconf.py", tmp_path)
    shutil.copytree(ROOT / "theme", tmp_path / "theme")
    for name in ("issues", "images"):
        (tmp_path / "content" / name).mkdir(parents=True)
    (tmp_path / "content" / "issues" / "bad.md").write_text(f"{HEAD}At first.\n")
    (tmp_path / "content" / "issues" / SMILE).write_text(f"{HEAD.replace('Bad', 'Smile')}A smile.\n")
    made = Bench(tmp_path, browser)
    yield made
    made.close()


@pytest.mark.parametrize("paragraphs", [300, pytest.param(3_500, marks=pytest.mark.slow)])
def test_whatever_is_saved_the_preview_lives_and_names_it_at_its_line(bench: Bench, paragraphs: int) -> None:
    images = bench.folder / "content" / "images"
    (images / "bird.svg").write_text(SVG)
    with (images / "huge.png").open("wb") as file:
        file.truncate(40_000_000)
    long = "Text and *more* text, again. " * 20 + "\n\n"
    yaml = "---\ntitle: 'Yaml'\ndate: 2026-11-24\ntags:\n  - one\nwho knows\n---\n\nIn Yaml.\n"
    for data, words, line, remark in (
        ("```\n**never [closed](\n\n> > - 1. Text.\n\n<div><p>open <table><tr><td>x\n", "Text.", 5, "never closed"),
        ("Text.\n" + SCRIPTS, "Text.", 7, "<script> is removed"),
        ("![A bird]({static}/images/bird.svg)\n\nText.\n", "Text.", 5, "contains what is not allowed in an image"),
        ("![A map]({static}/images/huge.png)\n\nText.\n", "Text.", 5, "has 40.0 MB"),
        (long * paragraphs, "Text and more text", 5, "KB of HTML, and Gmail clips it"),
    ):
        bench.save(lambda data=data: bench.issue.write_text(HEAD + data))  # type: ignore[misc]
        bench.names(line, remark)
        bench.shows(words)
    for raw, words, line, remark in (
        (yaml.encode(), "In Yaml.", 6, "This line of the front matter is not a field"),
        (
            b"\xef\xbb\xbf" + f"{HEAD}[here](https://example.org/)\n".replace("\n", "\r\n").encode(),
            "here",
            5,
            "doesn't describe its target",
        ),
        (HEAD.encode() + b"Gr\xfc\xdfe\n", "Gr", 5, "not UTF-8"),
        (b"Sned: yes\nTitle: X\nDate: someday\n\nText.\n", "Text.", 3, "is not a valid date"),
    ):
        bench.save(lambda raw=raw: bench.issue.write_bytes(raw))  # type: ignore[misc]
        bench.names(line, remark)
        bench.shows(words)
    bench.page.select_option("#file", f"issues/{SMILE}")
    bench.shows("A smile.")
    bench.save(lambda: (bench.folder / "content" / "issues" / SMILE).write_text(f"{HEAD}A wider smile.\n"))
    bench.shows("A wider smile.")


def test_an_error_in_the_issue_is_named_above_it_and_everything_is_in_reach_on_a_phone(bench: Bench) -> None:
    bench.page.set_viewport_size({"width": 390, "height": 844})
    bench.save(lambda: bench.issue.write_text("Title: X\nDate: someday\n\nText.\n"))
    expect(bench.page.locator("#error")).to_contain_text("Line 2: `Date: someday` is not a valid date")
    bench.shows("Text.")
    mode = bench.page.locator("#mode").bounding_box()
    assert mode
    assert mode["x"] + mode["width"] <= 390
    bench.save(lambda: bench.issue.write_text(f"{HEAD}Better.\n"))
    expect(bench.page.locator("#error")).to_be_hidden()


def test_a_template_with_an_error_is_named_and_what_was_shown_stays_until_it_is_mended(bench: Bench) -> None:
    template = bench.folder / "theme" / "templates" / "article.html"
    good = template.read_text()
    bench.shows("At first.")
    bench.save(lambda: template.write_text("\n\n{% if %}"))
    expect(bench.page.locator("#error")).to_contain_text("article.html, line 3")
    bench.shows("At first.")
    bench.save(lambda: template.write_text(good.replace("{% block content %}", "{% block content %}<p>New.</p>")))
    expect(bench.page.locator("#error")).to_be_hidden()
    bench.page.click("[role=tab][data-view=page]")
    expect(bench.page.frame_locator("#stage iframe").locator("body")).to_contain_text("New.")


def test_an_issue_that_takes_long_is_said_to_be_worked_on(bench: Bench) -> None:
    live = bench.page.locator("#live")
    expect(live).to_contain_text("Live")
    bench.issue.write_text(HEAD + ("Text and *more* text, again. " * 20 + "\n\n") * 5_000)
    expect(live).to_contain_text("Working on it")
    expect(bench.page.locator("#stage[aria-busy=true]")).to_be_visible()
    expect(live).to_contain_text("Live", timeout=PATIENCE)
    expect(bench.page.locator("#stage[aria-busy]")).to_have_count(0)


def test_on_a_phone_most_of_the_window_shows_the_email(bench: Bench) -> None:
    bench.page.set_viewport_size({"width": 390, "height": 844})
    box = bench.page.locator("#stage iframe").bounding_box()
    assert box
    assert (box["height"] >= 600, box["width"]) == (True, 390)
    assert bench.page.evaluate("document.documentElement.scrollWidth") == 390
