"""The live preview of a file: page, email in both color modes, text, source, sizes, findings."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mailer import checks
from mailer.checks import Context, Document, Link, Remark, Rendered, network, output
from mailer.core.edition import Edition, Variant
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.settings import Settings
from mailer.editions import BuildOptions
from mailer.editions.mail.gmail_clipping import MAX_HTML_BYTES
from mailer.editions.site.preview import Preview, Shown
from mailer.editions.source import site_config
from mailer.editions.source.site_config import EXTENSIONS
from mailer.workbench.color_modes import fix_color_mode

_MAX_SOURCE_CHARS = 2_000_000  # of a source
_MODES = {"mail": "light", "mail_dark": "dark"}


class LivePreview:
    """A newsletter in memory. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._read()

    def list_files(self) -> list[dict[str, str]]:
        """Return every file with its title, newest first."""
        with self._lock:
            docs = sorted(
                self._docs.values(), key=lambda doc: (not doc.is_page, doc.fields.get("date", ""), doc.shown), reverse=True
            )
            return [{"file": self.name(doc.path), "title": doc.fields.get("title", "") or doc.path.name} for doc in docs]

    def name(self, path: Path) -> str:
        """A file's name below the content folder."""
        return path.relative_to(self.site.root).as_posix()

    def path(self, name: str) -> Path:
        """Return the path of a file. Raises BadInput if it does not belong to the newsletter."""
        path = (self.site.root / name).resolve()
        if path.suffix.lower() not in EXTENSIONS or not path.is_relative_to(self.site.root):
            raise BadInput(f"{name} is not a Markdown file of the newsletter: choose one from the list.")
        return path

    def watched(self) -> list[Path]:
        """The folders whose changes matter."""
        return [folder for folder in (self.site.root, self.site.theme, self.site.config.parent) if folder.is_dir()]

    def changed(self, paths: Iterable[Path]) -> set[Path] | None:
        """Reload changed files; return those whose preview changes, or None if all do."""
        with self._lock:
            touched: set[Path] = set()
            for path in paths:
                known, there = path in self._docs, path.is_file()
                if path.is_relative_to(self.site.root) and path.suffix.lower() in EXTENSIONS:
                    if known and there:
                        self._docs[path] = checks.document(self.site, path)
                        touched.add(path)
                    elif known or there:
                        self._again()
                        return None
                elif path.is_relative_to(self.site.theme) or path in (self.site.config, self.site.config.parent / "words.txt"):
                    self._again()
                    return None
                elif path.is_relative_to(self.site.root):
                    return None  # a picture
            return touched

    def show(self, path: Path) -> dict[str, Any]:
        """Return the message about a file. Errors are part of it, never raised."""
        with self._lock:
            base = {"kind": "shown", "file": self.name(path), "limit": MAX_HTML_BYTES}
            if self._broken:
                return {**base, "error": self._broken, "remarks": [], "links": []}
            try:
                doc = self._docs[path] = checks.document(self.site, path)
            except BadInput as wrong:
                return {**base, "error": str(wrong), "remarks": [], "links": []}
            shown, error = self._shown(path)
            rendered = Rendered.of(shown)
            site = self.site
            siblings = checks.siblings(self._docs.values(), site.root, site.lang, site.zone, site.ids)
            ctx = replace(self._ctx, siblings=siblings, render=lambda path: rendered)
            remarks, failed = _examined(doc, ctx, self.site.off)
            links = [_link(doc, link) for link in network.asked(doc)]
            whole = {
                **base,
                "error": error or failed,
                "source": doc.text[:_MAX_SOURCE_CHARS],
                "remarks": remarks,
                "links": links,
                "languages": self._list_languages(path, ctx),
            }
            if shown:
                whole |= self._made(shown)
            return whole

    def render_edition(self, path: Path) -> Edition:
        """Return the edition of an issue as it is saved. Raises BadInput if it has errors or is a page."""
        with self._lock:
            shown, error = self._shown(path)
        if error or not shown or not shown.edition:
            raise BadInput(error or "This file has errors or is a page, so there is no email of it.")
        return shown.edition

    def _shown(self, path: Path) -> tuple[Shown | None, str]:
        try:
            return self._preview.show(path), ""
        except PostmergeError as error:
            return None, str(error)

    def _made(self, shown: Shown) -> dict[str, Any]:
        facts: dict[str, Any] = {"page": self._local(shown.page), "seconds": shown.seconds, "size": 0}
        if edition := shown.edition:
            facts |= {"subject": edition.subject, "url": edition.url, **self._describe_email(edition)}
            facts["paid"] = next(map(self._describe_email, edition.variants), None)
        return facts

    def _describe_email(self, text: Edition | Variant) -> dict[str, Any]:
        """Describe an email as email programs in both color modes show it, whatever the browser's mode; sizes in bytes."""
        modes = {name: self._local(fix_color_mode(text.html, mode)) for name, mode in _MODES.items()}
        return {"preheader": text.preheader, "text": text.text, "size": len(text.html.encode()), **modes}

    def _list_languages(self, path: Path, ctx: Context) -> list[dict[str, str]]:
        """List the texts of the file's issue in several languages, the original first."""
        family = ctx.families.get(str(path), [])
        return [{"lang": one.lang or ctx.lang, "file": self.name(Path(one.name))} for one in family]

    def _local(self, html: str) -> str:
        """Make images and styles load from here rather than from the live site."""
        return re.sub(rf"""(\b(?:src|href)=["']){re.escape(self.site.url)}/""", r"\1/", html)

    def _again(self) -> None:
        try:
            self._read()
        except PostmergeError as error:
            self._broken = str(error)

    def _read(self) -> None:
        settings = self._settings
        self.site = site_config.read(settings.content, settings.config, settings.site_url)
        self._preview = Preview(BuildOptions.of(settings))
        self._docs = {doc.path: doc for doc in checks.documents(self.site)}
        self._ctx = checks.context_of(self.site, self._docs.values())
        self._broken = ""


def _examined(doc: Document, ctx: Context, off: Iterable[str]) -> tuple[list[dict[str, Any]], str]:
    try:
        found: list[Remark] = checks.examine([doc], ctx, set(off))
    except Exception as error:
        return [], f"A check failed ({type(error).__name__}: {error}): please report it with this issue's text."
    return [output.facts(one) for one in found], ""


def _link(doc: Document, link: Link) -> dict[str, Any]:
    return {"url": link.target, "text": link.text[:80], "line": doc.place(link.at)[0]}
