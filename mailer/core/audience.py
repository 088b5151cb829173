"""The audience rule: ``everyone``, tags and comparisons, joined by ``and``, ``or``, ``not`` and brackets.

``python and not beginners``, ``(paris or lyon) and events``. A tag with spaces is quoted: ``"early birds" or vip``.
Comparisons: ``metadata.city = "New York"``, ``metadata.age >= 18``, ``metadata.plan`` (has one at all),
``joined < 2026-01-01``, ``joined within 30d``, ``not active within 90d`` (what they last did themselves), ``lang = de``,
``domain != example.org``.
``segment "early birds"`` chooses whom the segment of that name chooses; ``flows/segments.py`` puts its rule in its place.
``sent edition 1`` chooses those to whom that edition of the same issue was sent.
``parse`` makes a small tree; ``store/audiences.py`` turns the tree into SQL with parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from mailer.core.errors import BadRule


@dataclass(frozen=True)
class Everyone:
    """All active subscribers."""


@dataclass(frozen=True)
class Tag:
    """Subscribers who have this tag."""

    name: str


@dataclass(frozen=True)
class Not:
    """Subscribers outside the inner rule."""

    inner: Rule


@dataclass(frozen=True)
class Both:
    """Subscribers in both rules (``and``)."""

    left: Rule
    right: Rule


@dataclass(frozen=True)
class Either:
    """Subscribers in one of the rules (``or``)."""

    left: Rule
    right: Rule


@dataclass(frozen=True)
class Compare:
    """Subscribers for whom this is true. ``value`` is a number, a day, a time span (``within``), a text, or None (is set).

    ``field`` is metadata (of which ``name`` is compared), joined, active, lang or domain.
    """

    field: str
    name: str
    op: str
    value: Decimal | date | timedelta | str | None


@dataclass(frozen=True)
class Sent:
    """Subscribers to whom an edition of the same issue was sent; ``of_issue`` fills in the issue."""

    number: int
    issue: str = ""


@dataclass(frozen=True)
class Segment:
    """Subscribers in the segment of this name (lower case), named at this column (from 1)."""

    name: str
    column: int = 1


Rule = Everyone | Tag | Not | Both | Either | Compare | Sent | Segment

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()])|(?P<op>!=|<=|>=|=|<|>)|metadata\.(?:"(?P<key>[^"]+)"|(?P<field>(?:[^\s()"<>=!]|!(?!=))+))"""
    r"""|"(?P<quoted>[^"]*)"|(?P<word>(?:[^\s()"<>=!]|!(?!=))+))""",
    re.IGNORECASE,
)
_WORDS = {"and", "or", "not", "everyone"}
_DATES, _TEXTS = ("joined", "active"), ("lang", "domain")
_MAX_SHOWN_CHARS = 300  # of a rule, in an error
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_SPAN = re.compile(r"(\d{1,5})(d|w)", re.IGNORECASE | re.ASCII)
MAX_RULE_CHARS = 20_000
MAX_RULE_TERMS = 1_000  # tags, comparisons and segments, including those of the segments that a rule names
MAX_RULE_DEPTH = 50  # nested brackets and nots in one rule
_MAX_TREE_DEPTH = 200  # with the rules of segments filled in


def parse(text: str) -> Rule:
    """Parse a rule. Raises BadRule naming the column (from 1) where it cannot be read."""
    return _Parser(text).whole()


def tags(rule: Rule) -> set[str]:
    """List the tags that a rule names."""
    return {part.name for part in _list_parts(rule) if isinstance(part, Tag)}


def of_issue(rule: Rule, issue: str) -> Rule:
    """Bind the rule to an issue, by the key under which its sends are recorded."""
    return _change_tags(rule, lambda part: Sent(part.number, issue) if isinstance(part, Sent) else part)


def segments(rule: Rule) -> list[Segment]:
    """List the segments that a rule names, in order."""
    return [part for part in _list_parts(rule) if isinstance(part, Segment)]


