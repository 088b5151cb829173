"""The site of a branch, for its reviewers: at an address that nobody can guess, in a sandbox, and never kept by a cache.

The files come from a pipeline's key, so they are a stranger's: no script runs, no form is sent, and no address is passed on.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response

from api.common.dependencies import AppContext, Context
from api.common.hosts import get_preview_host, has_known_host
from mailer.exchange.site_preview import MEDIA_TYPES
from mailer.flows.publishing import site_previews

router = APIRouter(include_in_schema=False)


@router.get("/previews/{address}")
def open_preview(address: str) -> Response:
    """Redirect to the front page."""
    return RedirectResponse(f"./{address}/", 303, _make_headers(""))


@router.get("/previews/{address}/{path:path}")
def show_preview(context: Context, request: Request, address: str, path: str) -> Response:
    """Show a file of a preview, or the 404 page of that site."""
    own_host = get_preview_host(context.settings)
    is_here = not own_host or has_known_host(request.scope, {own_host})
    found = site_previews.find_preview(context.settings, address) if is_here else None
    if found is None:
        raise HTTPException(404)
    headers = _make_headers(_get_site_origin(context))
    for folder in found.folders:
        file = _find(folder, path)
        if file and file.name == "index.html" and path and not path.endswith(("/", "index.html")):
            return RedirectResponse(f"./{path.rpartition('/')[2]}/", 303, headers)
        if file:
            return FileResponse(file, 200, headers, MEDIA_TYPES.get(file.suffix.lower()))
    missing = found.folders[-1] / "404.html"
    return FileResponse(missing, 404, headers) if missing.is_file() else Response("There is no such page.", 404, headers)


def _find(folder: Path, path: str) -> Path | None:
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()):
            return None
        file = file / "index.html" if file.is_dir() else file
        return file if file.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def _get_site_origin(context: AppContext) -> str:
    parts = urlsplit(context.settings.site_url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _make_headers(site: str) -> dict[str, str]:
    """The headers of all files. ``site`` is the origin of the live site, which has what is too large for a preview."""
    sources = f"'self' {site}".strip()
    return {
        "Content-Security-Policy": f"sandbox; default-src 'none'; img-src {sources} https: data:; media-src {sources} https:;"
        f" style-src {sources} 'unsafe-inline'; font-src {sources} data:; form-action 'none'; base-uri 'none';"
        " frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "X-Robots-Tag": "noindex, nofollow",
        "Referrer-Policy": "no-referrer",
        "Access-Control-Allow-Origin": "null",  # a sandbox's; fonts are asked for with it
    }
