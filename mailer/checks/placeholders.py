"""Checks for placeholders and merge variables in the text, the front matter, and alternative texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mailer.checks.context import Context
from mailer.checks.document import TICKS, Document
from mailer.checks.registry import Found, check, group, shorten
from mailer.core.i18n import code

_FIELDS = ("title", "subject", "preheader", "summary", "tags", "keywords", "category", "author", "authors", "corrected")
_SPANISH = {"es", "pt", "gl", "ast"}  # the languages in which "todo" is a word
_FOLLOWS = r"el|la|lo|los|las|un|una|es|está|sobre|esto|eso|este|esta|en|de|y|o|por|para|con|tu|su|mi|os|as|um|uma|é|mundo"
_TASK = "title|subject|preheader|summary|headline|text|write|add|fill|fix|insert|change|check|ask|find|replace|update|link"
_TODO = rf"TODO(?!\w|[ \t]+(?i:{_FOLLOWS})\b)(?=[ \t]*(?:[:.…!?*_)\]]|$)|[ \t]+(?:{_TASK}|the|a|this)\b)"
_WHOLE = re.compile(r"[\W_]*(?:TODO|TBD|TBA|FIXME|XXX|TK|TKTK|LOREM IPSUM)[\W_]*")
_WORDS_OF_LINK = re.compile(r"\[([^\w\[\]\n]*(?:TODO|TBD|TBA|FIXME|XXX|TK|TKTK)[^\w\[\]\n]*)\](?=[(\[])")
_LEFT = re.compile(
    r"(?<!\{)\{\{(?!\{)[^{}\n]*\}\}"
    r"|(?<![\"'“”„«‘\w])(?i:lorem ipsum)\b"
    r"|(?<![\w`'\"“-])(?:TODO|FIXME|TKTK)(?=[ \t]*:)"
    rf"|^[ \t>#*_(]*(?:[-*+][ \t]+)?(?:{_TODO}|(?:FIXME|TKTK|XXX)\b(?![\w-])|(?:TBD|TK)[.:]?[ \t*_)]*$)"
    r"|(?<![#!\w])\[(?i:(?:insert|add|your)[ \t]|todo\b|link(?=[ \t\]]))[^\[\]\n]*\](?![\[(:])"
    r"|\[[^\[\]\n]*\b(?:TODO|TBD|TKTK|TK|FIXME|XXX)\](?![\[(:])",
    re.MULTILINE,
)
_TEMPLATE_CODE = re.compile(r"\{%[^%\n]*%\}")
# Whatever _LEFT finds has one of these in its line; those in lower case match upper case too.
_LEFT_HAS = ("{{", "lorem ipsum", "TODO", "FIXME", "TK", "XXX", "TBD", "[insert", "[add", "[your", "[todo", "[link")
_PERSON = r"(?:first|last|full|user)?[_ .-]?name|[fl]name|e-?mail"
_VARIABLES = re.compile(
    r"\*\|[A-Za-z0-9_:]+\|\*|%recipient\.[\w.]+%|%%[a-z_]+%%|\{(?:subscriber|reader|recipient|contact|user)\.\w+\}"
    r"|\[\[(?:first|last)?_?name\]\]|<%[=-]?[ \t]*[A-Za-z_@][^%<>\n]*%>"
    r"|(?<![\\\w])\$\{[A-Za-z_][\w.]*\}|\{[$!][A-Za-z_][\w.]*\}"
)
_VARIABLES_HAVE = ("*|", "%recipient", "%%", "{", "[[", "<%")
_BRACED = re.compile(  # what follows a symbol may be code, and so may the content of an f-string
    rf"(?<![\w:$#{{}}%!\\/&@<=.(-])\{{([A-Za-z_]\w+|{_PERSON})\}}(?![\w{{}}(:=/-])", re.IGNORECASE
)
_F_STRING = re.compile(r"\bf[\"']")
_PELICANS = {"filename", "static", "attach", "author", "category", "index", "tag"}
_LINK_TAG = re.compile(r"\]\(\s*<?(\{([^{}\n]*)\})")


@check("placeholder", "error", "Placeholder text: TODO, lorem ipsum, {{…}}.")
def placeholder(doc: Document, ctx: Context) -> Iterator[Found]:
    spanish = code(doc.fields.get("lang") or ctx.lang).partition("-")[0] in _SPANISH
    for start, end in lines_with(doc.prose, _LEFT_HAS):
        for match in _LEFT.finditer(doc.prose, start, end):
            if not _is_reference(doc, match[0].strip()) and not (spanish and _is_spanish(match)):
                yield _report_left_over(match[0], match.start())
    for at, text in _list_fields(doc):
        if _WHOLE.fullmatch(text) and not (spanish and "TODO" in text):
            yield _report_left_over(text, at)
        else:
            yield from (
                _report_left_over(m[0], at + m.start()) for m in _LEFT.finditer(text) if not (spanish and _is_spanish(m))
            )
    yield from _find_alternatives(doc)
    if not ctx.has_templates:
        said = "stays as it is, because issues have no template code: write the text itself"
        code_places = (match for match in _TEMPLATE_CODE.finditer(doc.prose, doc.body_at)) if "{%" in doc.prose else ()
        yield from group(doc, (Found(match.start(), f"{shorten(match[0], 60)} {said}.") for match in code_places))


@check("variable-unknown", "error", "A merge variable, which Postmerge doesn't replace.")
def variable_unknown(doc: Document, ctx: Context) -> Iterator[Found]:
    for start, end in lines_with(doc.prose, _VARIABLES_HAVE):
        yield from (_report_variable(match[0], match.start()) for match in _VARIABLES.finditer(doc.prose, start, end))
        if not _F_STRING.search(doc.prose, start, end):
            yield from _find_braced(doc, start, end)
    for at, text in _list_fields(doc):
        yield from (_report_variable(match[0], at + match.start()) for match in _VARIABLES.finditer(text))
        for match in _BRACED.finditer(text):
            sure = re.fullmatch(_PERSON, match[1], re.IGNORECASE)
            yield _report_variable(match[0], at + match.start(), "error" if sure else "warning")
    for match in _LINK_TAG.finditer(doc.prose):
        if match[2] not in _PELICANS:
            yield Found(match.start(1), f"{match[1]} is unknown: write {{filename}} for a page, or {{static}} for an image.")


def lines_with(text: str, needles: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Find the start and end of each line with one of the needles; lower-case needles match upper case too."""
    low = text.lower()
    if len(low) != len(text):  # some characters become two
        yield 0, len(text)
        return
    starts = {
        text.rfind("\n", 0, at) + 1 for needle in needles for at in _find_places(text if needle.isupper() else low, needle)
    }
    for start in sorted(starts):
        end = text.find("\n", start)
        yield start, end if end >= 0 else len(text)


