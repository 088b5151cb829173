"""The first step of a build: each Markdown file is read, checked, and given its fields and its slug."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.core.edition import Finding, SendIntent, SequenceStep
from mailer.editions.source import (
    drafts,
    field_rules,
    field_synonyms,
    front_matter,
    paid_sections,
    pelican_metadata,
    restructured_text,
    sequences,
    translations,
)
from mailer.editions.source.front_matter import Asked, Source
from mailer.editions.source.paid_leaks import Secret
from mailer.editions.source.paid_sections import MARK
from mailer.editions.source.site_config import Site
from mailer.editions.source.slugs import File, Slugs

SKIPPED = {"status": "skip", "title": "broken", "date": "2000-01-01"}  # fields of a file that Pelican leaves out


@dataclass
class SourceFile:
    """One file as read: ``fields`` are those that Pelican gets, None for a draft and for a file with errors.

    ``asked`` is None for a page; ``paid`` is the text for paid subscribers, None if all get the same. ``place`` is that of a
    step's file; ``step`` is None for a translation, and while its sequence has an error.
    """

    source: Source
    asked: Asked | None = None
    fields: dict[str, str] | None = None
    is_draft: bool = False
    key: str = ""  # the slug that its name asks for: the issue's key, unless it has an `Id:`
    paid: str | None = None
    secrets: tuple[str, ...] = ()
    place: sequences.StepPlace | None = None
    step: SequenceStep | None = None

    @property
    def send(self) -> SendIntent:
        """When it asks to be sent."""
        return self.asked.send if self.asked else SendIntent.NO


class Sources:
    """The files of a site by path, and the slugs of its issues. ``findings`` are about files that are not among them."""

    def __init__(self, site: Site, findings: list[Finding]) -> None:
        self.site, self.findings = site, findings
        self.shared: set[Finding] = set()  # about keys of two issues
        read = {str(path): _read(site, path) for path in pelican_metadata.list_sources(site)}
        self.files = {name: file for name, file in read.items() if file.source.fields or not site.is_static(Path(name))}
        self._slugs = Slugs(by_language="slug" in site.ids)
        self._place()
        self._unite()
        self._join_sequences()

    def read_again(self, path: Path) -> None:
        """Read one file again, for a preview: a draft is shown, and missing fields are filled in."""
        shown = self.site.source_name(path)
        self.findings[:] = [finding for finding in self.findings if finding.path != shown]
        self.files[str(path)] = file = _read(self.site, path)
        slug = {} if self.site.is_page(path) or file.place else self._address(path, self._place_one(path))
        if file.fields is not None:
            file.fields |= slug
        self._unite(str(path))
        if file.fields is None:
            fields = {name: value for name, value in file.source.fields.items() if value and name not in field_rules.PLACES}
            dated = front_matter.date(Source(shown), fields.get("date", ""), self.site.zone) or datetime.now(UTC)
            more = {"title": fields.get("title") or path.stem, "date": dated.isoformat(), "status": "published"}
            file.fields = fields | more | slug

    def read_rst(self, path: Path, metadata: Mapping[str, Any]) -> dict[str, str]:
        """Return the fields that a reStructuredText file gets in addition to its own."""
        if self.refuse_link(path):
            return SKIPPED
        if sequences.is_step(path, self.site.root, {}):
            self.refuse(path, "A step of a sequence is written in Markdown: convert this file, or move it elsewhere.")
            return SKIPPED
        source = Source(self.site.source_name(path), restructured_text.fields(metadata))
        if self.site.is_page(path):
            self.files[str(path)] = SourceFile(source)
            return {}
        asked = front_matter.asked(source)
        fields = {**pelican_metadata.imply_fields(self.site, path), **source.fields}
        is_draft = _judge(self.site, path, source, fields, asked.send)
        if is_draft and not (self.site.is_adopted and drafts.status(fields) == "draft"):
            return SKIPPED
        self.files[str(path)] = SourceFile(source, asked, is_draft=is_draft)
        restructured_text.check(source, fields, path.read_text(encoding="utf-8", errors="replace"))
        field_rules.check(source, fields, self.site.settings)
        if source.broken:
            return SKIPPED
        return {} if is_draft else self._address(path, self._place_one(path))

    def for_language(self, site: Site) -> Sources:
        """Return the same files for a site in another language inside this one: there the text in its language comes first."""
        other = copy(self)
        other.site = site
        other.files = {
            name: replace(file, fields=None if file.fields is None else dict(file.fields)) for name, file in self.files.items()
        }
        for file in other.files.values():
            if file.fields and "translation" not in file.source.fields:
                file.fields.pop("translation", None)
        for family in other._families():
            for text in family[1:]:
                (other.files[text.name].fields or {})["translation"] = "true"
        return other

    def texts(self, names: Iterable[str]) -> dict[str, str]:
        """Map names to texts to convert: the free text of each source, and the one for paid subscribers if there is one."""
        known = {name: self.files[name] for name in names if name in self.files}
        paid = {name + MARK: file.paid for name, file in known.items() if file.paid is not None}
        return {name: file.source.body for name, file in known.items()} | paid

    def secrets(self) -> list[Secret]:
        """List all paid texts."""
        return [Secret(file.source.path, text) for file in self.files.values() for text in file.secrets]

    def report(self) -> Iterator[Finding]:
        """Yield all findings; an error says whether its issue asks to be sent."""
        asking = self._asking()
        every = [*(finding for file in self.files.values() for finding in file.source.findings), *self.findings]
        for finding in dict.fromkeys(every):
            issue, number = asking.get(finding.path, ("", 0)) if finding.level == "error" else ("", 0)
            yield replace(finding, issue="" if finding in self.shared else issue, asks=number)

    def refuse(self, path: Path, message: str) -> None:
        """Report a file that is left out; one error for each is enough."""
        shown = self.site.source_name(path)
        if not any(one.path == shown and one.level == "error" for one in self.findings):
            self.findings.append(Finding("error", shown, 1, message))

    def refuse_link(self, path: Path) -> bool:
        """Report a source behind a symbolic link: it may be another issue, or outside the content folder."""
        linked = path.resolve() != path
        if linked:
            self.refuse(
                path, "A symbolic link leads to this file, and it is left out: put the file itself here, or remove the link."
            )
        return linked

    def refuse_paid(self, name: str, plugin: str) -> bool:
        """Report paid text in a file that another plugin reads, and may put anywhere; return whether there is any."""
        file = self.files[name]
        if file.paid is not None:
            message = f"The plugin {plugin} reads this file itself, so its paid text would be public: remove it."
            file.source.error("access", message)
        return file.paid is not None

    def _asking(self) -> dict[str, tuple[str, int]]:
        """Map names of files to the issue that asks to be sent and its edition's number, including files with errors and
        translations."""
        found: dict[str, tuple[str, int]] = {}
        for family in self._slugs.families():
            files = [self.files[str(self.site.root / path)] for path in family]
            first = next((file for file in files if file.source.asks), None)
            if first and first.asked:
                found |= {file.source.path: (first.source.path, first.asked.number) for file in files}
        return found

    def _place(self) -> None:
        """Give every issue its slug, including those with errors, so that correcting one moves no other."""
        asking = sorted(name for name, file in self.files.items() if file.asked and not file.is_draft and not file.place)
        files = {name: _slug_file(self.site, Path(name), self.files[name].source.fields) for name in asking}
        slugs = self._slugs.place_all(files.values())
        for name, file in files.items():
            self.files[name].key = slugs[file.path]
            if (fields := self.files[name].fields) is not None:
                fields |= self._address(Path(name), self._say(self.files[name].source, file, slugs[file.path]))

    def _place_one(self, path: Path) -> str:
        """Return the slug of one issue that is read again, or later than the others."""
        source = self.files[str(path)].source
        file = _slug_file(self.site, path, source.fields)
        self.files[str(path)].key = slug = self._say(source, file, self._slugs.place(file))
        return slug

    def _address(self, path: Path, slug: str) -> dict[str, str]:
        """Return the field that sets an issue's address: Pelican's own slug in an adopted site."""
        if not self.site.is_adopted:
            return {"slug": slug}
        return pelican_metadata.find_slug(self.site, path, self.files[str(path)].fields or {})

    def _say(self, source: Source, file: File, slug: str) -> str:
        """Return the slug, and warn if it differs from the one that the file asks for."""
        if slug != file.wanted and not self.site.is_adopted:
            other = f"{self.site.root.name}/{self._slugs.holder(file.wanted)}"
            source.warning(
                source.lines.get("slug", 1),
                f"The slug {file.wanted!r} is taken by {other}, so this issue is at {slug!r}: give it a different `Slug:`.",
            )
        return slug

    def _join_sequences(self) -> None:
        """Give the steps their sequences; those of a sequence with an error are not sent."""
        steps = [
            sequences.StepFile(name, file.source, file.place, file.is_draft, _is_original(file))
            for name, file in self.files.items()
            if file.place
        ]
        joined, findings = sequences.join_steps(steps, self.site.root, self.site.zone, self.site.lang)
        self.findings += findings
        for name, step in joined.items():
            self.files[name].step = step

    def _families(self) -> list[list[translations.Text]]:
        texts = [
            translations.Text(
                name, file.source.path, file.fields.get("lang") or self.site.lang, file.fields, file.paid is not None
            )
            for name, file in self.files.items()
            if file.asked and file.fields is not None and not file.is_draft
        ]
        found = translations.families(texts, self.site.ids, self.site.lang)
        return [translations.drop_same_language(family) for family in found] if self.site.is_adopted else found

    def _unite(self, only: str = "") -> None:
        """Group translations with their originals; leave out those that cannot be used."""
        for family in self._families():
            for text in family[1:]:
                (self.files[text.name].fields or {})["translation"] = "true"  # so that Pelican chooses the same original
            for one in translations.wrong(family):
                if only in ("", one.name):
                    self.files[one.name].source.error(one.field, one.message)
                if not only:
                    self.files[one.name].fields = None


def _read(site: Site, path: Path) -> SourceFile:
    source, is_page = field_rules.read(path, site.root, site.source_name(path)), site.is_page(path)
    file = SourceFile(source)
    if source.broken and not (source.fields or source.body):
        return file
    if site.is_adopted:
        pelican_metadata.keep_first_parts(source)
    elif not is_page:
        source.fields = field_synonyms.add_synonyms(source.fields)
    fields = {**pelican_metadata.imply_fields(site, path), **source.fields}
    file.asked = None if is_page else front_matter.asked(source)
    file.is_draft = _judge(site, path, source, fields, file.send)
    if not file.is_draft and not fields.get("title", "").strip():
        source.error("title", "`Title:` is missing: add one at the beginning of the file, followed by an empty line.")
    if file.asked and sequences.is_step(path, site.root, fields):
        fields |= _make_step(site, path, file)
    elif not is_page:
        if fields.get("after"):
            source.error(
                "after", "`After:` is for the steps of a sequence: remove it, or move the file to a sequence's folder."
            )
        if not site.is_adopted:
            field_rules.warn_of_places(source)
        elif not source.asks:
            fields["date"] = pelican_metadata.read_without_zone(source, fields.get("date", ""))
        dated = front_matter.date(Source(source.path) if file.is_draft else source, fields.get("date", ""), site.zone)
        fields["date"] = dated.isoformat() if dated else ""
    if not file.is_draft:
        field_rules.check(source, fields, site.settings)
        field_rules.check_slug(source, "" if is_page or file.place else _slug_file(site, path, fields).wanted)
    _cut(site, file, fields)
    is_shown = not file.is_draft or (site.is_adopted and drafts.status(fields) == "draft")
    if not source.broken and is_shown:
        left = set() if is_page or site.is_adopted else field_rules.PLACES
        file.fields = {
            name: value
            for name, value in {**fields, "status": drafts.status(fields)}.items()
            if value and name not in left and not field_rules.is_reserved(name)
        }
    return file


def _is_original(file: SourceFile) -> bool:
    return file.fields is not None and not file.is_draft and file.fields.get("translation") != "true"


def _make_step(site: Site, path: Path, file: SourceFile) -> dict[str, str]:
    """Note the place of a step; return the fields with which Pelican keeps its page out of every list."""
    file.place = sequences.read_place(file.source, path, _slug_file(site, path, file.source.fields))
    hidden = {"date": sequences.STEP_DATE, "status": "draft" if file.is_draft else "hidden"}
    if file.place is None:
        return hidden
    file.key = file.place.key
    return {**hidden, "slug": file.place.slug}


def _judge(site: Site, path: Path, source: Source, fields: Mapping[str, str], send: SendIntent) -> bool:
    candidate = drafts.Candidate(fields, path.relative_to(site.root), site.zone, datetime.now(UTC))
    return drafts.judge(source, candidate, send)


def _cut(site: Site, file: SourceFile, fields: Mapping[str, str]) -> None:
    """Cut the paid text out of a source, before anything is made from it."""
    source, before = file.source, len(file.source.findings)
    cut = paid_sections.cut(source, {"lang": site.lang, **fields}, datetime.now(UTC), site.join_url, site.gfm)
    if cut.premium is not None and file.asked is None:
        source.error("access", "A page cannot contain paid text, because everybody can read it: move the text into an issue.")
    source.body = cut.free if len(source.findings) == before else ""
    file.paid, file.secrets = cut.premium, cut.secrets


def _slug_file(site: Site, path: Path, fields: Mapping[str, str]) -> File:
    return File.of(path, site.root, fields, site.lang, site.zone)
