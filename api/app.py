"""The HTTP app: archive, forms, outbox viewer, API, health and metrics on one port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from api import docs, ops, v1, webhooks
from api import outbox as outbox_pages
from api.common import error_responses
from api.common.dependencies import Desk
from api.common.middleware import Edge
from api.web import paid_pages, signup_pages
from api.web.archive import Archive
from mailer.core.async_db import Asker
from mailer.core.db import Database
from mailer.core.settings import Settings

_STATIC = Path(__file__).parent / "static"


def create_app(
    *,
    settings: Settings,
    database: Database,
    site_folder: Path,
    outbox: Path | None,
    ring: Callable[[], bool],
    site_name: str,
    ring_payments: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """The app. ``outbox`` (a folder of sent mails) adds the development pages; ``ring`` wakes the transactional worker."""
    desk = Desk(settings, database, Asker(database.url), ring, site_name, site_folder, outbox, ring_payments)
    app = FastAPI(title=f"The API of {site_name}", version="1", docs_url=None, redoc_url=None)
    app.state.desk = desk
    app.state.sns = webhooks.verifier(settings)
    _include(app, desk)
    docs.mount(app)
    app.mount("/-", Archive(_STATIC), name="static")
    app.mount("/", Archive(site_folder), name="archive")
    error_responses.install(app, desk)
    v1.install(app, desk)

    def problem(path: str, status: int) -> Response:
        return error_responses.problem(desk, path, status)

    app.add_middleware(Edge, problem=problem, tls=settings.api_url.startswith("https:"))
    return app


def _include(app: FastAPI, desk: Desk) -> None:
    v1.include(app)
    routers = [signup_pages.router, paid_pages.router, docs.router, ops.router, webhooks.router]
    if desk.settings.metrics:
        routers.append(ops.metrics_router)
    if desk.outbox:
        routers.append(outbox_pages.router)
    for router in routers:
        app.include_router(router)
