"""The language of a page: the subscriber's choice, else the browser's."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from mailer.core import i18n
from mailer.core.errors import BadInput, Mistyped
from mailer.core.i18n import N_, Say


@dataclass(frozen=True)
class PageLanguage:
    """A language code, and the function that translates into it."""

    lang: str
    say: Say
    asked: str = ""  # the value of ?lang=, passed on to the next form
    reads: str = ""  # the language of issues, even if pages are not translated into it


def get_language(request: Request, chosen: str = "") -> PageLanguage:
    """The language of this request: ``?lang=``, then the subscriber's choice, then the browser's languages."""
    requested, header = request.query_params.get("lang", ""), request.headers.get("accept-language", "")
    lang = i18n.choose(requested, chosen, header=header)
    return PageLanguage(lang, i18n.translator(lang), i18n.read_by(requested), i18n.read_by(requested, chosen, header=header))


CHECK = N_("Please check what you entered. We can’t use it as it is.")


def names_command(sentence: str) -> bool:
    """Return whether a sentence names a command or code, which is for whoever runs the newsletter."""
    return "`" in sentence or "postmerge " in sentence


def explain_error(language: PageLanguage, error: BadInput) -> str:
    """What is wrong, in the language of the page; in English with all the details, if these are for a visitor."""
    if language.lang == "en" and not names_command(str(error)):
        return str(error)
    return language.say(error.text, **error.values) if isinstance(error, Mistyped) else language.say(CHECK)
