"""The fake SES in a process of its own, for rehearsals, tests and benchmarks."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from mailer.fakes.fake_ses_account import ACCESS_KEY, SECRET_KEY


class FakeSes:
    """The fake in a process of its own, and its log. Use it as a context manager.

    ``certificate``: a PEM file with a key and its self-signed certificate for ``host``, to speak TLS with.
    """

    def __init__(self, smtp: bool = False, host: str = "127.0.0.1", certificate: Path | None = None) -> None:
        handle, name = tempfile.mkstemp(prefix="fake-ses-", suffix=".jsonl")
        os.close(handle)
        self.log = Path(name)
        self.url = ""
        self.smtp_port = 0  # of the SMTP server, if requested
        self._smtp, self._host, self._certificate = smtp, host, certificate
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
                *(["--certificate", str(self._certificate)] if self._certificate else []),
            ],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        ports = json.loads(self._process.stdout.readline())
        scheme = "https" if self._certificate else "http"
        self.url, self.smtp_port = f"{scheme}://{self._host}:{ports['port']}", ports.get("smtp_port", 0)
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
            **({"AWS_CA_BUNDLE": str(self._certificate)} if self._certificate else {}),
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
        return dict(json.loads(self._open(urllib.request.Request(self.url + "/_stats"))))

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
        return self._open(urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST"))

    def _open(self, request: urllib.request.Request) -> bytes:
        tls = ssl.create_default_context(cafile=self._certificate) if self._certificate else None
        with urllib.request.urlopen(request, context=tls) as answer:
            return bytes(answer.read())
