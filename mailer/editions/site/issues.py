"""The issues of a build: Pelican's articles are rendered to editions, with what pages and feeds show beside the text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mailer.core.edition import PREMIUM, Edition, Finding, SendIntent, Variant
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.i18n import code
from mailer.editions.images import share_cards, videos
from mailer.editions.images.issue_pictures import Cover, IssuePictures
from mailer.editions.mail import byline, gmail_clipping
from mailer.editions.mail.byline import IssueAuthor
from mailer.editions.mail.canonical_html import escape, list_added_scripts
from mailer.editions.mail.email_document import EmailDocument, EmailSite, receipt_url
from mailer.editions.mail.issue_renderer import RenderedText, describe_error, list_headings, render_all
from mailer.editions.mail.markdown_to_html import Workshop
from mailer.editions.site.edition_files import oldest_first
from mailer.editions.source import field_rules, page_extras, translations
from mailer.editions.source.front_matter import Source
from mailer.editions.source.paid_sections import MARK
from mailer.editions.source.reading import SourceFile, Sources
from mailer.editions.source.site_config import Site


@dataclass(frozen=True)
class BuiltIssue:
    """An issue. ``source`` is Pelican's name of its file, ``cut_before`` where its email was cut, ``original`` the key of the
    issue that it translates, if any."""

    source: str
    edition: Edition
    extras: page_extras.Extras
    tags: tuple[Any, ...]
    cut_before: str
    original: str
    is_public: bool
    is_of_step: bool = False
    cover: Cover | None = None
    authors: tuple[IssueAuthor, ...] = ()


@dataclass(frozen=True)
class BuiltIssues:
    """All issues, and the editions to publish, oldest first: their variants include the translations, which are also apart.

    ``left_out`` names the sources of articles that cannot be rendered; ``steps`` are the editions of sequences' steps.
    """

    by_key: Mapping[str, BuiltIssue]
    editions: tuple[Edition, ...]
    translated: tuple[Edition, ...]
    left_out: Collection[str]
    steps: tuple[Edition, ...] = ()

    @property
    def covers(self) -> dict[str, Cover]:
        """Map the keys of issues to their covers."""
        return {key: issue.cover for key, issue in self.by_key.items() if issue.cover}

    @property
    def to_publish(self) -> tuple[Edition, ...]:
        """List the editions of issues, and then those of steps."""
        return (*self.editions, *self.steps)

    @classmethod
    def of(cls, made: Collection[BuiltIssue], left_out: Collection[str]) -> BuiltIssues:
        """Gather an issue's translations, and sort."""
        by_key = {issue.edition.key: issue for issue in sorted(made, key=lambda one: one.is_public)}  # the public one counts
        originals = {key: issue.original for key, issue in by_key.items() if issue.original}
        public = [issue.edition for issue in made if issue.is_public]
        editions, translated = translations.gather(public, originals)
        found, _ = translations.gather([issue.edition for issue in made if issue.is_of_step], originals)
        steps = sorted((one for one in found if one.step), key=lambda one: one.key)
        return cls(by_key, tuple(oldest_first(editions)), tuple(translated), left_out, tuple(steps))


