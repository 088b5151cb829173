"""museletter 1.5.0 as its README says: ``museletter serve`` and its own CLI, SES by its own client of SES's API.

Its README on a crash: "a crash-safe send ledger that ... resumes mid-blast"; the service "restarts on crash".
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers_field import environment, kill, start
from bench.send import BODY
from mailer.fakes.free_ports import find_free_port
from tests import services
from tests.fakes.ses import FakeSes

REQUIREMENTS = ("museletter==1.5.0",)
NAME = "museletter 1.5.0 (SES's API)"

# Its client has SES's address written into it; this is the only change: the fake's address, by HTTP without TLS.
_SERVE = """
import os
from museletter import cli, ses
as_written = ses.SESClient.__init__
def at_the_fake(self, *args, **options):
    as_written(self, *args, **options)
    self.endpoint = os.environ["AWS_ENDPOINT_URL_SESV2"]
ses.SESClient.__init__ = at_the_fake
cli.main()
"""


class Museletter:
    """One server with its SQLite file in ``folder``."""

    def __init__(self, folder: Path, ses: FakeSes) -> None:
        self.bin = environment("museletter", REQUIREMENTS)
        self.folder, self.port = folder, find_free_port()
        self.environ = {
            **ses.environ,
            "MUSELETTER_API_KEY": "a-key-of-the-bench",
            "MUSELETTER_URL": f"http://127.0.0.1:{self.port}",
            "MUSELETTER_BASE_URL": f"http://127.0.0.1:{self.port}",
            "MUSELETTER_FROM_EMAIL": "letter@example.org",
            "MUSELETTER_POSTAL_ADDRESS": "1 Example Street",
            "MUSELETTER_DB_PATH": str(folder / "museletter.db"),
            "MUSELETTER_SEND_RATE": "10000",  # its default is 10 a second; this is no limit
        }
        self.campaign = ""
        self.said = ""  # the last statistics

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("ab") as output:
            command = [str(self.bin / "python"), "-c", _SERVE, "serve", "--port", str(self.port)]
            process = start(command, self.environ, self.folder, output)
        deadline = time.monotonic() + 30
        while not self._healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"museletter does not start: {(self.folder / 'server.log').read_text()[-500:]}")
            time.sleep(0.1)
        return process

    def fill(self, subscribers: int) -> None:
        """Import the subscribers and write the campaign, while the server runs."""
        lines = "".join(f"subscriber-{n}@example.org\n" for n in range(1, subscribers + 1))
        (self.folder / "readers.csv").write_text("email\n" + lines)
        (self.folder / "issue.md").write_text(BODY)
        self._cli("subs", "import", "readers.csv")
        made = self._cli("campaigns", "create", "--subject", "An issue", "--file", "issue.md", "--no-track-opens")
        self.campaign = str(made["id"])

    def send(self) -> None:
        self._cli("campaigns", "send", self.campaign, "--yes", "--skip-test")

    def finished(self) -> bool:
        return self._stats()["status"] in ("sent", "failed")

    def record(self) -> str:
        return self.said

    def _stats(self) -> dict[str, object]:
        url = f"{self.environ['MUSELETTER_URL']}/v1/campaigns/{self.campaign}/stats"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.environ['MUSELETTER_API_KEY']}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = dict(json.load(answer))
        counted = {name: found[name] for name in ("pending", "sent", "failed", "suppressed") if found.get(name)}
        self.said = ", ".join(f"{number:,} {name}" for name, number in counted.items())
        return found

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.environ['MUSELETTER_URL']}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _cli(self, *words: str) -> dict[str, object]:
        environ = {**self.environ, "HOME": str(self.folder), "LANG": "C.UTF-8"}
        command = [str(self.bin / "museletter"), "--json", *words]
        done = subprocess.run(command, env=environ, cwd=self.folder, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"museletter {' '.join(words[:2])}: {done.stderr or done.stdout}")
        return dict(json.loads(done.stdout))


@contextmanager
def museletter(ses: FakeSes, subscribers: int) -> Iterator[Museletter]:
    """Ready to send."""
    with services.scratch("museletter") as folder:
        peer = Museletter(folder, ses)
        process = peer.start()
        try:
            peer.fill(subscribers)
        finally:
            kill(process)
        yield peer
