"""The Pelican plugin: one build renders each body once, for pages, feeds and email editions.

Add ``mailer.editions.plugin`` to ``PLUGINS``. It also works under the stock ``pelican`` command; ``mailer.editions.build``
only adds options and takes the report. Pelican's signals call the steps of ``site.build.Build``, which is in Pelican's settings
as ``POSTMERGE_STATE``.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pelican
from pelican import signals
from pelican.generators import ArticlesGenerator, PagesGenerator, StaticGenerator
from pelican.readers import METADATA_PROCESSORS, BaseReader, RstReader
from pelican.settings import DEFAULT_CONFIG
from pelican.utils import SafeDatetime
from pelican.writers import Writer

from mailer.core import i18n
from mailer.core.edition import Finding
from mailer.core.errors import BadInput
from mailer.core.form_fields import read_fields
from mailer.editions.images import issue_pictures, share_cards, svg_sanitizer
from mailer.editions.mail import byline, email_document
from mailer.editions.mail.issue_renderer import fill
from mailer.editions.mail.markdown_to_html import digest
from mailer.editions.site import articles, feeds, search_index, sitemap_and_redirects, staged_editions
from mailer.editions.site.build import Build
from mailer.editions.site.feed_ids import FeedWriter, ThriftyFeedWriter
from mailer.editions.site.incremental_writer import ThriftyWriter
from mailer.editions.source import containment, field_rules, paid_leaks, pelican_metadata, site_config, vague_links
from mailer.editions.source.reading import SKIPPED
from mailer.editions.source.site_config import EXTENSIONS, Site
from mailer.exchange import dates

_SUBSCRIBE_SCRIPT = Path(__file__).parents[1] / "templates/subscribe.js"
_MARKS = ('"{', "'{", '"|', "'|")  # how an attribute's value begins that Pelican's INTRASITE_LINK_REGEX would match
_FEEDS = ("FEED_ATOM", "FEED_RSS", "CATEGORY_FEED_ATOM", "CATEGORY_FEED_RSS", "AUTHOR_FEED_ATOM", "AUTHOR_FEED_RSS",
          "TAG_FEED_ATOM", "TAG_FEED_RSS", "TRANSLATION_FEED_ATOM", "TRANSLATION_FEED_RSS")  # fmt: skip


def register() -> None:
    """Register the plugin. Pelican calls this when it loads it."""
    signals.initialized.connect(_adapt_settings)
    signals.get_generators.connect(_start)
    signals.content_object_init.connect(_speed_up_content)
    signals.readers_init.connect(_replace_formats)
    signals.generator_init.connect(_wrap_formats)
    signals.all_generators_finalized.connect(_plan_rendering)
    signals.get_writer.connect(_choose_writer)
    signals.article_writer_finalized.connect(_begin_search)
    signals.finalized.connect(_finish)


def _adapt_settings(site: pelican.Pelican) -> None:
    """Adapt Pelican's settings."""
    settings = site.settings
    containment.check_theme(settings)
    site.path = settings["PATH"] = str(Path(settings["PATH"]).resolve())
    docutils = containment.choose_docutils(settings.get("DOCUTILS_SETTINGS") or {}, site_config.keeps_pelicans(settings))
    settings["DOCUTILS_SETTINGS"] = docutils
    settings["JINJA_GLOBALS"] = {
        "words_in": email_document.make_say, "spoken": i18n.spoken, "day": i18n.day, "short_day": i18n.short_day,
        "language": i18n.name, "direction": i18n.direction, "vague": vague_links.words, "count_minutes": articles.count_minutes,
        "byline": byline.format_byline,
        "form_fields": read_fields(settings.get("POSTMERGE_FORM_FIELDS")),
        **settings["JINJA_GLOBALS"],
    }  # fmt: skip
    settings["JINJA_ENVIRONMENT"] = {"auto_reload": False, **settings["JINJA_ENVIRONMENT"]}
    if not site_config.keeps_pelicans(settings):
        for name in ("FEED_ALL_ATOM", "FEED_ALL_RSS"):
            settings[f"POSTMERGE_{name}"] = settings.get(f"POSTMERGE_{name}") or settings.get(name)
            settings[name] = None
        settings.update(dict.fromkeys(_FEEDS))
    outer = containment.list_outer_folders(Path(settings["PATH"]))
    for name in ("ARTICLE_EXCLUDES", "PAGE_EXCLUDES", "STATIC_EXCLUDES"):
        settings[name] = [*settings[name], *map(str, outer)]
    settings.setdefault("POSTMERGE_STATE", Build())


