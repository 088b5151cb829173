"""Sanitize SVG pictures: the published copy contains nothing that could run."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from lxml import etree

from mailer.editions.mail.canonical_html import strip

SUFFIXES = {".svg", ".svgz"}
_RUNNING = {"script", "foreignobject", "iframe", "object", "embed", "audio", "video", "handler", "listener"}
_CHANGING = {"set", "animate", "animatetransform", "animatemotion"}  # they could change an address or a handler later
_DROPPED = "postmerge-dropped"
_MAX_PICTURE_BYTES = 32 * 1024 * 1024  # a larger picture is taken for a decompression bomb


class Unreadable(ValueError):
    """A file that is named SVG but is not; the message says why."""


def clean(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the picture without what could run, and what was removed, each once; the same bytes if there is nothing.

    Scripts, handlers (``on…=``), foreign content, addresses other than web, ``data:image`` and ``#…``, animations of those,
    style sheets from elsewhere, processing instructions and document types go. Raises Unreadable for what is not XML.
    """
    packed = data[:2] == b"\x1f\x8b"
    root, dropped = _parsed(_unpacked(data) if packed else data)
    for element in list(root.iter()):
        dropped += _element(element)
    strip(root, _DROPPED, etree.Entity, etree.ProcessingInstruction)
    if not dropped:
        return data, ()
    made: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return (gzip.compress(made, mtime=0) if packed else made), tuple(dict.fromkeys(dropped))


def parse_clean(data: bytes) -> etree._Element:
    """Return the root of a picture without what could run. Raises Unreadable."""
    made, _ = clean(data)
    return _parsed(_unpacked(made) if made[:2] == b"\x1f\x8b" else made)[0]


def publish(source: Path, target: Path) -> str:
    """Sanitize the published copy of a picture, and delete it if it cannot be read; return a sentence if it differs."""
    try:
        made, dropped = clean(source.read_bytes())
    except Unreadable as wrong:
        target.unlink(missing_ok=True)
        return f"This image is not published, because {wrong}: save it as SVG again, or as PNG."
    if not dropped:
        return ""
    target.unlink()  # it may be a link to the source
    target.write_bytes(made)
    return f"{', '.join(dropped)} is not allowed in images and was removed: delete it, or save the image as PNG."


def _unpacked(data: bytes) -> bytes:
    try:
        made = zlib.decompressobj(31).decompress(data, _MAX_PICTURE_BYTES + 1)
    except zlib.error as error:
        raise Unreadable("it cannot be decompressed") from error
    if len(made) > _MAX_PICTURE_BYTES:
        raise Unreadable(f"it decompresses to more than {_MAX_PICTURE_BYTES >> 20} MB")
    return made


def _parsed(data: bytes) -> tuple[etree._Element, list[str]]:
    """Return the picture's root without anything around it, and what was around it."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable(f"it is not well-formed XML: {str(error)[:120]}") from error
    if etree.QName(root).localname.lower() != "svg":
        raise Unreadable(f"its root element is <{etree.QName(root).localname}> instead of <svg>")
    around = [*root.itersiblings(preceding=True), *root.itersiblings()]
    dropped = ["<?…?>" for one in around if isinstance(one, etree._ProcessingInstruction)]
    found = re.findall(rb"<!DOCTYPE[^>]*+", data.replace(b"\0", b""), re.IGNORECASE)
    if any(b"[" in one for one in found):  # entities and defaults of attributes
        dropped.append("<!DOCTYPE>")
    return (_alone(root) if dropped else root), dropped


def _alone(root: etree._Element) -> etree._Element:
    """Copy an element out of its document."""
    made = etree.Element(root.tag, nsmap=root.nsmap)  # type: ignore[arg-type]
    made.attrib.update(root.attrib)
    made.text = root.text
    made.extend(list(root))
    return made


def _element(element: etree._Element) -> list[str]:
    parent = element.getparent()
    if isinstance(element, (etree._ProcessingInstruction, etree._Entity)):
        return [str(element)]
    if not isinstance(element.tag, str):
        return []
    tag = etree.QName(element).localname.lower()
    if tag in _RUNNING or (tag in _CHANGING and _targets(element)):
        return _drop(element, f"<{tag}>") if parent is not None else []
    if tag == "style" and re.search(
        r"@import|javascript:|expression\s*\(", "".join(map(str, element.itertext())), re.IGNORECASE
    ):
        return _drop(element, "<style>")
    dropped = []
    for name, value in list(element.attrib.items()):
        key, flat = etree.QName(name).localname.lower(), re.sub(r"[\x00-\x20]", "", str(value)).lower()
        if (
            key.startswith("on")
            or (key in ("href", "src", "from", "to", "values", "data") and _runs(flat))
            or "javascript:" in flat
        ):
            del element.attrib[name]
            dropped.append(f"{key}=" if key.startswith("on") else f"{key}={flat[:30]}")
    return dropped


def _targets(animation: etree._Element) -> bool:
    """Does an animation change an address or a handler?"""
    name = str(animation.get("attributeName") or "").lower().rpartition(":")[2]
    return name == "href" or name.startswith("on")


def _runs(address: str) -> bool:
    """Could a browser run an address with this scheme?"""
    scheme = re.match(r"([a-z][a-z0-9+.-]*):", address)
    return bool(scheme) and scheme is not None and scheme[1] not in ("http", "https", "mailto") and not _picture(address)


def _picture(address: str) -> bool:
    return address.startswith("data:image/") and "svg" not in address[:30]


def _drop(element: etree._Element, name: str) -> list[str]:
    element.tag = _DROPPED
    return [name]
