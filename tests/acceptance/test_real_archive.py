"""The real archive of a weekly builds without one edit; adopting it sends nothing; one new issue reaches 10,000 subscribers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import feedparser
import pytest
from lxml import html

from mailer import editions
from mailer.core.db import Database
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.core.settings import Settings
from mailer.editions import BuildOptions, Report
from mailer.flows.sending.send_status import list_send_statuses
from tests.conftest import REAL_ARCHIVE, ROOT
from tests.factories import add_subscribers, settings, sums_add_up
from tests.fakes.ses import FakeSes
from tests.processes import environment, eventually, running

SUBSCRIBERS = 10_000
pytestmark = [pytest.mark.real_archive, pytest.mark.slow]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("archive")
    return editions.build(options(folder, REAL_ARCHIVE))


@pytest.fixture(scope="module")
def site(built: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "archive0" / "site"


def options(folder: Path, content: Path) -> BuildOptions:
    return BuildOptions(
        content=content,
        site=folder / "site",
        editions=folder / "editions",
        cache=folder / "cache",
        config=ROOT / "pelicanconf.py",
        site_url="https://news.example.org",
        postal_address="1 Example Street",
    )


def sources() -> list[Path]:
    pages = REAL_ARCHIVE / "pages"
    return [p for p in REAL_ARCHIVE.rglob("*") if p.suffix in (".md", ".markdown", ".rst") and not p.is_relative_to(pages)]


def test_every_issue_is_a_page_and_an_edition(built: Report, site: Path) -> None:
    assert len(sources()) > 600
    assert len(built.editions) == len(sources())
    for edition in built.editions:
        page = site / edition.url.removeprefix("https://news.example.org/") / "index.html"
        assert f'data-digest="{edition.digest}"' in page.read_text(encoding="utf-8"), edition.path
    assert len({edition.url for edition in built.editions}) == len(built.editions)


def test_every_link_of_every_email_is_absolute(built: Report) -> None:
    for edition in built.editions:
        root = html.document_fromstring(edition.html)
        assert isinstance(root, html.HtmlElement)
        relative = [
            link for _, _, link, _ in root.iterlinks() if link != UNSUBSCRIBE_URL and not re.match(r"[a-z][a-z0-9+.-]*:", link)
        ]
        assert relative == [], edition.path


def test_the_feeds_reach_the_newest_issues_in_full(built: Report, site: Path) -> None:
    newest = [edition.title for edition in reversed(built.editions)][:20]
    for name in ("feeds/all.rss.xml", "feeds/all.atom.xml"):
        read = feedparser.parse((site / name).read_bytes())
        assert not read.bozo, read.get("bozo_exception")
        assert [" ".join(entry.title.split()) for entry in read.entries] == newest
        assert all(len(entry.content[0].value) > 1000 for entry in read.entries)


def test_what_is_broken_in_a_source_is_a_warning_at_its_line(built: Report) -> None:
    assert [finding for finding in built.findings if finding.level == "error"] == []
    for finding in built.findings:
        path = REAL_ARCHIVE.parent / finding.path
        assert 1 <= finding.line <= len(path.read_bytes().splitlines()), str(finding)


@pytest.fixture
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        yield fake


class Newsletter:
    """The archive as a newsletter of its own, driven by the command line."""

    def __init__(self, folder: Path, conf: Settings, ses: FakeSes) -> None:
        self.content = folder / "content"
        shutil.copytree(REAL_ARCHIVE, self.content)
        self.content.chmod(0o755)
        more = {"POSTMERGE_CONTENT": str(self.content), "POSTMERGE_CONFIG": str(ROOT / "pelicanconf.py")}
        self.environ = environment(conf, {**ses.environ, **more})

    def run(self, *words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "mailer.cli", *words], env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_adopting_sends_nothing_and_one_new_issue_reaches_each_of_10_000_subscribers_once(
    tmp_path: Path, database: Database, redis_url: str, ses: FakeSes
) -> None:
    conf = settings(tmp_path, database.url, redis_url, transport="ses", connections=32)
    add_subscribers(database, SUBSCRIBERS)
    newsletter = Newsletter(tmp_path, conf, ses)
    with running("scheduler", conf, ses.environ), running("worker", conf, ses.environ), running("worker", conf, ses.environ):
        assert f"Adopted {len(sources())} of {len(sources())} issues. Nothing was sent." in newsletter.run("adopt")
        assert "Nothing new to send" in newsletter.run("publish", "--no-gate")
        (newsletter.content / "new.md").write_text(f"Title: One more\nDate: {date.today()}\nSend: yes\n\nA new issue.\n")
        plan = json.loads(newsletter.run("plan", "--no-gate", "--json"))
        assert [(step["issue"], step["subscribers"]) for step in plan["steps"] if step["action"] == "send"] == [
            ("new", SUBSCRIBERS)
        ]
        assert ses.accepted() == []
        newsletter.run("publish", "--no-gate")
        eventually(lambda: list_send_statuses(database)[0].send.state == "finished", 120, "the send is finished")
    got = [email["to"] for email in ses.accepted()]
    assert len(got) == len(set(got)) == SUBSCRIBERS
    assert list_send_statuses(database)[0].deliveries["accepted"] == SUBSCRIBERS
    assert sums_add_up(database)
    assert "Nothing new to send" in newsletter.run("publish", "--no-gate")
