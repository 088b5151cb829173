"""Pages and emails come in the subscriber's language, from the form's first word to the last email."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import lxml.html
import pytest
from fastapi import Request

from api.common.error_responses import OTHER_PAGE, PAGES, error_response
from api.common.language import CHECK
from mailer.core import i18n, tokens
from mailer.core.db import Database
from mailer.flows.subscribers import email_domain_check, signup
from tests import web
from tests.web import Web

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TITLES = {
    "en": "Please confirm your subscription",
    "de": "Bitte bestätigen Sie Ihr Abonnement",
    "fr": "Veuillez confirmer votre abonnement",
    "es": "Por favor, confirme su suscripción",
    "zh": "请确认您的订阅",
}


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


def test_an_error_page_speaks_the_browsers_language(newsletter: Web) -> None:
    answer = newsletter.client.post("/reader/x/nothing", headers={"Accept-Language": "de"})
    assert answer.status_code == 404
    assert '<html lang="de"' in answer.text
    assert "<h1>Seite nicht gefunden</h1>" in answer.text


@pytest.mark.parametrize("lang", i18n.LANGUAGES)
def test_somebody_subscribes_and_chooses_in_their_language(newsletter: Web, lang: str) -> None:
    newsletter.client.headers["Accept-Language"] = lang
    say = i18n.translator(lang)
    form = newsletter.client.get("/subscribe")
    assert f'<html lang="{lang}"' in form.text
    assert say("Get the next issue by email") in unescape(form.text)
    answer = newsletter.client.post("/subscribe", data={"email": "ada@example.org", "token": newsletter.form_token()})
    assert say("Check your inbox") in unescape(answer.text)
    newsletter.work()
    [email] = newsletter.emails()
    assert f'<html lang="{lang}"' in email.html
    assert email.text.startswith(TITLES[lang])
    assert ("Content-Language", lang) in list(dict(email.headers).items())
    [path] = [path for path in web.paths(email.text, newsletter.settings) if path.startswith("/confirm/")]
    question = unescape(newsletter.client.get(path).text)
    assert say("Your subscription is confirmed") in unescape(newsletter.client.post(path).text)
    with newsletter.database.transaction() as tx:
        row = tx.one("SELECT lang FROM subscribers")
        evidence = tx.value("SELECT evidence FROM consents WHERE kind = 'requested'")
        confirmed = tx.value("SELECT evidence ->> 'wording' FROM consents WHERE kind = 'confirmed'")
    assert row == {"lang": lang}
    assert evidence["lang"] == lang
    sentences, _, privacy = evidence["wording"].rpartition(f" {say('Privacy policy')}: ")
    assert sentences in unescape(form.text)
    assert f'<a href="{privacy}">{say("Privacy policy")}</a>' in unescape(form.text)
    assert "The Letter" in sentences
    assert newsletter.settings.mailbox in sentences
    assert privacy == f"{newsletter.settings.site_url}/privacy/"
    assert confirmed.endswith(privacy)
    assert confirmed.rpartition(f" {say('Privacy policy')}: ")[0] in question


def test_the_evidence_says_where_the_form_was(newsletter: Web) -> None:
    place = "https://letter.example/issues/?from=fair"
    first = newsletter.client.post("/subscribe", data={"email": "ada@example.org"}, headers={"Referer": place})
    [page] = re.findall(r'name="page" value="([^"]*)"', first.text)
    newsletter.client.post(
        "/subscribe", data={"email": "ada@example.org", "page": unescape(page), "token": newsletter.form_token()}
    )
    with newsletter.database.transaction() as tx:
        evidence = tx.value("SELECT evidence FROM consents")
    assert evidence["page"] == place
    newsletter.work()
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/")]
    newsletter.client.post(path)
    with newsletter.database.transaction() as tx:
        used = tx.value("SELECT evidence FROM consents WHERE kind = 'confirmed'")
    assert used["mail"] == 1
    odd = {"email": "bob@example.org", "page": "a\0b\ud800", "token": newsletter.form_token()}
    assert newsletter.client.post("/subscribe", content=urlencode(odd, errors="surrogatepass"), headers=FORM).status_code == 200
    assert newsletter.state("bob@example.org") == "unconfirmed"


def test_a_bad_address_is_said_in_the_subscribers_language(newsletter: Web) -> None:
    answer = newsletter.client.post(
        "/subscribe", data={"email": "ada@", "token": newsletter.form_token()}, headers={"Accept-Language": "de"}
    )
    assert answer.status_code == 422
    [error] = re.findall(r'role="alert">([^<]+)<', answer.text)
    assert unescape(error) == "Der Teil nach dem @ ist ungültig: Schreiben Sie Ihre Adresse in der Form name@example.org."


BAD = [
    "",
    "ada",
    "ada@",
    "@example.org",
    "ä@example.org",
    "ada@-x.org",
    "ada@x..org",
    "Ada <ada@example.org>",
    "ada@nomail.test",
]


@pytest.mark.parametrize("lang", [lang for lang in i18n.LANGUAGES if lang != "en"])
@pytest.mark.parametrize("typed", BAD)
def test_each_form_says_beside_the_field_what_is_wrong_and_keeps_what_was_typed(newsletter: Web, lang: str, typed: str) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, "ada@example.org", [], confirmed=True)
    own = "/reader/" + tokens.page_token(newsletter.settings.need_secrets(), newsletter.recipient(1), datetime.now(UTC))
    before = newsletter.dump(without=("limits", "signup_minutes"))
    generic = i18n.translator(lang)(CHECK)
    for path in ("/subscribe", "/reader", f"{own}/address"):
        data = {"email": typed, "sure": typed, "token": newsletter.form_token()}
        answer = newsletter.client.post(f"{path}?lang={lang}", data=data)
        assert answer.status_code == 422
        page: Any = lxml.html.fromstring(answer.text)
        [field] = page.xpath("//input[@aria-invalid='true']")
        [error] = page.xpath(f"//*[@id='{field.get('aria-describedby')}' and @role='alert']")
        assert field.get("value") == typed
        assert error.getparent() is field.getparent().getparent()
        assert error.text != generic
        assert not re.search(r"write|address|mail address", error.text)
        assert path.startswith("/reader/") or page.get("lang") == lang
    assert newsletter.dump(without=("limits", "signup_minutes")) == before


@pytest.mark.parametrize("lang", i18n.LANGUAGES)
def test_a_domain_without_email_is_said_in_the_subscribers_language(
    database: Database, tmp_path: Path, lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_domain_check, "query_dns", lambda domain: False)
    newsletter = web.make(tmp_path, database, check_dns=True)
    data = {"email": "ada@no-mail.example.com", "token": newsletter.form_token()}
    answer = newsletter.client.post(f"/subscribe?lang={lang}", data=data)
    said = i18n.translator(lang)(
        "The domain %(domain)s doesn’t accept email. Check the part after the @.", domain="no-mail.example.com"
    )
    assert said in unescape(answer.text)


@pytest.mark.parametrize(
    ("query", "header", "kept"),
    [
        ("", "nl-BE, en;q=0.8", "nl-be"),
        ("", "de-AT, en;q=0.8", "de"),
        ("?lang=de", "en", "de"),
        ("?lang=nl", "en", "nl"),
        ("?lang=%3Cscript%3E", "", "en"),
        ("", "*", "en"),
    ],
)
def test_what_somebody_reads_is_kept_whether_we_speak_it_or_not(newsletter: Web, query: str, header: str, kept: str) -> None:
    newsletter.client.headers["Accept-Language"] = header
    first = newsletter.client.post(f"/subscribe{query}", data={"email": "ada@example.org"})
    again = re.search(r'<form class="envelope" method="post" action="([^"]+)"', first.text)
    assert again
    assert "script" not in again[1]
    newsletter.client.post(again[1], data={"email": "ada@example.org", "token": newsletter.form_token()})
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT lang FROM subscribers") == kept


def test_a_subscriber_chooses_among_the_languages_of_the_issues(newsletter: Web) -> None:
    newsletter.send(1)
    with newsletter.database.transaction() as tx:
        number = tx.value("UPDATE subscribers SET lang = 'sv' RETURNING id")
        tx.run(
            """
            INSERT INTO edition_variants (edition_id, name, digest, preheader, html, text, body, own_lang)
            SELECT id, 'pt-br', '', '', '', '', '', 'pt-BR' FROM editions
            """
        )
    path = f"/reader/{tokens.page_token(newsletter.settings.need_secrets(), newsletter.recipient(number), datetime.now(UTC))}"
    shown = newsletter.client.get(path).text
    options = dict(re.findall(r'<option value="([^"]*)" lang="[^"]*"([^>]*)>', shown))
    assert {"en", "de", "fr", "es", "zh", "pt-br", "sv"} == set(options)
    assert [code for code, chosen in options.items() if "selected" in chosen] == ["sv"]
    assert "Português (Brasil)" in shown
    for lang, status in (("pt-br", 200), ("nl", 422)):
        assert newsletter.client.post(f"{path}/choose", data={"lang": lang, "frequency": "every"}).status_code == status
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT lang FROM subscribers") == "pt-br"


@pytest.mark.parametrize("status", [400, 404, 405, 408, 413, 422, 429, 500, 503])
@pytest.mark.parametrize("lang", [lang for lang in i18n.LANGUAGES if lang != "en"])
def test_every_error_page_is_in_the_browsers_language(newsletter: Web, status: int, lang: str) -> None:
    scope = {"type": "http", "path": "/reader/x", "query_string": b"", "headers": [(b"accept-language", lang.encode())]}
    context = newsletter.client.app.state.context  # type: ignore[attr-defined]
    answer = error_response(context, Request(scope), status, "Something in English.")
    page: Any = lxml.html.fromstring(bytes(answer.body).decode())
    assert (page.get("lang"), answer.headers["content-language"]) == (lang, lang)
    said = [unescape(text) for text in page.xpath("//h1/text() | //main//p/text()")]
    english = {text for pair in [*PAGES.values(), OTHER_PAGE] for text in pair}
    assert len(said) == 2
    assert not english.intersection(said)
    assert "English" not in str(said)


def test_a_language_from_right_to_left_turns_pages_and_emails(newsletter: Web, tmp_path: Path) -> None:
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (tmp_path / "ar.po").write_text(f'{head}msgid "Please confirm your subscription"\nmsgstr "يرجى تأكيد اشتراكك"\n', "utf-8")
    i18n.use_words(tmp_path)
    try:
        newsletter.client.headers["Accept-Language"] = "ar-EG, en;q=0.5"
        assert '<html lang="ar" dir="rtl">' in newsletter.client.get("/subscribe").text
        newsletter.subscribe("ada@example.org")
        newsletter.work()
    finally:
        i18n.use_words(Path("words"))
    [email] = newsletter.emails()
    assert '<html lang="ar" dir="rtl">' in email.html
    assert email.text.startswith("يرجى تأكيد اشتراكك")


def test_a_writers_own_words_replace_ours_on_a_page(newsletter: Web, tmp_path: Path) -> None:
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (tmp_path / "en.po").write_text(f'{head}msgid "Get the next issue by email"\nmsgstr "Join 40 keepers of bees"\n', "utf-8")
    i18n.use_words(tmp_path)
    try:
        assert "<h1>Join 40 keepers of bees</h1>" in newsletter.client.get("/subscribe").text
    finally:
        i18n.use_words(Path("words"))
