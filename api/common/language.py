"""The language of a page: what the visitor's browser asks for, unless the reader chose one."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from mailer.core import i18n
from mailer.core.errors import BadInput, Mistyped
from mailer.core.i18n import Say


@dataclass(frozen=True)
class PageLanguage:
    """A language's code, and the function that says things in it."""

    lang: str
    say: Say
    asked: str = ""  # by ?lang=, for the next form
    reads: str = ""  # what issues are wanted in, whether our own words are there or not


def get_language(request: Request, chosen: str = "") -> PageLanguage:
    """The language for this request; ``?lang=`` and what the reader chose go before the browser's wishes."""
    wish, header = request.query_params.get("lang", ""), request.headers.get("accept-language", "")
    lang = i18n.choose(wish, chosen, header=header)
    return PageLanguage(lang, i18n.translator(lang), i18n.read_by(wish), i18n.read_by(wish, chosen, header=header))


CHECK = "Please check what you typed: it cannot be used as it is."


def explain_error(language: PageLanguage, error: BadInput) -> str:
    """What is wrong, for the reader: in their language, and in English as exactly as it is known."""
    if language.lang == "en":
        return str(error)
    return language.say(error.text, **error.values) if isinstance(error, Mistyped) else language.say(CHECK)
