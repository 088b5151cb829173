"""The Pelican plugin: one build renders each body once, for pages, feeds and email editions.

Add ``mailer.editions.plugin`` to ``PLUGINS``. It also works under the stock ``pelican`` command; ``mailer.editions.build``
only adds options and takes the report.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pelican
from pelican import signals
from pelican.contents import Article
from pelican.generators import ArticlesGenerator, PagesGenerator, StaticGenerator
from pelican.readers import METADATA_PROCESSORS, BaseReader, RstReader
from pelican.settings import DEFAULT_CONFIG
from pelican.urlwrappers import Tag
from pelican.utils import SafeDatetime

from mailer.core import i18n
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput
from mailer.editions.images import share_cards, svg_sanitizer
from mailer.editions.mail import email_document
from mailer.editions.mail.markdown_to_html import digest
from mailer.editions.site import article_filter, edition_files, feeds, search_index, sitemap_and_redirects
from mailer.editions.site.build_session import Session
from mailer.editions.site.incremental_writer import ThriftyWriter
from mailer.editions.source import containment, field_rules, paid_leaks, translations, vague_links
from mailer.editions.source.site_config import EXTENSIONS

_current: Session | None = None
_MARKS = ('"{', "'{", '"|', "'|")  # how an attribute's value begins that Pelican's INTRASITE_LINK_REGEX would match


def register() -> None:
    """Register the plugin. Pelican calls this when it loads it."""
    signals.initialized.connect(_initialized)
    signals.content_object_init.connect(_plain_content)
    signals.readers_init.connect(_replace_formats)
    signals.all_generators_finalized.connect(_articles)
    signals.get_writer.connect(_writer)
    signals.article_writer_finalized.connect(_begin_search)
    signals.finalized.connect(_finalized)


def session() -> Session:
    """Return the current build."""
    assert _current is not None
    return _current


def _initialized(site: pelican.Pelican) -> None:
    global _current
    _current = site.settings.get("POSTMERGE_SESSION") or Session()
    containment.check_theme(site.settings)
    containment.check_markdown(site.settings["MARKDOWN"])
    _current.prepare(site.settings)
    site.settings["DOCUTILS_SETTINGS"] = {**(site.settings.get("DOCUTILS_SETTINGS") or {}), **containment.DOCUTILS}
    site.settings.update(
        FEED_ATOM=None, FEED_RSS=None, CATEGORY_FEED_ATOM=None, CATEGORY_FEED_RSS=None, AUTHOR_FEED_ATOM=None,
        AUTHOR_FEED_RSS=None, TAG_FEED_ATOM=None, TAG_FEED_RSS=None, TRANSLATION_FEED_ATOM=None, TRANSLATION_FEED_RSS=None,
    )  # fmt: skip
    site.settings["JINJA_GLOBALS"] = {
        "words_in": email_document.make_say, "spoken": i18n.spoken, "day": i18n.day, "short_day": i18n.short_day,
        "language": i18n.name, "vague": vague_links.words,
        **site.settings["JINJA_GLOBALS"],
    }  # fmt: skip
    site.settings["JINJA_ENVIRONMENT"] = {"auto_reload": False, **site.settings["JINJA_ENVIRONMENT"]}
    for name in ("FEED_ALL_ATOM", "FEED_ALL_RSS"):
        site.settings[f"POSTMERGE_{name}"] = site.settings.get(f"POSTMERGE_{name}") or site.settings.get(name)
        site.settings[name] = None


class PreparedMarkdown(BaseReader):  # type: ignore[misc]
    """Give Pelican the bodies that were converted (or cached) before it started."""

    enabled = True
    file_extensions = tuple(sorted(suffix[1:] for suffix in EXTENSIONS))

    def process_metadata(self, name: str, value: Any) -> Any:
        """Convert a field to Pelican's type; an ISO date needs no guessing."""
        if name == "date":
            with contextlib.suppress(ValueError):
                return SafeDatetime.fromisoformat(value)
        return super().process_metadata(name, value)

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """Return the HTML and metadata of one file."""
        content, fields = session().read(source_path)
        return content, {name: self.process_metadata(name, value) for name, value in fields.items()}


