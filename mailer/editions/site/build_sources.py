"""The sources of one build: read, checked, placed and converted before Pelican starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.core.characters import printable
from mailer.core.edition import Finding, SendIntent
from mailer.editions.mail.markdown_to_html import Cache, Workers, convert_all
from mailer.editions.source import (
    drafts,
    field_rules,
    front_matter,
    paid_sections,
    restructured_text,
    translations,
)
from mailer.editions.source.front_matter import Asked, Source
from mailer.editions.source.paid_leaks import Secret
from mailer.editions.source.paid_sections import MARK
from mailer.editions.source.site_config import EXTENSIONS
from mailer.editions.source.slugs import File, Slugs


@dataclass(frozen=True)
class _Asking:
    """An issue that asks to be sent: its file's display name and the edition's number."""

    issue: str
    number: int

    def mark(self, finding: Finding) -> Finding:
        return replace(finding, issue=self.issue, asks=self.number) if finding.level == "error" else finding


class BuildSources:
    """Collects the sources of a build, their HTML, and the findings about them."""

    def __init__(
        self,
        cache: Path | None = None,
        progress: Callable[[str], None] = lambda text: None,
        preview: bool = False,
    ) -> None:
        self.preview = preview
        self.cache = Cache(cache)
        self.workers = Workers()
        self.progress = progress
        self.findings: list[Finding] = []
        self.converted = self.reused = 0
        self.secrets: list[Secret] = []
        self._shared: set[tuple[str, str]] = set()  # path and message of each file that has another one's key
        self._premium: dict[str, str] = {}
        self._sources: dict[str, Source] = {}
        self._names: dict[str, str] = {}
        self._html: dict[str, str | None] = {}
        self._fields: dict[str, dict[str, str]] = {}
        self._asked: dict[str, Asked] = {}
        self._drafts: set[str] = set()
        self._slugs = Slugs()

    def prepare(self, settings: Mapping[str, Any]) -> None:
        """Read and convert every Markdown file below the content folder, with the cache and all processors."""
        self._given, self._settings = Path(settings["PATH"]).absolute(), settings
        self._root = self._given.resolve()
        self._zone = settings["TIMEZONE"] or "UTC"
        self._name, self._lang = self._root.name, str(settings["DEFAULT_LANG"])
        self._ids = translations.family_ids(settings)
        self._join_url = f"{settings.get('API_URL') or settings['SITEURL']}/join"
        found = (path for path in self._root.rglob("*") if path.suffix.lower() in EXTENSIONS)
        files = sorted(path for path in found if path.is_file() and not path.is_symlink())
        pages = [self._root / folder for folder in settings["PAGE_PATHS"]]
        for path in files:
            self._take(path, is_page=any(path.is_relative_to(page) for page in pages))
        self._slugs = Slugs(by_language="slug" in self._ids)
        self._place_all()
        self._unite()
        options = {"output_format": "html", **settings["MARKDOWN"]}
        options["extensions"] = list(options.get("extensions", [])) or sorted(options.get("extension_configs", {}))
        self._options = options
        texts = self._texts(() if self.preview else self._fields)
        self._html, self.converted = convert_all(texts, options, self.cache, self.workers, self.progress)
        self.reused = len(texts) - self.converted

    def retake(self, path: Path, is_page: bool) -> None:
        """Read and convert one file again, for a preview: a draft is shown, and missing fields are filled in."""
        name, shown = str(path), self.shown(path)
        self.findings = [finding for finding in self.findings if finding.path != shown]
        self._fields.pop(name, None)
        self._take(path, is_page)
        self._unite(name)
        if name not in self._fields:
            fields = {
                key: value for key, value in self._sources[name].fields.items() if value and key not in field_rules.PLACES
            }
            dated = front_matter.date(Source(shown), fields.get("date", ""), self._zone) or datetime.now(UTC)
            fields |= {"title": fields.get("title") or path.stem, "date": dated.isoformat(), "status": "published"}
            self._fields[name] = fields if is_page else {**fields, "slug": self._slug(path, fields)}
        made, _ = convert_all(self._texts([name]), self._options, self.cache, self.workers, self.progress)
        self._html.update(made)

    def report(self) -> list[Finding]:
        """List the findings in the order of files and lines; an error says whether its issue asks to be sent."""
        asking = self._asking()
        found = [asking[one.path].mark(one) if one.path in asking else one for one in self.findings]
        found = [replace(one, issue="") if (one.path, one.message) in self._shared else one for one in found]
        return sorted(found, key=lambda finding: (finding.path, finding.line))

    def read(self, source_path: str) -> tuple[str, dict[str, str]]:
        """Return the HTML and fields of a Markdown file; Pelican skips a file whose source is broken."""
        name = self._real(source_path)
        if name not in self._fields:
            self._refuse_link(name)
            return "", {"status": "skip", "title": "broken", "date": "2000-01-01"}
        html = self._html.get(name, "" if self.preview else None)
        if html is None:
            self._warn(name, 1, "This file cannot be converted from Markdown; its source is shown instead: simplify the text.")
            html = f"<pre>{self._sources[name].body.replace('&', '&amp;').replace('<', '&lt;')}</pre>"
        return html, self._fields[name]

    def read_rst(self, source_path: str, metadata: Mapping[str, Any]) -> dict[str, str]:
        """Return the fields that a reStructuredText file gets in addition to its own."""
        path = Path(self._real(source_path))
        if self._refuse_link(str(path)):
            return {"status": "skip"}
        source, fields, now = Source(self.shown(path)), restructured_text.fields(metadata), datetime.now(UTC)
        self._sources[str(path)], source.fields = source, fields
        self._asked[str(path)] = asked = front_matter.asked(source, fields, now)
        if drafts.judge(source, fields, path.relative_to(self._root), self._zone, now, asked.send):
            return {"status": "skip"}
        restructured_text.check(source, fields, path.read_text(encoding="utf-8", errors="replace"))
        field_rules.check(source, fields, self._settings)
        if source.broken:
            self._note(source)
            return {"status": "skip"}
        return {"slug": self._slug(path, fields)}

    def shown(self, path: Path) -> str:
        """Return the display name of a file."""
        return printable(f"{self._name}/{os.path.relpath(path, self._root)}")

    def _texts(self, names: Iterable[str]) -> dict[str, str]:
        """Map names to texts to convert: the free text of each source, and the one for paid subscribers if there is one."""
        known = [name for name in names if name in self._sources]
        paid = {name + MARK: self._premium[name] for name in known if name in self._premium}
        return {name: self._sources[name].body for name in known} | paid

    def _asking(self) -> dict[str, _Asking]:
        """Map display names of files to the issues that ask to be sent, including files with errors and translations."""
        found: dict[str, _Asking] = {}
        for family in self._slugs.families():
            names = [str(self._root / path) for path in family]
            if first := next((name for name in names if self._sources[name].asks), ""):
                asking = _Asking(self._sources[first].path, self._asked[first].number)
                found |= {self._sources[name].path: asking for name in names}
        return found

    def _take(self, path: Path, is_page: bool) -> None:
        name = str(path)
        self._sources[name] = source = field_rules.read(path, self._root, self.shown(path))
        if source.broken and not (source.fields or source.body):
            return self._note(source)
        fields, now = dict(source.fields), datetime.now(UTC)
        if not is_page:
            self._asked[name] = front_matter.asked(source, fields, now)
        send = SendIntent.NO if is_page else self._asked[name].send
        draft = drafts.judge(source, fields, path.relative_to(self._root), self._zone, now, send)
        (self._drafts.add if draft else self._drafts.discard)(name)
        if not draft and not fields.get("title", "").strip():
            source.error("title", "`Title:` is missing: add one at the beginning of the file, followed by an empty line.")
        if not is_page:
            field_rules.warn_of_places(source)
            dated = front_matter.date(Source(source.path) if draft else source, fields.get("date", ""), self._zone)
            fields["date"] = dated.isoformat() if dated else ""
        if not draft:
            field_rules.check(source, fields, self._settings)
            field_rules.check_slug(source, "" if is_page else self._file(path, fields).wanted)
        self._cut(name, source, fields, is_page)
        self._note(source)
        if not source.broken and not draft:
            fields["status"] = drafts.status(fields)
            kept = {key: value for key, value in fields.items() if value and not field_rules.is_reserved(key)}
            self._fields[name] = {key: value for key, value in kept.items() if is_page or key not in field_rules.PLACES}

    def _unite(self, only: str = "") -> None:
        """Group translations with their originals; leave out those that cannot be used."""
        texts = [
            translations.Text(
                name, self._sources[name].path, self._fields[name].get("lang") or self._lang, self._fields[name],
                premium=name in self._premium,
            )
            for name in self._fields
            if name in self._asked
        ]  # fmt: skip
        for family in translations.families(texts, self._ids, self._lang):
            for text in family[1:]:
                self._fields[text.name]["translation"] = "true"  # so that Pelican chooses the same original
            for one in translations.wrong(family):
                if only in ("", one.name):
                    self._fail(one.name, one.field, one.message)
                if not only:
                    self._fields.pop(one.name, None)

    def _cut(self, name: str, source: Source, fields: Mapping[str, str], is_page: bool) -> None:
        """Cut the paid text out of a source, before anything is made from it."""
        before = len(source.findings)
        cut = paid_sections.cut(source, {"lang": self._lang, **fields}, datetime.now(UTC), self._join_url)
        if cut.premium is not None and is_page:
            source.error(
                "access", "A page cannot contain paid text, because everybody can read it: move the text into an issue."
            )
        source.body = cut.free if len(source.findings) == before else ""
        self._premium.pop(name, None)
        self.secrets = [one for one in self.secrets if one.path != source.path]
        self.secrets += [Secret(source.path, text) for text in cut.secrets]
        if cut.premium is not None:
            self._premium[name] = cut.premium

    def _place_all(self) -> None:
        """Give every issue its slug, including those with errors, so that correcting one moves no other."""
        asked = self._asked.keys() - self._drafts
        files = {name: self._file(Path(name), self._sources[name].fields) for name in sorted(asked)}
        slugs = self._slugs.place_all(files.values())
        for name in files.keys() & self._fields.keys():
            self._fields[name]["slug"] = self._said(name, files[name], slugs[files[name].path])

    def _slug(self, path: Path, fields: Mapping[str, str]) -> str:
        """Return the slug of one issue that is read again, or later than the others."""
        file = self._file(path, fields)
        return self._said(str(path), file, self._slugs.place(file))

    def _file(self, path: Path, fields: Mapping[str, str]) -> File:
        return File.of(path, self._root, fields, self._lang, self._zone)

    def _said(self, name: str, file: File, slug: str) -> str:
        """Return the slug, and warn if it differs from the one that the file asks for."""
        if slug != file.wanted:
            other = self._slugs.holder(file.wanted)
            self._warn(
                name,
                self._sources[name].lines.get("slug", 1),
                f"The slug {file.wanted!r} is taken by {self._name}/{other}, so this issue is at {slug!r}: give it a different"
                " `Slug:`.",
            )
        return slug

    def _real(self, source_path: str) -> str:
        """Return the name by which this session knows one of Pelican's files."""
        if source_path not in self._names:
            path = Path(os.path.abspath(source_path))
            inside = path.is_relative_to(self._given)
            self._names[source_path] = str(self._root / path.relative_to(self._given) if inside else path)
        return self._names[source_path]

    def _refuse_link(self, name: str) -> bool:
        """Report a source behind a symbolic link: it may be another issue, or outside the content folder."""
        path = Path(name)
        linked = path.resolve() != path
        if linked and not any(one.path == self.shown(path) for one in self.findings):
            message = "A symbolic link leads to this file, and it is left out: put the file itself here, or remove the link."
            self.findings.append(Finding("error", self.shown(path), 1, message))
        return linked

    def refuse_outside(self, path: Path) -> None:
        """Report a file from outside the content folder, or one that would be written outside the site."""
        shown = self.shown(Path(self._real(str(path))))
        if not any(one.path == shown and one.level == "error" for one in self.findings):
            message = "This file leads out of the content folder or of the site, and it is left out: put the file itself here."
            self.findings.append(Finding("error", shown, 1, message))

    def _note(self, source: Source) -> None:
        self.findings += source.findings

    def _warn(self, name: str, line: int, message: str) -> None:
        self.findings.append(Finding("warning", self.shown(Path(name)), line, message))

    def _fail(self, name: str, field: str, message: str) -> None:
        self._sources[name].error(field, message)
        self.findings.append(self._sources[name].findings[-1])
