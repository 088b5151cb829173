"""The language of a page: what the visitor's browser asks for, unless the reader chose one."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from mailer import words
from mailer.words import Say


@dataclass(frozen=True)
class Tongue:
    """A language's code, and the function that says things in it."""

    lang: str
    say: Say


def tongue(request: Request, chosen: str = "") -> Tongue:
    """The language for this request; ``?lang=`` and what the reader chose go before the browser's wishes."""
    wish = request.query_params.get("lang", "")
    lang = words.choose(wish, chosen, header=request.headers.get("accept-language", ""))
    return Tongue(lang, words.translator(lang))