@dataclass(frozen=True)
class IssueMaker:
    """Makes issues of Pelican's articles, from the sources and their HTML (of paid text under its source's name and MARK).

    ``originals`` has the original of each translation, by the translation's source; ``authors`` those that are described,
    by name. Emails invite replies unless ``replies`` is None; it is the newsletter's Reply-To and sender.
    The editions have the names of their emails in place of the HTML: ``issue_renderer.fill`` reads these.
    """

    emails: EmailSite
    sources: Sources
    html: dict[str, str | None]
    originals: Mapping[str, Any]
    workshop: Workshop
    pictures: IssuePictures
    authors: Mapping[str, IssueAuthor]
    replies: tuple[str, str] | None = None
    frees_html: bool = False  # nothing but the emails is made from the HTML, so it is freed as these are

    def make(self, articles: Collection[Any]) -> BuiltIssues:
        """Render the bodies, digests and emails of all articles. One that cannot be rendered is reported and left out."""
        found = [article for article in articles if self._knows(article)]
        rendered = render_all((one for article in found for one in self._use_html(article).items()), self.workshop)
        self._refuse_shared_keys(found)
        made = [issue for article in found if (issue := self._try_to_finish(article, rendered))]
        sources = {issue.source for issue in made}
        return BuiltIssues.of(made, {article.source_path for article in articles} - sources)

    def _knows(self, article: Any) -> bool:
        """Was the article read from a supported format? Others are reported and left out."""
        known = article.source_path in self.sources.files
        if not known:
            how = "write it in Markdown, or move it out of the folders of issues"
            self.sources.refuse(Path(article.source_path), f"This file format is not supported for issues: {how}.")
        return known

    def _use_html(self, article: Any) -> dict[str, EmailDocument]:
        documents = self._documents(article)
        if self.frees_html:
            for name in (article.source_path, article.source_path + MARK):
                self.html.pop(name, None)
            article._content = ""
            article.get_content.cache.clear()  # Pelican's: of all contents, until the process ends
        return documents

    def _documents(self, article: Any) -> dict[str, EmailDocument]:
        """Collect what the emails of an issue are rendered from: its free text, and the one for paid subscribers."""
        name, asked, title, url = article.source_path, article.metadata, to_one_line(article.title), self.sources.site.url
        replies = self.replies is not None and byline.invites_reply(self.sources.files[name].asked, *self.replies)
        source = self.sources.files[name].source
        self._check_links(source, Path(name), article._content or "")
        free = EmailDocument(
            self.emails, title, to_one_line(asked.get("subject")) or title, to_one_line(asked.get("preheader")), article.lang,
            f"{url}/{article.url}", None if self.sources.files[name].place else article.date,
            self._show_pictures(article.content, source), authors=self._authors(article), invites_reply=replies,
            price=plan.price_in(article.lang) if (plan := self.sources.site.settings.get("POSTMERGE_PLAN")) else "",
        )  # fmt: skip
        if (paid := self.html.get(name + MARK)) is None:
            return {name: free}
        self._check_links(source, Path(name), paid)
        body = self._show_pictures(str(type(article)._update_content(article, paid, url)), source)
        return {name: free, name + MARK: replace(free, body=body)}

    def _authors(self, article: Any) -> tuple[IssueAuthor, ...]:
        return byline.list_authors(article, self.originals.get(article.source_path), self.authors)

    def _show_pictures(self, body: str, source: Source) -> str:
        site = self.sources.site
        shown = videos.show_videos(body, source, site.root, site.url, is_adopted=site.is_adopted)
        return self.pictures.fit(shown, source)

    def _check_links(self, source: Source, path: Path, html: str) -> None:
        """Report links to missing files, at their lines."""
        for target in field_rules.missing_files(html, path, self.sources.site.root):
            message = f"The linked file {target} doesn't exist: correct the name, or add the file."
            source.warning(source.line_of(target), message)

    def _try_to_finish(self, article: Any, rendered: Mapping[str, RenderedText]) -> BuiltIssue | None:
        free, paid = rendered[article.source_path], rendered.get(article.source_path + MARK)
        failed = free.failed or (paid.failed if paid else "")
        try:
            if not failed:
                return self._finish(article, free, paid)
        except PostmergeError:
            raise
        except Exception as error:
            failed = describe_error(error)
        source = self.sources.files[article.source_path].source
        source.error("", f"The issue cannot be rendered ({failed}): simplify its text.")
        return None

    def _finish(self, article: Any, free: RenderedText, paid: RenderedText | None) -> BuiltIssue:
        file, site = self.sources.files[article.source_path], self.sources.site
        _judge(file, free, paid or free, site.clip)
        cover = self._find_cover(article, file.source)
        edition = self._edition(article, file, (free, paid), cover)
        tags = tuple(getattr(article, "tags", ()))
        fields = {name: str(value) for name, value in article.metadata.items()}
        extras = page_extras.read(file.source, fields, site.root, site.url, site.zone)
        _show(article, edition, extras, site)
        article.postmerge_authors = self._authors(article)
        article.card, article.postmerge_cover = self._card(article, cover), cover
        original = self.originals.get(article.source_path)
        is_public = not file.source.broken and article.status == "published"
        return BuiltIssue(
            article.source_path, edition, extras, tags, free.before, self._key(original) if original else "", is_public,
            is_of_step=file.place is not None and not file.source.broken,
            cover=cover, authors=article.postmerge_authors,
        )  # fmt: skip

    def _edition(
        self, article: Any, file: SourceFile, texts: tuple[RenderedText, RenderedText | None], cover: Cover | None
    ) -> Edition:
        assert file.asked
        free, paid = texts
        title = to_one_line(article.title)
        variants = [Variant(PREMIUM, one.preheader, one.email, "", one.body, one.digest) for one in (paid,) if one]
        return Edition(
            key=self._key(article),
            named=bool(to_one_line(article.metadata.get("id"))) and file.place is None,
            title=title,
            subject=to_one_line(article.metadata.get("subject")) or title,
            preheader=free.preheader,
            lang=article.lang,
            url=f"{self.sources.site.url}/{article.url}",
            html=free.email,
            text="",
            body=free.body,
            digest=free.digest,
            dated=article.date,
            path=file.source.path,
            variants=tuple(variants),
            step=file.step,
            source=file.source.body,
            image=page_extras.find_image(
                article.metadata, self.sources.site.url, cover.url if cover else self._card(article, None)
            ),
            **vars(file.asked),
        )

    def _find_cover(self, article: Any, source: Source) -> Cover | None:
        """Return the issue's cover; a translation without one has the original's."""
        root, original = self.sources.site.root, self.originals.get(article.source_path)
        try:
            path = page_extras.find_cover(article.metadata, Path(article.source_path), root)
        except BadInput as error:
            if not self.sources.site.is_adopted:  # a theme of the site's own may know what it names
                source.warning(source.lines.get("cover", 1), str(error))
            path = None
        if path:
            return self.pictures.cover(path, to_one_line(article.metadata.get("cover-alt")), source)
        return self._find_cover(original, Source(source.path)) if original else None

    def _card(self, article: Any, cover: Cover | None) -> str:
        """Return the address of the issue's share card; '' if there are none."""
        settings = article.settings
        path = share_cards.path_of(self._key(article), cover)
        return f"{settings['SITEURL']}/{path}" if settings.get("POSTMERGE_CARDS") else ""

    def _key(self, article: Any) -> str:
        """Return the issue's key; a translation's is the original's with its language, and is never published alone."""
        if original := self.originals.get(article.source_path):
            return f"{self._key(original)} {code(article.lang)}"
        if self.sources.files[article.source_path].place:
            return self.sources.files[article.source_path].key
        return to_one_line(article.metadata.get("id")) or self.sources.files[article.source_path].key or str(article.slug)

    def _refuse_shared_keys(self, articles: Iterable[Any]) -> None:
        """Report two files with one key; only the older issue is published."""
        by_key: dict[str, list[Source]] = defaultdict(list)
        for article in sorted(articles, key=lambda one: (one.date, one.source_path)):
            if article.status == "published":
                by_key[self._key(article)].append(self.sources.files[article.source_path].source)
        for key, (first, *others) in by_key.items():
            for one, other in ((one, first) for one in others):
                one.findings.append(self._shared_key(key, one, other))
            if others:
                self.sources.findings.append(self._shared_key(key, first, others[0]))

    def _shared_key(self, key: str, one: Source, other: Source) -> Finding:
        message = f"The issue key {key!r} is also used by {other.path}: give one of them a different `Id:`."
        finding = Finding("error", one.path, one.lines.get("id", 1), message)
        self.sources.shared.add(finding)
        return finding


