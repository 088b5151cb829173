"""One build: what it was asked for, and what each step leaves for the next.

Pelican calls the steps in this order: read all sources, convert them to HTML, render the issues, write what goes around the
pages. The preview of one file takes the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mailer.core.characters import name_sender
from mailer.core.edition import Finding
from mailer.core.settings import Settings
from mailer.editions.images.issue_pictures import IssuePictures
from mailer.editions.images.share_cards import Drawing
from mailer.editions.mail import gfm
from mailer.editions.mail.byline import read_authors
from mailer.editions.mail.canonical_html import escape
from mailer.editions.mail.email_document import EmailSite, template_source
from mailer.editions.mail.markdown_to_html import Cache, Converted, Workshop, convert_all
from mailer.editions.site.issues import BuiltIssues, IssueMaker
from mailer.editions.site.missing_typefaces import list_missing_typefaces
from mailer.editions.site.output_folder import Spare
from mailer.editions.site.search_index import Indexing
from mailer.editions.site.sold_plan import read_sold_plan
from mailer.editions.site.subsites import gather_subsites
from mailer.editions.site.template_versions import list_outdated_templates
from mailer.editions.source import relative_links
from mailer.editions.source.paid_sections import MARK
from mailer.editions.source.reading import SKIPPED, Sources
from mailer.editions.source.site_config import Site


@dataclass(frozen=True)
class BuildOptions:
    """Where a build reads and writes. ``site_url`` overrides the configuration if given; ``sells``: pages link to /join.

    The sign-up form names ``sender`` and ``privacy_url``; where paid text begins, pages name the price of ``plans``.

    Without ``cache`` nothing is kept for the next build; without ``editions`` there is no report, and nothing to publish.
    """

    content: Path
    site: Path
    editions: Path | None
    cache: Path | None
    config: Path
    site_url: str = ""
    api_url: str = ""
    postal_address: str = ""
    sells: bool = False
    sender: str = ""
    privacy_url: str = ""
    plans: Path | None = None
    reply_to: str = ""

    @classmethod
    def of(cls, settings: Settings) -> BuildOptions:
        """Build them from the environment's settings."""
        return cls(
            content=settings.content,
            site=settings.site_folder,
            editions=settings.editions_folder,
            cache=settings.cache_folder,
            config=settings.config,
            site_url=settings.site_url,
            api_url=settings.api_url,
            postal_address=settings.postal_address,
            sells=settings.sells,
            sender=settings.sender,
            privacy_url=settings.privacy_url,
            plans=settings.plans if settings.sells else None,
            reply_to=settings.reply_to,
        )


