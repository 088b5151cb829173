"""HTML of other tools as Markdown that Python-Markdown and GitHub read alike. What Markdown cannot say stays as clean HTML."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Comment, Tag
from bs4.builder import ParserRejectedMarkup
from markdownify import ATX, MarkdownConverter

from mailer.archives.archive_files import PICTURE_SUFFIXES
from mailer.archives.posts import PICTURE, FindPicture
from mailer.core.characters import clean_html
from mailer.editions.mail.canonical_html import REMOVED_ELEMENTS, SAFE_SCHEMES

MAX_POST_CHARS = 2_000_000
_MAX_DEPTH_OF_POST = 80  # elements inside one another
_UNNAMED = {"style", "meta", "link", "template"}  # removed without a word
_KEPT_ATTRIBUTES = {
    "href", "src", "alt", "title", "colspan", "rowspan", "controls", "poster", "open", "start", "width", "height",
}  # fmt: skip
_ESCAPED = re.compile(r"([\\`*\[\]])")
_UNDERSCORE = re.compile(r"(?<!\w)_|_(?!\w)")
_ENTITY = re.compile(r"&(?=#?\w{1,30};)")
_LINE_START = re.compile(r"^([ \t]*)(#{1,6}(?=\s|$)|>|[-+](?=\s|$)|-{2,}(?=\s*$)|={2,}(?=\s*$)|~{3,}|:{3,}|\|)", re.MULTILINE)
_NUMBERED = re.compile(r"^([ \t]*\d{1,9})([.)])(?=\s|$)", re.MULTILINE)


_COMMENT = re.compile(
    r"<!--(?:(?!<!--).)*?-->|<(script|style)\b(?:(?!<(?:script|style)\b).)*?</\1\s*>", re.DOTALL | re.IGNORECASE
)
_PAIRED = re.compile(
    r"<(/?)(a|b|blockquote|code|div|em|figure|i|ol|pre|section|span|strong|table|ul)(?=[\s>])[^<>]*(?<!/)>", re.IGNORECASE
)


@dataclass
class ConvertedText:
    """``body`` is Markdown with PICTURE and an index for each of ``pictures``; ``lost`` are sentences for the report."""

    body: str = ""
    pictures: tuple[str, ...] = ()
    lost: list[str] = field(default_factory=list)


@dataclass
class PictureList:
    """The pictures of one text that are in the archive."""

    find: FindPicture
    names: list[str] = field(default_factory=list)

    def place(self, address: str) -> str:
        """Return what the Markdown says in place of a picture's address."""
        if name := self.find(address):
            if name not in self.names:
                self.names.append(name)
            return f"{PICTURE}{self.names.index(name)}"
        return address


Prepare = Callable[[BeautifulSoup, list[str]], None]  # a tool's own markup becomes plain HTML; sentences are added to the list


def convert_html(html: str, find: FindPicture, prepare: Iterable[Prepare] = (), base: str = "") -> ConvertedText:
    """Convert a post's HTML. Never raises: what cannot be converted is left out, with a sentence.

    Relative links are relative to ``base``, the post's old address.
    """
    if len(html) > MAX_POST_CHARS:
        return ConvertedText(lost=[f"The text has more than {MAX_POST_CHARS:,} characters and was left out."])
    lost = _describe_damage(html)
    pictures = PictureList(find)
    try:
        soup = BeautifulSoup(clean_html(html), "lxml")
        if _is_deep(soup):
            text = soup.get_text("\n\n", strip=True)
            return ConvertedText(_escape(text), lost=["Its elements are too deep inside one another: only the text was kept."])
        for one in prepare:
            one(soup, lost)
        lost += _clean(soup)
        if base:
            _make_absolute(soup, base)
        for image in soup.find_all("img"):
            _place_picture(image, pictures)
        writer = _MarkdownWriter(heading_style=ATX, sub_symbol="<sub>", sup_symbol="<sup>", code_language_callback=_language)
        text = writer.convert_soup(soup)
    except (RecursionError, ParserRejectedMarkup, ValueError, AssertionError) as error:
        return ConvertedText(lost=[f"The text cannot be converted ({type(error).__name__}) and was left out."])
    text = re.sub(r"\n{3,}", "\n\n", text.replace("\xa0", " ")).strip()
    return ConvertedText(text, tuple(pictures.names), lost)