def _start(site: pelican.Pelican) -> None:
    """Read and convert all sources, now that all plugins have changed the settings (MARKDOWN, for example).

    A plugin may build sites in other languages inside this one, with a copy of its settings: they have the same sources.
    """
    containment.check_markdown(site.settings["MARKDOWN"])
    build = _build(site.settings)
    if build.is_started and build.site.settings is not site.settings:
        site.settings["API_URL"] = build.site.api_url
        site.settings["POSTMERGE_STATE"] = build.begin_subsite(Site.of(site.settings))
        return
    build.start(Site.of(site.settings))
    for path in containment.list_outer_folders(build.site.root):
        build.sources.refuse(path, "This link leads to a folder outside, and it is left out: put the folder itself here.")


class PreparedMarkdown(BaseReader):  # type: ignore[misc]
    """Give Pelican the bodies that were converted (or cached) before it started."""

    enabled = True
    file_extensions = tuple(sorted(suffix[1:] for suffix in EXTENSIONS))
    foreign: BaseReader | None = None  # of another plugin, which makes the text instead

    def process_metadata(self, name: str, value: Any) -> Any:
        """Convert a field to Pelican's type."""
        return _read_date(name, value) or super().process_metadata(name, value)

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """Return the HTML and metadata of one file."""
        build = _build(self.settings)
        content, fields = build.read(source_path)
        sources, own = build.sources, {}
        if build.site.is_adopted and fields is not SKIPPED:
            own = pelican_metadata.read_own_values(sources.files[source_path].source, self.settings)
            fields = {name: "" for name, value in own.items() if not value} | fields
        metadata = {name: self.process_metadata(name, own.get(name, value)) for name, value in fields.items()}
        if self.foreign and fields is not SKIPPED and not sources.refuse_paid(source_path, type(self.foreign).__module__):
            content, made = self.foreign.read(source_path)
            metadata |= {name: made[name] for name in ("title", "summary") if name in made}
        return content, metadata


class PreparedRst(RstReader):  # type: ignore[misc]
    """Read reStructuredText as Pelican does, and add the slug and the checks that all issues have, and without other files."""

    writer_class, field_body_translator_class = containment.RstWriter, containment.RstFieldTranslator
    foreign: BaseReader | None = None

    def process_metadata(self, name: str, value: Any) -> Any:
        """Convert a field to Pelican's type."""
        return _read_date(name, value) or super().process_metadata(name, value)

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """Return the HTML and metadata of one file."""
        content, metadata = self.foreign.read(source_path) if self.foreign else super().read(source_path)
        fields = _build(self.settings).sources.read_rst(Path(source_path), metadata)
        kept = {name: value for name, value in metadata.items() if not field_rules.is_reserved(name)}
        return content, {**kept, **{name: self.process_metadata(name, value) for name, value in fields.items()}}


def _read_date(name: str, value: Any) -> SafeDatetime | None:
    """Read a field that is a date as the checks do; None for other fields, and for dates that the checks refuse."""
    if name not in ("date", "modified") or not isinstance(value, str):
        return None
    with contextlib.suppress(BadInput):
        return SafeDatetime.fromisoformat(dates.parse_date(value).isoformat())
    return None


def _replace_formats(pelican: Any) -> None:
    for extension in (*PreparedMarkdown.file_extensions, "rst"):
        if not containment.is_foreign(pelican.reader_classes.get(extension)):
            pelican.reader_classes[extension] = PreparedRst if extension == "rst" else PreparedMarkdown
    for name in ("subject", "preheader", "summary"):
        METADATA_PROCESSORS.pop(name, None)


