from __future__ import annotations

import contextlib
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.core.audience import Both, Compare, Either, Everyone, Not, Rule, Sent, Tag, of_issue, parse, tags
from mailer.core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("everyone", Everyone()),
        ("Python", Tag("python")),
        ("a and b or c", Either(Both(Tag("a"), Tag("b")), Tag("c"))),
        ("a and (b or c)", Both(Tag("a"), Either(Tag("b"), Tag("c")))),
        ("not a and b", Both(Not(Tag("a")), Tag("b"))),
        ('"early birds" and not "or"', Both(Tag("early birds"), Not(Tag("or")))),
        ("Sent edition 1", Sent(1)),
        ("sent edition 2 and not sent", Both(Sent(2), Not(Tag("sent")))),
        ("edition or sent", Either(Tag("edition"), Tag("sent"))),
        ("everyone and not vip", Both(Everyone(), Not(Tag("vip")))),
    ],
)
def test_a_rule_is_read_as_people_mean_it(text: str, rule: Rule) -> None:
    assert parse(text) == rule


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "empty"),
        ("a b", "column 3"),
        ("(a", "column 3"),
        ("a and", "column 6"),
        ("sent edition", "column 13"),
        ("sent edition one", "column 14"),
        ("and a", "column 1"),
        ('"a', "column 1"),
    ],
)
def test_a_broken_rule_names_the_column(text: str, place: str) -> None:
    with pytest.raises(BadInput, match=place):
        parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_rule_or_one_sentence(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(tags(parse(text)), set)


def test_a_very_deep_rule_is_refused_and_does_not_crash() -> None:
    with pytest.raises(BadInput, match="levels deep"):
        parse("(" * 5000 + "a" + ")" * 5000)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('metadata.city = "New York"', Compare("metadata", "city", "=", "New York")),
        ("metadata.age>=18", Compare("metadata", "age", ">=", Decimal(18))),
        ('metadata.age = "18"', Compare("metadata", "age", "=", "18")),
        ('metadata."first name" != Ada', Compare("metadata", "first name", "!=", "Ada")),
        ("Metadata.Plan", Compare("metadata", "Plan", "has", None)),
        ("joined < 2026-01-02", Compare("joined", "", "<", date(2026, 1, 2))),
        ("joined within 2w", Compare("joined", "", "within", timedelta(days=14))),
        ("not active within 90d", Not(Compare("active", "", "within", timedelta(days=90)))),
        ("lang = de and vip", Both(Compare("lang", "", "=", "de"), Tag("vip"))),
        ("domain != example.org", Compare("domain", "", "!=", "example.org")),
        ("joined and active", Both(Tag("joined"), Tag("active"))),
        ('"joined" or "a=b"', Either(Tag("joined"), Tag("a=b"))),
        ("c++ or wow!", Either(Tag("c++"), Tag("wow!"))),
    ],
)
def test_a_comparison_is_read_as_people_mean_it(text: str, rule: Rule) -> None:
    assert parse(text) == rule


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("joined < soon", "column 10"),
        ("joined within 5", "column 15"),
        ("lang > de", "column 6"),
        ("metadata.a =", "column 13"),
        ("metadata.a = )", "column 14"),
        ("vip = 1", "column 5"),
        ("= 1", "column 1"),
        ("a and joined <", "column 15"),
    ],
)
def test_a_broken_comparison_names_the_column(text: str, place: str) -> None:
    with pytest.raises(BadInput, match=place):
        parse(text)


def test_who_got_an_edition_is_asked_of_the_issue_that_says_so() -> None:
    assert of_issue(parse("(sent edition 1 or a) and not sent edition 2"), "x") == Both(
        Either(Sent(1, "x"), Tag("a")), Not(Sent(2, "x"))
    )
