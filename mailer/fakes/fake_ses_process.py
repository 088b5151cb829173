"""The fake SES in a process of its own, for rehearsals, tests and benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from mailer.fakes.fake_ses_account import ACCESS_KEY, SECRET_KEY


class FakeSes:
    """The fake in a process of its own, and its log. Use it as a context manager."""

    def __init__(self, smtp: bool = False, host: str = "127.0.0.1") -> None:
        handle, name = tempfile.mkstemp(prefix="fake-ses-", suffix=".jsonl")
        os.close(handle)
        self.log = Path(name)
        self.url = ""
        self.smtp_port = 0  # of the SMTP server, if requested
        self._smtp, self._host = smtp, host
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FakeSes:
        root = Path(__file__).parent.parent.parent
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mailer.fakes.fake_ses",
                "--log",
                str(self.log),
                "--until-eof",
                "--host",
                self._host,
                *(["--smtp"] if self._smtp else []),
            ],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        ports = json.loads(self._process.stdout.readline())
        self.url, self.smtp_port = f"http://{self._host}:{ports['port']}", ports.get("smtp_port", 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def environ(self) -> dict[str, str]:
        """Return AWS's standard variables for which boto3 connects to this fake."""
        return {
            "AWS_ENDPOINT_URL_SESV2": self.url,
            "AWS_ENDPOINT_URL_SQS": self.url,
            "AWS_ENDPOINT_URL_SNS": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def queue_url(self) -> str:
        """Return the URL of the queue with the events."""
        return f"{self.url}/000000000000/events"

    def control(self, **change: Any) -> None:
        """Change the behaviour; see :class:`mailer.fakes.fake_ses_account.FakeBehaviour`."""
        self._post("/_control", change)

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process
        return self._process.pid

    def fill(self, send_id: int, emails: int) -> None:
        """Queue events of so many made-up emails of a send (to subscribers 1, 2, ...) without sending them."""
        self._post("/_fill", {"send": send_id, "emails": emails})

    def release(self) -> None:
        """Make every pending event available now."""
        self._post("/_release", {})

    def reset(self) -> None:
        """Restore the default behaviour and clear the log."""
        self._post("/_reset", {})

    def accepted(self) -> list[dict[str, Any]]:
        """List every accepted email, in order."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def stats(self) -> dict[str, int]:
        """Counters: requests, accepted, throttled, inflight, most_inflight; of events: waiting, hidden; suppressed."""
        with urllib.request.urlopen(self.url + "/_stats") as answer:
            return dict(json.load(answer))

    def sns(self, kind: str) -> dict[str, Any]:
        """Let SNS post a confirmation of this kind; return the status of the response."""
        return dict(json.loads(self._post("/_sns", {"kind": kind})))

    def stop(self) -> None:
        """End the process and remove its log."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self.log.unlink(missing_ok=True)

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())
