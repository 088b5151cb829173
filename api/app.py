"""The HTTP app: archive, forms, outbox viewer, API, health and metrics on one port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api import ops, pages, problems
from api.archive import Archive
from api.desk import Desk
from api.edge import Edge
from mailer.db import Database
from mailer.settings import Settings

_STATIC = Path(__file__).parent / "static"


def create_app(
    *,
    settings: Settings,
    database: Database,
    site_folder: Path,
    outbox: Path | None,
    ring: Callable[[], bool],
    site_name: str,
) -> FastAPI:
    """The app. ``outbox`` (a folder of sent mails) adds the development pages; ``ring`` wakes the transactional worker."""
    desk = Desk(settings, database, ring, site_name, site_folder, outbox)
    app = FastAPI(title=site_name, version="1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.desk = desk
    app.include_router(pages.router)
    app.include_router(ops.router)
    app.mount("/-", StaticFiles(directory=_STATIC), name="static")
    app.mount("/", Archive(site_folder), name="archive")
    problems.install(app, desk)

    def problem(path: str, status: int) -> Response:
        return problems.problem(desk, path, status)

    app.add_middleware(Edge, problem=problem)
    return app
