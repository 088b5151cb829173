"""Components of an email that need more than Markdown's HTML: buttons, boxes and figures become tables, for Outlook.

Only the email is changed; the canonical body, its digest, the page and the feeds are not.
"""

from __future__ import annotations

import re

from lxml.etree import Element, XPath, _Element

from mailer.editions.mail.canonical_html import inner_html, parse_fragment, select

_SIGNS = ('class="button', "admonition", "<figure", ' button"', "align-")
_BUTTONS = XPath("descendant::a[contains(concat(' ', normalize-space(@class), ' '), ' button ')]")
_BOXES = XPath("descendant::div[contains(concat(' ', normalize-space(@class), ' '), ' admonition ')]")
_ALIGNED = re.compile(r"(?:^|\s)align-(left|right|center)(?:\s|$)")


def for_email(body: str) -> str:
    """Prepare a canonical body for email programs."""
    if not any(sign in body for sign in _SIGNS):
        return body
    root = parse_fragment(body)
    for link in select(root, _BUTTONS):
        _button(link)
    for box in select(root, _BOXES):
        _box(box)
    for figure in root.iter("figure", "figcaption"):
        figure.set("class", figure.tag)
        figure.tag = "div"
    for cell in root.iter("th", "td"):
        if match := _ALIGNED.search(cell.get("class", "")):
            cell.set("style", f"text-align: {match[1]}")
    return inner_html(root)


def _button(link: _Element) -> None:
    """Turn a link that is alone in its paragraph into a table cell with a background color."""
    parent = link.getparent()
    if parent is None or parent.tag != "p" or len(parent) != 1 or (parent.text or "").strip() or (link.tail or "").strip():
        return
    table, cell = _table("button", parent)
    cell.set("bgcolor", "#1d4ea8")
    link.tail = None
    cell.append(link)
    _replace(parent, table)


def _box(box: _Element) -> None:
    kind = "sponsor" if "sponsor" in box.get("class", "").split() else "box"
    table, cell = _table(kind, box)
    table.set("width", "100%")
    for child in list(box):
        if "admonition-title" in child.get("class", "").split():
            child.set("class", "boxtitle")
        cell.append(child)
    _replace(box, table)


def _table(kind: str, like: _Element) -> tuple[_Element, _Element]:
    facts = {"role": "presentation", "class": f"{kind}table", "border": "0", "cellpadding": "0", "cellspacing": "0"}
    table = Element("table", facts)
    row = Element("tr")
    cell = Element("td", {"class": f"{kind}cell"})
    for name in ("dir", "lang"):
        if name in like.attrib:
            cell.set(name, like.attrib[name])
    row.append(cell)
    table.append(row)
    return table, cell


def _replace(old: _Element, new: _Element) -> None:
    new.tail, old.tail = old.tail, None
    parent = old.getparent()
    assert parent is not None
    parent.replace(old, new)
