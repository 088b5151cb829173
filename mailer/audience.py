"""The audience rule: ``everyone``, or tags joined by ``and``, ``or``, ``not`` and brackets.

``python and not beginners``, ``(paris or lyon) and events``. A tag with spaces is quoted: ``"early birds" or vip``.
``parse`` makes a small tree; ``store/audiences.py`` turns the tree into SQL with parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailer.errors import BadInput


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


Rule = Everyone | Tag | Not | Both | Either

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[()])|"(?P<quoted>[^"]*)"|(?P<word>[^\s()"]+))""")
_WORDS = {"and", "or", "not", "everyone"}
_DEEPEST = 50


def parse(text: str) -> Rule:
    """The rule that ``text`` says. Raises BadInput naming the column (from 1) where it stops making sense."""
    return _Parser(text).whole()


def tags(rule: Rule) -> set[str]:
    """Every tag a rule names."""
    match rule:
        case Tag(name):
            return {name}
        case Not(inner):
            return tags(inner)
        case Both(left, right) | Either(left, right):
            return tags(left) | tags(right)
    return set()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._cut(text)
        self.at = 0
        self.depth = 0

    def whole(self) -> Rule:
        if not self.tokens:
            raise BadInput("The audience is empty: write `everyone`, or tags joined by and, or, not.")
        rule = self._either()
        if self.at < len(self.tokens):
            raise self._wrong("expected `and` or `or`")
        return rule

    def _either(self) -> Rule:
        rule = self._both()
        while self._take("or"):
            rule = Either(rule, self._both())
        return rule

    def _both(self) -> Rule:
        rule = self._single()
        while self._take("and"):
            rule = Both(rule, self._single())
        return rule

    def _single(self) -> Rule:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._wrong(f"more than {_DEEPEST} levels deep")
        try:
            return self._operand()
        finally:
            self.depth -= 1

    def _operand(self) -> Rule:
        if self._take("not"):
            return Not(self._single())
        if self._take("("):
            rule = self._either()
            if not self._take(")"):
                raise self._wrong("expected `)`")
            return rule
        if self._take("everyone"):
            return Everyone()
        return Tag(self._tag())

    def _tag(self) -> str:
        if self.at >= len(self.tokens):
            raise self._wrong("expected a tag")
        kind, value, _ = self.tokens[self.at]
        if kind == "mark" or (kind == "word" and value.lower() in _WORDS) or not value.strip():
            raise self._wrong("expected a tag")
        self.at += 1
        return value.strip().lower()

    def _take(self, wanted: str) -> bool:
        if self.at < len(self.tokens):
            kind, value, _ = self.tokens[self.at]
            if kind != "quoted" and value.lower() == wanted:
                self.at += 1
                return True
        return False

    def _cut(self, text: str) -> list[tuple[str, str, int]]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if not match or not match.lastgroup:
                raise BadInput(
                    f"The audience {text!r} has a quote that is never closed at column {at + 1}: close it or leave it out."
                )
            tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return tokens

    def _wrong(self, what: str) -> BadInput:
        column = self.tokens[self.at][2] + 1 if self.at < len(self.tokens) else len(self.text) + 1
        return BadInput(
            f"The audience {self.text!r} cannot be read at column {column} ({what}):"
            " write `everyone`, or tags joined by and, or, not, with brackets where needed."
        )
