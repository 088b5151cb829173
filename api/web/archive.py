"""The built archive, served from its folder: right types for feeds, short caching, the site's own 404 page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_TYPES = {
    ".atom.xml": "application/atom+xml; charset=utf-8",
    ".rss.xml": "application/rss+xml; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".avif": "image/avif",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_REVALIDATE = "no-cache"  # pages and feeds: kept, but asked for each time (an ETag answers 304)
_SHORT = "public, max-age=600"  # seconds, for what pages refer to: names carry no version


class ArchiveFiles(StaticFiles):
    """Static files of a folder that need not exist yet and is exchanged whole when the site is built anew."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)

    async def check_config(self) -> None:
        """The folder may come later."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file at ``path``, or the site's 404 page."""
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
        """Once more after a moment when the whole folder is missing: it is being exchanged."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or (self.directory and Path(self.directory).is_dir()):
                raise
        await asyncio.sleep(0.05)
        return await super().get_response(path, scope)


def _with_slash(scope: Scope) -> Response:
    """To the folder's address on this very host, whatever name and scheme a proxy gave it."""
    query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    return RedirectResponse(f"/{scope['path'].strip('/')}/{query}", 307)
