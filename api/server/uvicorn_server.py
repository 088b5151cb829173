"""The HTTP server: uvicorn in one or several processes, stopped by an event instead of a signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
from functools import partial

import uvicorn
from anyio import to_thread
from fastapi import FastAPI

from api.app import create_app
from api.common.dependencies import list_trusted_proxies, warn_without_proxies
from api.common.hosts import LOOPBACK
from api.server import prefork
from api.server.accept_balancing import ConnectionAcceptor, shared_counts
from api.server.connection_limits import ConnectionLimits, LimitedProtocol, choose_capacity
from mailer.core import event_loop
from mailer.core.db import Database
from mailer.core.errors import BadInput, Unavailable
from mailer.core.settings import Settings
from mailer.workers.actors import WakeUps

_MAX_THREADS, _MIN_THREADS = 40, 10  # for blocking work: of all processes, and at least of each


def serve(
    settings: Settings,
    database: Database,
    site_name: str,
    host: str,
    port: int,
    stopping: threading.Event,
    processes: int = 1,
    development: bool = False,
) -> None:
    """Serve in ``processes`` processes until ``stopping`` is set. Raises Unavailable when the port is in use.

    ``development`` adds the outbox viewer and the ledger. Raises BadInput unless ``host`` is on loopback then.
    """
    if development and host not in LOOPBACK:
        raise BadInput(f"The development pages show every email: serve them on 127.0.0.1, not on {host}.")
    listening = listen(host, port)
    warn_without_proxies(settings)
    app = _app(settings, database, site_name, development)
    if processes == 1 or not hasattr(os, "fork"):
        return _answer(app, listening, _MAX_THREADS, shared_counts(1), 0, stopping)
    database.close()
    gc.freeze()  # existing objects are never collected, so their memory stays shared
    work = partial(_answer, app, listening, max(_MIN_THREADS, _MAX_THREADS // processes), shared_counts(processes))
    prefork.run(processes, work, stopping)


def _app(settings: Settings, database: Database, site_name: str, development: bool) -> FastAPI:
    wake_ups = WakeUps(settings.redis_url) if settings.redis_url else None
    return create_app(
        settings=settings,
        database=database,
        site_folder=settings.site_folder,
        outbox=settings.outbox if development and settings.transport == "outbox" else None,
        wake_transactional=wake_ups.enqueue_transactional if wake_ups else lambda: False,
        site_name=site_name,
        wake_payments=wake_ups.enqueue_payments if wake_ups else lambda: False,
    )


def _answer(
    app: FastAPI, listening: socket.socket, threads: int, counts: memoryview, place: int, stopping: threading.Event
) -> None:
    """Serve until ``stopping`` is set, as the process with index ``place``."""
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        lifespan="off",
    )
    with asyncio.Runner(loop_factory=event_loop.new) as runner:
        limits = ConnectionLimits(choose_capacity(), list_trusted_proxies(app.state.context.settings))
        runner.run(_until(uvicorn.Server(config), limits, listening, threads, counts, place, stopping))
    app.state.requests.flush()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Unavailable with what to do when the port is in use."""
    try:
        listening = socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise Unavailable(
            f"Port {port} on {host} is not available ({error.strerror}): stop what uses it, or choose another with `--port`."
        ) from error
    # Otherwise a body waits 40 ms for the acknowledgment of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def _until(
    server: uvicorn.Server,
    limits: ConnectionLimits,
    listening: socket.socket,
    threads: int,
    counts: memoryview,
    place: int,
    stopping: threading.Event,
) -> None:
    to_thread.current_default_thread_limiter().total_tokens = threads
    with contextlib.suppress(NotImplementedError):
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server._serve([]))
    while not server.started and not running.done():
        await asyncio.sleep(0)
    protocol = partial(LimitedProtocol, limits, server.config, server.server_state, server.lifespan.state)
    acceptor = ConnectionAcceptor(listening, protocol, counts, place, lambda: len(server.server_state.connections))
    while not running.done() and not stopping.is_set():
        acceptor.publish_count()
        limits.close_late()
        await asyncio.sleep(0.1)
    acceptor.stop()
    server.should_exit = True
    await running
