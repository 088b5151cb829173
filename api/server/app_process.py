"""One process of the HTTP server: its app, and what it does besides its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI

from api.app import create_app
from mailer.core.db import Database
from mailer.core.form_fields import FormField
from mailer.core.settings import Settings
from mailer.flows.operations.heartbeats import Heartbeat
from mailer.workers.actors import WakeUps

_MAX_THREADS, _MIN_THREADS = 40, 10  # for blocking work: of all processes, and at least of each


def make_app(
    settings: Settings,
    database: Database,
    site_name: str,
    form_fields: tuple[FormField, ...] = (),
    development: bool = False,
    processes: int = 1,
    shared_folder: Path | None = None,
) -> FastAPI:
    """The app of one of ``processes`` processes. ``development`` adds the outbox viewer and the ledger."""
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
        shared_folder=shared_folder,
        lifespan=partial(_run, max_threads=max(_MIN_THREADS, _MAX_THREADS // processes)),
    )


@asynccontextmanager
async def _run(app: FastAPI, max_threads: int) -> AsyncIterator[None]:
    """What a process does besides its answers: it beats, and writes the last requests to the log."""
    to_thread.current_default_thread_limiter().total_tokens = max_threads
    context = app.state.context
    with Heartbeat(context.database, context.settings, "serve"):
        yield
    app.state.requests.flush()
