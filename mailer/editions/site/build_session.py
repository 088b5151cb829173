"""One build: what was read before Pelican starts, what Pelican asks for, and the editions made from it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.core.characters import printable
from mailer.core.edition import Edition, Finding, Wish
from mailer.core.errors import PostmergeError
from mailer.core.i18n import code
from mailer.editions.images import share_cards
from mailer.editions.mail import gmail_clipping, issue_renderer, mail_document
from mailer.editions.mail.canonical_html import escape
from mailer.editions.mail.markdown_to_html import Cache, Workers, convert_all, digest, own_code
from mailer.editions.site import search_index  # fmt: skip
from mailer.editions.site.output_folder import Spare
from mailer.editions.source import (
    drafts,
    field_rules,
    front_matter,
    page_extras,
    paid_sections,
    restructured_text,
    translations,
)
from mailer.editions.source.front_matter import Asked, Source
from mailer.editions.source.paid_leaks import Secret
from mailer.editions.source.paid_sections import MARK
from mailer.editions.source.slugs import File, Slugs

_EXTENSIONS = {".md", ".markdown", ".mkd", ".mdown"}
_CORRECT = "correct the name, or add the file"


@dataclass(frozen=True)
class _Asking:
    """An issue that asks to be sent: its file's name for people and the edition's number."""

    issue: str
    number: int

    def mark(self, finding: Finding) -> Finding:
        return replace(finding, issue=self.issue, asks=self.number) if finding.level == "error" else finding


class Session:
    """Collects findings and editions; made anew for each build."""

    def __init__(
        self,
        cache: Path | None = None,
        editions_folder: Path | None = None,
        postal_address: str = "",
        progress: Callable[[str], None] = lambda text: None,
        preview: bool = False,
        earlier: Path | None = None,
    ) -> None:
        self.preview = preview
        self.earlier = earlier  # the site as the last build left it
        self.spare: Spare | None = None
        self.cache = Cache(cache)
        self.workers = Workers()
        self.editions_folder = editions_folder
        self.postal_address = postal_address
        self.progress = progress
        self.findings: list[Finding] = []
        self.editions: list[Edition] = []
        self.tags: dict[str, list[Any]] = {}
        self.extras: dict[str, page_extras.Extras] = {}
        self.drawing: share_cards.Drawing | None = None
        self.indexing: search_index.Indexing | None = None
        self.pages: list[str] = []
        self.pictures: list[Any] = []  # Pelican's static files that are SVG
        self.converted = self.reused = 0
        self.secrets: list[Secret] = []
        self._shared: set[tuple[str, str]] = set()  # path and message of each file that has another one's key
        self.left_out: set[str] = set()  # Pelican's names of the sources of articles that cannot be published
        self._premium: dict[str, str] = {}
        self._sources: dict[str, Source] = {}
        self._names: dict[str, str] = {}
        self._html: dict[str, str | None] = {}
        self._fields: dict[str, dict[str, str]] = {}
        self._asked: dict[str, Asked] = {}
        self._drafts: set[str] = set()
        self._slugs = Slugs()
        self.translated: list[Edition] = []
        self._originals: dict[str, str] = {}  # the original's key, by its translation's

    def close(self) -> None:
        """End what still runs beside the build."""
        self.workers.close()
        if self.indexing:
            self.indexing.close()

    def prepare(self, settings: Mapping[str, Any]) -> None:
        """Read and convert every Markdown file below the content folder, with the cache and all processors."""
        self._given, self._settings = Path(settings["PATH"]).absolute(), settings
        self._root = self._given.resolve()
        self._zone = settings["TIMEZONE"] or "UTC"
        self._name, self._lang = self._root.name, str(settings["DEFAULT_LANG"])
        self._ids = translations.family_ids(settings)
        self._join_url = f"{settings.get('API_URL') or settings['SITEURL']}/join"
        found = (path for path in self._root.rglob("*") if path.suffix.lower() in _EXTENSIONS)
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

    def _texts(self, names: Iterable[str]) -> dict[str, str]:
        """What is to be converted: the text that all may read of each source, and beside it the one for paying readers."""
        known = [name for name in names if name in self._sources]
        paid = {name + MARK: self._premium[name] for name in known if name in self._premium}
        return {name: self._sources[name].body for name in known} | paid

    def retake(self, path: Path, is_page: bool) -> None:
        """Read and convert one file anew, for a preview: a draft is shown, and what the head lacks is filled in."""
        name, shown = str(path), self.shown(path)
        self.findings = [finding for finding in self.findings if finding.path != shown]
        self.editions = [edition for edition in self.editions if edition.path != shown]
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
        """What was found, in the order of files and lines; an error says whether the issue that it is in asks to be sent."""
        asking = self._asking()
        found = [asking[one.path].mark(one) if one.path in asking else one for one in self.findings]
        found = [replace(one, issue="") if (one.path, one.message) in self._shared else one for one in found]
        return sorted(found, key=lambda finding: (finding.path, finding.line))

    def _asking(self) -> dict[str, _Asking]:
        """The files whose issue asks to be sent, those with errors and translations included, by their names for people."""
        found: dict[str, _Asking] = {}
        for family in self._slugs.families():
            names = [str(self._root / path) for path in family]
            if first := next((name for name in names if self._sources[name].asks), ""):
                asking = _Asking(self._sources[first].path, self._asked[first].number)
                found |= {self._sources[name].path: asking for name in names}
        return found

    def read(self, source_path: str) -> tuple[str, dict[str, str]]:
        """HTML and fields of a Markdown file; Pelican skips a file whose source is broken."""
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
        """The fields that a reStructuredText file gets on top of its own."""
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

    def make_editions(self, articles: Iterable[Any], settings: Mapping[str, Any]) -> None:
        """Bodies, digests and mails for all articles, found in the cache or made in all processors."""
        found = [article for article in articles if self._knows(article)]
        theme, site_url = Path(settings["THEME"]), settings["SITEURL"]
        template, salt = mail_document.template_source(theme), own_code()
        jobs = {}
        for article in found:
            article.postmerge_url = f"{site_url}/{article.url}"
            self._check_links(article)
            jobs[article.source_path] = issue_renderer.job(article, article.content, template, settings, self.postal_address)
            if (paid := self._paid_html(article, site_url)) is not None:
                jobs[article.source_path + MARK] = issue_renderer.job(article, paid, template, settings, self.postal_address)
        keys = {path: digest(salt, *map(str, job)) for path, job in jobs.items()}
        made = {path: self.cache.get(key) for path, key in keys.items()}
        missing = [path for path, value in made.items() if value is None]
        made_now = self.workers.map(issue_renderer.attempt, [jobs[path] for path in missing], chunk=8)
        for number, (path, value) in enumerate(zip(missing, made_now, strict=True), 1):
            made[path] = value
            if "failed" not in value:
                self.cache.put(keys[path], value)
            if number % 20 == 0:
                self.progress(f"Rendering mails: {number} of {len(missing)}")
        self._refuse_shared_keys(found)
        for article in found:
            self._try_to_finish(article, made[article.source_path], made.get(article.source_path + MARK))
        if not self.preview:
            self.editions, self.translated = translations.gather(self.editions, self._originals)

    def _take(self, path: Path, is_page: bool) -> None:
        name = str(path)
        self._sources[name] = source = field_rules.read(path, self._root, self.shown(path))
        if source.broken and not (source.fields or source.body):
            return self._note(source)
        fields, now = dict(source.fields), datetime.now(UTC)
        if not is_page:
            self._asked[name] = front_matter.asked(source, fields, now)
        send = Wish.NO if is_page else self._asked[name].send
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
        """Find out what is a translation of what; one that cannot be used is left out."""
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
                self._fields[text.name]["translation"] = "true"  # so that Pelican takes the same one for the original
            for one in translations.wrong(family):
                if only in ("", one.name):
                    self._fail(one.name, one.field, one.message)
                if not only:
                    self._fields.pop(one.name, None)

    def _cut(self, name: str, source: Source, fields: Mapping[str, str], is_page: bool) -> None:
        """Take what only paying readers get out of a source, before anything is made from it."""
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

    def _paid_html(self, article: Any, site_url: str) -> str | None:
        """The HTML for paying readers with Pelican's links resolved, or None when there is none."""
        made = self._html.get(self._real(article.source_path) + MARK)
        if made is None:
            return None
        self._check_links(article, made)
        return str(type(article)._update_content(article, made, site_url))

    def _place_all(self) -> None:
        """Give every issue its slug, those with errors too, so that mending one moves no other."""
        asked = self._asked.keys() - self._drafts
        files = {name: self._file(Path(name), self._sources[name].fields) for name in sorted(asked)}
        slugs = self._slugs.place_all(files.values())
        for name in files.keys() & self._fields.keys():
            self._fields[name]["slug"] = self._said(name, files[name], slugs[files[name].path])

    def _slug(self, path: Path, fields: Mapping[str, str]) -> str:
        """The slug of one issue that is read again, or later than the others."""
        file = self._file(path, fields)
        return self._said(str(path), file, self._slugs.place(file))

    def _file(self, path: Path, fields: Mapping[str, str]) -> File:
        return File.of(path, self._root, fields, self._lang, self._zone)

    def _said(self, name: str, file: File, slug: str) -> str:
        """The slug, with a warning when it is another one than the file asks for."""
        if slug != file.wanted:
            other = self._slugs.holder(file.wanted)
            self._warn(
                name,
                self._sources[name].lines.get("slug", 1),
                f"The slug {file.wanted!r} is taken by {self._name}/{other}, so this issue is at {slug!r}: give it a different"
                " `Slug:`.",
            )
        return slug

    def _knows(self, article: Any) -> bool:
        """Was the article read from a format that issues are written in? Others are named and left out."""
        if self._real(article.source_path) in self._sources:
            return True
        message = "This file format is not supported for issues: write it in Markdown, or move it out of the folders of issues."
        self.findings.append(Finding("error", self.shown(Path(self._real(article.source_path))), 1, message))
        self.left_out.add(article.source_path)
        return False

    def _try_to_finish(self, article: Any, made: Mapping[str, Any], paid: Mapping[str, Any] | None) -> None:
        """Finish an issue; one that cannot be made is named and left out, so that it does not stop the others."""
        failed = made.get("failed") or (paid or {}).get("failed")
        try:
            if not failed:
                return self._finish(article, made, paid)
        except PostmergeError:
            raise
        except Exception as error:
            failed = issue_renderer.said(error)
        self.left_out.add(article.source_path)
        return self._fail(self._real(article.source_path), "", f"The issue cannot be rendered ({failed}): simplify its text.")

    def _finish(self, article: Any, made: Mapping[str, Any], paid: Mapping[str, Any] | None) -> None:
        name = self._real(article.source_path)
        source, wants = self._sources[name], self._asked[name]
        for what in dict.fromkeys([*made["dropped"], *(paid["dropped"] if paid else ())]):
            self._warn(
                name, source.line_of(what), f"{what} is not allowed in emails and feeds and was removed: correct or delete it."
            )
        for long in (made, paid or made):
            self._length(name, long, article.settings.get("POSTMERGE_CLIP"))
        key = self._key(article)
        edition = Edition(
            key=key,
            named=bool(issue_renderer.flat(article.metadata.get("id") or "")),
            number=wants.number,
            title=issue_renderer.flat(article.title),
            subject=made["subject"],
            preheader=made["preheader"],
            lang=article.lang,
            url=article.postmerge_url,
            html=made["html"],
            text=made["text"],
            body=made["body"],
            digest=made["digest"],
            dated=article.date,
            path=source.path,
            send=wants.send,
            send_at=wants.send_at,
            audience=wants.audience,
            variants=(paid_sections.variant(paid),) if paid else (),
        )
        # A theme gets nothing that only some may read.
        article.cut_before = made["before"]
        article.edition, article.digest, article.body_html = replace(edition, variants=()), edition.digest, edition.body
        # Any theme prints ``content``: with the digest around it, a page says which edition it shows.
        content = f'<div data-digest="{edition.digest}">{edition.body}</div>'
        article._content, article.get_content = content, lambda siteurl: content
        article.metadata.setdefault("summary", escape(edition.preheader))
        self.tags[key] = list(getattr(article, "tags", []))
        self._extras(source, key, article)
        if not source.broken and article.status == "published":
            self.editions.append(edition)

    def _key(self, article: Any) -> str:
        """The issue's key; a translation is filed under its original's with its language, and is never published alone."""
        original = getattr(article, "postmerge_of", None)
        if original is None:
            return issue_renderer.flat(article.metadata.get("id") or "") or str(article.slug)
        key = f"{self._key(original)} {code(article.lang)}"
        self._originals[key] = self._key(original)
        return key

    def _refuse_shared_keys(self, articles: Iterable[Any]) -> None:
        """Two files with one key: both are named, and only the older issue is made."""
        by_key: dict[str, list[Any]] = defaultdict(list)
        for article in sorted(articles, key=lambda one: (one.date, one.source_path)):
            if article.status == "published":
                by_key[self._key(article)].append(article)
        for key, (first, *others) in by_key.items():
            for one in others:
                self._fail(self._real(one.source_path), "id", self._shared_key(key, one, first))
            if others:
                source = self._sources[self._real(first.source_path)]
                line = source.lines.get("id", 1)
                self.findings.append(Finding("error", source.path, line, self._shared_key(key, first, others[0])))

    def _shared_key(self, key: str, one: Any, other: Any) -> str:
        path, shown = (self._sources[self._real(article.source_path)].path for article in (one, other))
        message = f"The issue key {key!r} is also used by {shown}: give one of them a different `Id:`."
        self._shared.add((path, message))
        return message

    def _length(self, name: str, made: Mapping[str, Any], mode: str | None) -> None:
        """Say it when a mail is longer than Gmail shows; an error only where that is the setting, and it is to be mailed."""
        if said := gmail_clipping.judged(made["size"], made["before"], mode or "warn"):
            level, message = said if self._asked[name].send is not Wish.NO else ("warning", said[1])
            finding = Finding(level, self._sources[name].path, self._sources[name].body_line, message)
            if finding not in self.findings:
                self._sources[name].findings.append(finding)
                self.findings.append(finding)

    def _extras(self, source: Source, key: str, article: Any) -> None:
        before = len(source.findings)
        fields = {name: str(value) for name, value in article.metadata.items()}
        names = tuple(tag.name for tag in self.tags[key])
        self.extras[key] = page_extras.read(source, fields, self._root, article.settings["SITEURL"], names, self._zone)
        self.findings += source.findings[before:]
        article.corrected = self.extras[key].corrected
        article.audio, article.toc = self.extras[key].audio, issue_renderer.headings(article.body_html)
        wanted = article.settings.get("POSTMERGE_CARDS")
        article.card = f"{article.settings['SITEURL']}/{share_cards.path_of(key)}" if wanted else ""

    def taken(self, edition: Edition, name: str) -> None:
        """Warn that a former address belongs to something else now."""
        line = next((s.lines.get("formerly", 1) for s in self._sources.values() if s.path == edition.path), 1)
        self.findings.append(
            Finding("warning", edition.path, line, f"`Formerly: {name}` is the address of another page now: remove that name.")
        )

    def _check_links(self, article: Any, text: str | None = None) -> None:
        """Links to files that are not there, at their line."""
        name = self._real(article.source_path)
        for target in field_rules.missing_files(text or article._content or "", Path(name), self._root):
            self._warn(name, self._sources[name].line_of(target), f"The linked file {target} doesn't exist: {_CORRECT}.")

    def _real(self, source_path: str) -> str:
        """The name by which this session knows a file of Pelican's."""
        if source_path not in self._names:
            path = Path(os.path.abspath(source_path))
            inside = path.is_relative_to(self._given)
            self._names[source_path] = str(self._root / path.relative_to(self._given) if inside else path)
        return self._names[source_path]

    def _refuse_link(self, name: str) -> bool:
        """Name a source that a symbolic link leads to: it may be another issue, or outside the content folder."""
        path = Path(name)
        linked = path.resolve() != path
        if linked and not any(one.path == self.shown(path) for one in self.findings):
            message = "A symbolic link leads to this file, and it is left out: put the file itself here, or remove the link."
            self.findings.append(Finding("error", self.shown(path), 1, message))
        return linked

    def refuse_outside(self, path: Path) -> None:
        """Name a file that comes from outside of the content folder, or would be written outside of the site."""
        shown = self.shown(Path(self._real(str(path))))
        if not any(one.path == shown and one.level == "error" for one in self.findings):
            message = "This file leads out of the content folder or of the site, and it is left out: put the file itself here."
            self.findings.append(Finding("error", shown, 1, message))

    def shown(self, path: Path) -> str:
        """The name of a file for people."""
        return printable(f"{self._name}/{os.path.relpath(path, self._root)}")

    def _note(self, source: Source) -> None:
        self.findings += source.findings

    def _warn(self, name: str, line: int, message: str) -> None:
        self.findings.append(Finding("warning", self.shown(Path(name)), line, message))

    def _fail(self, name: str, field: str, message: str) -> None:
        self._sources[name].error(field, message)
        self.findings.append(self._sources[name].findings[-1])
