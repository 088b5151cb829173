"""Amounts and dates in a subscriber's language, and errors that a page can show in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from mailer.core import i18n
from mailer.core.db import Tx
from mailer.core.errors import PostmergeError
from mailer.payments.plans import to_major_units
from mailer.store.subscribers import preferences

_E = TypeVar("_E", bound=PostmergeError)


@dataclass(frozen=True)
class Localizer:
    """Formats text, dates and amounts in the language ``lang``."""

    lang: str

    def say(self, text: str, **values: object) -> str:
        """Return the text in this language, with its ``%(name)s`` filled in."""
        return i18n.translator(self.lang)(text, **values)

    def day(self, when: datetime) -> str:
        """Return a date in its usual written form."""
        return i18n.day(when.date(), self.lang)

    def money(self, amount: int, currency: str) -> str:
        """Return an amount in minor units in its usual written form: €5.00, 5,00 €."""
        from babel.numbers import format_currency

        return str(format_currency(to_major_units(amount, currency), currency.upper(), locale=self.lang))

    def price(self, amount: int, currency: str, months: int) -> str:
        """Return the price of a subscription."""
        amount_said = self.money(amount, currency)
        if months == 1:
            return self.say("%(money)s every month", money=amount_said)
        if months == 12:
            return self.say("%(money)s every year", money=amount_said)
        return self.say("%(money)s every %(number)s months", money=amount_said, number=months)

    def sentence(self, error: PostmergeError) -> str:
        """Return an error's text for subscribers; empty if it has none."""
        text, values = getattr(error, "said", None) or (getattr(error, "text", ""), getattr(error, "values", {}))
        return self.say(text, **values) if text else ""


def get_localizer(lang: str) -> Localizer:
    """Return the localizer for a requested language."""
    return Localizer(i18n.choose(lang))


def get_subscriber_localizer(tx: Tx, subscriber_id: int, otherwise: str = "") -> Localizer:
    """Return a subscriber's localizer; ``otherwise`` is the language if theirs is unknown."""
    subscriber = preferences.get(tx, subscriber_id)
    return get_localizer((subscriber.lang if subscriber else "") or otherwise)


def localized_error(kind: type[_E], text: str, **values: object) -> _E:
    """Return an error whose text can be shown in any language."""
    error = kind(text % values if values else text)
    setattr(error, "said", (text, values))  # noqa: B010
    return error
