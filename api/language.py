"""The language of a page: what the visitor's browser asks for, unless the reader chose one."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from mailer import words
from mailer.errors import BadInput
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


CHECK = "Please check what you typed: it cannot be used as it is."


def sentence(here: Tongue, error: BadInput) -> str:
    """What is wrong, for the reader: exact in English, a word to check it in other languages."""
    return str(error) if here.lang == "en" else here.say(CHECK)
