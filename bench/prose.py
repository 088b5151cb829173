"""Report retired words: names and prose that CONTRIBUTING.md's vocabulary replaces. Run by ``make check``.

Names are split at underscores and capitals. Prose is docstrings, comments, sentences in strings, templates and documentation.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("mailer", "api", "bench", "tests")
PAGES = ("api/templates", "mailer/templates", "theme/templates")
DOCS = ("docs", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "mailer/README.md")

# A retired word, in the singular, and the word to use.
RETIRED_NAMES = {
    "reader": "subscriber",
    "member": "subscriber",
    "mail": "email",
    "letter": "email",
    "doorbell": "wake-up",
    "bell": "wake-up",
    "ring": "wake",
    "pace": "rate",
    "budget": "rate or quota",
    "room": "quota",
    "brake": "circuit breaker",
    "twin": "fence file",
    "farewell": "unsubscribe",
    "leave": "unsubscribe",
    "doubt": "uncertain",
    "wish": "the thing that is asked for",
    "tend": "advance",
    "lean": "fast",
    "door": "server",
    "standing": "status or entitlement",
}
RETIRED_PROSE = {
    **{word: use for word, use in RETIRED_NAMES.items() if word not in ("leave", "lean", "door", "standing", "room", "ring")},
    "clock": "scheduler",
    "by and by": "in the background",
    "half signs": "lone surrogates",
    "goes on": "continues",
    "that are none": "that are not",
    "does not hold": "no longer works",
    "as it stands": "unchanged",
    "hands over": "publishes or sends",
    "handed over": "published or sent",
    "is told": "gets",
    "said yes": "confirmed",
    "say yes": "confirm",
    "says yes": "confirms",
    "is asked for": "is requested",
    "lies in": "is in",
    "rests": "is paused",
    "mailing": "sending",
    "mailed": "emailed or sent",
}
# Uses of these words that are the field's own, or the names of others.
ALLOWED = re.compile(
    r"mail mailer-daemon|need mail command|``mail\.tags``|"
    r"https?://\S+|[\w.+%{}'-]+@[\w.-]+|(?-i:The (?:Postmerge )?Letter)\b|"
    r"(screen|feed|rss|card)[ _-]?readers?|csv\.(dict)?reader|stream_?reader|asyncio\.\w+|"
    r"e-?mailing list|mailing list|mail (server|client|program|provider|domain|from|transfer)s?|mail[-_.](from|type)|"
    r"email_domains?|"
    r"\bmailto\b|mailbox|mailchimp|mailgun|mailer|gmail|apple mail|googlemail|"
    r"letters? (and|or|of|in|for)|(capital|latin) letters?|lower-?case letters?|dead[- _]letters?|newsletter|letter-?spacing|"
    r"wall[- ]clock|clocks?_timestamp|o'clock|free-?threading|cgroup|members? of|team members?|"
    r"E-Mail\b|letters, digits|/reader\b|A reader of %\(site\)s",
    re.IGNORECASE,
)

# The list itself, and how people write that they want no more email
_FULL_OF_OTHERS_WORDS = ("prose.py", "unsubscribe_requests.py", "test_unsubscribe_requests.py")


@dataclass(frozen=True, slots=True)
class Finding:
    """A retired word at a line of a file."""

    path: Path
    line: int
    word: str
    use: str
    context: str


def main() -> int:
    """Print the findings below the paths given, or everywhere; exit with 1 if there are any."""
    wanted = [ROOT / one for one in sys.argv[1:]]
    found = [one for one in find_all() if not wanted or any(one.path.is_relative_to(path) for path in wanted)]
    for one in found:
        print(f"{one.path.relative_to(ROOT)}:{one.line}: {one.word!r}, say {one.use}: {one.context[:100]}")
    print(f"{len(found)} retired {'word' if len(found) == 1 else 'words'}.")
    return 1 if found else 0


def find_all() -> Iterator[Finding]:
    """Yield the findings in code, templates and documentation."""
    for top in CODE:
        for path in sorted((ROOT / top).rglob("*.py")):
            if path.name not in _FULL_OF_OTHERS_WORDS and "data" not in path.parts:
                yield from find_in_python(path, path.read_text(encoding="utf-8"))
    for top in PAGES:
        for path in sorted((ROOT / top).rglob("*.html")):
            yield from find_in_text(path, re.sub(_MARKUP, _blank, path.read_text(encoding="utf-8")))
    for top in DOCS:
        for path in sorted((ROOT / top).rglob("*.md")) if (ROOT / top).is_dir() else [ROOT / top]:
            yield from find_in_text(
                path, re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", _blank, path.read_text(encoding="utf-8"), flags=re.S)
            )


def find_in_python(path: Path, source: str) -> Iterator[Finding]:
    """Yield the findings in the names, the docstrings, the sentences and the comments of a module."""
    for node in ast.walk(ast.parse(source)):
        for name in _defined_names(node):
            for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", ALLOWED.sub("", name)):
                if use := RETIRED_NAMES.get(_singular(word.lower())):
                    yield Finding(path, getattr(node, "lineno", 1), word, use, name)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\w+ \w+ \w+", node.value):
            yield from find_in_text(path, node.value, node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from find_in_text(path, token.string, token.start[0])


def find_in_text(path: Path, text: str, line: int = 1) -> Iterator[Finding]:
    """Yield the findings in prose that begins at ``line``."""
    for match in _PROSE.finditer(ALLOWED.sub(_blank, text)):
        at = line + text.count("\n", 0, match.start())
        word = match.group(0)
        yield Finding(path, at, word, RETIRED_PROSE[_singular(word.lower())], text.splitlines()[at - line].strip())


def _defined_names(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.arg():
            return [node.arg]
        case ast.Name(ctx=ast.Store()):
            return [node.id]
        case ast.Attribute(ctx=ast.Store()):
            return [node.attr]
        case ast.alias(asname=str(name)):
            return [name]
    return []


def _singular(word: str) -> str:
    return word if word in RETIRED_PROSE else word.removesuffix("s")


def _blank(match: re.Match[str]) -> str:
    """Spaces in place of a match, so that lines keep their numbers."""
    return re.sub(r"[^\n]", " ", match.group(0))


_MARKUP = re.compile(r"<style.*?</style>|{%.*?%}|{#.*?#}|<[^>]*>|\b\w+\.\w+\b", re.DOTALL)
_PROSE = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, RETIRED_PROSE), key=len, reverse=True)) + r")s?\b", re.IGNORECASE)

if __name__ == "__main__":
    sys.exit(main())
