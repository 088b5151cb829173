"""The HTTP app: archive, public pages, development pages, API, health and metrics on one port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import Lifespan, Scope

from api import desk, docs, inbound_webhooks, monitoring, v1
from api.common import error_responses
from api.common.dependencies import AppContext
from api.common.form_cors import FormCors
from api.common.hosts import get_preview_host, list_known_hosts
from api.common.middleware import HttpMiddleware, HttpPolicy
from api.common.request_origin import list_own_origins
from api.v1.common.authentication import admit
from api.web import outbox_pages, paid_pages, preview_pages, receipt_pages, reviewer_pages, signup_pages
from api.web.archive import ArchiveFiles
from mailer.core.async_db import Asker
from mailer.core.db import Database
from mailer.core.files import find_file
from mailer.core.form_fields import FormField
from mailer.core.settings import Settings
from mailer.flows.sending.receipts import ReceiptSigner

_STATIC = Path(__file__).parent / "static"


def create_app(
    *,
    settings: Settings,
    database: Database,
    site_folder: Path,
    outbox: Path | None,
    wake_transactional: Callable[[], bool],
    site_name: str,
    wake_payments: Callable[[], bool] = lambda: False,
    form_fields: tuple[FormField, ...] = (),
    lifespan: Lifespan[FastAPI] | None = None,
    shared_folder: Path | None = None,
) -> FastAPI:
    """Assemble the app.

    ``outbox`` (a folder of sent emails) adds the development pages; ``wake_…`` wake the workers; ``form_fields`` are the
    sign-up form's own; ``lifespan`` is entered when the server starts; ``shared_folder`` is common to its processes.
    """
    context = AppContext(
        settings=settings,
        database=database,
        asker=Asker(database.url),
        wake_transactional=wake_transactional,
        site_name=site_name,
        site_folder=site_folder,
        outbox=outbox,
        wake_payments=wake_payments,
        form_fields=form_fields,
        shared_folder=shared_folder,
    )
    app = FastAPI(title=f"The API of {site_name}", version="1", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.context = context
    app.state.receipts = ReceiptSigner(database, settings)
    app.state.sns = inbound_webhooks.make_verifier(settings)
    _include_routers(app, context)
    docs.mount_swagger_ui(app)
    app.mount("/-/theme", ArchiveFiles(find_file("theme") / "static"), name="theme")
    app.mount("/-", ArchiveFiles(_STATIC), name="static")
    app.mount("/", ArchiveFiles(site_folder), name="archive")
    error_responses.install_handlers(app, context)
    v1.install_api(app, context)

    def problem(scope: Scope, status: int) -> Response:
        return error_responses.error_response(context, Request(scope), status)

    app.add_middleware(FormCors, origins=list_own_origins(settings))
    policy = HttpPolicy(
        problem, admit, list_known_hosts(settings), settings.api_url.startswith("https:"), get_preview_host(settings)
    )
    app.add_middleware(HttpMiddleware, policy=policy)
    return app


def _include_routers(app: FastAPI, context: AppContext) -> None:
    v1.include_routes(app)
    routers = [
        reviewer_pages.router,
        receipt_pages.router,
        preview_pages.router,
        signup_pages.router,
        paid_pages.router,
        docs.router,
        monitoring.router,
        inbound_webhooks.router,
    ]
    if context.settings.metrics:
        routers.append(monitoring.metrics_router)
    if context.settings.desk:
        routers += desk.ROUTERS
    if context.outbox:
        routers.append(outbox_pages.router)
    for router in routers:
        app.include_router(router)
