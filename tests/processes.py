"""Real worker and scheduler processes for tests and benches: started like in production, killed like in production."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from mailer.core import settings as settings_module
from mailer.core.settings import Settings

ROOT = Path(__file__).parent.parent


def environment(settings: Settings, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: these settings, the fake SES, nothing slow."""
    return {
        **settings_module.environment(settings),
        "POSTMERGE_CLAIM_LEASE": f"{settings.claim_lease.total_seconds()}s",
        "POSTMERGE_CONNECTIONS": str(settings.connections),
        "POSTMERGE_LOG": "error",
        "PYTHONPATH": str(ROOT),
        **more,
    }


@contextlib.contextmanager
def running(command: str, settings: Settings, more: Mapping[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A ``postmerge`` process; terminated at the end of the block if it still lives."""
    child = start(command, settings, more, *options)
    try:
        yield child
    finally:
        stop(child)


def start(
    command: str,
    settings: Settings,
    more: Mapping[str, str],
    *options: str,
    output: IO[bytes] | None = None,
    inside: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start ``postmerge COMMAND``; it also ends when this process does. ``output`` takes what it says.

    ``inside``: a command that runs it elsewhere, such as in a network namespace.
    """
    return subprocess.Popen(
        [*inside, sys.executable, "-m", "mailer.cli", command, "--until-eof", *options],
        env=environment(settings, more),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd=settings.build.parent if settings.build.parent.is_dir() else ROOT,
    )


def stop(child: subprocess.Popen[bytes], patience: float = 30) -> None:
    """Ask the process to end; kill it after ``patience`` seconds."""
    if child.poll() is None:
        child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(patience)
        return
    kill(child)


def kill(child: subprocess.Popen[bytes]) -> None:
    """kill -9."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    child.wait()


def eventually(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something holds; fail with its name when it does not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
