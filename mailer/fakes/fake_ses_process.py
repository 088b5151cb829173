"""The fake SES in a process of its own, for rehearsals, tests and benches."""

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
    """The fake in a process of its own, judged by its log. Use it as a context manager."""

    def __init__(self, smtp: bool = False) -> None:
        handle, name = tempfile.mkstemp(prefix="fake-ses-", suffix=".jsonl")
        os.close(handle)
        self.log = Path(name)
        self.url = ""
        self.smtp_port = 0  # of the SMTP door, when one was asked for
        self._smtp = smtp
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
                *(["--smtp"] if self._smtp else []),
            ],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        ports = json.loads(self._process.stdout.readline())
        self.url, self.smtp_port = f"http://127.0.0.1:{ports['port']}", ports.get("smtp_port", 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def environ(self) -> dict[str, str]:
        """What AWS's standard variables must say so that boto3 talks to this fake."""
        return {
            "AWS_ENDPOINT_URL_SESV2": self.url,
            "AWS_ENDPOINT_URL_SQS": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def queue_url(self) -> str:
        """The queue that holds the events."""
        return f"{self.url}/000000000000/events"

    def control(self, **change: Any) -> None:
        """Change the behaviour; see :class:`mailer.fakes.fake_ses_account.Behaviour`."""
        self._post("/_control", change)

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process
        return self._process.pid

    def fill(self, send_id: int, mails: int) -> None:
        """Put events of so many made-up mails of a send (to subscribers 1, 2, ...) into the queue, without sending them."""
        self._post("/_fill", {"send": send_id, "mails": mails})

    def release(self) -> None:
        """Every event that is still to come can be had now."""
        self._post("/_release", {})

    def reset(self) -> None:
        """Behave well again and forget what was accepted."""
        self._post("/_reset", {})

    def accepted(self) -> list[dict[str, Any]]:
        """Every mail accepted so far, in order."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def stats(self) -> dict[str, int]:
        """Counters: requests, accepted, throttled, inflight, most_inflight; of events: waiting, hidden."""
        with urllib.request.urlopen(self.url + "/_stats") as answer:
            return dict(json.load(answer))

    def sns(self, kind: str) -> dict[str, Any]:
        """Let SNS post a confirmation of this kind to where the events go; the status of the answer."""
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
