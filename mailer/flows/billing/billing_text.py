"""Money and dates in words, in a reader's language; and errors that a page can say in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from mailer.core import i18n
from mailer.core.db import Tx
from mailer.core.errors import PostmergeError
from mailer.payments.plans import units
from mailer.store.subscribers import preferences

_E = TypeVar("_E", bound=PostmergeError)


@dataclass(frozen=True)
class Voice:
    """Says things in the language ``lang``."""

    lang: str

    def say(self, text: str, **values: object) -> str:
        """The text in this language, with its ``%(name)s`` filled in."""
        return i18n.translator(self.lang)(text, **values)

    def day(self, when: datetime | None) -> str:
        """A date as people read it."""
        return i18n.day(when.date(), self.lang) if when else self.say("further notice")

    def money(self, amount: int, currency: str) -> str:
        """An amount in minor units, as people of this language write it: €5.00, 5,00 €."""
        from babel.numbers import format_currency

        return str(format_currency(units(amount, currency), currency.upper(), locale=self.lang))

    def price(self, amount: int, currency: str, months: int) -> str:
        """What a subscription costs."""
        amount_said = self.money(amount, currency)
        if months == 1:
            return self.say("%(money)s every month", money=amount_said)
        if months == 12:
            return self.say("%(money)s every year", money=amount_said)
        return self.say("%(money)s every %(number)s months", money=amount_said, number=months)

    def sentence(self, error: PostmergeError) -> str:
        """What an error says to a reader; empty when it was not made for readers."""
        text, values = getattr(error, "said", None) or (getattr(error, "text", ""), getattr(error, "values", {}))
        return self.say(text, **values) if text else ""


def voice(lang: str) -> Voice:
    """The voice for a language that somebody wished for."""
    return Voice(i18n.choose(lang))


def voice_of(tx: Tx, subscriber_id: int, otherwise: str = "") -> Voice:
    """The voice for a reader; ``otherwise`` is the language for one whose own is not known."""
    reader = preferences.look(tx, subscriber_id)
    return voice((reader.lang if reader else "") or otherwise)


def told(kind: type[_E], text: str, **values: object) -> _E:
    """An error whose sentence can be said in any language."""
    error = kind(text % values if values else text)
    setattr(error, "said", (text, values))  # noqa: B010
    return error
