"""The canonical body: an issue's HTML with absolute links and nothing that runs. Page, feed and email share it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast
from urllib.parse import urljoin

from lxml import etree

from mailer.core.characters import clean_html

MAX_DEPTH = 100  # elements inside one another
DROPPED = "postmerge-dropped"
REMOVED_ELEMENTS = {
    "script", "style", "iframe", "frame", "frameset", "object", "embed", "applet", "form", "input", "button", "textarea",
    "select", "link", "meta", "base", "noscript", "template", "foreignobject", "animate", "animatetransform",
    "animatemotion", "set", "use",
}  # fmt: skip
# Without the classes of lxml.html, which are looked up in Python for each element.
_PARSER = etree.HTMLParser(encoding="utf-8", remove_comments=False)
_WITH_ATTRIBUTES = etree.XPath("descendant::*[@*]")
_TOO_DEEP = etree.XPath(f"boolean({'/'.join('*' * MAX_DEPTH)})")  # below the root, which is one level itself
_BLANK = re.compile(r"[\x00-\x20\s]")
_SCHEME = re.compile(r"([^/?#]*):")
_BESIDE = ("script", "style")
_LINKS = ("href", "src", "poster", "cite", "longdesc", "background", "action", "data")
SAFE_SCHEMES = {"http", "https", "mailto", "tel", "sms", "irc", "ircs", "xmpp", "matrix", "news", "ftp", "gemini"}


@dataclass(frozen=True)
class Body:
    """``html`` is the fragment; ``dropped`` names what was removed, each once."""

    html: str
    dropped: tuple[str, ...]


def canonical(fragment: str, url: str) -> Body:
    """Make every link absolute against ``url`` and remove what neither an email nor a page may contain.

    Raises ValueError for elements deeper inside one another than MAX_DEPTH.
    """
    clean = clean_html(fragment)
    dropped = ["control characters"] if clean != fragment else []
    root = parse_fragment(clean)
    if _TOO_DEEP(root):
        raise ValueError(f"HTML nested more than {MAX_DEPTH} levels deep")
    for element in root.iter(*REMOVED_ELEMENTS):
        dropped.append(f"<{element.tag}>")
        element.tag = DROPPED
    for element in select(root, _WITH_ATTRIBUTES):
        dropped += _check_attributes(element, url)
    strip(root, DROPPED, etree.Comment, etree.ProcessingInstruction)
    _outline(root)
    if "title=" in clean:
        for image in list(root.iter("img")):
            _figure(image)
    return Body(inner_html(root).strip() + "\n", tuple(dict.fromkeys(dropped)))


def parse_fragment(fragment: str) -> etree._Element:
    """Parse HTML into a ``div`` of its own."""
    root = _PARSER.makeelement("div")
    if not fragment.strip():
        return root
    body = etree.fromstring(f"<html><body>{fragment}</body></html>".encode(), _PARSER).find("body")
    if body is not None:
        root.text = body.text
        root.extend(list(body))
    return root


def select(root: etree._Element, path: etree.XPath) -> list[etree._Element]:
    """List the elements that an XPath finds."""
    return cast("list[etree._Element]", path(root))


def inner_html(root: etree._Element) -> str:
    """Return the HTML inside an element without attributes."""
    tag = len(str(root.tag))
    return etree.tostring(root, encoding="unicode", method="html", with_tail=False)[tag + 2 : -tag - 3]


def list_added_scripts(fragment: str, source: str) -> str:
    """Return the scripts and styles of a text that its author did not write: a plugin added them, and the page keeps them."""
    if not any(f"<{tag}" in fragment.lower() for tag in _BESIDE):
        return ""
    root = parse_fragment(clean_html(fragment))
    added = [one for one in root.iter(*_BESIDE) if (said := (one.text or "").strip() or one.get("src")) and said not in source]
    return "".join(etree.tostring(one, encoding="unicode", method="html", with_tail=False) for one in added)


def escape(text: str) -> str:
    """Escape the text between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _check_attributes(element: etree._Element, url: str) -> list[str]:
    """Make the links of an element absolute, and remove what runs; return what was removed."""
    dropped = []
    for name in list(element.attrib):
        key = str(name).lower()
        if key.startswith("on") or key in ("srcdoc", "formaction"):
            del element.attrib[name]
            dropped.append(f"{key}=")
        elif key in _LINKS or key == "xlink:href":
            dropped += _link(element, str(name), url)
        elif key == "srcset":
            element.attrib[name] = _srcset(str(element.attrib[name]), url)
        elif key == "style" and element.tag in ("th", "td"):
            _aligned(element)
    return dropped


def _aligned(cell: etree._Element) -> None:
    """Turn Markdown's column alignment into a class: pages may forbid inline styles, and the email has styles of its own."""
    if match := re.fullmatch(r"\s*text-align:\s*(left|right|center);?\s*", str(cell.attrib["style"])):
        del cell.attrib["style"]
        cell.set("class", f"{cell.get('class', '')} align-{match[1]}".strip())


def _outline(root: etree._Element) -> None:
    """Move a heading that skips a level up to that level, along with the others of its rank. The title above is the h1."""
    above = [(1, 1)]  # as written and as shown, outermost first
    for heading in root.iter("h1", "h2", "h3", "h4", "h5", "h6"):
        written = int(str(heading.tag)[1])
        while above and above[-1][0] >= written:
            above.pop()
        shown = min(written, above[-1][1] + 1 if above else 1)
        above.append((written, shown))
        heading.tag = f"h{shown}"


def _figure(image: etree._Element) -> None:
    """Turn a paragraph with only a titled picture into a figure, with the title as its caption."""
    parent, title = image.getparent(), str(image.get("title") or "").strip()
    if parent is None or parent.tag != "p" or not title or len(parent) != 1 or (parent.text or image.tail or "").strip():
        return
    del image.attrib["title"]
    image.tail = None
    parent.tag = "figure"
    parent.text = None
    etree.SubElement(parent, "figcaption").text = title


def _link(element: etree._Element, name: str, url: str) -> list[str]:
    target = str(element.attrib[name])
    if target.startswith(("https://", "http://")) and not _BLANK.search(target):
        return []
    target = re.sub(r"[\x00-\x20]+", " ", target).strip()
    absolute = target if target.startswith(("https://", "http://")) else _joined(url, target)
    bare = re.sub(r"\s", "", absolute).lower()
    if element.tag == "img" and bare.startswith("data:image/") and "svg" not in bare[:30]:
        return []
    scheme = _SCHEME.match(bare)  # none where the site has no address yet: SITEURL = "" of Pelican's own start
    if not bare or (scheme and scheme[1] not in SAFE_SCHEMES):
        del element.attrib[name]
        return [f"{name}={target[:60]}"]
    element.attrib[name] = absolute.replace(" ", "%20")
    return []


def _joined(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError:
        return ""


def _srcset(text: str, url: str) -> str:
    images = [image.split() for image in text.split(",") if image.strip()]
    return ", ".join(" ".join([urljoin(url, image[0]), *image[1:]]) for image in images)


def strip(root: etree._Element, *kinds: object) -> None:
    """Remove elements of these tags or kinds with their content, but keep the text that follows each.

    In one go: what follows many removed one by one would be copied again for each.
    """
    etree.strip_elements(root, *kinds, with_tail=False)
