"""The field of the peers' bench: environments of their own, their processes, and one trial of a send with a fault in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import psutil

from tests.fakes.ses import FakeSes

ENVIRONMENTS = Path(__file__).parent.parent / ".postmerge" / "peers"
QUIET = 6.0  # seconds without a new email after which nothing more is expected


class Peer(Protocol):
    """A program that sends newsletters, set up with so many subscribers and an issue that waits for the word."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start what sends, in a process group of its own; returns when it is ready."""

    def send(self) -> None:
        """Say the word."""

    def finished(self) -> bool:
        """Does the program itself say that the send is over?"""

    def record(self) -> str:
        """What its own records say about the subscribers."""


@dataclass(frozen=True)
class Trial:
    """What the fake SES's log showed; ``cpu`` and ``postgres_cpu`` in CPU-seconds, ``rate`` in emails a second.

    With a kill in it the processes' CPU is not told, as that of the killed ones is lost.
    """

    accepted: int
    twice: int
    never: int
    rate: float
    cpu: float
    postgres_cpu: float
    finished: bool
    record: str


def environment(name: str, requirements: Sequence[str]) -> Path:
    """A venv with these packages from the package index, made once; its ``bin`` folder."""
    folder = ENVIRONMENTS / name
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text().split("\n") != list(requirements):
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "-qq", *requirements], check=True)
        stamp.write_text("\n".join(requirements))
    return folder / "bin"


def start(command: Sequence[str], environ: Mapping[str, str], folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process in a group of its own, with no environment but this and the PATH."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environ}
    return subprocess.Popen(
        command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cpu(process: subprocess.Popen[bytes]) -> float:
    """CPU-seconds so far of a process, of the children it has, and of those that ended."""
    root = psutil.Process(process.pid)
    total = sum(root.cpu_times()[:4])
    for one in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:2])
    return float(total)


def trial(
    peer: Peer, ses: FakeSes, subscribers: int, fault: str = "", database_cpu: Callable[[], float] = lambda: 0.0
) -> Trial:  # fmt: skip
    """One send to ``subscribers``. ``fault``: "lost" loses the response to an email, "kill" is a kill -9 and a restart."""
    process = peer.start()
    try:
        before, database_before = cpu(process), database_cpu()
        peer.send()
        if fault:
            _accepted(ses, subscribers // 2)
        if fault == "lost":
            ses.control(faults=[{"kind": "reset_after", "next": 1}])
        if fault == "kill":
            kill(process)
            still_sending(ses, subscribers)
            process = peer.start()
        finished = _over(peer, ses, 60 + subscribers / 5)
        used = 0.0 if fault == "kill" else cpu(process) - before
        database_used = database_cpu() - database_before
        _quiet(ses)
    finally:
        kill(process)
    return judged(ses, subscribers, used, database_used, finished, peer.record())


def judged(ses: FakeSes, subscribers: int, used: float, postgres_used: float, finished: bool, record: str) -> Trial:
    """The trial by the fake's log."""
    emails = [email for email in ses.accepted() if email["to"].startswith("subscriber-")]
    times = Counter(email["to"] for email in emails)
    return Trial(
        accepted=len(emails),
        twice=sum(number > 1 for number in times.values()),
        never=subscribers - len(times),
        rate=(len(emails) - 1) / max(emails[-1]["at"] - emails[0]["at"], 1e-9) if len(emails) > 1 else 0.0,
        cpu=used,
        postgres_cpu=postgres_used,
        finished=finished,
        record=record,
    )


def still_sending(ses: FakeSes, subscribers: int) -> None:
    """Raises AssertionError when a kill came after the last email."""
    if ses.stats()["accepted"] >= subscribers:
        raise AssertionError("the kill came after the last email: take more subscribers")


def _accepted(ses: FakeSes, emails: int) -> None:
    """Until SES has accepted so many. Raises AssertionError after two minutes without a new email."""
    last, since = -1, time.monotonic()
    while (now := ses.stats()["accepted"]) < emails:
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > 120:
            raise AssertionError(f"no email for two minutes after {now}")
        time.sleep(0.02)


def _over(peer: Peer, ses: FakeSes, seconds: float) -> bool:
    """Until the program says that the send is over; False when it does not in time, or nothing moved for two minutes."""
    deadline = time.monotonic() + seconds
    last, since = -1, time.monotonic()
    while not peer.finished():
        if (now := ses.stats()["accepted"]) != last:
            last, since = now, time.monotonic()
        if time.monotonic() > deadline or time.monotonic() - since > 120:
            return False
        time.sleep(0.25)
    return True


def _quiet(ses: FakeSes) -> None:
    """Until no email came for some seconds: what was under way has arrived, and what is tried again was."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET:
        if (now := ses.stats()["accepted"]) != last:
            last, since = now, time.monotonic()
        time.sleep(0.25)