@dataclass
class Build:
    """A build in progress."""

    options: BuildOptions = BuildOptions(Path(), Path(), None, None, Path())
    progress: Callable[[str], None] = lambda text: None
    is_preview: bool = False
    spare: Spare | None = None
    findings: list[Finding] = field(default_factory=list)  # about what is no source of an issue
    workshop: Workshop = field(init=False)
    site: Site = field(init=False)
    sources: Sources = field(init=False)
    converted: Converted = field(init=False)
    issues: BuiltIssues = field(init=False)
    originals: dict[str, Any] = field(default_factory=dict)  # Pelican's article of the original, by a translation's source
    pages: list[str] = field(default_factory=list)  # their addresses
    pictures: list[Any] = field(default_factory=list)  # Pelican's static files that are SVG
    issue_pictures: IssuePictures = field(init=False)
    photographs: list[Any] = field(default_factory=list)  # Pelican's static files that are JPEG
    drawing: Drawing | None = None
    indexing: Indexing | None = None
    elsewhere: dict[str, str] = field(default_factory=dict)  # originals of translations that subsites have, by source
    main: Build | None = None  # of a subsite
    subsites: list[Build] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workshop = Workshop(Cache(self.options.cache), progress=self.progress)

    def configure(self, output: Path) -> dict[str, Any]:
        """Read Pelican's configuration, with what this build sets in it."""
        from pelican.settings import read_settings

        options, given = self.options, (("SITEURL", self.options.site_url), ("API_URL", self.options.api_url))
        override = dict.fromkeys(("LOAD_CONTENT_CACHE", "CACHE_CONTENT", "DELETE_OUTPUT_DIRECTORY"), False) | {
            "PATH": str(options.content.resolve()), "OUTPUT_PATH": str(output), "POSTMERGE_STATE": self,
            **{name: url for name, url in given if url},
        }  # fmt: skip
        settings: dict[str, Any] = read_settings(str(options.config), override=override)
        settings.setdefault("POSTMERGE_JOIN", options.sells)
        settings.setdefault("POSTMERGE_PLAN", read_sold_plan(options.plans) if options.plans else None)
        settings.setdefault("POSTMERGE_SENDER", name_sender(options.sender, settings["SITENAME"]))
        settings.setdefault("POSTMERGE_PRIVACY_URL", options.privacy_url)
        return settings

    def start(self, site: Site) -> None:
        """Read all sources and convert them, but for a preview, which converts one at a time."""
        self.site, self.sources = site, Sources(site, self.findings)
        self.issue_pictures = IssuePictures(site.root, site.url, self.workshop.cache, convert=not self.is_preview)
        self.findings.extend([*list_outdated_templates(site), *list_missing_typefaces(site)])
        names = [name for name, file in self.sources.files.items() if file.fields is not None]
        self.converted = Converted(dict.fromkeys(self.sources.texts(names), "")) if self.is_preview else self._convert(names)

    @property
    def is_started(self) -> bool:
        """Have the sources been read?"""
        return hasattr(self, "sources")

    def begin_subsite(self, site: Site) -> Build:
        """Return the build of a site in another language, whose pages are below this one's. It publishes nothing itself."""
        build = Build(replace(self.options, editions=None), self.progress, findings=self.findings, main=self)
        build.workshop, build.site, build.converted = self.workshop, site, self.converted
        build.sources = self.sources.for_language(site)
        build.issue_pictures = IssuePictures(site.root, site.url, self.workshop.cache, convert=True)
        self.subsites.append(build)
        return build

    def gather_subsites(self) -> None:
        """Add the issues of subsites: a translation belongs to the issue it translates, and has no key of its own."""
        if self.subsites:
            self.issues = gather_subsites(self.issues, [one.issues for one in self.subsites], self.elsewhere, self.sources)

    def start_again(self, path: Path) -> None:
        """Read and convert one file again."""
        self.sources.read_again(path)
        self.converted.html.update(self._convert([str(path)]).html)

    def read(self, path: str) -> tuple[str, dict[str, str]]:
        """Return the HTML and fields of a Markdown file; Pelican skips a file whose source is broken."""
        file = self.sources.files.get(path)
        if file is None or file.fields is None:
            self.sources.refuse_link(Path(path))
            return "", SKIPPED
        html = self.converted.html[path]
        if html is None or self.converted.html.get(path + MARK, "") is None:
            failed = self.converted.failed.get(path) or self.converted.failed.get(path + MARK)
            said = f"This file cannot be converted from Markdown ({failed})"
            if file.source.asks:
                file.source.error("send", f"{said}, so it cannot be sent: simplify the text.")
                return "", SKIPPED
            file.source.warning(1, f"{said}; its source is shown instead: simplify the text.")
            texts = self.sources.texts([path])
            self.converted.html |= {name: f"<pre>{escape(text)}</pre>" for name, text in texts.items()}
        return self.converted.html[path] or "", file.fields

    def render(self, articles: Collection[Any]) -> BuiltIssues:
        """Make the issues of Pelican's articles."""
        template = template_source(self.site.theme)
        emails = EmailSite(
            template, self.site.name, self.site.url, self.options.postal_address, self.site.clip, self.site.api_url
        )
        authors = read_authors(self.site.settings, self.site.root, self.site.url)
        replies = (self.options.reply_to, self.options.sender) if self.site.settings.get("POSTMERGE_INVITE_REPLY") else None
        is_alone = len(self.site.settings["PLUGINS"]) == 1  # another one may build other languages' sites from the same texts
        maker = IssueMaker(
            emails, self.sources, self.converted.html, self.originals, self.workshop, self.issue_pictures, authors, replies,
            frees_html=is_alone and not self.site.is_adopted and not self.is_preview,
        )  # fmt: skip
        self.issues = maker.make(articles)
        if is_alone:
            self.converted.html.clear()
        return self.issues

    def report(self) -> list[Finding]:
        """List the findings in the order of files and lines."""
        return sorted(self.sources.report(), key=lambda finding: (finding.path, finding.line))

    def close(self) -> None:
        """End the processes of the build."""
        self.workshop.workers.close()
        if self.indexing:
            self.indexing.close()

    def _convert(self, names: Iterable[str]) -> Converted:
        settings, texts = self.site.settings, self.sources.texts(names)
        if not self.site.gfm:
            return convert_all(texts, settings["MARKDOWN"], self.workshop)
        made = convert_all(texts, gfm.GfmOptions(bool(settings.get("POSTMERGE_SMART_QUOTES"))), self.workshop)
        for name, html in made.html.items():
            if html is not None:
                made.html[name] = relative_links.point_to_sources(html, Path(name.removesuffix(MARK)), self.site.root)
        return made