class PreparedRst(RstReader):  # type: ignore[misc]
    """Read reStructuredText as Pelican does, and add the slug and the checks that all issues have, and without other files."""

    writer_class, field_body_translator_class = containment.RstWriter, containment.RstFieldTranslator

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """Return the HTML and metadata of one file."""
        content, metadata = super().read(source_path)
        fields = session().read_rst(source_path, metadata)
        kept = {name: value for name, value in metadata.items() if not field_rules.is_reserved(name)}
        return content, {**kept, **{name: self.process_metadata(name, value) for name, value in fields.items()}}


def _replace_formats(pelican: Any) -> None:
    for extension in PreparedMarkdown.file_extensions:
        pelican.reader_classes[extension] = PreparedMarkdown
    pelican.reader_classes["rst"] = PreparedRst
    for name in ("subject", "preheader", "summary"):
        METADATA_PROCESSORS.pop(name, None)


def _articles(generators: list[Any]) -> None:
    """Give each article its body, its digest and its edition: after all reading, before any page is written."""
    for generator in generators:
        if isinstance(generator, ArticlesGenerator):
            generator.drafts, generator.drafts_translations = [], []  # of formats that only Pelican reads
            articles: list[Article] = [
                *generator.articles, *generator.translations, *generator.hidden_articles, *generator.hidden_translations,
            ]  # fmt: skip
            _link_languages(generator)
            session().make_editions([] if session().preview else articles, generator.settings)
            article_filter.remove_articles(generator, session().left_out)
            for article in articles:
                article.override_url, article.override_save_as = article.url, article.save_as
            _link_neighbours(generator.articles)
            session().drawing = _begin_cards(session(), generator.settings)
        if isinstance(generator, PagesGenerator):
            for listed in (
                generator.pages, generator.translations, generator.hidden_pages, generator.hidden_translations,
                generator.draft_pages, generator.draft_translations,
            ):  # fmt: skip
                _refuse_outside(listed, generator.settings)
            for page in (*generator.pages, *generator.translations):
                page.override_url, page.override_save_as = page.url, page.save_as
            session().pages = [f"{generator.settings['SITEURL']}/{page.url}" for page in generator.pages]
        if isinstance(generator, StaticGenerator):
            _refuse_outside(generator.staticfiles, generator.settings)
            session().pictures = [
                file for file in generator.staticfiles if Path(file.source_path).suffix.lower() in svg_sanitizer.SUFFIXES
            ]


def _refuse_outside(listed: list[Any], settings: Mapping[str, Any]) -> None:
    """Take out what comes from outside of the content folder, or would be written outside of the output, and name it."""
    content, output = Path(settings["PATH"]).resolve(), Path(os.path.abspath(settings["OUTPUT_PATH"]))
    listed[:], refused = containment.split_by_place(listed, content, output)
    for one in refused:
        session().refuse_outside(Path(settings["PATH"]) / one.source_path)


def _writer(site: pelican.Pelican) -> type[ThriftyWriter] | None:
    """Reuse pages of the last build, unless another plugin may have changed them."""
    return ThriftyWriter if session().spare and len(site.settings["PLUGINS"]) == 1 else None


def _plain_content(content: Any) -> None:
    """Skip two slow steps of Pelican: the search for ``{filename}…`` and ``|filename|…`` where no attribute's value begins
    like that, and working out its own path again and again."""
    path, worked_out = content.get_relative_source_path(), content.get_relative_source_path
    content.get_relative_source_path = lambda other=None: worked_out(other) if other else path
    usual = content.settings.get("INTRASITE_LINK_REGEX") == DEFAULT_CONFIG["INTRASITE_LINK_REGEX"]
    if usual and content._content and not any(mark in content._content for mark in _MARKS):
        content.get_static_links = set
        content._update_content = lambda text, siteurl: text


