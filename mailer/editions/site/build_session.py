"""One build: the sources that Pelican asks for, and the editions made from its articles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mailer.core.edition import Edition, Finding, SendIntent
from mailer.core.errors import PostmergeError
from mailer.core.i18n import code
from mailer.editions.images import share_cards
from mailer.editions.mail import email_document, gmail_clipping, issue_renderer
from mailer.editions.mail.canonical_html import escape
from mailer.editions.mail.markdown_to_html import digest, own_code
from mailer.editions.site import search_index
from mailer.editions.site.build_sources import BuildSources
from mailer.editions.site.output_folder import Spare
from mailer.editions.source import (
    field_rules,
    page_extras,
    paid_sections,
    translations,
)
from mailer.editions.source.front_matter import Source
from mailer.editions.source.paid_sections import MARK

_CORRECT = "correct the name, or add the file"


class Session(BuildSources):
    """Makes the editions of a build from Pelican's articles; a new one for each build."""

    def __init__(
        self,
        cache: Path | None = None,
        editions_folder: Path | None = None,
        postal_address: str = "",
        progress: Callable[[str], None] = lambda text: None,
        preview: bool = False,
        earlier: Path | None = None,
    ) -> None:
        super().__init__(cache, progress, preview)
        self.earlier = earlier  # the site that the last build made
        self.spare: Spare | None = None
        self.editions_folder = editions_folder
        self.postal_address = postal_address
        self.editions: list[Edition] = []
        self.translated: list[Edition] = []
        self.tags: dict[str, list[Any]] = {}
        self.extras: dict[str, page_extras.Extras] = {}
        self.drawing: share_cards.Drawing | None = None
        self.indexing: search_index.Indexing | None = None
        self.pages: list[str] = []
        self.pictures: list[Any] = []  # Pelican's static files that are SVG
        self.left_out: set[str] = set()  # Pelican's names of the sources of articles that cannot be published
        self._originals: dict[str, str] = {}  # the original's key, by its translation's

    def close(self) -> None:
        """End the processes of the build."""
        self.workers.close()
        if self.indexing:
            self.indexing.close()

    def retake(self, path: Path, is_page: bool) -> None:
        """Read and convert one file again, for a preview, and drop its edition."""
        shown = self.shown(path)
        self.editions = [edition for edition in self.editions if edition.path != shown]
        super().retake(path, is_page)

    def make_editions(self, articles: Iterable[Any], settings: Mapping[str, Any]) -> None:
        """Render the bodies, digests and emails of all articles, from the cache or in all processors."""
        found = [article for article in articles if self._knows(article)]
        theme, site_url = Path(settings["THEME"]), settings["SITEURL"]
        template, salt = email_document.template_source(theme), own_code()
        jobs = {}
        for article in found:
            article.postmerge_url = f"{site_url}/{article.url}"
            self._check_links(article)
            jobs[article.source_path] = issue_renderer.collect_job(
                article, article.content, template, settings, self.postal_address
            )
            if (paid := self._paid_html(article, site_url)) is not None:
                jobs[article.source_path + MARK] = issue_renderer.collect_job(
                    article, paid, template, settings, self.postal_address
                )
        keys = {path: digest(salt, *map(str, job)) for path, job in jobs.items()}
        made = {path: self.cache.get(key) for path, key in keys.items()}
        missing = [path for path, value in made.items() if value is None]
        made_now = self.workers.map(issue_renderer.try_render_issue, [jobs[path] for path in missing], chunk=8)
        for number, (path, value) in enumerate(zip(missing, made_now, strict=True), 1):
            made[path] = value
            if "failed" not in value:
                self.cache.put(keys[path], value)
            if number % 20 == 0:
                self.progress(f"Rendering emails: {number} of {len(missing)}")
        self._refuse_shared_keys(found)
        for article in found:
            self._try_to_finish(article, made[article.source_path], made.get(article.source_path + MARK))
        if not self.preview:
            self.editions, self.translated = translations.gather(self.editions, self._originals)

    def _paid_html(self, article: Any, site_url: str) -> str | None:
        """Return the HTML for paid subscribers with Pelican's links resolved, or None if there is none."""
        made = self._html.get(self._real(article.source_path) + MARK)
        if made is None:
            return None
        self._check_links(article, made)
        return str(type(article)._update_content(article, made, site_url))

    def _knows(self, article: Any) -> bool:
        """Was the article read from a supported format? Others are reported and left out."""
        if self._real(article.source_path) in self._sources:
            return True
        message = "This file format is not supported for issues: write it in Markdown, or move it out of the folders of issues."
        self.findings.append(Finding("error", self.shown(Path(self._real(article.source_path))), 1, message))
        self.left_out.add(article.source_path)
        return False

    def _try_to_finish(self, article: Any, made: Mapping[str, Any], paid: Mapping[str, Any] | None) -> None:
        """Finish an issue; one that cannot be rendered is reported and left out, so that it does not stop the others."""
        failed = made.get("failed") or (paid or {}).get("failed")
        try:
            if not failed:
                return self._finish(article, made, paid)
        except PostmergeError:
            raise
        except Exception as error:
            failed = issue_renderer.describe_error(error)
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
            named=bool(issue_renderer.to_one_line(article.metadata.get("id") or "")),
            number=wants.number,
            title=issue_renderer.to_one_line(article.title),
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
        # A theme gets only what everybody may read.
        article.cut_before = made["before"]
        article.edition, article.digest, article.body_html = replace(edition, variants=()), edition.digest, edition.body
        # Every theme prints ``content``: with the digest around it, a page names its edition.
        content = f'<div data-digest="{edition.digest}">{edition.body}</div>'
        article._content, article.get_content = content, lambda siteurl: content
        article.metadata.setdefault("summary", escape(edition.preheader))
        self.tags[key] = list(getattr(article, "tags", []))
        self._extras(source, key, article)
        if not source.broken and article.status == "published":
            self.editions.append(edition)

    def _key(self, article: Any) -> str:
        """Return the issue's key; a translation's is the original's with its language, and is never published alone."""
        original = getattr(article, "postmerge_of", None)
        if original is None:
            return issue_renderer.to_one_line(article.metadata.get("id") or "") or str(article.slug)
        key = f"{self._key(original)} {code(article.lang)}"
        self._originals[key] = self._key(original)
        return key

    def _refuse_shared_keys(self, articles: Iterable[Any]) -> None:
        """Report two files with one key; only the older issue is published."""
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
        """Report an email that is longer than Gmail shows; an error only if so configured and the issue asks to be sent."""
        if said := gmail_clipping.judge_size(made["size"], made["before"], mode or "warn"):
            level, message = said if self._asked[name].send is not SendIntent.NO else ("warning", said[1])
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
        article.audio, article.toc = self.extras[key].audio, issue_renderer.list_headings(article.body_html)
        wanted = article.settings.get("POSTMERGE_CARDS")
        article.card = f"{article.settings['SITEURL']}/{share_cards.path_of(key)}" if wanted else ""

    def taken(self, edition: Edition, name: str) -> None:
        """Warn that a former address belongs to another page now."""
        line = next((s.lines.get("formerly", 1) for s in self._sources.values() if s.path == edition.path), 1)
        self.findings.append(
            Finding("warning", edition.path, line, f"`Formerly: {name}` is the address of another page now: remove that name.")
        )

    def _check_links(self, article: Any, text: str | None = None) -> None:
        """Report links to missing files, at their lines."""
        name = self._real(article.source_path)
        for target in field_rules.missing_files(text or article._content or "", Path(name), self._root):
            self._warn(name, self._sources[name].line_of(target), f"The linked file {target} doesn't exist: {_CORRECT}.")
