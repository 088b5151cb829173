"""`postmerge check` as people and machines run it, and links asked for on a server that behaves as servers do."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import markdown
import pytest

from mailer.checks import reach
from mailer.checks.reach import Reach, Verdict, is_public
from tests import commands
from tests.conftest import REAL_ARCHIVE, ROOT

BAD = "Title: Hello\nDate: 2026-11-24\nSned: yes\n\nClick [here](http://example.org/).\n\nTODO: more, 50 %\n"


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": "", **environ}
    return commands.run(folder, env, "check", *words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pelicanconf.py", "theme", "mailer"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "content" / "issues").mkdir(parents=True)
    (tmp_path / "content" / "issues" / "hello.md").write_text(BAD)
    return tmp_path


def test_people_get_a_sentence_at_its_place_and_exit_1(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "content/issues/hello.md:3:1: warning: Unknown field `Sned:`. Did you mean `Send:`? [field-unknown]" in lines
    assert "content/issues/hello.md:7:1: error: “TODO” is a placeholder: replace it with the final text. [placeholder]" in lines
    assert lines[-1].startswith("1 file in ")


def test_fix_corrects_the_file_and_skip_omits_a_check(folder: Path) -> None:
    done = run(folder, "--fix", "--skip", "placeholder", "content/issues/hello.md")
    assert done.returncode == 0
    assert "content/issues/hello.md: 1 corrected." in done.stderr
    assert (folder / "content/issues/hello.md").read_text() == BAD.replace("Sned", "Send")
    assert run(folder, "--strict", "--skip", "placeholder").returncode == 1


def test_machines_get_their_formats(folder: Path) -> None:
    facts = json.loads(run(folder, "--json").stdout)
    assert {one["id"] for one in facts["findings"]} >= {"field-unknown", "link-http", "link-text", "placeholder"}
    sarif = json.loads(run(folder, "--format", "sarif").stdout)["runs"][0]
    rules = sarif["tool"]["driver"]["rules"]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in sarif["results"])
    region = next(one for one in sarif["results"] if one["ruleId"] == "link-http")["locations"][0]["physicalLocation"]
    assert region["artifactLocation"]["uri"] == "content/issues/hello.md"
    assert region["region"] == {"startLine": 5, "startColumn": 14}
    assert "::error file=content/issues/hello.md,line=7,col=1,title=placeholder::" in run(folder, "--format", "github").stdout
    report = json.loads(run(folder, "--format", "gitlab").stdout)
    assert {"path": "content/issues/hello.md", "lines": {"begin": 7}} in [one["location"] for one in report]
    assert len({one["fingerprint"] for one in report}) == len(report)


def test_a_wrong_name_is_one_sentence(folder: Path) -> None:
    for words in (("--skip", "nothing"), ("gone.md",), ("../outside.md",)):
        done = run(folder, *words)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.real_archive
def test_the_real_archive_takes_less_than_its_conversion_by_python_markdown(folder: Path) -> None:
    shutil.rmtree(folder / "content")
    (folder / "content").symlink_to(REAL_ARCHIVE)
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "mailer.cli", "check", "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": ""}
    facts = json.loads(subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120).stdout)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert facts["files"] >= 610
    seconds = ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime
    begun = time.process_time()  # of a tenth of the files, so that the limit is as fast as the machine
    for path in sorted(REAL_ARCHIVE.rglob("*.md"))[::10]:
        markdown.markdown(path.read_text("utf-8"), extensions=["extra", "codehilite"])
    assert seconds < 10 * (time.process_time() - begun)
    counts = {
        name: sum(one["id"] == name for one in facts["findings"]) for name in ("link-scheme", "link-empty", "html-forbidden")
    }
    assert counts == {"link-scheme": 5, "link-empty": 6, "html-forbidden": 2}


class Site(BaseHTTPRequestHandler):
    """Answers as sites do; remembers how many it answered at once, and with which methods."""

    at_once = most = 0
    methods: list[str] = []  # noqa: RUF012
    lock = threading.Lock()

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        with Site.lock:
            Site.at_once += 1
            Site.most = max(Site.most, Site.at_once)
            Site.methods.append(f"{self.command} {self.path}")
        if self.path == "/slow":
            time.sleep(2)
        time.sleep(0.02)
        status = {
            "/gone": 404,
            "/shy": 405 if self.command == "HEAD" else 200,
            "/away": 301,
            "/now": 302,
            "/loop": 308,
            "/no": 403,
        }
        with Site.lock:
            Site.at_once -= 1
        self.send_response(status.get(self.path, 200))
        self.send_header("Content-Length", "0")
        to = {"/away": "/fine", "/now": "/fine", "/loop": "/loop"}
        if self.path in to:
            self.send_header("Location", to[self.path])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    Site.most, Site.methods = 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def verdicts(urls: list[str], keep: Path | None = None, **more: object) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}

    async def ask() -> None:
        asker = Reach(keep, **more)  # type: ignore[arg-type]
        await asker.ask_all(urls, found.__setitem__)
        await asker.close()

    asyncio.run(ask())
    return found


def test_a_link_has_the_state_that_its_server_gives_it(site: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reach, "_LONGEST", 1.0)
    monkeypatch.setattr(reach, "_PAUSE_SECONDS", 0.0)
    names = ["fine", "gone", "shy", "away", "now", "loop", "no", "slow", "fine#part"]
    keep = tmp_path / "links.json"
    found = verdicts([f"{site}/{name}" for name in names], keep, may_reach=lambda address: True)
    states = {url.removeprefix(site + "/"): verdict.state for url, verdict in found.items()}
    assert states == {
        "fine": "fine", "gone": "gone", "shy": "fine", "away": "redirected", "now": "fine", "loop": "gone", "no": "unsure",
        "slow": "slow", "fine#part": "fine",
    }  # fmt: skip
    assert found[f"{site}/away"].detail == f"{site}/fine"
    assert Site.most <= 2  # one at a time; a request that was given up may still be with the server
    assert Site.methods.count("HEAD /fine") == 3  # itself, and where two others lead
    before = len(Site.methods)
    assert verdicts([f"{site}/gone"], keep, may_reach=lambda address: True)[f"{site}/gone"].state == "gone"
    assert len(Site.methods) == before  # the answer was kept


def test_private_addresses_are_never_asked(site: str) -> None:
    port = site.rpartition(":")[2]
    urls = [f"http://{host}:{port}/" for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433")]
    urls += ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://192.168.1.1/"]
    assert {verdict.state for verdict in verdicts(urls).values()} == {"refused"}
    assert Site.methods == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1",
                                     "64:ff9b::a00:1", "2002:7f00:1::", "224.0.0.1", "0.0.0.0", "100.64.0.1"])  # fmt: skip
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


def test_a_public_address_is_public() -> None:
    assert is_public("93.184.215.14")
    assert is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
