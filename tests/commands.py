"""Commands of ``postmerge`` in forks of a process that has imported them all: a second of CPU less for each of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

from mailer import cli

ROOT = Path(__file__).parent.parent
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["mailer.cli", *cli.COMMANDS])


def run(folder: Path, environ: Mapping[str, str], *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` with this environment only, as ``python -m mailer.cli`` does, and capture what it prints.

    Raises TimeoutExpired.
    """
    with contextlib.chdir(ROOT):  # where the server finds the modules to import
        forkserver.ensure_running()
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        process = _FORKS.Process(target=_main, args=(str(folder), dict(environ), words, out.name, err.name))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        texts = (Path(one.name).read_text(encoding="utf-8") for one in (out, err))
        return subprocess.CompletedProcess(words, process.exitcode, *texts)


def _main(folder: str, environ: dict[str, str], words: tuple[str, ...], out: str, err: str) -> None:
    for descriptor, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["postmerge", *words]
    cli.main()
