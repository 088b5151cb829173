"""The placeholder of the unsubscribe link in an email that the build did not make."""

from __future__ import annotations

import pytest

from mailer.core.message import UNSUBSCRIBE_URL as URL
from mailer.editions.mail.placeholder_places import is_misplaced


@pytest.mark.parametrize(
    "html",
    [
        f'<img src="https://example.net/?{URL}">',
        f"<img src='https://example.net/?<a href=\"{URL}\">x</a>'>",
        f'<a href="https://example.net/?{URL}">x</a>',
        f"<p>https://example.net/?{URL}</p>",
        f'<!--[if mso]><img src="https://example.net/?{URL}"><![endif]--><p>x</p>',
        f"<style>@import url(https://example.net/{URL})</style>",
        f'<svg><image href="{URL}"/></svg>',
        f'<form action="{URL}"></form>',
        f"<noscript><img src={URL}></noscript>",
        f'<p>x</p><img src="https://example.net/?{URL}',
        f'<a href="&#x78;{URL[1:]}"></a><img src="https://example.net/?{URL}">',
    ],
)
def test_an_email_may_contain_the_placeholder_in_no_other_place_than_a_link(html: str) -> None:
    assert is_misplaced(html, "")


@pytest.mark.parametrize("text", [f"https://example.net/?{URL}", f"{URL}.example.net"])
def test_a_text_email_may_contain_the_placeholder_in_no_other_url(text: str) -> None:
    assert is_misplaced("", text)


def test_a_link_and_a_text_may_be_the_placeholder() -> None:
    assert not is_misplaced(f'<p>x <a href="{URL}">Unsubscribe</a>: {URL} </p>', f"Unsubscribe: {URL}\n")
