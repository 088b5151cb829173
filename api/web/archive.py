"""Serves the built archive from its folder: content types for feeds, short caching, the site's own 404 page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FEED = "text/xml; charset=utf-8"  # browsers show raw XML for application/atom+xml and application/rss+xml, without its style
_TYPES = {
    ".atom.xml": _FEED,
    ".rss.xml": _FEED,
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".avif": "image/avif",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
NO_BUILD = "There is no build of the site on this server."
_REVALIDATE = "no-cache"  # pages and feeds: cached, but revalidated each time (304 by ETag)
_SHORT = "public, max-age=600"  # assets: their names have no version


class ArchiveFiles(StaticFiles):
    """Static files of a folder that may not exist yet, and is replaced as a whole by each build."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)

    async def check_config(self) -> None:
        """Allow the folder to be missing."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file at ``path``, or the site's 404 page."""
        response = await self._found(path, scope)
        if isinstance(response, RedirectResponse):
            return _with_slash(scope)
        content_type = response.headers.get("content-type", "")
        for ending, right in _TYPES.items():
            if path.endswith(ending) and response.status_code == 200:
                response.headers["Content-Type"] = content_type = right
        page = content_type.startswith("text/html") or path.endswith((".xml", ".json", ".txt", ".html"))
        response.headers["Cache-Control"] = _REVALIDATE if page or response.status_code == 404 else _SHORT
        return response

    async def _found(self, path: str, scope: Scope) -> Response:
        """Try again after a moment when the whole folder is missing: a build is replacing it."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or (self.directory and Path(self.directory).is_dir()):
                raise
        await asyncio.sleep(0.05)
        if not (self.directory and Path(self.directory).is_dir()):
            raise HTTPException(404, NO_BUILD)
        return await super().get_response(path, scope)


def _with_slash(scope: Scope) -> Response:
    """Redirect to the folder's URL on the same host, whatever host and scheme a proxy passed on."""
    query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    return RedirectResponse(f"/{scope['path'].strip('/')}/{query}", 307)
