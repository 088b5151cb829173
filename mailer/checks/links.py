"""Offline checks of links and pictures; ``network.py`` has the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mailer.checks.context import Context
from mailer.checks.document import Document, Link
from mailer.checks.registry import Fix, Found, check, group, shorten
from mailer.core.net.ip_addresses import is_public, parse_ip
from mailer.editions.images import PICTURE_SUFFIXES, svg_sanitizer
from mailer.editions.mail.canonical_html import SAFE_SCHEMES
from mailer.editions.source import vague_links

_KNOWN_SCHEMES = SAFE_SCHEMES | {"data"}
_REFERENCE = re.compile(r"\[(?<![\\!\]]\[)([^\[\]\n]+)\]\[[^\[\]\n]*\]")
_ANCHOR = re.compile(r"<a\s(?=[^<>]*\bhref\b)[^<>]*+>([^<>]++)</a>", re.IGNORECASE)
_NAMED = re.compile(r"\[(?<![\\\]\[\w]\[)([^\[\]\n]+)\]\[([^\[\]\n]*)\](?![\[(:]| \[)")
# Hosts that respond to every http link with the same address under https.
_SECURE = re.compile(
    r"(?:[\w-]+\.)*(?:github\.com|github\.io|reddit\.com|wikipedia\.org|youtube\.com|youtu\.be|rust-lang\.org|python\.org"
    r"|mozilla\.org|docs\.rs|crates\.io|meetup\.com|twitter\.com|stackoverflow\.com|google\.com)",
    re.IGNORECASE,
)
_SLIP = re.compile(r"(?=www\.)|https?(?://|:/?)(?=[\w-]+\.\w)", re.IGNORECASE)  # the beginning of an address that leads nowhere
_SHORT = re.compile(r"\[(?<![\\!\]\w]\[)([^\[\]\n]+)\](?![\[(:])")  # a reference link by its own text
# Hosts whose addresses all stand for others.
_SHORTENERS = {
    "bit.ly", "bitly.com", "buff.ly", "cutt.ly", "dlvr.it", "goo.gl", "ift.tt", "is.gd", "j.mp", "lnkd.in", "ow.ly", "rb.gy",
    "rebrand.ly", "shorturl.at", "snip.ly", "t.co", "t.ly", "tiny.cc", "tiny.one", "tinyurl.com", "trib.al", "v.gd",
}  # fmt: skip
_UNSHOWN = (".svg", ".webp", ".avif", ".tif", ".tiff", ".bmp")  # the build converts those of the site itself
_MAX_LIGHT_PICTURE_BYTES = 1_000_000
_SCHEME = re.compile(r"([a-zA-Z][\w+.-]*):")
_SOURCES = (".md", ".markdown")
_OURS = re.compile(r"[{|](filename|static|attach)[}|](.*)")
_HOST = re.compile(r"https?://(?:[^/?#\s@]*@)?(\[[^\]]*\]|[^/:?#\s]*)", re.IGNORECASE)


@check("link-scheme", "error", "A link with a misspelled scheme, such as `htps://`, or one that email programs don't open.")
def link_scheme(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        if link.target[:8].lower().startswith(("https://", "http://")):
            continue
        if slip := _SLIP.match(link.target):
            fix = Fix(link.at, link.at + slip.end(), "https://")
            yield Found(link.at, f"{shorten(link.target, 80)} is not a web address: begin it with https://.", fix)
            continue
        match = _SCHEME.match(link.target)
        if not match or match[1].lower() in _KNOWN_SCHEMES:
            continue
        if typo := re.match(r"(?:h+t+p*s*|t+ps?|htt?p?s|hppts?):/+", link.target, re.IGNORECASE):
            fix = Fix(link.at, link.at + typo.end(), "https://")
            yield Found(link.at, f"{typo[0]} is misspelled: write https://.", fix)
        elif match[1].lower() in ("javascript", "vbscript", "file"):
            yield Found(link.at, f"Links with {match[1]}: are removed from pages and emails: link to a web page instead.")


@check("link-http", "warning", "A link or an image over unencrypted http.")
def link_http(doc: Document, ctx: Context) -> Iterator[Found]:
    level = "" if doc.asks else "note"
    found = []
    for link in doc.links:
        if link.target[:7].lower() == "http://" and not _is_local(_read_host(link.target)):
            sure = _SECURE.fullmatch(_read_host(link.target))
            fix = Fix(link.at, link.at + 7, "https://") if sure else None
            how = "use https://" if sure else "use https:// if the site has it"
            found.append(Found(link.at, f"{shorten(link.target, 80)} is not encrypted: {how}.", fix, level))
    yield from group(doc, found)


@check("link-short", "warning", "A short link, which hides where it leads: spam filters distrust it, and it may stop working.")
def link_short(doc: Document, ctx: Context) -> Iterator[Found]:
    level = "" if doc.asks else "note"
    found = [link for link in doc.addresses if _read_host(link.target).removeprefix("www.") in _SHORTENERS]
    said = "hides where it leads, and spam filters distrust it: link to the page itself"
    yield from group(doc, (Found(link.at, f"{shorten(link.target, 80)} {said}.", level=level) for link in found))


@check("link-local", "error", "A link to a local address, which works on your machine only.")
def link_local(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        if _is_local(_read_host(link.target)):
            yield Found(
                link.at, f"{shorten(link.target, 80)} is reachable only from your machine or network: use the public address."
            )


@check("link-file", "error", "A link to a file that doesn't exist in the newsletter.")
def link_file(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        path = _find_file(doc, ctx, link)
        if path and not link.image and not path.exists():
            yield Found(link.at, f"The linked file {_strip_braces(link)} doesn't exist: correct the name, or add the file.")
        elif not path and not link.image and _is_bare(link.target, _SOURCES):
            fix = _put_in_braces(doc, ctx, link, "filename")
            yield Found(
                link.at, f"{shorten(link.target, 80)} is a source file, not a page: write {{filename}} before its name.", fix
            )


@check("link-draft", "error", "A link to a draft, which isn't published.")
def link_draft(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        path = _find_file(doc, ctx, link)
        sibling = ctx.siblings.get(path) if path else None
        if sibling and sibling.draft:
            yield Found(link.at, f"{sibling.shown} is a draft and isn't published: publish it first, or remove the link.")


@check("link-empty", "error", "A link without an address.")
def link_empty(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        if link.target.strip() not in ("", "#"):
            continue
        if link.text:
            yield Found(link.start, f"The link “{shorten(link.text, 40)}” has no address: write one between the parentheses.")
        elif doc.text.startswith("<", link.start):
            yield Found(link.start, "This link has no address: add one.")


@check("link-text", "warning", "A link text that doesn't describe its target, such as “click here”.")
def link_text(doc: Document, ctx: Context) -> Iterator[Found]:
    found = [(link.start, link.text) for link in doc.links if not link.image]
    if "][" in doc.prose:
        found += [(match.start(), match[1]) for match in _REFERENCE.finditer(doc.prose)]
    if doc.tags:
        found += [(match.start(), match[1]) for match in _ANCHOR.finditer(doc.prose)]
    if doc.definitions:
        short = ((match.start(), match[1]) for match in _SHORT.finditer(doc.prose))
        found += [one for one in short if " ".join(one[1].lower().split()) in doc.definitions]
    vague = ((at, words) for at, words in found if vague_links.says_nothing(words, doc.fields.get("lang") or ctx.lang))
    said = "doesn't describe its target: link more descriptive words"
    yield from group(doc, (Found(at, f"The link text “{shorten(words, 40)}” {said}.") for at, words in vague))


@check("reference-missing", "error", "A reference link that the text doesn't define.")
def reference_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    for match in _NAMED.finditer(doc.prose) if "][" in doc.prose else ():
        name = " ".join((match[2] or match[1]).lower().split())
        if name and name not in doc.definitions and not name.startswith("^") and re.search(r"\w", name):
            shown = match[2] or match[1]
            how = f"add a line `[{shown}]: address`, or correct the name"
            yield Found(match.start(), f"The reference [{shown}] is not defined: {how}.")


@check("alt-empty", "warning", "An image without alternative text.")
def alt_empty(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        if link.image and not link.text.strip() and doc.text.startswith("!", link.start):
            yield Found(
                link.start, f"The image {shorten(_strip_braces(link), 60)} has no alternative text: write ![what it shows](…)."
            )
    for match in re.finditer(r"!\[(?<!\\!\[)\s*\]\[[^\[\]\n]+\]", doc.prose):
        yield Found(match.start(), "The image has no alternative text: write ![what it shows][…].")
    for tag in doc.tags:
        if tag.name == "img" and not tag.closing and "alt" not in tag.attributes:
            yield Found(tag.at, 'The image has no alternative text: add alt="what it shows".')


@check("image-missing", "error", "An image file that doesn't exist.")
def image_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links:
        path = _find_file(doc, ctx, link)
        if link.image and path and not path.exists():
            yield Found(
                link.at,
                f"The image {_strip_braces(link)} doesn't exist: add it to {ctx.root.name}/images/, or correct its name.",
            )
        elif not path and link.image and _is_bare(link.target, PICTURE_SUFFIXES):
            fix = _put_in_braces(doc, ctx, link, "static")
            yield Found(
                link.at, f"{shorten(link.target, 80)} is not published next to the page: write {{static}} before its name.", fix
            )


@check("image-heavy", "warning", "An image of more than 1 MB.")
def image_heavy(doc: Document, ctx: Context) -> Iterator[Found]:
    for link, path in _list_pictures(doc, ctx):
        if (size := path.stat().st_size) > _MAX_LIGHT_PICTURE_BYTES:
            yield Found(
                link.at, f"{_strip_braces(link)} has {size / 1e6:.1f} MB: make it smaller. A width of 1,200 pixels is enough."
            )


@check(
    "image-format",
    "warning",
    "An image that many email programs can't display: `data:`, or a remote SVG, WebP, AVIF, TIFF or BMP.",
)
def image_format(doc: Document, ctx: Context) -> Iterator[Found]:
    for link in doc.links if doc.asks else ():
        suffix = Path(re.split("[?#]", link.target)[0]).suffix.lower() if link.image else ""
        if link.image and link.target[:5].lower() == "data:":
            yield Found(link.at, "Many email programs can't display images in `data:` addresses: save the image as a file.")
        elif suffix in _UNSHOWN and re.match("https?:", link.target, re.IGNORECASE):
            name = re.split("[?#]", link.target)[0].rpartition("/")[2]
            how = f"save {shorten(name, 60)} in {ctx.root.name}/images/"
            yield Found(link.at, f"Many email programs can't display {suffix[1:].upper()}: {how}.")


@check("image-script", "error", "An SVG that contains scripts or other forbidden content.")
def image_script(doc: Document, ctx: Context) -> Iterator[Found]:
    for link, path in _list_pictures(doc, ctx):
        if path.suffix.lower() in svg_sanitizer.SUFFIXES and (what := _name_running_file(path)):
            yield Found(link.at, f"{path.name} {what}: remove it, or save the image as PNG.")


def _name_running_file(path: Path) -> str:
    """Return what is wrong with a picture, or ''."""
    try:
        dropped = svg_sanitizer.clean(path.read_bytes())[1]
    except svg_sanitizer.Unreadable as wrong:
        return f"is not a valid image, because {wrong}"
    return f"contains what is not allowed in an image ({shorten(', '.join(dropped), 80)})" if dropped else ""


def _list_pictures(doc: Document, ctx: Context) -> Iterator[tuple[Link, Path]]:
    for link in doc.links:
        path = _find_file(doc, ctx, link) if link.image else None
        if path and path.is_file():
            yield link, path


def _find_file(doc: Document, ctx: Context, link: Link) -> Path | None:
    """Return the file below the content folder that a link names, or None if it names something else.

    In GitHub's dialect the name of a source or of a picture is enough.
    """
    match = _OURS.match(link.target)
    if not match and not (ctx.gfm and _is_bare(link.target, PICTURE_SUFFIXES if link.image else _SOURCES)):
        return None
    name = unquote(re.split(r"[?#]", match[2] if match else link.target)[0])
    base = ctx.root if name.startswith("/") else doc.path.parent
    return (base / name.lstrip("/")).resolve() if "\0" not in name and len(name) < 1000 else None


def _is_bare(target: str, endings: tuple[str, ...]) -> bool:
    """Does a target name a file beside the issue's own, which does not exist on the site?"""
    if not any(map(target.lower().__contains__, endings)) or re.match(r"[a-zA-Z][\w+.-]*:|[/#?{|]|www\.", target):
        return False
    return re.split("[?#]", target)[0].lower().endswith(endings)


def _put_in_braces(doc: Document, ctx: Context, link: Link, word: str) -> Fix | None:
    """Put ``{static}`` or ``{filename}`` before a file's name if that leads to the file."""
    name = unquote(re.split("[?#]", link.target)[0])
    if doc.text.startswith("<", link.start) and doc.text[link.at - 1] not in "\"'":  # braces in HTML need ``{}``, not ``||``
        return None
    for base, slash in ((doc.path.parent, ""), (ctx.root, "/")):
        if "\0" in name or len(name) >= 1000:
            continue
        path = (base / name).resolve()
        if path.is_file() and path.is_relative_to(ctx.root.resolve()):
            return Fix(link.at, link.at, f"{{{word}}}{slash}")
    return None


def _strip_braces(link: Link) -> str:
    return re.sub(r"^[{|]\w+[}|]", "", link.target)


def _read_host(url: str) -> str:
    """Return the host of a web address, in lower case."""
    match = _HOST.match(url)
    return match[1].strip("[]").lower() if match else ""


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".local", ".localhost", ".internal", ".test")):
        return True
    if not host[:1].isdigit() and ":" not in host:
        return bool(host) and "." not in host
    try:
        return not is_public(parse_ip(host))
    except ValueError:
        return False
