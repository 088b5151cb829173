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
    asked: str = ""  # by ?lang=, for the next form
    reads: str = ""  # what issues are wanted in, whether our own words are there or not


def tongue(request: Request, chosen: str = "") -> Tongue:
    """The language for this request; ``?lang=`` and what the reader chose go before the browser's wishes."""
    wish, header = request.query_params.get("lang", ""), request.headers.get("accept-language", "")
    lang = words.choose(wish, chosen, header=header)
    return Tongue(lang, words.translator(lang), words.read_by(wish), words.read_by(wish, chosen, header=header))


CHECK = "Please check what you typed: it cannot be used as it is."


def sentence(here: Tongue, error: BadInput) -> str:
    """What is wrong, for the reader: exact in English, a word to check it in other languages."""
    return str(error) if here.lang == "en" else here.say(CHECK)