def filled(rule: Rule, find: Callable[[Segment], Rule]) -> Rule:
    """Replace each segment of a rule by what ``find`` returns for it."""
    whole = _change_tags(rule, lambda part: find(part) if isinstance(part, Segment) else part)
    _check_size(whole)
    return whole


def _check_size(rule: Rule) -> None:
    """Raise BadRule for a rule that would overflow Python's or Postgres's stack."""
    waiting, terms = [(rule, 1)], 0
    while waiting:
        part, depth = waiting.pop()
        inner = [part.inner] if isinstance(part, Not) else [part.left, part.right] if isinstance(part, Both | Either) else []
        waiting += [(one, depth + 1) for one in inner]
        terms += not inner
        if terms > MAX_RULE_TERMS or depth > _MAX_TREE_DEPTH:
            raise BadRule(
                f"The audience has more than {MAX_RULE_TERMS:,} terms, or too many levels, with its segments: use tags."
            )


def _list_parts(rule: Rule) -> Iterator[Rule]:
    """Yield the parts of a rule without ``and``, ``or`` and ``not``, in order."""
    match rule:
        case Not(inner):
            yield from _list_parts(inner)
        case Both(left, right) | Either(left, right):
            yield from _list_parts(left)
            yield from _list_parts(right)
        case _:
            yield rule


def _change_tags(rule: Rule, change: Callable[[Rule], Rule]) -> Rule:
    """Replace each of a rule's parts."""
    match rule:
        case Not(inner):
            return Not(_change_tags(inner, change))
        case Both(left, right):
            return Both(_change_tags(left, change), _change_tags(right, change))
        case Either(left, right):
            return Either(_change_tags(left, change), _change_tags(right, change))
    return change(rule)


def _join(kind: type[Both | Either], parts: list[Rule]) -> Rule:
    """Join parts as a balanced tree, so that a long rule is not a deep one."""
    if len(parts) == 1:
        return parts[0]
    half = (len(parts) + 1) // 2
    return kind(_join(kind, parts[:half]), _join(kind, parts[half:]))


