"""The HTTP server's process: uvicorn around the app, stopped by an event instead of a signal."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import uvicorn

from api.app import create_app
from api.together import Together
from mailer.actors import Bell
from mailer.db import Database
from mailer.errors import Unavailable
from mailer.settings import Settings


def serve(settings: Settings, database: Database, site_name: str, host: str, port: int, stopping: threading.Event) -> None:
    """Serve until ``stopping`` is set. Raises Unavailable when the port is taken."""
    listening = listen(host, port)
    bell = Bell(settings.redis_url) if settings.redis_url else None
    app = create_app(
        settings=settings,
        database=database,
        site_folder=settings.site_folder,
        outbox=settings.outbox if settings.transport == "outbox" else None,
        ring=bell.ring_transactional if bell else lambda: False,
        site_name=site_name,
        ring_payments=bell.ring_payments if bell else lambda: False,
    )
    config = uvicorn.Config(
        app,
        http=Together,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        lifespan="off",
    )
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_until(uvicorn.Server(config), listening, stopping))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Unavailable with what to do when the port is taken."""
    try:
        listening = socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise Unavailable(
            f"Port {port} on {host} cannot be used ({error.strerror}): stop what uses it, or choose another with `--port`."
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a body waits 40 ms for its head to be acknowledged
    return listening


def _loop() -> asyncio.AbstractEventLoop:
    """uvloop's where there is one (not on Windows): it takes less of the processor."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


async def _until(server: uvicorn.Server, listening: socket.socket, stopping: threading.Event) -> None:
    with contextlib.suppress(NotImplementedError):
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server._serve([listening]))
    while not running.done() and not stopping.is_set():
        await asyncio.sleep(0.1)
    server.should_exit = True
    await running
