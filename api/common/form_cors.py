"""Lets the scripts of our own pages on other origins read the sign-up form's responses (CORS), and use the script that solves
its challenge; no other path, no other site."""

from __future__ import annotations

import re

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_PATHS = re.compile(r"/subscribe(/token)?|/api/emails/embed-subscribe/[^/]+|/-/work\.js")


class FormCors:
    """ASGI middleware: Starlette's CORSMiddleware for the paths of the sign-up form."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._cors = CORSMiddleware(app, allow_origins=sorted(origins), allow_methods=["GET", "POST"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_form = scope["type"] == "http" and _PATHS.fullmatch(scope["path"]) is not None
        await (self._cors if has_form else self._app)(scope, receive, send)
