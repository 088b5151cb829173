"""Issues in several languages: our own words in the language of the text; a translation is a text of its original."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree, html

from mailer import checks
from mailer.core import i18n
from mailer.core.db import Database
from mailer.core.edition import Variant
from mailer.core.errors import Refused
from mailer.editions import Report, load
from mailer.editions.source import site_config
from tests.integration.editions.test_editions import SITE, NewsletterFolder, newsletter, one, told
from tests.integration.sending.test_languages_sent import Newsletter

__all__ = ["newsletter"]

LONG = "\n".join(f"## Part {n}\n\n" + "A sentence that is repeated. " * 300 for n in range(16))
OWN = (
    "Read on the web", "Unsubscribe", "Verify", "Read the rest on the web", "This part is for paid subscribers.",
    "Subscribe to read on",
)  # fmt: skip


@pytest.mark.parametrize("lang", [*i18n.LANGUAGES, "de-AT", "nl"])
def test_the_emails_own_words_are_in_the_language_of_the_text(newsletter: NewsletterFolder, lang: str) -> None:
    conf = newsletter.folder / "pelicanconf.py"
    conf.write_text(conf.read_text() + '\nPOSTMERGE_CLIP = "cut"\n')
    body = f"A [link](https://example.org/).[^1]\n\n:::premium\nsecret\n:::\n\n{LONG}\n\n[^1]: A note.\n"
    newsletter.write("own.md", f"Title: Own\nDate: 2026-11-20 09:00\nLang: {lang}", body)
    made = one(newsletter.build(), "own")
    spoken = i18n.spoken(lang)
    say = i18n.translator(spoken)
    for text in OWN:
        assert say(text) in made.html
        assert text == say(text) or text not in made.html
    root = html.document_fromstring(made.html)
    body_of = root.find("body")
    assert body_of is not None
    assert (root.get("lang"), root.get("dir")) == (lang, "ltr")
    assert {element.get("lang") for element in body_of.iter() if element.get("lang")} == {spoken}
    assert i18n.day(made.dated, spoken) in made.html
    why = say("You’re getting this email because you subscribed to %(site)s.", site="The Postmerge Letter")
    assert why in " ".join("".join(map(str, body_of.itertext())).split())
    for line in (why, f"{say('Read on the web')}: {made.url}", say("Links"), say("This part is for paid subscribers.")):
        assert line in " ".join(made.text.split())
    assert f"[{say('note %(number)s', number=1)}]" in made.text
    assert re.search(rf"^{say('Unsubscribe')}: ", made.text, re.MULTILINE)


def write_family(newsletter: NewsletterFolder, head: str = "", more: str = "") -> None:
    newsletter.write(
        "hello.md", f"Title: Hello\nDate: 2026-11-22 09:00\nSend: yes\nTags: one\n{head}", f"English words.\n\n{more}"
    )
    newsletter.write(
        "hello.de.md",
        "Title: Hallo\nSubject: Hallo!\nPreheader: Kurz\nDate: 2026-11-22 09:00\nLang: de\nTags: eins",
        "Deutsche Worte.\n",
    )
    newsletter.write("bonjour.md", "Title: Bonjour\nSlug: hello\nDate: 2026-11-22 09:00\nLang: fr", "Des mots français.\n")


def variants(report: Report, key: str = "hello") -> dict[str, Variant]:
    return {variant.name: variant for variant in one(report, key).variants}


def test_a_translation_is_a_text_of_its_original_and_no_issue_of_its_own(newsletter: NewsletterFolder) -> None:
    write_family(newsletter)
    report = newsletter.build()
    assert told(report, "error") == []
    assert [edition.key for edition in report.editions if edition.key.startswith(("hello", "bonjour"))] == ["hello"]
    found = variants(report)
    assert list(found) == ["de", "fr"]
    german = found["de"]
    assert (german.title, german.subject, german.preheader, german.lang) == ("Hallo", "Hallo!", "Kurz", "de")
    assert german.url == f"{SITE}/issues/hello/de/"
    assert "Deutsche Worte." in german.html
    assert "Deutsche Worte." in german.text
    assert german.url in german.html
    assert german.digest != one(report, "hello").digest
    page = newsletter.page("issues/hello/de/index.html")
    assert german.digest in page
    assert german.body in page
    assert "English words." in newsletter.page("issues/hello/index.html")
    assert load(newsletter.folder / "build" / "editions").editions == report.editions


def test_a_file_may_name_its_original_in_another_way(newsletter: NewsletterFolder) -> None:
    conf = newsletter.folder / "pelicanconf.py"
    conf.write_text(conf.read_text() + '\nARTICLE_TRANSLATION_ID = "translation_id"\n')
    for name in ("first", "second"):
        path = newsletter.issues / f"{name}.md"
        path.write_text(f"Translation_id: {name}\n{path.read_text()}")
    newsletter.write("hello.md", "Title: Hello\nDate: 2026-11-22 09:00\nTranslation_id: x", "English words.\n")
    newsletter.write("hallo.md", "Title: Hallo\nDate: 2026-11-22 09:00\nTranslation_id: x\nLang: de", "Deutsche Worte.\n")
    found = variants(newsletter.build())
    assert {name: variant.url for name, variant in found.items()} == {"de": f"{SITE}/issues/hallo/"}


@pytest.mark.parametrize(
    ("line", "field"),
    [("Send: yes", "Send"), ("Audience: python", "Audience"), ("Edition: 2", "Edition"), ("Id: other", "Id")],
)
def test_only_the_original_says_when_and_to_whom(newsletter: NewsletterFolder, line: str, field: str) -> None:
    write_family(newsletter)
    path = newsletter.issues / "hello.de.md"
    path.write_text(f"{line}\n{path.read_text()}")
    report = newsletter.build()
    assert told(report, "error") == [
        f"content/issues/hello.de.md:1: error: `{field}:` is in a translation of content/issues/hello.md, but the original"
        " sets it for all languages: remove the line here."
    ]
    assert list(variants(report)) == ["fr"]
    assert [edition.key for edition in report.editions if edition.send.value != "no"] == ["second", "hello"]


def test_without_a_text_in_the_sites_language_the_one_that_asks_is_the_original(newsletter: NewsletterFolder) -> None:
    newsletter.write("a.md", "Title: Hallo\nSlug: hello\nDate: 2026-11-22 09:00\nLang: de", "Deutsche Worte.\n")
    newsletter.write("b.md", "Title: Bonjour\nSlug: hello\nDate: 2026-11-22 09:00\nLang: fr\nSend: yes", "Des mots français.\n")
    report = newsletter.build()
    assert told(report, "error") == []
    assert (one(report, "hello").lang, list(variants(report))) == ("fr", ["de"])


def test_premium_text_of_a_translation_is_kept_apart_and_never_public(newsletter: NewsletterFolder) -> None:
    write_family(newsletter, more=":::premium\nThe whole secret of the eleven dry cellars below.\n:::\n")
    report = newsletter.build()
    assert [name.split(":")[0] for name in told(report, "error")] == [
        "content/issues/bonjour.md", "content/issues/hello.de.md",
    ]  # fmt: skip
    assert not (newsletter.folder / "build" / "site" / "issues" / "hello" / "de").exists()
    secret = "Das ganze Geheimnis der elf trockenen Keller unter dem Hof."
    german = newsletter.issues / "hello.de.md"
    german.write_text(f"{german.read_text()}\n:::premium\n{secret}\n:::\n")
    french = newsletter.issues / "bonjour.md"
    french.write_text(f"Access: open\n{french.read_text()}")
    report = newsletter.build()
    found = variants(report)
    assert told(report, "error") == []
    assert list(found) == ["premium", "de", "de premium", "fr"]
    assert secret in found["de premium"].text
    assert (found["de premium"].lang, found["de premium"].subject) == ("de", "Hallo!")
    for path in (newsletter.folder / "build" / "site").rglob("*"):
        assert path.is_dir() or b"elf trockenen Keller" not in path.read_bytes()
    assert "Dieser Teil ist für zahlende" in found["de"].html
    german.write_text(f"{german.read_text()}\n{secret}\n")
    with pytest.raises(Refused, match=r"contains paid text from content/issues/hello\.de\.md"):
        newsletter.build()


def alternates(page: str) -> dict[str | None, str | None]:
    return {
        link.get("hreflang"): link.get("href")
        for link in html.document_fromstring(page).iter("link")
        if link.get("rel") == "alternate" and link.get("hreflang")
    }


def test_pages_in_all_languages_know_each_other(newsletter: NewsletterFolder) -> None:
    write_family(newsletter)
    newsletter.write("third.md", "Title: Third\nDate: 2026-11-23 09:00", "Later.\n")
    newsletter.build()
    english = f"{SITE}/issues/hello/"
    everywhere = {"en": english, "de": f"{english}de/", "fr": f"{english}fr/", "x-default": english}
    for lang, name in (("en", ""), ("de", "de/"), ("fr", "fr/")):
        page = newsletter.page(f"issues/hello/{name}index.html")
        root = html.document_fromstring(page)
        assert alternates(page) == everywhere
        assert (root.get("lang"), root.get("dir")) == (lang, "ltr")
        [own] = [link.get("href") for link in root.iter("link") if link.get("rel") == "canonical"]
        assert own == everywhere[lang]
        [switch] = [nav for nav in root.iter("nav") if nav.get("aria-label") == i18n.translator(lang)("Languages")]
        links = {link.get("hreflang"): (link.text, link.get("href"), link.get("aria-current")) for link in switch.iter("a")}
        assert links == {
            code: (i18n.LANGUAGES[code], everywhere[code], "page" if code == lang else None) for code in ("en", "de", "fr")
        }
        assert i18n.translator(lang)("Get the next issue by email") in page
        assert f'/subscribe{"" if lang == "en" else "?lang=" + lang}"' in page
        assert f"{SITE}/tags/one/" in page
        assert f"{SITE}/issues/third/" in page
    assert not alternates(newsletter.page("issues/third/index.html"))
    assert f"{SITE}/issues/hello/" in newsletter.page("issues/third/index.html")


def test_a_site_in_german_is_german_all_over(newsletter: NewsletterFolder) -> None:
    conf = newsletter.folder / "pelicanconf.py"
    conf.write_text(conf.read_text() + '\nDEFAULT_LANG = "de"\nPOSTMERGE_JOIN = True\n')
    for day in (23, 24):
        newsletter.write(f"nummer-{day}.md", f"Title: Nummer\nDate: 2026-11-{day} 09:00\nTags: eins", "Text.\n")
    newsletter.build()
    for name, words in {
        "index.html": ["Neueste Ausgabe", "24. November 2026", "Frühere Ausgaben", "Alle Ausgaben (4)", "Bezahltes Abonnement"],
        "archive/index.html": ["Archiv", "4 Ausgaben&#160;· neueste zuerst", "24. Nov.", "Hauptmenü", "Weitere Seiten"],
        "tags/eins/index.html": ["Themen", "2 Ausgaben", "RSS-Feed zu diesem Thema"],
        "search/index.html": ["Suchbegriff", "Keine Treffer für", "Archiv", "RSS-Feed", "Atom-Feed"],
        "404.html": ["Seite nicht gefunden", "zurück an Absender", "stehen alle Ausgaben"],
        "issues/nummer-24/index.html": ["Zwischen hell und dunkel wechseln", "Dunkel", "name@example.org"],
    }.items():
        page = newsletter.page(name)
        assert [word for word in words if word not in page] == [], name
        assert not re.search(r"\b(Archive|Topics|Search|Dark|Light|issues?|[Ff]eed for|Site|More|November 24)\b<", page), name


def test_lists_and_feeds_have_the_original_and_the_sitemap_has_all(newsletter: NewsletterFolder) -> None:
    write_family(newsletter)
    newsletter.build()
    english = f"{SITE}/issues/hello/"
    for name in ("feeds/all.atom.xml", "feeds/all.json", "archive/index.html", "tags/one/index.html"):
        assert english in newsletter.page(name)
        assert f"{english}de/" not in newsletter.page(name)
    tree = etree.fromstring(newsletter.page("sitemap.xml").encode())
    names = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}
    found = {
        url.findtext("s:loc", namespaces=names): {
            link.get("hreflang"): link.get("href") for link in url.findall("x:link", names)
        }
        for url in tree.findall("s:url", names)
    }
    everywhere = {"en": english, "de": f"{english}de/", "fr": f"{english}fr/", "x-default": english}
    assert [found[url] for url in (english, f"{english}de/", f"{english}fr/")] == [everywhere] * 3
    assert found[f"{SITE}/issues/second/"] == {}
    assert list(found).count(f"{english}de/") == 1


def test_from_files_to_emails_each_subscriber_gets_the_text_for_them(
    newsletter: NewsletterFolder, database: Database, tmp_path: Path
) -> None:
    write_family(newsletter, more=":::premium\nThe whole secret of the eleven dry cellars below.\n:::\n")
    german, french = newsletter.issues / "hello.de.md", newsletter.issues / "bonjour.md"
    german.write_text(f"{german.read_text()}\n:::premium\nDas ganze Geheimnis der elf trockenen Keller unter dem Hof.\n:::\n")
    french.write_text(f"Access: open\n{french.read_text()}")
    for path in (newsletter.issues / "second.md", newsletter.issues / "first.md"):
        path.unlink()
    ledger = Newsletter(database, tmp_path / "n")
    for who in ("", "de", "de+", "fr-CH", "fr+"):
        ledger.add_subscriber(who.removesuffix("+"), paid=who.endswith("+"))
    [send_id] = ledger.publish(one(newsletter.build(), "hello"))
    ledger.deliver(send_id)
    parts = {who: ledger.email(who).get_body(("plain",)) for who in ("", "de", "de+", "fr-CH", "fr+")}
    texts = {who: " ".join(str(part.get_content()).split()) for who, part in parts.items() if part}
    secrets = ("eleven dry cellars", "elf trockenen Keller")
    found = {who: [secret for secret in secrets if secret in text] for who, text in texts.items()}
    assert found == {"": [], "de": [], "de+": [secrets[1]], "fr-CH": [], "fr+": [secrets[0]]}
    starts = {"": "Hello =", "de": "Hallo =", "de+": "Hallo =", "fr-CH": "Bonjour =", "fr+": "Hello ="}
    assert {who: text.startswith(starts[who]) for who, text in texts.items()} == dict.fromkeys(starts, True)
    assert "Abmelden: http" in texts["de"]


def test_checks_and_the_build_agree_on_every_issues_address(newsletter: NewsletterFolder) -> None:
    names = {
        "hello.md": "", "hello.en.md": "", "hello.de.md": "Lang: de", "Hello.DE-at.md": "Lang: de_AT", "\U0001f600.md": "",
        "odd.md": "Slug: /a b/../c?/", "Größe & Maß.md": "", "tea.de.md": "",
    }  # fmt: skip
    for name, more in names.items():
        newsletter.write(name, f"Title: {name}\nDate: 2026-11-20\n{more}")
    report = newsletter.build()
    built = {one.path: one.url.removeprefix(f"{SITE}/issues/").strip("/") for one in report.editions}
    built |= {v.path: v.url.removeprefix(f"{SITE}/issues/").strip("/") for one in report.editions for v in one.variants}
    site = site_config.read(newsletter.folder / "content", newsletter.folder / "pelicanconf.py", SITE)
    docs = checks.documents(site)
    ctx = checks.context_of(site, docs)
    slugs = {ctx.siblings[doc.path].shown: ctx.siblings[doc.path].slug for doc in docs}
    twice = {doc.path.name for doc in docs for found in checks.examine([doc], ctx) if found.id == "slug-double"}
    assert twice == {"hello.md"}, "without `Lang:` both are in the site's, and the other came first"
    for path, slug in built.items():
        [name] = [shown for shown in slugs if shown.endswith(path)]
        assert slug.partition("/")[0] == slugs[name], "a translation is below its original"
    assert slugs["content/issues/hello.md"] == "issues-hello"
    assert len(built) == len(docs)
