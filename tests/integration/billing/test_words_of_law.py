"""Cancelling a contract has the law's words, and is found without a login; nothing else is called so."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import urlsplit

import pytest

from mailer.core import i18n, tokens
from mailer.core.i18n import local_time
from mailer.flows.billing import billing_emails, subscription_changes
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.subscribers.unsubscribe_by_email import process_email
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.transports.outbox import Outbox, list_emails
from tests.integration.billing.test_paid_pages import ADA, form_token, own, paying_subscriber, shop
from tests.paying import Shop

__all__ = ["shop"]

# § 312k BGB, § 356a BGB; art. L. 215-1-1 and D. 215-1, L. 221-21 Code de la consommation; Art. 11a of Directive 2011/83/EU
LAW = {
    "en": ("Cancel contracts here", "Cancel now", "Withdraw from contract here", "Confirm withdrawal"),
    "de": ("Verträge hier kündigen", "Jetzt kündigen", "Vertrag widerrufen", "Widerruf bestätigen"),
    "fr": ("Résilier votre contrat", "Confirmer la résiliation", "Renoncer au contrat ici", "Confirmer la rétractation"),
    "es": ("Cancelar contratos aquí", "Cancelar ahora", "Desistir del contrato aquí", "Confirmar desistimiento"),
    "zh": ("在此取消付费合同", "确认取消", "在此撤回合同", "确认撤回"),
}


@pytest.mark.parametrize("lang", i18n.LANGUAGES)
def test_cancelling_is_called_as_the_law_says_and_never_what_unsubscribing_is_called(lang: str) -> None:
    say = i18n.translator(lang)
    assert tuple(map(say, LAW["en"])) == LAW[lang]
    free = {say(text) for text in ("Unsubscribe", "Pause emails", "No, stay subscribed", "You’ve unsubscribed")}
    paid = {say(text) for text in (*LAW["en"], "Cancel subscription", "Pause payments", "You’ve cancelled.")}
    assert not free & paid


@pytest.mark.parametrize(("path", "title"), [("/cancel", 0), ("/withdraw", 2)])
@pytest.mark.parametrize("lang", ["en", "de", "fr"])
def test_a_contract_is_ended_from_a_public_page_without_a_login(shop: Shop, lang: str, path: str, title: int) -> None:
    paying_subscriber(shop)
    shop.client.headers["Accept-Language"] = lang
    for public in ("/join", "/subscribe", "/reader"):
        assert f'<a href="{path}">{LAW[lang][title]}</a>' in shop.client.get(public).text
    assert f"<h1>{LAW[lang][title]}</h1>" in shop.client.get(path).text
    asked = shop.client.post(path, data={"email": ADA, "token": form_token(shop)})
    assert asked.status_code == 200
    while deliver_batch(shop.database, shop.settings, Outbox(shop.settings.outbox), "The Letter"):
        pass
    [link] = [
        urlsplit(url).path
        for email in list_emails(shop.settings.outbox, 100)[0]
        for url in re.findall(r"http\S+/paid/\S+", email.text)
        if "/paid/" in url and email.kind == "confirmation"
    ]
    page = shop.client.get(link).text
    assert i18n.translator(lang)("Cancel subscription") in page
    verb = "leave" if path == "/cancel" else "withdraw"
    assert LAW[lang][title + 1] in shop.client.get(f"{link}/{verb}").text


def test_the_answer_says_to_nobody_whether_an_address_pays(shop: Shop) -> None:
    paying_subscriber(shop)
    said = {
        re.sub(r"\S+@example.org", "", shop.client.post("/cancel", data={"email": email, "token": form_token(shop)}).text)
        for email in (ADA, "nobody@example.org")
    }
    assert len(said) == 1


@pytest.mark.parametrize("verb", ["leave", "withdraw"])
def test_the_page_that_ends_a_contract_names_its_plan_price_and_subscriber(shop: Shop, verb: str) -> None:
    subscriber = paying_subscriber(shop)
    page = unescape(shop.client.get(f"{own(shop, subscriber)}/{verb}").text)
    assert "Contract: Every issue, by the month (€5.00 every month), for ada@example.org" in page


def test_unsubscribing_shows_the_masked_address_and_the_way_to_cancel_what_is_paid(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    token = tokens.unsubscribe_token(shop.settings.need_secrets(), shop.recipient(subscriber))
    page = shop.client.get(f"/leave/{token}").text
    assert "a•••@example.org" in page
    assert ADA not in page
    for shown in (page, shop.client.post(f"/leave/{token}").text, shop.client.get(f"/leave/{token}").text):
        assert "Your paid subscription continues." in shown
        assert '<a href="/cancel">Cancel subscription</a>' in shown
    assert "You’ve unsubscribed" in shown
    old = tokens.page_token(shop.settings.need_secrets(), shop.recipient(subscriber), datetime.now(UTC))
    assert re.search(r'continues\. <a href="/paid/[^"]+">Cancel subscription</a>', shop.client.get(f"/reader/{old}").text)


def test_a_forwarded_link_of_another_address_says_so_before_the_click(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    token = tokens.unsubscribe_token(shop.settings.need_secrets(), shop.recipient(subscriber))
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscribers SET email = 'new@example.org', email_normal = 'new@example.org'")
    page = shop.client.get(f"/leave/{token}").text
    assert "Nothing has changed" in page
    assert "<form" not in page


def facts_of(shop: Shop, subject: str) -> list[list[str]]:
    with shop.database.transaction() as tx:
        rows = tx.all(
            "SELECT facts -> 'sentences' AS said FROM transactional_emails WHERE facts ->> 'subject' = %(s)s ORDER BY id",
            s=subject,
        )
    return [row["said"] for row in rows]


@pytest.mark.parametrize(("lang", "zone"), [("en", "CET"), ("de", "MEZ")])
def test_a_cancellation_is_confirmed_with_the_plan_its_receipt_and_the_contracts_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, lang: str, zone: str
) -> None:
    subscriber = paying_subscriber(shop)
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscribers SET lang = %(lang)s", lang=lang)
        period_end = tx.value("SELECT period_end FROM subscriptions")
    monkeypatch.setattr(subscription_changes, "clock", lambda: datetime(2026, 11, 29, 23, 30, tzinfo=UTC))
    local_time.use_zone(lambda: "Europe/Berlin")
    try:
        shop.client.post(f"{own(shop, subscriber)}/leave")
        voice = Localizer(lang)
        [[received, contract, ends, access]] = facts_of(shop, voice.say("Your cancellation is confirmed"))
        assert {f"00:30 {zone}", voice.day(datetime(2026, 11, 30, 12, tzinfo=UTC))} <= set(
            re.findall(f"00:30 {zone}|{re.escape(voice.day(datetime(2026, 11, 30, 12, tzinfo=UTC)))}", received)
        )
        assert all(part in contract for part in ("Every issue, by the month", voice.money(500, "eur"), ADA))
        assert voice.day(period_end) in ends
        assert voice.day(period_end) in access
        assert facts_of(shop, voice.say("You have full access until %(date)s", date=voice.day(period_end))) == []
    finally:
        local_time.use_zone()


def test_a_cancellation_is_confirmed_once_however_often_it_is_clicked_and_again_after_it_was_undone(shop: Shop) -> None:
    page = own(shop, paying_subscriber(shop))
    for verb, confirmations in (("leave", 1), ("leave", 1), ("stay", 1), ("leave", 2)):
        shop.client.post(f"{page}/{verb}")
        assert len(facts_of(shop, "Your cancellation is confirmed")) == confirmations, verb


def test_a_confirmation_that_a_crash_lost_is_sent_by_the_next_click(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    page = own(shop, paying_subscriber(shop))
    with monkeypatch.context() as broken:
        broken.setattr(billing_emails, "confirm_cancellation", lambda *given, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            subscription_changes.cancel_subscription(shop.database, shop.settings, 1)
    shop.client.post(f"{page}/leave")
    assert len(facts_of(shop, "Your cancellation is confirmed")) == 1


def test_a_cancellation_while_a_payment_is_due_says_that_the_contract_ends_at_once(shop: Shop) -> None:
    page = own(shop, paying_subscriber(shop))
    with shop.fake.lock:
        [subscription] = shop.fake.books.of("subscription")
        subscription["status"] = "past_due"
    shop.client.post(f"{page}/leave")
    [sentences] = facts_of(shop, "Your cancellation is confirmed")
    assert sentences[2] == f"The contract ends on {Localizer('en').day(datetime.now(UTC))}."
    assert facts_of(shop, "Your paid subscription has ended") == []


@pytest.mark.parametrize("way", ["one click", "email", "words"])
@pytest.mark.parametrize("is_paying", [True, False])
def test_who_unsubscribes_without_a_page_is_told_by_email_that_a_paid_subscription_continues(
    shop: Shop, way: str, is_paying: bool
) -> None:
    subscriber = paying_subscriber(shop) if is_paying else shop.add_subscriber()
    token = tokens.unsubscribe_token(shop.settings.need_secrets(), shop.recipient(subscriber))
    if way == "one click":
        assert shop.client.post(f"/leave/{token}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
    else:
        subject = f"leave {token}" if way == "email" else "please unsubscribe me"
        raw = f"From: {ADA}\r\nTo: leave@example.org\r\nSubject: {subject}\r\n\r\n".encode()
        process_email(shop.database, shop.settings, raw, is_sender_verified=True)
    while deliver_batch(shop.database, shop.settings, Outbox(shop.settings.outbox), "The Letter"):
        pass
    told = [one for one in list_emails(shop.settings.outbox)[0] if "continues" in one.subject]
    assert [one.subject for one in told] == ["Your paid subscription to The Letter continues"] * is_paying
    for one in told:
        [link] = re.findall(r"http\S+/paid/\S+", one.text)
        assert "/leave" in shop.client.get(urlsplit(link).path).text
