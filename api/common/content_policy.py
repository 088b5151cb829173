"""The Content-Security-Policy of our pages: our own styles, typefaces and pictures, and one inline script by its hash."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from fastapi import Response
from markupsafe import Markup

from mailer.core.files import find_file

_HEADER = "Content-Security-Policy"


@cache
def load_mode_script() -> Markup:
    """The theme's script that applies the chosen light or dark; in the page, so that the policy can name its hash."""
    script = (find_file("theme") / "static" / "js" / "mode.js").read_text(encoding="utf-8")
    return Markup(script)  # noqa: S704 (a file of ours)


@cache
def make_policy() -> str:
    """The policy of a page that needs nothing else."""
    digest = base64.b64encode(hashlib.sha256(load_mode_script().encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'self'; font-src 'self'; img-src 'self' data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def allow(response: Response, **sources: str) -> None:
    """Add sources to directives of a response's policy, such as ``script_src="'self'"``."""
    directives = dict(one.strip().split(" ", 1) for one in response.headers[_HEADER].split(";"))
    for key, added in sources.items():
        name = key.replace("_", "-")
        directives[name] = f"{directives.get(name, '')} {added}".strip()
    response.headers[_HEADER] = "; ".join(f"{name} {allowed}" for name, allowed in directives.items())
