"""Pages and emails about money come in the subscriber's language, with amounts and dates as people write them there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape

import pytest

from mailer.core import i18n
from mailer.fakes.fake_stripe_books import MONTH
from mailer.flows.billing import gifts, subscription_changes
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.payments.models import CheckoutSession
from mailer.transports.outbox import Outbox, OutboxEmail, list_emails
from tests.integration.billing.test_paid_pages import form_token, own, pay
from tests.integration.billing.test_paid_pages import shop as shop
from tests.paying import Shop

FIVE = {"en": "€5.00", "de": "5,00 €", "fr": "5,00 €", "es": "5,00 €", "zh": "€5.00"}


def plain(text: str) -> str:
    """As people see it: narrow and unbreakable spaces are spaces."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", text)).replace("\u202f", " ").replace("\u00a0", " "))


def payer(shop: Shop, lang: str) -> int:
    subscriber = shop.add_subscriber()
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscribers SET lang = %(lang)s", lang=lang)
    shop.buy()
    shop.hear()
    return subscriber


def emails(shop: Shop) -> list[OutboxEmail]:
    """Emails about money; those of one moment in any order."""
    while deliver_batch(shop.database, shop.settings, Outbox(shop.settings.outbox), "The Letter"):
        pass
    found = reversed(list_emails(shop.settings.outbox, limit=100)[0])
    return [email for email in found if "/confirm/" not in email.text]


@pytest.mark.parametrize("lang", i18n.LANGUAGES)
def test_every_page_and_email_of_a_subscription_is_in_the_subscribers_language(shop: Shop, lang: str) -> None:
    say, page = Localizer(lang).say, own(shop, payer(shop, lang))
    date = Localizer(lang).day(datetime.fromtimestamp(shop.fake.books.now + MONTH, UTC))
    first = shop.client.get(page)
    assert f'<html lang="{lang}"' in first.text
    for said in (say("You’re a paid subscriber with full access."), say("%(money)s every month", money=FIVE[lang]), date):
        assert plain(said) in plain(first.text)
    unsubscribe = shop.client.get(f"{page}/leave").text
    assert plain(say("You won’t be charged again, and you’ll keep full access until %(date)s.", date=date)) in plain(
        unsubscribe
    )
    for verb, said in (
        ("pause", "Your subscription is paused. You won’t be charged."), ("resume", "Your subscription continues."),
        ("leave", "Your subscription is cancelled. You won’t be charged again."),
        ("stay", "Your subscription continues as before."),
    ):  # fmt: skip
        assert plain(say(said)) in plain(shop.client.post(f"{page}/{verb}").text)
    done = shop.client.post(f"{page}/withdraw").text
    sentence = say(
        "You’ve withdrawn from the contract. We’ll refund %(money)s to your card and confirm this by email.", money=FIVE[lang]
    )
    assert plain(sentence) in plain(done)
    assert shop.client.get(page).status_code == 404  # the refund has ended the link
    with shop.database.transaction() as tx:
        subscriber = int(tx.value("SELECT id FROM subscribers"))
    refused = shop.client.post(f"{own(shop, subscriber)}/pause")
    assert refused.status_code == 409
    assert plain(say("You don’t have a paid subscription, so you’re not being charged.")) in plain(refused.text)
    subjects = ["Thank you! You now have full access", "Your subscription is paused", "Your withdrawal is confirmed"]
    sent = emails(shop)
    assert {plain(say(one)) for one in subjects} <= {email.subject for email in sent}
    for email in sent:
        assert f'<html lang="{lang}"' in email.html
        assert ("Content-Language", lang) in list(dict(email.headers).items())
    assert FIVE[lang] in plain(next(email.text for email in sent if email.subject == plain(say(subjects[2]))))


@pytest.mark.parametrize("lang", i18n.LANGUAGES)
def test_joining_speaks_the_browsers_language_and_so_does_what_comes_of_it(shop: Shop, lang: str) -> None:
    say = Localizer(lang).say
    shop.client.headers["Accept-Language"] = lang
    form = shop.client.get("/join").text
    assert plain(say("%(money)s every month", money=FIVE[lang])) in plain(form)
    wrong = shop.client.post("/join", data={"plan": "kind", "amount": "much", "token": form_token(shop), "lang": lang})
    example = "8.00" if lang in ("en", "zh") else "8,00"
    said = say("%(typed)s isn’t an amount. Enter a number such as %(example)s.", typed="'much'", example=example)
    assert plain(said) in plain(wrong.text)
    assert f'placeholder="{example}"' in form
    address = shop.client.post("/join", data={"plan": "yearly", "token": form_token(shop), "lang": lang}).headers["location"]
    session = shop.fake.books.get(address.rpartition("/")[2])
    assert session["locale"] == lang
    pay(shop, address, "new@example.org")
    with shop.database.transaction() as tx:
        assert tx.value("SELECT lang FROM subscribers") == lang
    assert [email.subject for email in emails(shop)] == [plain(say("Thank you! You now have full access"))]
    assert say("No access") in plain(shop.client.get("/read/x").text)


def test_the_proof_of_a_withdrawal_names_the_plan_by_its_title(shop: Shop) -> None:
    shop.client.post(f"{own(shop, payer(shop, 'en'))}/withdraw")
    [proof] = [email for email in emails(shop) if email.subject == "Your withdrawal is confirmed"]
    assert "your subscription (Every issue, by the month)" in plain(proof.text)


def test_a_gift_is_told_in_the_language_of_the_giver_until_the_subscriber_has_one(shop: Shop) -> None:
    session = CheckoutSession(
        "cs_1", "", True, "cus_1", ADA, "", "yearly", 0, 5000, "eur", recipient="eve@example.org", giver="Ada", lang="de"
    )
    assert gifts.record_paid_gift(shop.database, session)
    [email] = emails(shop)
    assert email.subject == "Ein Geschenk für Sie"
    assert "Ada schenkt Ihnen diesen Newsletter für ein Jahr" in plain(email.text)


def test_a_pauses_end_is_told_with_date_and_amount(shop: Shop) -> None:
    plans = shop.settings.plans
    plans.write_text(plans.read_text().replace('pause = "keep"', 'pause = "serve"'))
    subscriber = payer(shop, "fr")
    subscription_changes.pause_subscription(shop.database, shop.settings, subscriber, until=datetime(2020, 1, 1, tzinfo=UTC))
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscriptions SET resumes_at = now() + interval '6 days'")
    subscription_changes.process_pauses(shop.database, shop.settings)
    [last] = [email for email in emails(shop) if email.subject.startswith("Votre pause se termine le ")]
    assert "Nous débiterons 5,00 € ce jour-là" in plain(last.text)


ADA = "ada@example.org"