def _link_neighbours(newest_first: list[Article]) -> None:
    """Give each article its neighbors, for links to the next and the previous issue."""
    for newer, older in pairwise(newest_first):
        for one in (newer, *newer.translations):
            one.postmerge_older = _in_language_of(one, older)
        for one in (older, *older.translations):
            one.postmerge_newer = _in_language_of(one, newer)


def _in_language_of(page: Article, issue: Article) -> Article:
    """Return the translation of an issue in the page's language, else the issue itself."""
    return next((one for one in issue.translations if one.lang == page.lang), issue)


def _link_languages(generator: ArticlesGenerator) -> None:
    """Give each translation its original and an address of its own, and link all languages, the original first."""
    translated = [*generator.translations, *generator.hidden_translations]
    for original in (*generator.articles, *generator.hidden_articles):
        others = sorted((one for one in original.translations if one in translated), key=lambda one: str(one.lang))
        for one in others:
            one.postmerge_of, one.tags = original, list(getattr(original, "tags", []))
            if one.url == original.url or one.save_as == original.save_as:
                one.override_url = translations.beside(original.url, one.lang)
                one.override_save_as = translations.beside(original.save_as, one.lang)
        for one in (original, *others):
            one.postmerge_languages = [original, *others] if others else []


def _finalized(site: pelican.Pelican) -> None:
    current = session()
    if current.drawing:
        current.drawing.place(Path(site.settings["OUTPUT_PATH"]))
    _clean_pictures(current, Path(site.settings["OUTPUT_PATH"]))
    current.workers.close()
    _write_feeds(current, site.settings)
    _write_around(current, site.settings)
    staged = edition_files.stage(current.editions_folder, current.editions) if current.editions_folder else None
    if current.indexing and (wrong := current.indexing.finish()):
        raise BadInput(
            f"The search index cannot be built ({wrong}): set POSTMERGE_SEARCH = False in pelicanconf.py to disable search."
        )
    _check_leaks(current, Path(site.settings["OUTPUT_PATH"]))
    if staged:
        edition_files.write(staged, current.report())


def _clean_pictures(current: Session, output: Path) -> None:
    """Publish only sanitized SVG files."""
    for picture in current.pictures:
        source, target = Path(picture.source_path), output / picture.save_as
        try:
            dropped = svg_sanitizer.publish(source, target)
        except svg_sanitizer.Unreadable as wrong:
            message = f"This image is not published, because {wrong}: save it as SVG again, or as PNG."
            current.findings.append(Finding("warning", current.shown(source), 1, message))
            continue
        if dropped:
            message = f"{', '.join(dropped)} is not allowed in images and was removed: delete it, or save the image as PNG."
            current.findings.append(Finding("warning", current.shown(source), 1, message))


def _check_leaks(current: Session, output: Path) -> None:
    """Refuse a build whose output contains paid text."""
    detector = paid_leaks.LeakDetector(current.secrets)
    if detector.empty:
        return
    kept = digest("leaks", detector.digest())
    detector.know(current.cache.get(kept) or ())
    found = detector.find_in(output)
    for edition in current.editions:
        found += detector.find_edition(edition)
    current.cache.put(kept, sorted(detector.clean))
    paid_leaks.insist(found)


def _begin_cards(current: Session, settings: dict[str, Any]) -> share_cards.Drawing | None:
    """Start to draw the share cards while Pelican writes the pages, if so configured."""
    if not settings.get("POSTMERGE_CARDS") or current.preview:
        return None
    wanted = [
        share_cards.Card(
            share_cards.path_of(edition.key), edition.title, settings["SITENAME"], i18n.day(edition.dated, edition.lang)
        )
        for edition in (*current.editions, *current.translated)
    ]
    return share_cards.Drawing(wanted, current.cache.folder, current.workers)


