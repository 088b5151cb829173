"""Long-running processes (web server, worker, scheduler, or all of them) and database migrations."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailer.commands.common import load_settings, need_redis, open_database, out, stop_signal
from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.migrate import run_migrations

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mailer.core.form_fields import FormField

_MAX_ORPHAN_SECONDS = 5.0  # for the processes of a server that was killed to end, which still have its port


@click.command()
def migrate() -> None:
    """Run database migrations. Safe to run again, and while other processes run.

    Example: postmerge migrate
    """
    done = run_migrations(Database(load_settings().need_database()))
    out.print(f"Applied {', '.join(done)}." if done else "The database is up to date.")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8025, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=None,
    help="Processes that share the port (default: one for each core, at most 4).",
)
@click.option("--until-eof", is_flag=True, hidden=True)
@click.option("--development", is_flag=True, hidden=True)
def serve(host: str, port: int, processes: int | None, until_eof: bool, development: bool) -> None:
    """Serve the archive, the forms and the API.

    Example: postmerge serve --port 8025
    """
    from api.common.dependencies import warn_without_proxies
    from api.common.hosts import LOOPBACK
    from api.server import uvicorn_server
    from mailer import editions

    settings = load_settings("serve")
    settings.need_transport(host)
    settings.need_secrets()
    if development and host not in LOOPBACK:
        raise BadInput(f"The development pages show every email: serve them on 127.0.0.1, not on {host}.")
    name, fields = editions.site_name(settings.config), editions.form_fields(settings.config)
    open_database(settings).close()  # once for all processes: one that replaces another also starts while Postgres is away
    warn_without_proxies(settings)
    if not settings.site_folder.is_dir():
        log.get("serve").warning("serve.no_build", folder=str(settings.site_folder))
    size = processes or min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4)
    stop_signal(until_eof)  # uvicorn ends at a signal, and passes it on
    listening = uvicorn_server.listen(host, port, patience=_MAX_ORPHAN_SECONDS)
    uvicorn_server.serve(partial(_make_app, name, fields, development, size), settings, listening, size)


def _make_app(name: str, fields: tuple[FormField, ...], development: bool, processes: int, shared_folder: Path) -> FastAPI:
    if parent := multiprocessing.parent_process():  # from the start: until it ends, the port is in use
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    from api.server import app_process

    settings = load_settings("serve")
    database = Database(settings.need_database(), keep=settings.connections)
    return app_process.make_app(settings, database, name, fields, development, processes, shared_folder)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@click.command()
@click.option("--until-eof", is_flag=True, hidden=True)
def worker(until_eof: bool) -> None:
    """Run a worker that sends emails. Run any number of them, on any machine.

    Example: postmerge worker
    """
    from mailer import editions
    from mailer.flows.operations.heartbeats import Heartbeat
    from mailer.transports import make_transport
    from mailer.workers.actors import WorkerContext, WorkerThreads

    settings = load_settings("worker")
    settings.need_transport()
    need_redis(settings)
    settings.need_secrets()
    stopping = stop_signal(until_eof)
    work = WorkerContext(open_database(settings), settings, make_transport(settings), editions.site_name(settings.config))
    with Heartbeat(work.database, settings, "worker"):
        workshop = WorkerThreads(work)
        workshop.start()
        stopping.wait()
        workshop.stop()


@click.command()
@click.option("--until-eof", is_flag=True, hidden=True)
def scheduler(until_eof: bool) -> None:
    """Run the scheduler: start due sends and enqueue pending work. One is enough; more are safe.

    Example: postmerge scheduler
    """
    from mailer.flows.operations.heartbeats import Heartbeat
    from mailer.workers.actors import WakeUps
    from mailer.workers.scheduler import run_scheduler

    settings = load_settings("scheduler")
    settings.need_transport()
    need_redis(settings)
    database, stopping = open_database(settings), stop_signal(until_eof)
    with Heartbeat(database, settings, "scheduler"):
        run_scheduler(database, settings, WakeUps(settings.redis_url), stopping)


@click.command()
@click.option("--content", type=click.Path(path_type=Path), default=None, help="Folder of the issues (default: content).")
@click.option("--port", default=8025, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--home", type=click.Path(path_type=Path), default=Path(".postmerge"), show_default=True, help="Folder for data.")
def up(content: Path | None, port: int, home: Path) -> None:
    """Run the newsletter on this machine: Postgres, Valkey, web server, worker, scheduler, live preview. No email leaves it.

    Example: postmerge up
    """
    try:
        from mailer.commands.operations.dev_stack import run
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{error.name} is not installed: install Postmerge with `uv tool install 'postmerge[local,preview]'`, or with"
            " pipx or pip, to run it on this machine."
        ) from error

    run(content, port, home, out)
