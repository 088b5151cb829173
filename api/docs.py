"""The API reference: Swagger UI from the pinned package, without a CDN."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import Scope
from swagger_ui_bundle import swagger_ui_path

from api.common.dependencies import Context
from api.common.render import render_page
from api.web.archive import ArchiveFiles

router = APIRouter(include_in_schema=False)

# Swagger UI uses style attributes and data: images.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
def show_docs(context: Context) -> Response:
    """Show Swagger UI with our OpenAPI description."""
    response = render_page(context, "docs.html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


class _SwaggerFiles(ArchiveFiles):
    """The files that our page uses, without Swagger UI's own pages, which have no strict policy."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file at ``path``."""
        if path not in ("swagger-ui.css", "swagger-ui-bundle.js"):
            raise HTTPException(404)
        return await super().get_response(path, scope)


def mount_swagger_ui(app: FastAPI) -> None:
    """Serve Swagger UI's files next to the page."""
    app.mount("/docs/files", _SwaggerFiles(Path(swagger_ui_path)), name="swagger-ui")
