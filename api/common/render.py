"""Renders pages from templates, with the headers that all of our pages have."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jinja2
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from api.common.content_policy import allow, load_mode_script, make_policy
from api.common.dependencies import AppContext
from api.common.form_challenge import Challenge
from mailer.core import i18n
from mailer.core.i18n import local_time

HEADERS = {
    "Content-Security-Policy": make_policy(),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


def render_page(context: AppContext, template: str, status: int = 200, lang: str = "en", **facts: object) -> HTMLResponse:
    """Render a page in this language: never cached, never indexed, in no frame.

    Its only script applies the chosen light or dark; a form with a challenge (``challenge``, of ``form_challenge``) also has
    the one that solves it.
    """
    say = i18n.translator(lang, Markup)
    words = {"_": say, "ngettext": say.ngettext, "pgettext": say.pgettext, "dir": i18n.direction(lang)}
    html = _templates().get_template(template).render(context=context, lang=lang, **words, **facts)
    response = HTMLResponse(html, status, {**HEADERS, "Content-Language": lang})
    if isinstance(asked := facts.get("challenge"), Challenge):
        allow(response, **asked.sources)
    return response


def render_message(
    context: AppContext, title: str, sentences: list[str], status: int = 200, lang: str = "en", **links: str
) -> HTMLResponse:
    """Render a page with a title and sentences. ``links`` may have the ``href`` and ``label`` of a link."""
    return render_page(context, "message.html", status, lang, title=title, sentences=sentences, **links)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["strong"] = lambda text: Markup('<strong class="address">{}</strong>').format(text)
    environment.globals["direction"] = i18n.direction
    environment.globals["mode_script"] = load_mode_script()
    environment.filters["moment"] = _moment
    environment.filters["iso"] = lambda when: when.astimezone(UTC).isoformat(timespec="seconds")
    return environment


def _moment(when: datetime) -> str:
    return local_time.moment(when, "%d %b %Y, %H:%M:%S")
