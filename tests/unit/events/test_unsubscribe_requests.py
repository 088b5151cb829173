"""Which words of a person are a plain request to unsubscribe, and which are not."""

from __future__ import annotations

import pytest

from mailer.webhooks.unsubscribe_requests import MAX_EXAMINED_CHARS, is_plain_request

REQUESTS = """
unsubscribe
UNSUBSCRIBE!
Please unsubscribe me.
Unsubscribe, please
please remove me
Please remove me from your mailing list.
Kindly remove my email address from this list
I want to unsubscribe
I would like to unsubscribe from this newsletter, thanks
I'd like to be removed from your list.
Take me off this list
please take me off your mailing list!
Stop sending me emails
Please stop
Don't send me any more emails
No more emails please
Opt out
Cancel my subscription
please cancel this newsletter
bitte abmelden
Bitte abmelden!
Bitte melden Sie mich ab.
Bitte melden Sie mich vom Newsletter ab
Bitte nehmen Sie mich aus dem Verteiler.
Ich möchte den Newsletter abbestellen
Ich möchte mich abmelden
Bitte keine E-Mails mehr
Ich möchte den Newsletter nicht mehr erhalten.
Bitte tragen Sie mich aus Ihrer Liste aus
Hiermit kündige ich mein Abo
Bitte löschen Sie mich aus dem Verteiler
désinscrire
Se désabonner
Merci de me désinscrire
Je souhaite me désabonner de votre newsletter
Veuillez me désinscrire
Je ne veux plus recevoir vos e-mails
Merci de me retirer de votre liste de diffusion
Désabonnez-moi s'il vous plaît
Baja
Quiero darme de baja
Por favor, denme de baja de la lista
Dar de baja
Por favor elimínenme de su lista de correo
No quiero recibir más correos
Deseo cancelar mi suscripción
Vorrei disiscrivermi
Disiscrivetemi per favore
Cancellatemi dalla lista
Per favore cancellami dalla newsletter
Non voglio più ricevere questa newsletter
Vi prego di rimuovermi dalla vostra lista
Gostaria de cancelar a inscrição
Graag afmelden
Ik wil mij uitschrijven voor de nieuwsbrief
退订
请帮我退订
退訂
請幫我取消訂閱，謝謝
取消订阅
"""
NO_REQUESTS = """
Great issue, I will never unsubscribe!
How do I unsubscribe?
I do not want to unsubscribe
Please unsubscribe my colleague Bob
Should I stop reading?
Please remove the second picture
I cannot stop laughing
Please stop the war
My wife said: unsubscribe
Ich möchte mich nicht abmelden
Wie kann ich mich abmelden?
Bitte löschen Sie das Bild
Je ne veux pas me désabonner
Comment se désabonner ?
No quiero darme de baja
¿Cómo puedo darme de baja?
Non voglio disiscrivermi
Non cancellatemi
Come faccio a disiscrivermi?
Thanks!
Hello
不要退订
不要退訂
怎麼取消訂閱
怎么退订
"""


@pytest.mark.parametrize("text", REQUESTS.strip().splitlines())
def test_a_plain_request_is_recognized(text: str) -> None:
    assert is_plain_request(text)
    assert is_plain_request(f"Hello,\n\n{text}\n\nBest regards\nAda Lovelace")


@pytest.mark.parametrize("text", NO_REQUESTS.strip().splitlines())
def test_what_says_more_or_something_else_is_no_plain_request(text: str) -> None:
    assert not is_plain_request(text)


def test_a_line_that_continues_in_the_next_is_read_as_one_sentence() -> None:
    wrapped = "I have been reading this for years now, and I would never want to\nunsubscribe\nfrom it."
    assert not is_plain_request(wrapped)


def test_only_the_beginning_of_a_long_text_is_examined() -> None:
    assert is_plain_request("I moved. Please unsubscribe me.")
    assert not is_plain_request("x " * MAX_EXAMINED_CHARS + "\n\nunsubscribe")


@pytest.mark.parametrize("text", ["", "\n" * 1000, "." * 100_000, "re: " * 50_000, "\0\ud800"])
def test_odd_text_is_no_request(text: str) -> None:
    assert not is_plain_request(text)