def _begin_search(generator: ArticlesGenerator, writer: Any) -> None:
    """Start to index the pages of issues, now that they are written, in processes of their own, if so configured."""
    current, settings = session(), generator.settings
    if isinstance(writer, ThriftyWriter):
        writer.flush()
    if not settings.get("POSTMERGE_SEARCH"):
        return
    if not search_index.available():
        raise BadInput("pagefind is not installed: run `pip install pagefind_bin`, or set POSTMERGE_SEARCH = False.")
    current.indexing = search_index.Indexing(Path(settings["OUTPUT_PATH"]), current.cache.folder)
    current.indexing.start([*current.editions, *current.translated], settings["SITEURL"], settings["DEFAULT_LANG"])


def _write_feeds(current: Session, settings: dict[str, Any]) -> None:
    site = feeds.FeedSite(
        name=settings["SITENAME"],
        url=settings["SITEURL"],
        lang=settings["DEFAULT_LANG"],
        subtitle=settings.get("SITESUBTITLE") or "",
        style=_style(settings),
        image=settings.get("POSTMERGE_PODCAST_IMAGE") or "",
    )
    reach = settings.get("FEED_MAX_ITEMS") or 20
    listed = sorted(current.editions, key=lambda edition: (edition.dated, edition.key), reverse=True)
    output = Path(settings["OUTPUT_PATH"])
    for name in ("ATOM", "RSS", "JSON"):
        if path := settings.get(f"POSTMERGE_FEED_ALL_{name}"):
            feeds.write(site, feeds.Feed(site.name, path, listed[:reach], current.extras), output)
        if pattern := settings.get(f"POSTMERGE_TAG_FEED_{name}"):
            for tag, editions in _by_tag(current, listed).items():
                path = pattern.format(slug=tag.slug)
                feeds.write(site, feeds.Feed(f"{site.name}: {tag.name}", path, editions[:reach], current.extras), output)
    spoken = [edition for edition in listed if current.extras[edition.key].audio]
    if spoken and (path := settings.get("POSTMERGE_FEED_PODCAST")):
        feeds.write(site, feeds.Feed(site.name, path, spoken, current.extras, podcast=True), output)


def _style(settings: dict[str, Any]) -> str:
    """Return the address of the theme's style sheet for feeds, if it has one."""
    has = (Path(settings["THEME"]) / "static" / "css" / "feed.css").is_file()
    return f"{settings['SITEURL']}/{settings.get('THEME_STATIC_DIR', 'theme')}/css/feed.css" if has else ""


def _write_around(current: Session, settings: dict[str, Any]) -> None:
    """Write redirects, sitemap and robots.txt."""
    output, url = Path(settings["OUTPUT_PATH"]), settings["SITEURL"]
    editions = edition_files.oldest_first(current.editions)
    for edition, name in sitemap_and_redirects.redirects(editions, current.extras, str(settings["ARTICLE_SAVE_AS"]), output):
        current.taken(edition, name)
    tags = sorted({f"{url}/{tag.url}" for tags in current.tags.values() for tag in tags})
    newest = editions[-1].dated if editions else None
    addresses: list[tuple[str, datetime | None]] = [(f"{url}/", newest)]
    addresses += [(edition.url, edition.dated) for edition in reversed(editions)]
    addresses += [(address, None) for address in [*sorted(current.pages), *tags]]
    languages = [_languages(edition) for edition in editions if any(one.url for one in edition.variants)]
    addresses += [(address, edition.dated) for edition in current.translated for address in [edition.url]]
    sitemap_and_redirects.sitemap(addresses, output, languages)
    sitemap_and_redirects.robots(url, output)


def _languages(edition: Edition) -> dict[str, str]:
    """Map each language of an issue to its address; ``x-default`` is the original's."""
    others = {one.lang: one.url for one in edition.variants if one.url and not one.premium}
    return {edition.lang: edition.url, **others, "x-default": edition.url}


def _by_tag(current: Session, listed: list[Edition]) -> dict[Tag, list[Edition]]:
    table: dict[Tag, list[Edition]] = defaultdict(list)
    for edition in listed:
        for tag in current.tags[edition.key]:
            table[tag].append(edition)
    return table
