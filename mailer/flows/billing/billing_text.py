"""Amounts and dates in a subscriber's language, and errors that a page can show in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from mailer.core import i18n
from mailer.core.db import Tx
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.i18n.local_time import to_local
from mailer.payments.currencies import format_amount, format_money
from mailer.store.billing.subscriptions import StoredSubscription
from mailer.store.subscribers import preferences

_E = TypeVar("_E", bound=PostmergeError)


@dataclass(frozen=True)
class Localizer:
    """Formats text, dates and amounts in the language ``lang``."""

    lang: str

    @property
    def say(self) -> i18n.Say:
        """Return what translates texts into this language."""
        return i18n.translator(self.lang)

    def day(self, when: datetime) -> str:
        """Return a date in its usual written form."""
        return i18n.day(to_local(when).date(), self.lang)

    def clock(self, when: datetime) -> str:
        """Return a time of day with its zone in its usual written form: 14:05 CET, 14:05 MEZ."""
        return i18n.clock(to_local(when), self.lang)

    def money(self, amount: int, currency: str) -> str:
        """Return an amount in minor units in its usual written form: €5.00, 5,00 €."""
        return format_money(amount, currency, str(i18n.locale(self.lang)))

    def amount(self, amount: int, currency: str) -> str:
        """Return an amount in minor units without its currency, as a person types it: 5.00, 5,00."""
        return format_amount(amount, currency, str(i18n.locale(self.lang)))

    def price(self, amount: int, currency: str, months: int) -> str:
        """Return the price of a subscription."""
        amount_said = self.money(amount, currency)
        if months == 1:
            return self.say("%(money)s every month", money=amount_said)
        if months == 12:
            return self.say("%(money)s every year", money=amount_said)
        return self.say.ngettext(
            "%(money)s every %(number)s month", "%(money)s every %(number)s months", months, money=amount_said
        )

    def contract(self, stored: StoredSubscription, plan: str, address: str) -> str:
        """Say which contract a statement ends, as the law wants: its plan, its price and the subscriber."""
        price = self.price(stored.amount, stored.currency, stored.months)
        title = plan or self.say("Paid subscription")
        return self.say("Contract: %(plan)s (%(price)s), for %(address)s", plan=title, price=price, address=address)

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


def localized_error(kind: type[_E], text: str, field: str = "", **values: object) -> _E:
    """Return an error whose text can be shown in any language; ``field`` names the field of the form to correct."""
    error = kind(text % values if values else text)
    if isinstance(error, BadInput):
        error.field = field
    setattr(error, "said", (text, values))  # noqa: B010
    return error