def to_one_line(value: Any) -> str:
    """Return a field as one line; empty if it is missing."""
    return " ".join(str(value or "").split())


def _judge(file: SourceFile, free: RenderedText, longest: RenderedText, clip: str) -> None:
    """Report what was removed from an issue, and an email that is longer than Gmail shows; the latter is an error only if so
    configured and the issue asks to be sent."""
    source = file.source
    for what in dict.fromkeys([*free.dropped, *longest.dropped]):
        source.warning(
            source.line_of(what), f"{what} is not allowed in emails and feeds and was removed: correct or delete it."
        )
    for one in (free, longest):
        if said := gmail_clipping.judge_size(one.bytes_of_html, one.before, clip):
            level, message = said if file.send is not SendIntent.NO else ("warning", said[1])
            finding = Finding(level, source.path, source.body_line, message)
            if finding not in source.findings:
                source.findings.append(finding)


def _show(article: Any, edition: Edition, extras: page_extras.Extras, site: Site) -> None:
    """Give a theme what everybody may read of an issue."""
    article.digest, article.body_html = edition.digest, edition.body
    article.receipt = receipt_url(site.api_url, edition.digest, edition.url)
    own = (str(article.content).strip(), str(article.summary).strip()) if site.is_adopted else ("", "")
    # Every theme prints ``content``: with the digest around it, a page names its edition.
    before = f'<div data-receipt="{article.receipt}" data-digest="{edition.digest}">'
    # what draws formulas, for example
    after = (
        list_added_scripts(own[0], Path(article.source_path).read_text(encoding="utf-8", errors="replace")) if own[0] else ""
    )
    article._content = edition.body
    article.get_content = lambda siteurl: (
        f"{before}{edition.body}</div>{after}"
    )  # made when asked for: it is as long as the body
    if site.is_adopted:  # a feed leaves out a summary that is the whole text
        summary = article.metadata["summary"] = article.content if own[0] == own[1] else own[1]
        article.get_summary = lambda siteurl: summary
    article.metadata.setdefault("summary", escape(edition.preheader))
    article.corrected, article.audio, article.toc = extras.corrected, extras.audio, list_headings(edition.body)
