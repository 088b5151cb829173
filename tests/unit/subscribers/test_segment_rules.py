"""Filters in the contract's shape as audience rules: what is joined stays together, and every "not" turns its filter round."""

from __future__ import annotations

from typing import Any

import pytest

from mailer.core import audience
from mailer.core.errors import BadInput
from mailer.flows.subscribers import segment_rules

Term = tuple[str, str, str]
TAG, SEGMENT, CITY, ANY = "subscriber.tags", "subscriber.segment", "subscriber.metadata.city", "subscriber.audience"


def group(*terms: Term, predicate: str = "and", groups: tuple[Any, ...] = ()) -> dict[str, Any]:
    filters = [{"field": field, "operator": operator, "value": value} for field, operator, value in terms]
    return {"filters": filters, "groups": list(groups), "predicate": predicate}


def same(group: dict[str, Any], rule: str) -> bool:
    """Do the filters say this rule?"""
    return audience.parse(segment_rules.build_rule(group)) == audience.parse(rule)


@pytest.mark.parametrize(
    ("term", "rule"),
    [
        ((TAG, "equals", "python"), '"python"'),
        ((TAG, "contains", "python"), '"python"'),
        ((TAG, "not_equals", "python"), 'not "python"'),
        ((TAG, "not_contains", "python"), 'not "python"'),
        ((SEGMENT, "equals", "Friends"), 'segment "Friends"'),
        ((SEGMENT, "not_equals", "Friends"), 'not segment "Friends"'),
        ((CITY, "equals", "Paris"), 'metadata."city" = "Paris"'),
        ((CITY, "not_equals", "Paris"), 'metadata."city" != "Paris"'),
        ((CITY, "greater_than", "7"), 'metadata."city" > 7'),
        ((CITY, "less_than", "-7.5"), 'metadata."city" < -7.5'),
        ((CITY, "greater_than", "Paris"), 'metadata."city" > "Paris"'),
        ((CITY, "equals", "7"), 'metadata."city" = "7"'),
        ((CITY, "is_empty", ""), 'not metadata."city"'),
        ((CITY, "is_not_empty", ""), 'metadata."city"'),
        (("subscriber.subscription_date", "greater_than", "2026-11-24T09:00:00Z"), "joined > 2026-11-24"),
        (("subscriber.subscription_date", "less_than", "2026-11-24"), "joined < 2026-11-24"),
        ((ANY, "equals", "a or b"), "(a or b)"),
        ((ANY, "not_equals", "a or b"), "not (a or b)"),
        ((ANY, "equals", "everyone"), "everyone"),
        ((ANY, "not_equals", "everyone"), "not everyone"),
    ],
)
def test_each_filter_is_one_rule_and_not_means_the_opposite(term: Term, rule: str) -> None:
    assert same(group(term), rule)


@pytest.mark.parametrize("rule", ["a or b", "not a or b", "a and b or c", "not a", "(a)", "everyone"])
@pytest.mark.parametrize("operator", ["equals", "not_equals"])
@pytest.mark.parametrize("predicate", ["and", "or"])
def test_a_rule_beside_another_filter_keeps_its_own_meaning(rule: str, operator: str, predicate: str) -> None:
    negated = "not " if operator == "not_equals" else ""
    for terms in ([(ANY, operator, rule), (TAG, "equals", "t")], [(TAG, "equals", "t"), (ANY, operator, rule)]):
        sides = [f"({negated}({rule}))", '"t"'] if terms[0][0] == ANY else ['"t"', f"({negated}({rule}))"]
        assert same(group(*terms, predicate=predicate), f" {predicate} ".join(sides))


@pytest.mark.parametrize(("outer", "inner"), [("and", "or"), ("or", "and"), ("and", "and"), ("or", "or")])
def test_a_group_inside_a_group_stays_together(outer: str, inner: str) -> None:
    whole = group(
        (TAG, "equals", "c"), predicate=outer, groups=(group((TAG, "equals", "a"), (TAG, "equals", "b"), predicate=inner),)
    )
    assert same(whole, f'"c" {outer} ("a" {inner} "b")')


def test_no_filter_is_everyone_and_an_empty_group_takes_nobody_away() -> None:
    assert same(group(), "everyone")
    assert same(group((TAG, "equals", "a"), groups=(group(),)), '"a"')
    assert same(group((TAG, "equals", "a"), groups=(group(),), predicate="or"), '"a"')


@pytest.mark.parametrize(
    "term",
    [
        (TAG, "greater_than", "a"), (TAG, "is_empty", ""), (TAG, "equals", " "), (SEGMENT, "contains", "a"),
        (SEGMENT, "not_contains", "a"), (CITY, "contains", "a"), (CITY, "not_contains", "a"), (ANY, "contains", "a"),
        ("subscriber.subscription_date", "equals", "2026-11-24"), ("subscriber.email", "equals", "a"), (TAG, "equals", 'a"b'),
        (TAG, "equals", "a\nb"), (ANY, "equals", "a or"), ("subscriber.subscription_date", "less_than", "soon"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_and_never_guessed(term: Term) -> None:
    with pytest.raises(BadInput):
        segment_rules.build_rule(group(term))


@pytest.mark.parametrize(("span", "days"), [("30d", 30), ("8w", 56), ("8W", 56), ("30D", 30), ("1w", 7), ("1W", 7), ("1d", 1)])
def test_a_span_of_weeks_is_weeks_in_capitals_too(span: str, days: int) -> None:
    assert audience.parse(f"joined within {span}") == audience.parse(f"joined within {days}d")