def _wrap_formats(generator: Any) -> None:
    """Let another plugin (as jinja2content) make the texts of its formats; fields and checks are as of all issues."""
    formats = generator.readers.readers
    for extension in (*PreparedMarkdown.file_extensions, "rst"):
        foreign = formats.get(extension)
        if containment.is_foreign(type(foreign) if foreign else None):
            ours = PreparedRst if extension == "rst" else PreparedMarkdown
            formats[extension] = ours(generator.settings)
            formats[extension].foreign = foreign


def _speed_up_content(content: Any) -> None:
    """Skip two slow steps of Pelican: the search for ``{filename}…`` and ``|filename|…`` where no attribute's value begins
    like that, and working out its own path again and again."""
    path, worked_out = content.get_relative_source_path(), content.get_relative_source_path
    content.get_relative_source_path = lambda other=None: worked_out(other) if other else path
    usual = content.settings.get("INTRASITE_LINK_REGEX") == DEFAULT_CONFIG["INTRASITE_LINK_REGEX"]
    if usual and content._content and not any(mark in content._content for mark in _MARKS):
        content.get_static_links = set
        content._update_content = lambda text, siteurl: text


def _plan_rendering(generators: list[Any]) -> None:
    """Make the issues after all reading; beside other plugins, when these have changed and linked the articles too."""
    build = _build(generators[0].settings)
    if build.is_preview or len(build.site.settings["PLUGINS"]) == 1:
        return _render(generators)
    first = generators[0]
    write = first.generate_output

    def render_and_write(writer: Any) -> None:
        _render(generators)
        write(writer)

    first.generate_output = render_and_write


def _render(generators: list[Any]) -> None:
    """Make the issues, after all reading and before any page is written; note the pages and pictures."""
    build = _build(generators[0].settings)  # one of another plugin may have no settings
    for generator in generators:
        if isinstance(generator, ArticlesGenerator):
            _render_articles(build, generator)
        if isinstance(generator, PagesGenerator):
            for listed in (
                generator.pages, generator.translations, generator.hidden_pages, generator.hidden_translations,
                generator.draft_pages, generator.draft_translations,
            ):  # fmt: skip
                _refuse_outside(build, listed)
            for page in (*generator.pages, *generator.translations):
                articles.fix_address(page)
            build.pages = [f"{build.site.url}/{page.url}" for page in generator.pages]
        if isinstance(generator, StaticGenerator):
            _refuse_outside(build, generator.staticfiles)
            build.pictures = [
                file for file in generator.staticfiles if Path(file.source_path).suffix.lower() in svg_sanitizer.SUFFIXES
            ]
            build.photographs = [
                file for file in generator.staticfiles if Path(file.source_path).suffix.lower() in (".jpg", ".jpeg")
            ]


def _render_articles(build: Build, generator: ArticlesGenerator) -> None:
    for name in ("drafts", "drafts_translations"):  # without those of formats that only Pelican reads
        drafts = getattr(generator, name)
        setattr(generator, name, [one for one in drafts if build.site.is_adopted and one.source_path in build.sources.files])
        _refuse_outside(build, getattr(generator, name))
    for extension in (*PreparedMarkdown.file_extensions, "rst"):  # by a plugin that was loaded after this one
        containment.check_format(extension, type(generator.readers.readers.get(extension)))
    articles.place_steps(articles.list_articles(generator), build.sources)
    build.originals = articles.link_languages(generator)
    build.elsewhere = articles.find_removed_translations(generator)
    if not build.is_preview:
        every = articles.list_articles(generator)
        issues = build.render(every)
        articles.remove_articles(generator, issues.left_out)
        for article in every:
            articles.fix_address(article)
        public = [*issues.editions, *issues.translated]
        build.drawing = share_cards.begin(public, issues.covers, build.site, build.workshop)
    articles.link_neighbours(generator.articles)


