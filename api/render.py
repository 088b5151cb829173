"""Pages from templates, with the headers that a page of ours always has."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jinja2
from fastapi.responses import HTMLResponse

from api.desk import Desk

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


def page(desk: Desk, template: str, status: int = 200, **facts: object) -> HTMLResponse:
    """A page of ours: never stored, never indexed, without scripts, in nobody's frame."""
    html = _templates().get_template(template).render(desk=desk, **facts)
    return HTMLResponse(html, status, HEADERS)


def message(desk: Desk, title: str, sentences: list[str], status: int = 200, **links: str) -> HTMLResponse:
    """A page that only says something. ``links`` may name ``href`` and ``label`` of the way on."""
    return page(desk, "message.html", status, title=title, sentences=sentences, **links)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["iso"] = lambda when: when.astimezone(UTC).isoformat(timespec="seconds")
    return environment


def _moment(when: datetime) -> str:
    """A moment in UTC, as people read it."""
    return f"{when.astimezone(UTC):%d %b %Y, %H:%M:%S} UTC"
