"""Domains that look like a large provider's."""

from __future__ import annotations

import pytest

from mailer.core import addresses


@pytest.mark.parametrize(
    "domain",
    [
        "gmai1.com",
        "gm\u0430il.com",
        "gm\u00e5il.com",
        "\u0443\u0430hoo.com",
        "0utlook.com",
        "hotrnail.com",
        "gmial.com",
        "gmail.con",
    ],
)
def test_a_domain_that_looks_like_a_large_providers_is_flagged(domain: str) -> None:
    assert addresses.flags(addresses.normal(f"ada@{domain}"))[-1:] == ["lookalike"]


@pytest.mark.parametrize(
    "domain", ["gmail.com", "example.org", "b\u00fccher.example", "mail.ru", "email.com", "modern.org", "1und1.de"]
)
def test_a_domain_that_is_itself_is_not_flagged(domain: str) -> None:
    assert addresses.flags(addresses.normal(f"ada@{domain}")) == []
