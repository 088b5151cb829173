"""The workbench's server: one page, one websocket. Each save updates the preview; links are reported as they are checked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect
from watchfiles import awatch

from mailer.checks.reach import Reach, Verdict, is_public
from mailer.core.edition import Edition
from mailer.core.errors import BadInput, PostmergeError
from mailer.workbench.gallery import write_gallery
from mailer.workbench.live_preview import LivePreview

_OWN = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' https: http: data:;"
    " font-src 'self'; connect-src 'self'; media-src 'self' https: http:; frame-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_NOTICED = 0.5  # seconds after which the page says that work is in progress
_HOSTS = ["127.0.0.1", "localhost", "[::1]"]


SendTest = Callable[[Edition, str, str], str]  # a text of an edition, by its variant, to an address; what happened


class Workbench:
    """The open windows with the file each one shows."""

    def __init__(
        self,
        preview: LivePreview,
        links_kept: Path | None = None,
        may_reach: Callable[[str], bool] = is_public,
        send_test: SendTest | None = None,
    ) -> None:
        self.preview = preview
        self._send_test = send_test
        self.gallery_folder = Path(tempfile.mkdtemp(prefix="postmerge-gallery-"))
        self._links_kept, self._may_reach = links_kept, may_reach
        self._looking: dict[WebSocket, Path] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:
        """Watch files and check links while the server runs."""
        self.reach = Reach(self._links_kept, self._may_reach)
        watching = asyncio.create_task(self._watch())
        yield
        for task in (watching, *self._tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await self.reach.close()
        shutil.rmtree(self.gallery_folder, ignore_errors=True)

    async def live(self, socket: WebSocket) -> None:
        """Serve one browser window, which requests files."""
        if not _is_own_page(socket):
            return await socket.close(4403)
        await socket.accept()
        try:
            while True:
                request = await socket.receive_json()
                try:
                    path = self.preview.path(str(request.get("file", "")))
                except BadInput as error:
                    await socket.send_json({"kind": "refused", "error": str(error)})
                    continue
                self._looking[socket] = path
                await self._tell({socket}, path, time.monotonic())
        except (WebSocketDisconnect, ValueError, RuntimeError):
            pass
        finally:
            self._looking.pop(socket, None)

    def send_test(self, request: Any) -> str:
        """Send what the preview shows to an address, and return what happened. Raises BadInput and other errors of ours."""
        if not self._send_test:
            raise BadInput("This preview cannot send: run `postmerge write` or `postmerge up` in the newsletter's folder.")
        values = [request.get(name, "") if isinstance(request, dict) else "" for name in ("file", "variant", "to")]
        file, variant, to = (value if isinstance(value, str) else "" for value in values)
        return self._send_test(self.preview.render_edition(self.preview.path(file)), variant, to)

    async def _watch(self) -> None:
        async for changes in awatch(*self.preview.watched(), debounce=60, step=20, recursive=True):
            began = time.monotonic()
            touched = await asyncio.to_thread(self.preview.changed, [Path(name).resolve() for _, name in changes])
            for path in set(self._looking.values()):
                if touched is None or path in touched:
                    await self._tell({one for one, seen in self._looking.items() if seen == path}, path, began)

    async def _tell(self, sockets: set[WebSocket], path: Path, began: float) -> None:
        making = asyncio.create_task(asyncio.to_thread(self.preview.show, path))
        if not (await asyncio.wait({making}, timeout=_NOTICED))[0]:
            await self._send(sockets, {"kind": "working"})
        message = await making
        urls = list(dict.fromkeys(link["url"] for link in message["links"]))
        for link in message["links"]:
            link |= _state(self.reach.known(link["url"]) or Verdict("waiting"))
        message["ms"] = round((time.monotonic() - began) * 1000)
        await self._send(sockets, message)
        task = asyncio.create_task(self._ask([url for url in urls if not self.reach.known(url)], path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, urls: list[str], path: Path) -> None:
        async def one(url: str) -> None:
            verdict = await self.reach.ask(url)
            await self._send(
                {s for s, seen in self._looking.items() if seen == path}, {"kind": "link", "url": url, **_state(verdict)}
            )

        await asyncio.gather(*(one(url) for url in urls))

    async def _send(self, sockets: set[WebSocket], message: dict[str, Any]) -> None:
        for socket in sockets:
            try:
                await socket.send_json(message)
            except (WebSocketDisconnect, RuntimeError):
                self._looking.pop(socket, None)


def create_app(bench: Workbench) -> Starlette:
    """The app: the workbench at ``/``, its own files below ``/-/``, the theme's and the content's files at the rest."""

    shown = bench.gallery_folder

    async def home(request: Request) -> Response:
        return FileResponse(
            _OWN / "workbench.html", headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
        )

    async def files(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(bench.preview.list_files))

    async def gallery(request: Request) -> Response:
        try:
            await asyncio.to_thread(write_gallery, bench.preview.site, shown)
        except PostmergeError as error:
            return PlainTextResponse(str(error), 500)
        return RedirectResponse("/-/gallery/index.html")

    async def send_test(request: Request) -> Response:
        if not _is_own_page(request):
            return PlainTextResponse("Only the preview's own page may send.", 403)
        try:
            said = await asyncio.to_thread(bench.send_test, json.loads(await request.body() or "null"))
        except ValueError:
            return JSONResponse({"error": "The request is not JSON."}, 400)
        except PostmergeError as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse({"said": said})

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        site = bench.preview.site
        for base, below in ((site.theme / "static", name.removeprefix("theme/")), (site.root, name)):
            path = (base / below).resolve()
            if path.is_relative_to(base.resolve()) and path.is_file():
                quiet = {
                    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
                    "Cache-Control": "no-store",
                }
                return FileResponse(path, headers=quiet)
        return PlainTextResponse("Not part of the preview.", 404)

    routes = [
        Route("/", home), Route("/-/files", files), Route("/-/test", send_test, methods=["POST"]),
        WebSocketRoute("/-/live", bench.live),
        Route("/-/gallery", gallery), Mount("/-/gallery", StaticFiles(directory=shown, check_dir=False, html=True)),
        Mount("/-", StaticFiles(directory=_OWN)), Route("/{name:path}", asset),
    ]  # fmt: skip
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False)
    return Starlette(routes=routes, middleware=[hosts], lifespan=bench.life)


def _is_own_page(connection: HTTPConnection) -> bool:
    return urlsplit(connection.headers.get("origin", "")).netloc == connection.headers.get("host", "")


def _state(verdict: Verdict) -> dict[str, str]:
    return {"state": verdict.state, "detail": verdict.detail}