def _refuse_outside(build: Build, listed: list[Any]) -> None:
    """Take out what comes from outside of the content folder, or would be written outside of the output, and name it."""
    output = Path(os.path.abspath(build.site.settings["OUTPUT_PATH"]))
    listed[:], refused = containment.split_by_place(listed, build.site.root, output)
    for one in refused:
        build.sources.refuse(
            build.site.root / one.source_path,
            "This file leads out of the content folder or of the site, and it is left out: put the file itself here.",
        )


def _choose_writer(site: pelican.Pelican) -> type[Writer] | None:
    """Reuse pages of the last build, unless another plugin may have changed them; keep the feeds' ids of another address."""
    is_thrifty = _build(site.settings).spare and len(site.settings["PLUGINS"]) == 1
    if site.settings.get("POSTMERGE_FEED_IDS_URL"):
        return ThriftyFeedWriter if is_thrifty else FeedWriter
    return ThriftyWriter if is_thrifty else None


def _begin_search(generator: ArticlesGenerator, writer: Any) -> None:
    """Start to index the pages of issues, now that they are written, in processes of their own, if so configured."""
    build, settings = _build(generator.settings), generator.settings
    if isinstance(writer, ThriftyWriter):
        writer.flush()
    if build.main or not settings.get("POSTMERGE_SEARCH"):
        return
    if not search_index.available():
        raise BadInput("pagefind is not installed: run `pip install pagefind_bin`, or set POSTMERGE_SEARCH = False.")
    build.indexing = search_index.Indexing(Path(settings["OUTPUT_PATH"]), build.workshop.cache.folder)
    build.indexing.start([*build.issues.editions, *build.issues.translated], build.site.url, build.site.lang)


def _finish(site: pelican.Pelican) -> None:
    """Write what goes around the pages, and then, if no paid text is in any of it, the editions."""
    build, output = _build(site.settings), Path(site.settings["OUTPUT_PATH"])
    if build.drawing:
        build.drawing.place(output)
    for picture in build.pictures:
        source = Path(picture.source_path)
        if said := svg_sanitizer.publish(source, output / picture.save_as):
            build.findings.append(Finding("warning", build.site.source_name(source), 1, said))
    build.issue_pictures.place(output)
    published = {output / photograph.save_as for photograph in build.photographs}
    for path, data in issue_pictures.list_with_places(path for path in published if path.is_file()):
        path.unlink()  # it may be a second name of the original
        path.write_bytes(data)
    feeds.write_feeds(build.site, build.issues)
    if build.main:
        return
    build.workshop.workers.close()
    build.gather_subsites()
    sitemap_and_redirects.write_around(build.sources, build.issues, build.pages)
    scripts = output / site.settings.get("THEME_STATIC_DIR", "theme") / "js"
    scripts.mkdir(parents=True, exist_ok=True)
    (scripts / "subscribe.js").write_bytes(_SUBSCRIBE_SCRIPT.read_bytes())
    staged = (
        staged_editions.stage(build.options.editions, build.issues.to_publish, build.workshop)
        if build.options.editions
        else None
    )
    try:
        if build.indexing and (wrong := build.indexing.finish()):
            raise BadInput(
                f"The search index cannot be built ({wrong}): set POSTMERGE_SEARCH = False in pelicanconf.py to disable search."
            )
        _check_leaks(build, output)
    except BaseException:
        if staged:
            staged.discard()
        raise
    if staged:
        staged_editions.write(staged, build.report(), build.workshop.cache)


def _check_leaks(build: Build, output: Path) -> None:
    """Refuse a build whose output contains paid text."""
    detector, cache = paid_leaks.LeakDetector(build.sources.secrets()), build.workshop.cache
    if detector.empty:
        return
    key = digest("leaks", detector.digest())
    detector.know(cache.get(key) or ())
    found = [
        *detector.find_in(output),
        *(leak for one in build.issues.to_publish for leak in detector.find_edition(fill(one, build.workshop))),
    ]
    cache.put(key, sorted(detector.clean))
    paid_leaks.insist(found)


def _build(settings: dict[str, Any]) -> Build:
    build: Build = settings["POSTMERGE_STATE"]
    return build
