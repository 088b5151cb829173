"""Pages and mails come in the reader's language, from the form's first word to the last mail."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from mailer import words
from mailer.db import Database
from tests import web
from tests.web import Web

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WAS_IT_YOU = {"en": "Was it you?", "de": "Waren Sie das?", "fr": "Était-ce vous ?", "es": "¿Fue usted?", "zh": "是您本人吗？"}


@pytest.fixture
def letter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.mark.parametrize("lang", words.LANGUAGES)
def test_somebody_subscribes_and_chooses_in_their_language(letter: Web, lang: str) -> None:
    letter.client.headers["Accept-Language"] = lang
    say = words.translator(lang)
    form = letter.client.get("/subscribe")
    assert f'<html lang="{lang}"' in form.text
    assert say("Get the next issue by mail") in unescape(form.text)
    answer = letter.client.post("/subscribe", data={"email": "ada@example.org", "token": letter.form_token()})
    assert say("Look into your inbox") in unescape(answer.text)
    letter.work()
    [mail] = letter.mails()
    assert f'<html lang="{lang}"' in mail.html
    assert mail.text.startswith(WAS_IT_YOU[lang])
    assert ("Content-Language", lang) in list(dict(mail.headers).items())
    [path] = [path for path in web.paths(mail.text, letter.settings) if path.startswith("/confirm/")]
    assert say("Your subscription is confirmed") in unescape(letter.client.post(path).text)
    with letter.database.transaction() as tx:
        row = tx.one("SELECT lang FROM subscribers")
        evidence = tx.value("SELECT evidence FROM consents WHERE kind = 'requested'")
    assert row == {"lang": lang}
    assert evidence["lang"] == lang
    assert evidence["wording"] in unescape(form.text)


def test_the_evidence_says_where_the_form_was(letter: Web) -> None:
    place = "https://letter.example/issues/?from=fair"
    first = letter.client.post("/subscribe", data={"email": "ada@example.org"}, headers={"Referer": place})
    [page] = re.findall(r'name="page" value="([^"]*)"', first.text)
    letter.client.post("/subscribe", data={"email": "ada@example.org", "page": unescape(page), "token": letter.form_token()})
    with letter.database.transaction() as tx:
        evidence = tx.value("SELECT evidence FROM consents")
    assert evidence["page"] == place
    letter.work()
    [path] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/confirm/")]
    letter.client.post(path)
    with letter.database.transaction() as tx:
        used = tx.value("SELECT evidence FROM consents WHERE kind = 'confirmed'")
    assert used["mail"] == 1
    odd = {"email": "bob@example.org", "page": "a\0b\ud800", "token": letter.form_token()}
    assert letter.client.post("/subscribe", content=urlencode(odd, errors="surrogatepass"), headers=FORM).status_code == 200
    assert letter.state("bob@example.org") == "unconfirmed"


def test_a_bad_address_is_said_in_the_readers_language(letter: Web) -> None:
    answer = letter.client.post(
        "/subscribe", data={"email": "ada@", "token": letter.form_token()}, headers={"Accept-Language": "de"}
    )
    assert answer.status_code == 422
    [error] = re.findall(r'role="alert">([^<]+)<', answer.text)
    assert unescape(error) == "Bitte prüfen Sie Ihre Eingabe: So kann sie nicht verwendet werden."