def shown(text: str) -> str:
    """Return a rule as errors quote it, shortened if it is long."""
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_RULE_CHARS:
            raise BadRule(
                f"The audience has more than {MAX_RULE_CHARS:,} characters: give these subscribers a tag and name that."
            )
        self.tokens = self._cut(text)
        self.at = 0
        self.depth = 0
        self.terms = 0

    def whole(self) -> Rule:
        if not self.tokens:
            raise BadRule("The audience is empty: write `everyone`, or tags joined by and, or, not.")
        rule = self._either()
        if self.at < len(self.tokens):
            raise self._wrong("expected `and` or `or`")
        return rule

    def _either(self) -> Rule:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return _join(Either, parts)

    def _both(self) -> Rule:
        parts = [self._single()]
        while self._take("and"):
            parts.append(self._single())
        return _join(Both, parts)

    def _single(self) -> Rule:
        self.depth += 1
        if self.depth > MAX_RULE_DEPTH:
            raise self._wrong(f"more than {MAX_RULE_DEPTH} levels deep")
        try:
            return self._operand()
        finally:
            self.depth -= 1

    def _operand(self) -> Rule:
        self.terms += 1
        if self.terms > MAX_RULE_TERMS:
            raise self._wrong(f"more than {MAX_RULE_TERMS:,} terms")
        if self._take("not"):
            return Not(self._single())
        if self._take("("):
            rule = self._either()
            if not self._take(")"):
                raise self._wrong("expected `)`")
            return rule
        if self._take("everyone"):
            return Everyone()
        if (self._kind(0), self._value(0).lower(), self._value(1).lower()) == ("word", "sent", "edition"):
            self.at += 2
            return Sent(self._number())
        return self._segment() or self._compare() or Tag(self._tag())

    def _segment(self) -> Rule | None:
        """Parse a segment, if one is named here; the word ``segment`` alone is a tag."""
        named = self._kind(1) == "quoted" or (self._kind(1) == "word" and self._value(1).lower() not in _WORDS)
        if (self._kind(0), self._value(0).lower()) != ("word", "segment") or not named or self._kind(2) == "op":
            return None
        self.at += 2
        return Segment(" ".join(self._value(-1).lower().split()), self.tokens[self.at - 2][2] + 1)

    def _compare(self) -> Rule | None:
        """Parse a comparison, if one begins here."""
        kind, value = self._kind(0), self._value(0)
        if kind in ("key", "field"):
            self.at += 1
            return Compare("metadata", value, *self._operator(metadata=True))
        follows = self._kind(1) == "op" or (self._kind(1) == "word" and self._value(1).lower() == "within")
        if kind == "word" and value.lower() in (*_DATES, *_TEXTS) and follows:
            self.at += 1
            field = value.lower()
            return Compare(field, "", *(self._when() if field in _DATES else self._operator(metadata=False)))
        return None

    def _operator(self, metadata: bool) -> tuple[str, Decimal | str | None]:
        """Parse what follows the name of a metadata field, ``lang`` or ``domain``."""
        if self._kind(0) != "op":
            return "has", None
        op = self._value(0)
        if not metadata and op not in ("=", "!="):
            raise self._wrong("only = and != can be used here")
        self.at += 1
        kind, value = self._kind(0), self._value(0)
        if kind not in ("word", "quoted"):
            raise self._wrong("expected a value")
        self.at += 1
        if metadata and kind == "word" and _NUMBER.fullmatch(value):
            return op, Decimal(value)
        return op, value

    def _when(self) -> tuple[str, date | timedelta]:
        """Parse the day, or the span of time, that a moment is compared with."""
        if self._take("within"):
            span = _SPAN.fullmatch(self._value(0))
            if not span:
                raise self._wrong("expected a time such as 30d or 8w")
            self.at += 1
            return "within", timedelta(days=int(span[1]) * (7 if span[2].lower() == "w" else 1))
        op = self._value(0)
        self.at += 1
        try:
            day = date.fromisoformat(self._value(0))
        except ValueError:
            raise self._wrong("expected a day such as 2026-11-24") from None
        self.at += 1
        return op, day

    def _number(self) -> int:
        if not re.fullmatch(r"[1-9]\d{0,5}", self._value(0), re.ASCII):
            raise self._wrong("expected the number of an edition")
        self.at += 1
        return int(self._value(-1))

    def _kind(self, ahead: int) -> str:
        place = self.at + ahead
        return self.tokens[place][0] if place < len(self.tokens) else ""

    def _value(self, ahead: int) -> str:
        place = self.at + ahead
        return self.tokens[place][1] if place < len(self.tokens) else ""

    def _tag(self) -> str:
        if self.at >= len(self.tokens):
            raise self._wrong("expected a tag")
        kind, value, _ = self.tokens[self.at]
        if kind not in ("word", "quoted") or (kind == "word" and value.lower() in _WORDS) or not value.strip():
            raise self._wrong("expected a tag")
        self.at += 1
        return value.strip().lower()

    def _take(self, wanted: str) -> bool:
        if self.at < len(self.tokens):
            kind, value, _ = self.tokens[self.at]
            if kind in ("word", "mark") and value.lower() == wanted:
                self.at += 1
                return True
        return False

    def _cut(self, text: str) -> list[tuple[str, str, int]]:
        tokens, at, end = [], 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if not match or not match.lastgroup:
                column = len(text) - len(text[at:].lstrip()) + 1
                raise BadRule(
                    f"The audience {shown(text)} has a quote that is never closed at column {column}: close it or leave it out."
                )
            tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return tokens

    def _wrong(self, what: str) -> BadRule:
        column = self.tokens[self.at][2] + 1 if self.at < len(self.tokens) else len(self.text) + 1
        return BadRule(
            f"The audience {shown(self.text)} cannot be read at column {column} ({what}):"
            " write `everyone`, or tags and comparisons joined by and, or, not, with brackets where needed."
        )
