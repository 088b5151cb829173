"""The HTTP server: uvicorn in one or several processes, with our limits on connections."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import Multiprocess

from api.common.dependencies import list_trusted_proxies
from api.server.connection_limits import MAX_DRAIN_SECONDS, ConnectionLimits, LimitedProtocol, choose_capacity
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI  # a supervisor has no app, and stays small

_FIRST_SYSTEMD_FD = 3
_MAX_START_SECONDS = 60  # for a process to answer its supervisor: it imports everything first


def serve(make_app: Callable[[Path], FastAPI], settings: Settings, listening: socket.socket, processes: int = 1) -> None:
    """Serve in ``processes`` processes until SIGTERM or SIGINT.

    Several processes are started afresh, and replaced when they die. Each calls ``make_app``, which must be picklable, with the
    folder that they share.
    """
    with tempfile.TemporaryDirectory(prefix="postmerge-serve-") as folder:
        config = make_config(partial(make_app, Path(folder)), settings, processes)
        if processes == 1:
            uvicorn.Server(config).run([listening])
        else:
            Multiprocess(config, [listening]).run()


def make_config(make_app: Callable[[], FastAPI], settings: Settings, processes: int = 1) -> uvicorn.Config:
    """uvicorn's configuration of a process, one of ``processes``."""
    limits = ConnectionLimits(choose_capacity(), list_trusted_proxies(settings))
    return uvicorn.Config(
        make_app,
        factory=True,
        http=partial(LimitedProtocol, limits),  # type: ignore[arg-type]  # only ever called
        ws="none",  # a WebSocket would leave the limits on connections, and no check of ours sees it
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=MAX_DRAIN_SECONDS,
        timeout_keep_alive=10,  # well above what proxies use, so that they are the ones to close
        callback_notify=limits.close_late,
        timeout_notify=0,  # seconds more than one
        timeout_worker_healthcheck=_MAX_START_SECONDS,
        workers=processes,
    )


def listen(host: str, port: int, patience: float = 0) -> socket.socket:
    """A listening socket: systemd's if it started us with one, which survives our restart, else a new one.

    Raises Unavailable with what to do when the port is in use, after ``patience`` in seconds.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return _take_inherited_socket() or socket.create_server((host, port), backlog=512)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= until:
                raise Unavailable(
                    f"Port {port} on {host} is not available ({error.strerror}): stop what uses it, or choose another with"
                    " `--port`."
                ) from error
        time.sleep(0.1)


def _take_inherited_socket() -> socket.socket | None:
    """The first socket of the systemd socket unit (see sd_listen_fds(3)); None without one."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()) or not int(os.environ.pop("LISTEN_FDS", "") or 0):
        return None
    os.environ.pop("LISTEN_FDNAMES", None)
    os.set_inheritable(_FIRST_SYSTEMD_FD, False)
    return socket.socket(fileno=_FIRST_SYSTEMD_FD)