def _list_fields(doc: Document) -> Iterator[tuple[int, str]]:
    """Yield the field values that people read, as in the file, with code blanked out, and their places."""
    for name in _FIELDS:
        if name in doc.source.lines:
            at, text = doc.field_text(name)
            yield at, TICKS.sub(lambda match: " " * len(match[0]), text) if "`" in text else text


def _find_braced(doc: Document, start: int, end: int) -> Iterator[Found]:
    """Find ``{name}`` in the text, which may be intended."""
    for match in _BRACED.finditer(doc.prose, start, end):
        in_target = any(link.at <= match.start() < link.at + len(link.target) for link in doc.links)
        if match[1] not in _PELICANS and not in_target:
            yield _report_variable(match[0], match.start(), "warning")


def _find_alternatives(doc: Document) -> Iterator[Found]:
    """Find texts of pictures and links that are only a placeholder."""
    for match in _WORDS_OF_LINK.finditer(doc.prose):
        is_image = doc.prose[match.start() - 1 : match.start()] == "!"
        if is_image or "TB" not in match[1]:  # "TBD" may be the name of what is linked
            yield _report_left_over(match[1], match.start(1))
    for tag in doc.tags:
        value, at = tag.attributes.get("alt", ("", 0))
        if value and _WHOLE.fullmatch(value):
            yield _report_left_over(value, at)


def _report_left_over(words: str, at: int) -> Found:
    bare = words.strip()
    return Found(
        at + len(words) - len(words.lstrip()), f"“{shorten(bare, 40)}” is a placeholder: replace it with the final text."
    )


def _report_variable(words: str, at: int, level: str = "") -> Found:
    return Found(
        at,
        f"{shorten(words, 60)} would appear unchanged in the email, because issues have no variables: write the text itself.",
        level=level,
    )


def _is_reference(doc: Document, words: str) -> bool:
    return words.startswith("[") and " ".join(words[1:-1].lower().split()) in doc.definitions


def _is_spanish(match: re.Match[str]) -> bool:
    return match[0].strip(" \t>#*_(-+") == "TODO" and match.string[match.end() : match.end() + 1] != ":"


def _find_places(text: str, needle: str) -> Iterator[int]:
    """Yield one place in each line with the needle."""
    at = text.find(needle)
    while at >= 0:
        yield at
        end = text.find("\n", at)
        at = text.find(needle, end) if end >= 0 else -1