def replace_by_link(element: Tag, url: str, text: str = "") -> None:
    """Put a paragraph with a link in an element's place."""
    maker = BeautifulSoup("", "lxml")
    paragraph, link = maker.new_tag("p"), maker.new_tag("a", href=url)
    link.string = text or url
    paragraph.append(link)
    element.replace_with(paragraph)


def _describe_damage(html: str) -> list[str]:
    """Return a sentence if elements or a comment are not closed, or closed without a beginning: the parser guesses where."""
    text = _COMMENT.sub("", html)
    counts: Counter[str] = Counter()
    for match in _PAIRED.finditer(text):
        counts[match[2].lower()] += -1 if match[1] else 1
    names = [f"<{name}>" for name, number in sorted(counts.items()) if number] + ["<!--"] * ("<!--" in text)
    return [f"Its HTML is broken ({', '.join(names)} without a partner) and was repaired: look at the page."] if names else []


def _is_deep(soup: BeautifulSoup) -> bool:
    return any(next(islice(element.parents, _MAX_DEPTH_OF_POST, None), None) for element in soup.find_all(True))


def _clean(soup: BeautifulSoup) -> list[str]:
    """Replace embeds by links, and remove what neither an email nor a page may contain."""
    lost: list[str] = []
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for frame in soup.find_all(["iframe", "embed"]):
        if url := make_safe(str(frame.get("src") or "")):
            replace_by_link(frame, url)
            lost.append(f"Embedded content became a link: {url[:200]}.")
    for element in soup.find_all("noscript"):
        _keep_picture(element)
    for name in sorted(REMOVED_ELEMENTS):
        found = soup.find_all(name)
        for element in found:
            element.decompose()
        if found and name not in _UNNAMED:
            lost.append(f"{_count(len(found), f'<{name}>')} removed.")
    for picture in soup.find_all("picture"):
        for source in picture.find_all("source"):
            source.unwrap()  # this parser puts the picture inside of it
    for link in soup.find_all("a"):
        if not make_safe(str(link.get("href") or "")):
            link.unwrap()
    return lost


def _keep_picture(element: Tag) -> None:
    """Keep the picture that is shown without scripts, in place of the one before it that a script would load."""
    if not element.find("img"):
        element.decompose()
        return
    before = element.find_previous("img")
    if isinstance(before, Tag) and (before.get("data-src") or not re.match(r"https?:|/", str(before.get("src") or ""))):
        before.decompose()
    element.unwrap()


def _make_absolute(soup: BeautifulSoup, base: str) -> None:
    for name in ("href", "src"):
        for element in soup.select(f"[{name}]"):
            with contextlib.suppress(ValueError):
                if not str(element[name]).startswith("#"):
                    element[name] = urljoin(base, str(element[name]))


def _place_picture(image: Tag, pictures: PictureList) -> None:
    """Give a picture its new address, its caption as a title, and no link to itself."""
    address = str(image.get("src") or image.get("data-src") or "")
    if not address or address.startswith("data:"):
        image.decompose()
        return
    figure = image.find_parent("figure")
    caption = figure.find("figcaption") if figure else None
    if isinstance(caption, Tag) and figure and len(figure.find_all("img")) == 1 and not caption.find("a"):
        image["title"] = " ".join(caption.get_text(" ", strip=True).split())
        caption.decompose()
    link = image.find_parent("a")
    if link and not link.get_text(strip=True) and urlsplit(str(link.get("href"))).path.endswith(tuple(PICTURE_SUFFIXES)):
        link.unwrap()
    image["src"] = pictures.place(address)
    image["alt"] = re.sub(r"[\[\]\\\s]+", " ", str(image.get("alt") or "")).strip()


