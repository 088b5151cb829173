"""An issue as readable plain text: wrapped, links as numbered notes, tables aligned, code kept."""

from __future__ import annotations

import re
import textwrap
import unicodedata

from lxml import etree

from mailer.core import i18n

WIDTH = 72
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS = {
    "p", "div", "section", "article", "header", "footer", "main", "aside", "figure", "figcaption", "address", "details",
    "summary", "dl", "dt", "dd", "center", "nav",
}  # fmt: skip


def plain(root: etree._Element, lang: str = "en") -> str:
    """Convert a parsed canonical body to text that ends with its numbered links; our own words are in the body's language."""
    writer = _Writer(i18n.translator(i18n.spoken(lang)))
    blocks = writer.blocks(root, WIDTH)
    if writer.links:
        notes = "\n".join(f"[{number}] {link}" for link, number in writer.links.items())
        links = writer.say("Links")
        blocks.append(f"{heading(links, 'h3')}\n{notes}")
    return "\n\n".join(blocks) + "\n"


class _Writer:
    def __init__(self, say: i18n.Say) -> None:
        self.say = say
        self.links: dict[str, int] = {}

    def blocks(self, parent: etree._Element, width: int) -> list[str]:
        """List the blocks in an element, including the loose text between them."""
        found: list[str] = []
        run: list[str] = [parent.text or ""]
        for child in parent:
            tag = child.tag.lower() if isinstance(child.tag, str) else ""
            made = self._block(tag, child, width) if tag else []
            if made is None:
                run.append(self._inline(child))
            else:
                self._flush(run, found, width)
                found += [block for block in made if block.strip()]
            run.append(child.tail or "")
        self._flush(run, found, width)
        return found

    def _flush(self, run: list[str], found: list[str], width: int) -> None:
        text = _squeeze("".join(run))
        run.clear()
        if text:
            found.append(_wrap(text, width))

    def _block(self, tag: str, element: etree._Element, width: int) -> list[str] | None:
        """Return the element's blocks, or None if it is inline."""
        if tag in _HEADINGS:
            return [heading(_squeeze(self._inside(element)), tag, width)]
        if tag in ("ul", "ol"):
            return [self._list(element, tag == "ol", width)]
        if tag == "pre":
            code = "".join(str(piece) for piece in element.itertext()).rstrip("\n")
            return [textwrap.indent(code.expandtabs(4), "    ", lambda line: True).rstrip()]
        if tag == "blockquote":
            inner = "\n\n".join(self.blocks(element, width - 2))
            return [textwrap.indent(inner, "> ", lambda line: True)]
        if tag == "table":
            return [self._table(element)]
        if tag == "hr":
            return ["-" * 24]
        if tag in _BLOCKS or (tag in ("span", "a") and len(element) and element[0].tag in ("div", "table", "pre")):
            return self.blocks(element, width)
        return None

    def _list(self, element: etree._Element, numbered: bool, width: int) -> str:
        items = [child for child in element if child.tag == "li"]
        start = element.get("start", "1")
        first = int(start) if re.fullmatch(r"[0-9]{1,9}", start) else 1
        lines = []
        loose = element.find("li/p") is not None
        for number, item in enumerate(items, first):
            mark = f"{number}. " if numbered else "- "
            inner = self.blocks(item, width - len(mark))
            text = ("\n\n" if loose and len(inner) > 1 else "\n").join(inner)
            lines.append(mark + (textwrap.indent(text, " " * len(mark)) if "\n" in text else text).lstrip())
        return "\n".join(lines)

    def _table(self, element: etree._Element) -> str:
        rows = [[_squeeze(self._inside(cell)) for cell in row if cell.tag in ("td", "th")] for row in element.iter("tr")]
        rows = [row for row in rows if row]
        if not rows:
            return ""
        widths = [max((_columns(row[at]) for row in rows if at < len(row)), default=0) for at in range(max(map(len, rows)))]
        if sum(widths) + 2 * len(widths) > WIDTH + 8:
            head = rows[0]
            return "\n\n".join(_record(head, row) for row in rows[1:]) or ", ".join(head)
        lines = ["  ".join(cell + " " * (widths[at] - _columns(cell)) for at, cell in enumerate(row)).rstrip() for row in rows]
        if element.find(".//th") is not None:
            lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)

    def _inside(self, element: etree._Element) -> str:
        return (element.text or "") + "".join(self._inline(child) + (child.tail or "") for child in element)

    def _inline(self, element: etree._Element) -> str:
        tag = element.tag.lower() if isinstance(element.tag, str) else ""
        if not tag:
            return ""
        if tag == "br":
            return "\v"
        if tag == "img":
            alt = _squeeze(element.get("alt", ""))
            if alt.startswith("▶"):  # of a video
                return alt
            return "[" + self.say("Image: %(alt)s", alt=alt) + "]" if alt else ""
        inner = self._inside(element)
        if tag in ("em", "i") and inner.strip():
            return f"*{inner}*"
        if tag == "code":
            return f"`{inner}`"
        if tag == "sup" and inner.strip():
            return inner if inner.strip().startswith("[") else f"^{inner.strip()}"
        if tag == "a":
            return self._link(element, inner)
        return inner

    def _link(self, element: etree._Element, inner: str) -> str:
        target, classes = element.get("href", ""), element.get("class", "")
        if "footnote-ref" in classes:
            return "[" + self.say("note %(number)s", number=_squeeze(inner)) + "]"
        if "footnote-backref" in classes or "headerlink" in classes:
            return ""
        shown = _squeeze(inner)
        if not target or shown in (target, target.removeprefix("mailto:")):
            return inner
        number = self.links.setdefault(target, len(self.links) + 1)
        return f"{inner} [{number}]" if shown else f"[{number}]"


def heading(text: str, tag: str = "h1", width: int = WIDTH) -> str:
    """Wrap a heading at ``width`` columns and underline it at its own width."""
    mark = {"h1": "=", "h2": "="}.get(tag, "-")
    wrapped = _wrap(text, width)
    return f"{wrapped}\n{mark * min(width, max(map(_columns, wrapped.splitlines()), default=0))}" if text else ""


def _record(head: list[str], row: list[str]) -> str:
    """Format a row that is too wide for columns: one line for each cell."""
    return "\n".join(f"{head[at]}: {cell}" if at < len(head) and head[at] else cell for at, cell in enumerate(row))


def _squeeze(text: str) -> str:
    if "\v" not in text:
        return " ".join(text.split())
    return "\n".join(" ".join(line.split()) for line in text.split("\v")).strip()


def _wrap(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    return "\n".join(line if len(line) <= width else _fill(line, max(20, width)) for line in text.split("\n"))


def _fill(line: str, width: int) -> str:
    """Break a squeezed line between words; ``textwrap`` does the same in six times the time."""
    words = line.split(" ")
    lines, current, length = [], [words[0]], len(words[0])
    for word in words[1:]:
        length += 1 + len(word)
        if length > width:
            lines.append(" ".join(current))
            current, length = [word], len(word)
        else:
            current.append(word)
    return "\n".join([*lines, " ".join(current)])


def _columns(text: str) -> int:
    """Count the terminal columns of a text: wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1 for char in text)
