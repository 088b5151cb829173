"""Preview one issue in a fraction of a second: the site is read once without being converted, then kept in memory."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, PostmergeError
from mailer.editions.mail.issue_renderer import fill
from mailer.editions.mail.template_errors import in_template
from mailer.editions.site.articles import fix_address, place_steps
from mailer.editions.site.build import Build, BuildOptions
from mailer.editions.site.pelican_log import quiet
from mailer.editions.source.site_config import need_plugin

_WORDS_A_MINUTE = 220


@dataclass(frozen=True)
class Shown:
    """A preview of a file. ``seconds``: reading time; ``before``: where the email was cut.

    ``edition`` is None for a page; of its variants it has the paid one, and no translation.
    """

    page: str
    edition: Edition | None
    findings: tuple[Finding, ...]
    seconds: int
    before: str = ""


class Preview:
    """Renders the page and the email of one file. Thread-safe; one call at a time."""

    def __init__(self, options: BuildOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._state: _State | None = None

    def forget(self) -> None:
        """Read the configuration, the theme and all files again at the next call."""
        with self._lock:
            self._state = None

    def show(self, path: Path) -> Shown:
        """Render the page and the email of a file below the content folder.

        Raises BadInput for a broken configuration or template, named with its line.
        """
        with self._lock:
            try:
                with quiet([], self._options.content):
                    self._state = self._state or _State(Build(self._options, is_preview=True))
                    return self._state.show(path)
            except PostmergeError:
                self._state = None
                raise
            except jinja2.TemplateError as error:
                self._state = None
                name, line = in_template(error)
                where = f"{name}, line {line}" if name and line else name or "a template"
                raise BadInput(f"The theme has an error in {where}: {error}") from error
            except Exception as error:
                self._state = None
                raise BadInput(f"{path.name} cannot be previewed ({type(error).__name__}: {error}): correct it.") from error


class _State:
    def __init__(self, build: Build) -> None:
        from pelican import Pelican
        from pelican.plugins import signals

        self._build = build
        settings = build.configure(build.options.content.resolve().parent / ".never-written")
        pelican = Pelican(settings)
        need_plugin(pelican, build.options.config)
        self._context = {
            **settings, "generated_content": {}, "static_links": set(), "static_content": {},
            "localsiteurl": settings["SITEURL"],
        }  # fmt: skip
        facts = {
            "context": self._context, "settings": settings, "path": pelican.path, "theme": pelican.theme,
            "output_path": pelican.output_path,
        }  # fmt: skip
        self._generators = [make(**facts) for make in pelican._get_generator_classes()]
        for generator in self._generators:
            if hasattr(generator, "generate_context"):
                generator.generate_context()
        signals.all_generators_finalized.send(self._generators)

    def show(self, path: Path) -> Shown:
        """Read, convert and render one file."""
        from pelican.contents import Article, Page

        build, is_page = self._build, self._build.site.is_page(path)
        build.start_again(path)
        generator = self._generators[1 if is_page else 0]
        made = generator.readers.read_file(
            base_path=generator.path, path=str(path), content_class=Page if is_page else Article, context=self._context
        )
        if not is_page:
            place_steps([made], build.sources)
        self._place(generator, made, is_page)
        issue = None if is_page else next(iter(build.render([made]).by_key.values()), None)
        shown = build.site.source_name(path)
        found = tuple(one for one in build.report() if one.path == shown)
        page = self._page(generator, made, "page" if is_page else "article")
        paid = tuple(one for one in issue.edition.variants if one.premium) if issue else ()
        edition = fill(replace(issue.edition, variants=paid), build.workshop) if issue else None
        build.workshop.uncached.clear()
        return Shown(page, edition, found, _seconds(made.content), issue.cut_before if issue else "")

    def _place(self, generator: Any, made: Any, is_page: bool) -> None:
        """Replace its earlier version among its neighbors and its translations."""
        self._context["generated_content"][made.get_relative_source_path()] = made
        for found in (generator.pages if is_page else generator.articles, generator.translations):
            for at, old in enumerate(found):
                if old.source_path == made.source_path:
                    found[at] = made
                    made.translations = old.translations
                    for side in ("postmerge_older", "postmerge_newer", "postmerge_languages"):
                        if hasattr(old, side):
                            setattr(made, side, getattr(old, side))
                    if made.source_path in self._build.originals:
                        made.override_url, made.override_save_as = old.url, old.save_as

    def _page(self, generator: Any, made: Any, kind: str) -> str:
        fix_address(made)
        more = {kind: made, "output_file": made.save_as, "page_name": kind, "category": getattr(made, "category", None)}
        return str(generator.get_template(made.template).render({**self._context, **more}))


def _seconds(content: str) -> int:
    """Estimate the reading time: 220 words a minute, and a CJK character as half a word."""
    text = re.sub(r"<[^<>]+>", " ", content)
    wide = len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]", text))
    return round((len(re.findall(r"[^\W\d_]+", text)) + wide / 2) / _WORDS_A_MINUTE * 60)
