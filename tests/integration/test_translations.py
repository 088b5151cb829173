"""Issues in several languages: our own words in the language of the text."""

from __future__ import annotations

import re

import pytest
from lxml import html

from mailer import words
from tests.integration.test_editions import Letter, letter, one

__all__ = ["letter"]

LONG = "\n".join(f"## Part {n}\n\n" + "A sentence that is repeated. " * 300 for n in range(16))
OWN = (
    "Read on the web", "Unsubscribe", "its page on the web", "Read the rest on the web", "This part is for paying readers.",
    "How to read all of it",
)  # fmt: skip


@pytest.mark.parametrize("lang", [*words.LANGUAGES, "de-AT", "nl"])
def test_the_mails_own_words_are_in_the_language_of_the_text(letter: Letter, lang: str) -> None:
    conf = letter.folder / "pelicanconf.py"
    conf.write_text(conf.read_text() + '\nPOSTMERGE_CLIP = "cut"\n')
    body = f"A [link](https://example.org/).[^1]\n\n:::premium\nsecret\n:::\n\n{LONG}\n\n[^1]: A note.\n"
    letter.write("own.md", f"Title: Own\nDate: 2026-11-20 09:00\nLang: {lang}", body)
    made = one(letter.build(), "own")
    spoken = words.spoken(lang)
    say = words.translator(spoken)
    for text in OWN:
        assert say(text) in made.html
        assert text == say(text) or text not in made.html
    root = html.document_fromstring(made.html)
    body_of = root.find("body")
    assert body_of is not None
    assert (root.get("lang"), root.get("dir")) == (lang, "ltr")
    assert {element.get("lang") for element in body_of.iter() if element.get("lang")} == {spoken}
    assert words.day(made.dated, spoken) in made.html
    why = say("You get this mail because you subscribed to %(site)s.", site="The Postmerge Letter")
    assert why in " ".join(body_of.text_content().split())
    for line in (why, f"{say('Read on the web')}: {made.url}", say("Links"), say("This part is for paying readers.")):
        assert line in " ".join(made.text.split())
    assert f"[{say('note %(number)s', number=1)}]" in made.text
    assert re.search(rf"^{say('Unsubscribe')}: ", made.text, re.MULTILINE)
