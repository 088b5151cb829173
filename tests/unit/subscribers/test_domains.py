"""Internationalized domains follow one rule, IDNA 2008, wherever a domain is compared, looked up or sent to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.common.hosts import list_known_hosts
from mailer.core import addresses, domain_names
from mailer.core.errors import BadInput
from mailer.core.message import list_id, mailable
from mailer.core.net import http_client
from mailer.core.settings import Settings, load
from mailer.flows.publishing.preflight import is_below
from mailer.webhooks.signed_post import check_target

ROOT = Path(__file__).parents[3]
STRASSE = "xn--strae-oqa.de"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("straße.de", STRASSE),
        ("STRAẞE.DE", STRASSE),
        ("ｓtraße．de", STRASSE),  # full width
        ("strasse.de", "strasse.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),  # a final sigma is not an inner one
        ("mu\u0308nchen.de", "xn--mnchen-3ya.de"),
        ("Example.ORG", "example.org"),
    ],
)
def test_a_domain_is_written_as_name_servers_know_it(typed: str, expected: str) -> None:
    assert domain_names.to_ascii(typed) == expected


@pytest.mark.parametrize("refused", ["☕.example", "a\u200cb.de", "ß..de", "ß" * 64 + ".de"])
def test_a_domain_that_idna_2008_refuses_is_refused_with_a_sentence(refused: str) -> None:
    with pytest.raises(BadInput, match=r"^The domain '.+' isn’t valid \(.+\): correct it\.$"):
        domain_names.to_ascii(refused)
    with pytest.raises(BadInput, match=r"is not an email address"):
        addresses.check(f"ada@{refused}")


def test_addresses_with_sharp_s_and_with_double_s_are_two_subscribers_and_get_their_own_email() -> None:
    bulk = addresses.Bulk()
    for email, normal in (("Ada@Faß.de", "ada@xn--fa-hia.de"), ("ada@fass.de", "ada@fass.de")):
        assert addresses.normal(addresses.check(email)) == bulk.check(email)[1] == normal
        assert mailable(addresses.check(email)).lower() == normal


@pytest.mark.parametrize("domain", ["ΒΌΛΟΣ.example", "İSTANBUL.example", "STRAẞE.de", "\u212aiosk.example", "ｅxample。ORG"])
def test_capitals_of_every_script_are_found_as_they_were_stored(domain: str) -> None:
    stored = addresses.normal(addresses.check(f"Ada@{domain}"))
    assert addresses.normal(f"ADA@{domain}") == stored == addresses.Bulk().check(f"Ada@{domain}")[1]


def test_the_address_for_unsubscribing_may_have_any_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMERGE_UNSUBSCRIBE_ADDRESS", "leave@straße.de")
    assert load().unsubscribe_address == f"leave@{STRASSE}"


def test_a_lookalike_is_recognized_in_the_form_that_is_stored() -> None:
    assert addresses.flags(addresses.normal("ada@gm\u0430il.com")) == ["lookalike"]
    assert addresses.flags(addresses.normal("ada@straße.de")) == []


def test_urls_keep_everything_but_the_spelling_of_their_host() -> None:
    assert domain_names.to_ascii_url("https://me:pw@Straße.de:8443/ß?q=ß") == f"https://me:pw@{STRASSE}:8443/ß?q=ß"
    assert http_client.to_ascii("http://straße.de:81/ß") == f"http://{STRASSE}:81/%C3%9F"
    assert list_id("A <a@x.org>", "https://straße.de/") == f'"A" <{STRASSE}>'
    assert is_below(f"https://{STRASSE}/one/", "https://straße.de")
    assert not is_below("https://strasse.de/one/", "https://straße.de")
    check_target("https://straße.de/hook", [])


def test_settings_store_hosts_as_browsers_send_them() -> None:
    settings: Settings = load(
        {
            "POSTMERGE_SITE_URL": "https://straße.de/", "POSTMERGE_API_URL": "https://news.straße.de",
            "POSTMERGE_HOSTS": "faß.de", "POSTMERGE_FORM_ORIGINS": "https://www.straße.de",
        }
    )  # fmt: skip
    assert list_known_hosts(settings) >= {STRASSE, f"news.{STRASSE}", "xn--fa-hia.de"}
    assert settings.form_origins == (f"https://www.{STRASSE}",)
    with pytest.raises(BadInput, match=r"POSTMERGE_SITE_URL is .*☕.*, which has no valid host: correct it"):
        load({"POSTMERGE_SITE_URL": "https://☕.example"})


def test_nothing_uses_the_codec_of_idna_2003() -> None:
    paths = [path for folder in ("mailer", "api", "bench", "theme") for path in (ROOT / folder).rglob("*.py")]
    used = [str(path) for path in paths if re.search(r"""code\(\s*["']idna""", path.read_text(encoding="utf-8"))]
    assert len(paths) > 100
    assert used == []
