"""`postmerge write`: what a browser gets over the websocket after each save, whatever is saved."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from mailer.commands.publishing.test_email import send_from_preview
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.transports.outbox import list_emails
from mailer.workbench.app import Workbench, create_app
from mailer.workbench.live_preview import LivePreview
from tests import commands
from tests.conftest import REAL_ARCHIVE, ROOT
from tests.integration.publishing.test_check import site

__all__ = ["site"]
HEAD = "Title: Hello\nDate: 2026-11-24 09:00\nSend: yes\n\n"


class Running:
    """A workbench over a newsletter's folder."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        settings = Settings(**more, content=folder / "content", config=folder / "pelicanconf.py", site_url="https://news.example.org",
                            build=folder / "build", postal_address="1 Example Street")  # fmt: skip
        may_reach, send_test = (lambda address: address == "127.0.0.1"), partial(send_from_preview, settings)
        bench = Workbench(LivePreview(settings), may_reach=may_reach, send_test=send_test)
        config = uvicorn.Config(create_app(bench), host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def look(self, file: str) -> Browser:
        socket = connect(f"ws://127.0.0.1:{self.port}/-/live", origin=Origin(self.url), max_size=None, legacy=True)
        return Browser(socket, file)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


class Browser:
    """One window."""

    def __init__(self, socket: ClientConnection, file: str) -> None:
        self.socket = socket
        socket.send(json.dumps({"file": file}))

    def told(self, kind: str = "shown") -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv(timeout=150))
            if message["kind"] == kind:
                return message


