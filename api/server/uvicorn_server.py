"""The HTTP server: uvicorn in one or several processes, stopped by an event instead of a signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
from collections.abc import Callable
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
from mailer.core import event_loop, log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Unavailable
from mailer.core.form_fields import FormField
from mailer.core.settings import Settings
from mailer.flows.operations.heartbeats import Heartbeat
from mailer.workers.actors import WakeUps

logger = log.get("serve")

_FIRST_SYSTEMD_FD = 3
_MAX_PROXY_IDLE_SECONDS = 4.5  # a little more than the shipped proxies keep an unused connection
_MAX_FIRST_REQUEST_SECONDS = 5.0  # for a connection that was accepted just before the end: a proxy opens none in vain
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
    form_fields: tuple[FormField, ...] = (),
) -> None:
    """Serve in ``processes`` processes until ``stopping`` is set. Raises Unavailable when the port is in use.

    ``development`` adds the outbox viewer and the ledger. Raises BadInput unless ``host`` is on loopback then.
    """
    if development and host not in LOOPBACK:
        raise BadInput(f"The development pages show every email: serve them on 127.0.0.1, not on {host}.")
    listening = listen(host, port)
    warn_without_proxies(settings)
    app = _app(settings, database, site_name, form_fields, development)
    if processes == 1 or not hasattr(os, "fork"):
        return _answer(app, listening, _MAX_THREADS, shared_counts(1), 0, stopping)
    if not settings.site_folder.is_dir():
        logger.warning("serve.no_build", folder=str(settings.site_folder))
    database.close()
    gc.freeze()  # existing objects are never collected, so their memory stays shared
    work = partial(_answer, app, listening, max(_MIN_THREADS, _MAX_THREADS // processes), shared_counts(processes))
    prefork.run(processes, work, stopping)


def _app(
    settings: Settings, database: Database, site_name: str, form_fields: tuple[FormField, ...], development: bool
) -> FastAPI:
    wake_ups = WakeUps(settings.redis_url) if settings.redis_url else None
    return create_app(
        settings=settings,
        database=database,
        site_folder=settings.site_folder,
        outbox=settings.outbox if development and settings.transport == "outbox" else None,
        wake_transactional=wake_ups.enqueue_transactional if wake_ups else lambda: False,
        site_name=site_name,
        form_fields=form_fields,
        wake_payments=wake_ups.enqueue_payments if wake_ups else lambda: False,
    )


def _answer(
    app: FastAPI, listening: socket.socket, threads: int, counts: memoryview, place: int, stopping: threading.Event
) -> None:
    """Serve until ``stopping`` is set, as the process with index ``place``."""
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",  # a WebSocket would leave the limits on connections, and no check of ours sees it
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=10,  # well above what proxies use, so that they are the ones to close
        lifespan="off",
    )
    context = app.state.context
    with Heartbeat(context.database, context.settings, "serve"), asyncio.Runner(loop_factory=event_loop.new) as runner:
        limits = ConnectionLimits(choose_capacity(), list_trusted_proxies(app.state.context.settings))
        runner.run(_until(uvicorn.Server(config), limits, listening, threads, counts, place, stopping))
    app.state.requests.flush()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: systemd's if it started us with one, which survives our restart, else a new one.

    Raises Unavailable with what to do when the port is in use.
    """
    try:
        listening = _take_inherited_socket() or socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise Unavailable(
            f"Port {port} on {host} is not available ({error.strerror}): stop what uses it, or choose another with `--port`."
        ) from error
    # Otherwise a body waits 40 ms for the acknowledgment of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _take_inherited_socket() -> socket.socket | None:
    """The first socket of the systemd socket unit (see sd_listen_fds(3)); None without one."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()) or not int(os.environ.pop("LISTEN_FDS", "") or 0):
        return None
    os.environ.pop("LISTEN_FDNAMES", None)
    os.set_inheritable(_FIRST_SYSTEMD_FD, False)
    return socket.socket(fileno=_FIRST_SYSTEMD_FD)


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
    await _drain(limits, acceptor)
    server.should_exit = True
    await running


async def _drain(limits: ConnectionLimits, acceptor: ConnectionAcceptor) -> None:
    """End the connections of trusted proxies between two requests, never under one that is on its way.

    A proxy repeats no POST whose connection was closed, because it cannot know whether the request was read. So each response
    says that its connection ends, and what the proxy does not use, it closes itself. New clients are served meanwhile.
    """
    limits.draining = True
    idle = set(limits.list_proxy_connections())
    await _wait_while(limits, lambda: bool(idle.intersection(limits.list_proxy_connections())), _MAX_PROXY_IDLE_SECONDS)
    acceptor.stop()
    await _wait_while(limits, lambda: acceptor.is_busy or bool(limits.list_proxy_connections()), _MAX_FIRST_REQUEST_SECONDS)


async def _wait_while(limits: ConnectionLimits, condition: Callable[[], bool], seconds: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while condition() and asyncio.get_running_loop().time() < end:
        limits.close_late()
        await asyncio.sleep(0.05)
