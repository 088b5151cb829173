"""Checks of issues: one small function each, with an id, a place, a sentence and, where possible, a fix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mailer.checks import dialect, head, links, network, own_words, placeholders, sequences, videos, words
from mailer.checks.context import Context, Ledger, Rendered, Sibling, word_list
from mailer.checks.document import Document, Link
from mailer.checks.registry import CHECKS, Check, Fix, Found, Remark
from mailer.core.errors import BadInput
from mailer.editions.source import pelican_metadata
from mailer.editions.source.sequences import is_step
from mailer.editions.source.site_config import EXTENSIONS, Site
from mailer.editions.source.slugs import File, Slugs
from mailer.editions.source.translations import Text

__all__ = ["CHECKS", "Check", "Context", "Document", "Fix", "Found", "Ledger", "Link", "Remark", "Rendered",
           "Sibling", "context_of", "dialect", "documents", "examine", "fixed", "head", "links", "network", "own_words",
           "placeholders", "sequences", "siblings", "videos", "word_list", "words"]  # fmt: skip
_ORDER = {"error": 0, "warning": 1, "note": 2}
# What only matters where a text is sent or written now: warnings in an issue that says `Send: no`, as each imported one does.
_OF_THE_TEXT = {
    "link-scheme", "link-local", "link-file", "link-draft", "link-empty", "reference-missing", "image-missing", "placeholder",
    "variable-unknown", "html-forbidden", "markdown-unclosed", "footnote-missing",
}  # fmt: skip


def documents(site: Site, wanted: Sequence[Path] = ()) -> list[Document]:
    """List the Markdown files of a site, or those that are wanted. Raises BadInput for a name that is not a file."""
    every = {path: None for path in sorted(site.root.rglob("*")) if path.suffix.lower() in EXTENSIONS and path.is_file()}
    chosen = list(every)
    if wanted:
        chosen = [found for path in wanted for found in _named(path, every)]
    return [document(site, path) for path in dict.fromkeys(chosen)]


def document(site: Site, path: Path) -> Document:
    """Read one file. Raises BadInput if it cannot be read."""
    try:
        implied = pelican_metadata.imply_fields(site, path)
        found = Document(path, site.shown(path), path.read_bytes(), site.is_page(path), implied=implied)
        found.is_step = is_step(path, site.root, found.fields)
        return found
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): check its name and its permissions.") from error


def context_of(site: Site, every: Iterable[Document], **more: object) -> Context:
    """Build what the checks need to know about a site and its files; ``more`` are fields of Context."""
    values: dict[str, object] = {
        "site_url": site.url,
        "zone": site.zone,
        "lang": site.lang,
        "ids": site.ids,
        "siblings": siblings(list(every), site.root, site.lang, site.zone, site.ids),
        "words": word_list(site.words()),
        "clip": site.clip,
        "gfm": site.gfm,
        "is_adopted": site.is_adopted,
        "has_templates": site.fills_templates,
        **more,
    }
    return Context(site.root, **values)  # type: ignore[arg-type]


def examine(docs: Iterable[Document], ctx: Context, skip: Collection[str] = ()) -> list[Remark]:
    """List the remarks about the documents, in the order of files and lines."""
    found = [remark for doc in docs for remark in _about(doc, ctx, skip)]
    return sorted(found, key=lambda one: (one.path, one.line, one.column, _ORDER[one.level]))


def fixed(doc: Document, remarks: Iterable[Remark]) -> tuple[bytes, int]:
    """Return the file's bytes with every fix that does not overlap another applied, and how many there were."""
    text, done, last = doc.text, 0, len(doc.text) + 1
    fixes = sorted({fix for one in remarks for fix in one.fixes}, key=lambda fix: (fix.start, fix.end), reverse=True)
    for fix in fixes:
        if fix.end <= last:
            text, last, done = text[: fix.start] + fix.text + text[fix.end :], fix.start, done + 1
    if doc.data.count(b"\r\n") * 2 > doc.data.count(b"\n"):
        text = text.replace("\n", "\r\n")
    mark = b"\xef\xbb\xbf" if doc.data.startswith(b"\xef\xbb\xbf") else b""
    return mark + text.encode("utf-8"), done


def summary(remarks: Iterable[Remark]) -> Counter[str]:
    """Count the remarks of each level."""
    return Counter(one.level for one in remarks)


def _about(doc: Document, ctx: Context, skip: Collection[str]) -> list[Remark]:
    if doc.is_draft and not doc.asks:
        skip = {*skip, "title-missing", "date-unreadable"}
    made = []
    for one in CHECKS.values():
        if one.id in skip:
            continue
        for found in one.look(doc, ctx):
            line, column = doc.place(found.at)
            level = found.level or one.level
            level = "warning" if level == "error" and one.id in _OF_THE_TEXT and doc.is_never_sent else level
            made.append(Remark(one.id, level, doc.shown, line, column, found.message, found.fix, found.more))
    broken = any(one.id == "encoding" for one in made)
    return [replace(one, fix=None, more=()) for one in made] if broken else made


def siblings(docs: Collection[Document], root: Path, lang: str, zone: str, ids: Collection[str]) -> dict[Path, Sibling]:
    """Describe each file for the others, by path; ``lang``, ``zone`` and ``ids`` are the site's."""
    files = {doc.path: File.of(doc.path, root, doc.fields, lang, zone) for doc in docs}
    placed = Slugs("slug" in ids).place_all(files[doc.path] for doc in docs if not doc.is_page and not doc.is_draft)
    return {doc.path: _sibling(doc, files[doc.path], placed.get(files[doc.path].path)) for doc in docs}


def _sibling(doc: Document, file: File, slug: str | None) -> Sibling:
    prefix = "page:" if doc.is_page else ""
    own = prefix + (slug or file.wanted)
    premium = doc.fields.get("access", "").lower() == "premium" or bool(re.search(r"^:::+ *premium", doc.text, re.MULTILINE))
    text = None if doc.is_page else Text(str(doc.path), doc.shown, file.lang, {**doc.fields, "slug": own}, premium)
    return Sibling(doc.shown, own, prefix + file.wanted, doc.is_draft, text)


def _named(path: Path, every: Collection[Path]) -> list[Path]:
    whole = path.resolve()
    if whole.is_dir():
        return [one for one in every if one.is_relative_to(whole)]
    if whole not in every:
        raise BadInput(f"{path} is not a Markdown file of the newsletter: name one below the content folder.")
    return [whole]
