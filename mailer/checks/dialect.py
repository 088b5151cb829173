"""What reviewers see on GitHub and subscribers do not, or the other way round: one finding for each kind, at its first line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mailer.checks.context import Context
from mailer.checks.document import Document
from mailer.checks.registry import Fix, Found, check, list_lines
from mailer.core.i18n import N_, code, name, translator

_ITEM = r"(?:[-*+]|\d{1,9}[.)])[ \t]+\S"
_BLOCK = r" {0,3}(?:[-*+#>|:]|\d{1,9}[.)]|<|\[|!!!)| {4}"  # how a line begins that is no paragraph's first one
_FENCED = re.compile(r"[ >\t]*(?:```+|~~~+)[ \t]*(\w+)")
# Translators: the titles of boxes in an issue
_TITLES = (N_("Note"), N_("Tip"), N_("Important"), N_("Warning"), N_("Caution"), N_("Sponsor"))
_UNTITLED = re.compile(rf"^:::({'|'.join(map(str.lower, _TITLES))})()[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class _Kind:
    """A construct: how it looks, and what happens with it and what to write."""

    pattern: re.Pattern[str]
    said: str


def _kind(pattern: str, said: str) -> _Kind:
    return _Kind(re.compile(pattern, re.MULTILINE), said)


_BARE_LINK = _kind(
    r"(?<!\]: )(?<![\w<(\[\"'=/@.-])(?:https?://|www\.)\w[^\s<>]*",
    "GitHub makes a link of a bare address, and the email doesn't: write it between < and >",
)
_OTHERWISE = (
    _BARE_LINK,
    _kind(
        r"(?<![~\\])~~(?=[^\s~])[^~\n]+~~(?!~)",
        "GitHub strikes out text between ~~, and the email doesn't: write <del>…</del>",
    ),
    _kind(r"^[ \t>]*[-*+] \[[ xX]\] ", "GitHub shows a task list, and the email shows the brackets: write ☐ or ☑"),
    _kind(r"^ {0,3}> ?\[!\w+\][ \t]*$", "GitHub shows an alert, and the email a quotation: begin the box with `!!! note`"),
    _kind(
        rf"(?<=\n\n)(?!{_BLOCK}) {{0,3}}\S[^\n]*\n(?:(?!{_BLOCK})[ \t]*+\S[^\n]*+\n){{0,40}}? {{0,3}}(?:[-*+]|1[.)])[ \t]+\S",
        "GitHub shows a list right under a paragraph, and the email shows one paragraph: put an empty line above the list",
    ),
    _kind(
        rf"^(?:[-*+]|\d{{1,9}}[.)]) [^\n]*\n {{2,3}}{_ITEM}",
        "GitHub nests a list that is indented by two or three blanks, and the email doesn't: indent it by four",
    ),
    _kind(r"^!!! ?\w+", "the email shows a box, and GitHub shows `!!!` as text"),
    _kind(r"\{:? ?[.#][\w-]+[^{}\n]*\}|\{: ?\w+=[^{}\n]*\}", "GitHub shows attributes in braces as text"),
    _kind(r"^(?! {4})\S[^\n]*\n: {1,3}\S", "the email shows a definition list, and GitHub shows its colons as text"),
    _kind(r"^\*\[[^\]\n]+\]: ", "the email explains an abbreviation, and GitHub shows its definition as text"),
    _kind(r"^\[TOC\][ \t]*$", "the email shows a table of contents, and GitHub shows `[TOC]`"),
)
_NOWHERE = (
    _kind(
        r"\$\$(?=\s*\S)[^$]{1,2000}\$\$|(?<![\w$\\])\$(?=[^\s$\d])[^$\n]*[\\^_=+][^$\n]*(?<=[^\s\\])\$(?![\d\w])",
        "email programs show no formulas: write it in words, or save it as a picture",
    ),
    _kind(r"(?<![\w\[!\\])\[\[[^\[\]\n]+\]\](?![(\[:])", "links between double brackets stay text: write [words](./file.md)"),
    _kind(r"(?<![=\w!<>])==(?=[^\s=])[^=\n]+(?<=\S)==(?![=\w])", "== stays text: write <mark>…</mark>"),
)
_EMOJI = _kind(
    r"(?<![\w:])(?<!\d):(?:tada|rocket|smile|heart|warning|bulb|fire|eyes|wave|sparkles|bug|memo|star|100|white_check_mark|x|\+1|-1):(?!\w)",
    "the name of an emoji between colons stays text: write the emoji itself",
)


@check("github-differs", "note", "Constructs that GitHub shows otherwise than the page and the email, in sites without `gfm`.")
def github_differs(doc: Document, ctx: Context) -> Iterator[Found]:
    if not ctx.gfm:
        spans = [(link.start, link.end) for link in doc.links]
        yield from _group(doc, _OTHERWISE, lambda at: any(start <= at < end for start, end in spans))


@check("not-rendered", "warning", "Formulas, diagrams, [[links]], ==marks== and names of emoji that stay text in the email.")
def not_rendered(doc: Document, ctx: Context) -> Iterator[Found]:
    yield from _group(doc, _NOWHERE if ctx.gfm else (*_NOWHERE, _EMOJI), lambda at: False)
    for start, _ in doc.code:
        match = _FENCED.match(doc.text, start)
        name = match[1].lower() if match else ""
        if name in ("mermaid", "math", "geojson", "topojson", "stl"):
            yield Found(start, f"The email shows the source of a block `{name}`: save what it draws as a picture.")


def _group(doc: Document, kinds: Iterable[_Kind], is_known: Callable[[int], bool]) -> Iterator[Found]:
    for kind in kinds:
        text = doc.prose if kind is _BARE_LINK else doc.bare
        found = (match.start() for match in kind.pattern.finditer(text, max(0, doc.body_at - 2)))
        places = [at for at in found if not is_known(at)]
        if places:
            yield Found(places[0], f"{kind.said[0].upper()}{kind.said[1:]}.{list_lines(doc, places)}")


@check("box-title", "note", "A box without a title in an issue that is not in English: its title is the English name.")
def box_title(doc: Document, ctx: Context) -> Iterator[Found]:
    lang = doc.fields.get("lang") or ctx.lang
    boxes = list(_UNTITLED.finditer(doc.prose)) if ctx.gfm and code(lang).partition("-")[0] != "en" else []
    for box in boxes:
        title = box[1].title()
        own = translator(lang)(title)
        fix = Fix(box.start(2), box.start(2), f" {own}") if own != title else None
        example = f", such as `:::{box[1]} {own}`" if fix else f" in {name(lang)} after `:::{box[1]}`"
        yield Found(box.start(), f"Readers see “{title}” above this box: write its title{example}.", fix)