class _MarkdownWriter(MarkdownConverter):
    """Lists indented by four, and HTML for what has no Markdown."""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """Escape what both dialects would read as markup, and nothing else."""
        return _escape(text) if text else ""

    def convert_li(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write an item: Python-Markdown needs four spaces before what belongs to it, and an empty line after it."""
        text = (text or "").strip()
        if not text:
            return "\n"
        mark = "-"
        if el.parent is not None and el.parent.name == "ol":
            start = str(el.parent.get("start") or "1")
            mark = f"{(int(start) if start.isdecimal() and len(start) < 9 else 1) + len(el.find_previous_siblings('li'))}."
        inner = "\n".join(f"    {line}" if line else "" for line in text.split("\n"))
        return f"{mark:<3} {inner[4:]}\n" + ("\n" if "\n\n" in inner else "")

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write a picture, in headings and cells too."""
        address = str(el.get("src") or "").replace(" ", "%20").replace("(", "%28").replace(")", "%29")
        title = str(el.get("title") or "").replace('"', "'")
        title = f' "{title}"' if title else ""
        return f"![{el.get('alt') or ''}]({address}{title})"

    def convert_figure(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Keep a figure apart from what follows."""
        return f"\n\n{text.strip()}\n\n"

    def convert_table(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write a table; one that Markdown cannot say stays HTML."""
        spans = any(cell.get("colspan") or cell.get("rowspan") for cell in el.find_all(["td", "th"]))
        if spans or el.find(["table", "ul", "ol", "pre", "blockquote", "h1", "h2", "h3", "h4"]) or "li" in parent_tags:
            return f"\n\n{_raw(el)}\n\n"
        return f"\n\n{text.strip()}\n\n"

    def convert_raw(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write an element as it is, without classes and styles."""
        return f"\n\n{_raw(el)}\n\n"

    convert_details = convert_video = convert_audio = convert_dl = convert_raw

    def convert_u(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Keep underlined text."""
        return f"<u>{text}</u>" if text.strip() else text

    def convert_mark(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Keep highlighted text."""
        return f"<mark>{text}</mark>" if text.strip() else text

    def convert_del(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Keep deleted text: Python-Markdown has no `~~`."""
        return f"<del>{text}</del>" if text.strip() else text

    convert_s = convert_strike = convert_del


def _raw(element: Tag) -> str:
    for one in [element, *element.find_all(True)]:
        one.attrs = {name: value for name, value in one.attrs.items() if name in _KEPT_ATTRIBUTES}
    return re.sub(r"\n\s*\n+", "\n", str(element))


def _escape(text: str) -> str:
    text = _UNDERSCORE.sub(r"\\_", _ESCAPED.sub(r"\\\1", text))
    text = _ENTITY.sub("&amp;", text).replace("<", "&lt;")
    return _NUMBERED.sub(r"\1\\\2", _LINE_START.sub(r"\1\\\2", text))


def _language(block: Tag) -> str:
    """Return the language of a code block by its class, such as ``language-python``."""
    code = block.find("code")
    classes = [*(block.get("class") or []), *((code.get("class") or []) if isinstance(code, Tag) else [])]
    found = (re.fullmatch(r"(?:lang(?:uage)?-|brush:)([\w+#-]{1,20})", str(name)) for name in classes)
    return next((match[1] for match in found if match), "")


def make_safe(url: str) -> str:
    """Return a link's address with a scheme if it has none, '' for one that runs something."""
    url = url.strip()
    url = f"https:{url}" if url.startswith("//") else url
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        return ""
    return url if scheme in SAFE_SCHEMES or not scheme else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