@pytest.fixture
def newsletter(tmp_path: Path) -> Path:
    (tmp_path / "mailer").symlink_to(ROOT / "mailer")
    shutil.copy(ROOT / "pelicanconf.py", tmp_path)
    shutil.copytree(ROOT / "theme", tmp_path / "theme")
    (tmp_path / "content" / "issues").mkdir(parents=True)
    (tmp_path / "content" / "images").mkdir()
    (tmp_path / "content" / "images" / "bad.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    (tmp_path / "content" / "issues" / "hello.md").write_text(f"{HEAD}First.\n")
    return tmp_path


@pytest.fixture
def running(newsletter: Path) -> Iterator[Running]:
    made = Running(newsletter)
    yield made
    made.stop()


def test_a_save_is_shown_everywhere(running: Running) -> None:
    browser = running.look("issues/hello.md")
    first = browser.told()
    assert (first["subject"], first["error"]) == ("Hello", "")
    issue = running.folder / "content/issues/hello.md"
    issue.write_text(f"{HEAD}Second, see [here](https://x.invalid/).\n\n![]({{static}}/images/bad.svg)\n")
    told = browser.told()
    for part in ("page", "mail", "mail_dark", "text", "source"):
        assert "Second" in told[part], part
    assert told["size"] > 5_000
    assert {(one["id"], one["line"]) for one in told["remarks"]} >= {("link-text", 5), ("alt-empty", 7), ("image-script", 7)}
    assert 'src="/images/bad.svg"' in told["mail"]
    assert "prefers-color-scheme" not in told["mail"]
    assert told["links"][0]["state"] == "waiting"


@pytest.mark.parametrize("paragraphs", [2_000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_broken_input_is_named_and_the_next_save_is_shown(running: Running, paragraphs: int) -> None:
    issue = running.folder / "content/issues/hello.md"
    browser = running.look("issues/hello.md")
    browser.told()
    head = HEAD.encode()
    broken: list[bytes] = [
        b"",
        b"\xef\xbb\xbfTitle: Bom\r\nDate: 2026-11-24\r\n\r\nText\r\n",
        b"Text without a head",
        head + b"Gr\xfc\xdfe \0\n",
        b"---\ntitle: 'Yaml'\ndate: 2026-11-24\n---\n\nText\n",
        head + b"```\nnever closed **\n<script>alert(1)</script>",
        b"Date: never\nTitle: Hello\n\nText",
        head + b"[" * 3000 + b"\n\n" + b"> " * 400 + b"x\n",
        head + "\U0001f600 word **bold** and [a link](https://x.invalid/)\n\n".encode() * paragraphs,
    ]
    for number, data in enumerate(broken):
        issue.write_bytes(data)
        told = browser.told()
        assert "<script>alert(1)" not in told.get("mail", "") + told.get("page", ""), number
        assert told["error"] or told["page"], number
    issue.write_text(f"{HEAD}All is well.\n")
    while "All is well." not in (told := browser.told()).get("text", ""):
        pass
    assert told["error"] == ""


def test_a_template_with_an_error_is_named_with_its_line_and_mended(running: Running) -> None:
    browser = running.look("issues/hello.md")
    browser.told()
    for name, part in (("templates/article.html", "page"), ("templates/email/edition.html", "mail")):
        template = running.folder / "theme" / name
        good = template.read_text()
        template.write_text("\n\n{% if %}\n" + good)
        told = browser.told()
        assert Path(name).name in told["error"]
        assert "line 3" in told["error"]
        template.write_text(
            good.replace("</body>", "<p>New</p></body>").replace("{% block content %}", "{% block content %}<p>New</p>")
        )
        assert "<p" in browser.told()[part]
    config = running.folder / "pelicanconf.py"
    good = config.read_text()
    config.write_text(good + "\nSITENAME = \n")
    assert "SyntaxError" in browser.told()["error"]
    config.write_text(good + "\nSITENAME = 'Another'\n")
    assert "Another" in browser.told()["text"]


@pytest.mark.parametrize(("name", "mark"), [("article.html", "{% block content %}"), ("email/edition.html", "<body>")])
def test_what_a_template_does_not_know_is_named_with_its_line(running: Running, name: str, mark: str) -> None:
    browser = running.look("issues/hello.md")
    browser.told()
    template = running.folder / "theme" / "templates" / name
    good = template.read_text()
    template.write_text(good.replace(mark, f"{mark}{{{{ no.such.thing }}}}"))
    line = good.partition(mark)[0].count("\n") + 1
    assert f"{Path(name).name}, line {line}" in browser.told()["error"]
    template.write_text(good)
    assert browser.told()["error"] == ""


def test_a_new_file_is_listed_and_a_file_that_goes_is_said_to_be_gone(running: Running) -> None:
    browser = running.look("issues/hello.md")
    browser.told()
    (running.folder / "content/issues/new \U0001f600.md").write_text(HEAD.replace("Hello", "New"))
    browser.told()
    assert {one["title"] for one in httpx.get(f"{running.url}/-/files").json()} == {"Hello", "New"}
    (running.folder / "content/issues/hello.md").unlink()
    assert "cannot be read" in browser.told()["error"]


def test_links_are_told_one_by_one(running: Running, site: str) -> None:
    links = " ".join(f"[{name}]({site}/{name})" for name in ("fine", "gone", "away"))
    (running.folder / "content/issues/hello.md").write_text(f"{HEAD}{links} [private](http://10.0.0.1/)\n")
    browser = running.look("issues/hello.md")
    assert {one["state"] for one in browser.told()["links"]} == {"waiting"}
    states: dict[str, str] = {}
    while len(states) < 4:
        told = browser.told("link")
        states[told["url"].removeprefix(site)] = told["state"]
    assert states == {"/fine": "fine", "/gone": "gone", "/away": "redirected", "http://10.0.0.1/": "refused"}
    (running.folder / "content/issues/hello.md").write_text(f"{HEAD}Now {links}\n")
    assert {one["state"] for one in browser.told()["links"]} == {"fine", "gone", "redirected"}


def test_other_sites_cannot_look_in(running: Running) -> None:
    for origin in (Origin("https://evil.example"), None):
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{running.port}/-/live", origin=origin, legacy=True)
    assert httpx.get(running.url, headers={"Host": "evil.example"}).status_code == 400
    for name in ("/../pelicanconf.py", "/%2e%2e/pelicanconf.py", "/..%2fpelicanconf.py", "/theme/../templates/base.html"):
        assert httpx.get(running.url + name).status_code == 404
    assert "sandbox" in httpx.get(f"{running.url}/images/bad.svg").headers["content-security-policy"]
    browser = running.look("../pelicanconf.py")
    assert "is not a Markdown file of the newsletter" in browser.told("refused")["error"]


def test_the_paid_text_and_other_languages_are_shown_too(newsletter: Path) -> None:
    issues = newsletter / "content/issues"
    (issues / "hello.md").write_text(f"Slug: hello\n{HEAD}Free.\n\n:::premium\nFor payers.\n:::\n")
    (issues / "hello-de.md").write_text(f"Slug: hello\nLang: de\n{HEAD}Auf Deutsch.\n")
    running = Running(newsletter)
    try:
        told = running.look("issues/hello.md").told()
        assert [one["file"] for one in told["languages"]] == ["issues/hello.md", "issues/hello-de.md"]
        for part in ("mail", "mail_dark", "text"):
            assert ("For payers." in told[part], "For payers." in told["paid"][part]) == (False, True), part
        assert told["paid"]["size"] != told["size"]
        assert running.look("issues/hello-de.md").told()["paid"] is None
    finally:
        running.stop()


def test_what_the_preview_shows_is_sent_as_a_test_by_its_own_page_only(newsletter: Path, database: Database) -> None:
    more = {"database_url": database.url, "sender": "A <a@example.org>", "secret": "s" * 32, "outbox": newsletter / "outbox"}
    running = Running(newsletter, **more)
    (newsletter / "content/issues/hello.md").write_text(f"{HEAD}Free.\n\n:::premium\nFor payers.\n:::\n")
    request = {"file": "issues/hello.md", "variant": "premium", "to": "me@example.org"}

    def post(body: object, origin: str = running.url) -> httpx.Response:
        return httpx.post(f"{running.url}/-/test", json=body, headers={"Origin": origin}, timeout=60)

    try:
        assert post(request, "https://evil.example").status_code == 403
        assert httpx.post(f"{running.url}/-/test", json=request).status_code == 403
        for wrong, why in (({**request, "to": "no"}, "not an email address"), ({**request, "file": "x"}, "not a Markdown file"),
                           ({**request, "variant": "fr"}, "no variant"), ([], "not a Markdown file"), (None, "not a Markdown"),
                           ({**request, "to": 7, "file": 7}, "not a Markdown file")):  # fmt: skip
            answer = post(wrong)
            assert (answer.status_code, why in answer.json()["error"]) == (409, True), answer.text
        assert "Sent hello (premium) to me@example.org" in post(request).json()["said"]
        [email] = list_emails(newsletter / "outbox")[0]
        assert (email.to, email.subject, "For payers." in email.text) == ("me@example.org", "[Test] Hello", True)
    finally:
        running.stop()


def test_without_a_database_the_preview_says_what_a_test_needs(running: Running) -> None:
    body = {"file": "issues/hello.md", "variant": "", "to": "me@example.org"}
    answer = httpx.post(f"{running.url}/-/test", json=body, headers={"Origin": running.url}, timeout=60)
    assert (answer.status_code, "start `postmerge up` in this folder" in answer.json()["error"]) == (409, True)


def test_a_file_that_does_not_exist_is_an_error(newsletter: Path) -> None:
    done = commands.run(newsletter, {**os.environ, "DATABASE_URL": ""}, "write", "content/issues/none.md")
    assert (done.returncode, "content/issues/none.md does not exist" in done.stderr) == (1, True)


def test_a_draft_is_begun_and_is_never_overwritten(newsletter: Path) -> None:
    words = ("new", "The answer: it’s “here”", "--date", "2026-12-01")
    done = commands.run(newsletter, os.environ, *words)
    assert done.returncode == 0, done.stderr
    name = done.stdout.splitlines()[0]
    assert name == "content/issues/2026-12-01-the-answer-it-s-here.md"
    text = (newsletter / name).read_text()
    assert text.startswith("Title: The answer: it’s “here”\nDate: 2026-12-01 09:00\n")
    assert "Status: draft" in text
    again = commands.run(newsletter, os.environ, *words)
    assert (again.returncode, "already exists" in again.stderr) == (1, True)
    checked = commands.run(newsletter, {**os.environ, "DATABASE_URL": ""}, "check", name)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.real_archive
def test_one_issue_among_610_follows_a_save_in_less_than_half_a_second(newsletter: Path) -> None:
    shutil.rmtree(newsletter / "content")
    shutil.copytree(REAL_ARCHIVE, newsletter / "content")
    issue = max((newsletter / "content").glob("*.md"))
    os.chmod(newsletter / "content", 0o755)
    os.chmod(issue, 0o644)
    text = issue.read_text()
    running = Running(newsletter)
    try:
        browser = running.look(issue.name)
        browser.told()
        seconds = []
        for number in range(7):
            started = time.monotonic()
            issue.write_text(f"{text}\nSave number {number}.\n")
            while f"Save number {number}." not in browser.told()["text"]:
                pass
            seconds.append(time.monotonic() - started)
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # other tests may have the processors
        assert statistics.median(seconds) < 0.5 * busy, seconds
    finally:
        running.stop()
