"""The monthly report to the writer: what the month brought, as counts, in the site's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from mailer.core import i18n
from mailer.core.settings import Settings
from mailer.flows.transactional.subscription_emails import DigestEntry, SubscriptionEmail
from mailer.payments.currencies import format_money
from mailer.store.transactional.transactional_emails import ClaimedEmail


def compose_report(settings: Settings, site_name: str, email: ClaimedEmail) -> SubscriptionEmail:
    """Return the text of a report. Its facts are those of ``monthly_report.collect_facts``."""
    facts, lang = email.facts, i18n.choose(email.facts["lang"])
    report, say = _Report(facts, lang), i18n.translator(lang)
    month = i18n.month(date.fromisoformat(f"{facts['month']}-01"), lang)
    subscribers = say("Subscribers now: %(number)s.", number=report.number(facts["subscribers"]))
    return SubscriptionEmail(
        lang=lang,
        subject=say("%(site)s in %(month)s", site=site_name, month=month),
        preheader=subscribers,
        title=month,
        before=(subscribers, *report.describe_growth(), *report.describe_paid()),
        entries=tuple(report.describe_send(one) for one in facts["sends"]),
        link=f"{settings.api_url}/desk/growth" if settings.desk else "",
        label=say("Open the desk"),
        instead=say("To see more, open the desk:"),
        after=(
            *([] if facts["sends"] else [say("No issue was sent in this month.")]),
            say("These are counts. Who opens an email or clicks a link is not recorded."),
        ),
    )


@dataclass(frozen=True)
class _Report:
    facts: Mapping[str, Any]
    lang: str

    def number(self, number: int) -> str:
        """A number as its language writes it."""
        from babel.numbers import format_decimal

        return str(format_decimal(number, locale=i18n.locale(self.lang)))

    def numbers(self, counts: Mapping[str, Any]) -> dict[str, str]:
        return {name: self.number(value) for name, value in counts.items() if isinstance(value, int)}

    def describe_growth(self) -> Iterator[str]:
        say, shown = i18n.translator(self.lang), self.numbers(self.facts["growth"])
        net = f"+{shown['net']}" if self.facts["growth"]["net"] > 0 else shown["net"]
        yield say("Joined: %(joined)s. Confirmed: %(confirmed)s.", **shown)
        yield say("Unsubscribed: %(unsubscribed)s. Bounced: %(bounced)s. Reported as spam: %(complained)s.", **shown)
        yield say("Change in this month: %(net)s.", net=net)

    def describe_paid(self) -> Iterator[str]:
        say, paid = i18n.translator(self.lang), self.facts["paid"]
        if paid:
            yield say("Paid subscriptions: %(began)s began, %(ended)s ended.", **self.numbers(paid))
            for currency, amount in paid["monthly_revenue"].items():
                yield say("Revenue a month: %(money)s.", money=format_money(amount, currency, str(i18n.locale(self.lang))))

    def describe_send(self, send: Mapping[str, Any]) -> DigestEntry:
        say = i18n.translator(self.lang)
        text = say(
            "Emails: %(emails)s. Delivered: %(delivered)s. Bounced: %(bounced)s. Reported as spam: %(complained)s."
            " Unsubscribed: %(unsubscribed)s.",
            **self.numbers(send),
        )
        return DigestEntry(send["title"], send["url"], text)
