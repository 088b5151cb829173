"""How many texts have the structure that GitHub's own renderer, cmark-gfm, gives them, in both dialects.

    .venv/bin/python -m bench.dialect --content ../shared/real-archive/content
    .venv/bin/python -m bench.dialect --spec spec.txt --spec extensions.txt

``--spec`` is a file with examples, such as those in cmark-gfm's folder `test`, whose licence is not ours. Two texts have one
structure if their elements, the targets of links and pictures, and the words are the same and in one order. What
docs/how-to/writing.md lists as different on purpose does not count.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options
from lxml import etree, html

from mailer import defaults
from mailer.editions.mail import gfm
from mailer.editions.mail.canonical_html import canonical
from mailer.editions.mail.markdown_to_html import Cache, Workshop, convert_all
from mailer.editions.source import front_matter

_EXAMPLE = re.compile(r"^`{32} example[^\n]*\n(.*?)^\.\n.*?^`{32}$", re.MULTILINE | re.DOTALL)
_EXTENSIONS = ["table", "autolink", "strikethrough", "tasklist"]
_OURS = ("section", "div", "span", "input")  # what wraps code and notes, and check boxes
_SHOWN = re.compile("[☐☑↩\ufe0e]")
URL = "https://news.example.org/"
Element = tuple[str, str, str]


def by_github(text: str) -> str:
    """Convert a text with cmark-gfm."""
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
    made: str = cmarkgfm.markdown_to_html_with_extensions(text, options, _EXTENSIONS)
    return made


def structure(fragment: str, url: str = URL) -> list[Element]:
    """List the elements of HTML in order, as they are sent: tag, target and words."""
    try:
        root = html.fragment_fromstring(canonical(fragment, url).html, create_parent="div")
    except (ValueError, etree.ParserError):  # too deep, or nothing but what is left out
        return []
    return [made for one in root.iter() if (made := _describe(one))]


def _describe(one: etree._Element) -> Element | None:
    if not isinstance(one.tag, str) or one.tag in _OURS or (one.tag == "hr" and one.xpath("parent::section")):
        return None
    words = " ".join(_SHOWN.sub("", "".join(map(str, one.itertext()))).split())
    return one.tag, one.get("href") or one.get("src") or "", words


def read_examples(path: Path) -> Iterator[str]:
    """Yield the Markdown of a specification's examples."""
    for match in _EXAMPLE.finditer(path.read_text(encoding="utf-8")):
        yield match[1].replace("→", "\t")


def read_bodies(folder: Path) -> Iterator[str]:
    """Yield the bodies of an archive's issues."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".md", ".markdown"):
            yield front_matter.split(path.name, path.read_bytes()).body


def by_python_markdown(text: str) -> str:
    """Convert a text with the settings of a site that asks for nothing."""
    return convert_all({"": text}, defaults.MARKDOWN, Workshop(Cache(None))).html[""] or ""


def compare(texts: list[str], convert: Callable[[str], str]) -> list[str]:
    """List the texts that GitHub gives another structure."""
    return [text for text in texts if structure(convert(text)) != structure(by_github(text))]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", type=Path, action="append", default=[])
    parser.add_argument("--content", type=Path)
    parser.add_argument("--show", action="store_true", help="print the texts that differ")
    given = parser.parse_args()
    sets = {path.name: list(read_examples(path)) for path in given.spec}
    if given.content:
        sets[str(given.content.name)] = list(read_bodies(given.content))
    for name, texts in sets.items():
        for dialect, convert in (("GitHub dialect", gfm.to_html), ("Python-Markdown", by_python_markdown)):
            other = compare(texts, convert)
            print(f"{name}, {dialect}: {len(texts) - len(other)} of {len(texts)} have GitHub's structure")
            if given.show and dialect != "Python-Markdown":
                print(*(repr(text[:300]) for text in other), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
