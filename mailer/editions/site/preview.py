"""Preview one issue in a fraction of a second: the site is read once without being converted, then kept in memory."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, PostmergeError
from mailer.editions.mail.template_errors import in_template
from mailer.editions.site.build_session import Session
from mailer.editions.site.pelican_log import quiet
from mailer.editions.source.site_config import Site, need_plugin

_WORDS_A_MINUTE = 220


@dataclass(frozen=True)
class Shown:
    """A preview of a file. ``edition`` is None for a page; ``seconds``: reading time; ``before``: where the email was cut."""

    page: str
    edition: Edition | None
    findings: tuple[Finding, ...]
    seconds: int
    before: str = ""


class Preview:
    """Renders the page and the email of one file. Thread-safe; one call at a time."""

    def __init__(self, site: Site, cache: Path | None = None, postal_address: str = "", api_url: str = "") -> None:
        self._site = site
        self._cache = cache
        self._postal_address = postal_address
        self._api_url = api_url
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
                with quiet([], self._site.root):
                    self._state = self._state or _State(self._site, self._cache, self._postal_address, self._api_url)
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
    def __init__(self, site: Site, cache: Path | None, postal_address: str, api_url: str) -> None:
        from pelican import Pelican
        from pelican.plugins import signals
        from pelican.settings import read_settings

        self.site = site
        self.session = Session(cache, None, postal_address, preview=True)
        override: dict[str, Any] = {
            "PATH": str(site.root), "OUTPUT_PATH": str(site.root.parent / ".never-written"), "SITEURL": site.url,
            "POSTMERGE_SESSION": self.session,
            "LOAD_CONTENT_CACHE": False, "CACHE_CONTENT": False, "DELETE_OUTPUT_DIRECTORY": False,
        }  # fmt: skip
        if api_url:
            override["API_URL"] = api_url
        self.settings = read_settings(str(site.config), override=override)
        self.pelican = Pelican(self.settings)
        need_plugin(self.pelican, site.config)
        self.context = {
            **self.settings, "generated_content": {}, "static_links": set(), "static_content": {},
            "localsiteurl": self.settings["SITEURL"],
        }  # fmt: skip
        shared = {"context": self.context, "settings": self.settings, "path": self.pelican.path}
        rest = {"theme": self.pelican.theme, "output_path": self.pelican.output_path}
        self.generators = [make(**shared, **rest) for make in self.pelican._get_generator_classes()]
        for generator in self.generators:
            if hasattr(generator, "generate_context"):
                generator.generate_context()
        signals.all_generators_finalized.send(self.generators)

    def show(self, path: Path) -> Shown:
        """Read, convert and render one file."""
        from pelican.contents import Article, Page

        is_page = self.site.is_page(path)
        self.session.retake(path, is_page)
        generator = self.generators[1 if is_page else 0]
        made = generator.readers.read_file(
            base_path=self.pelican.path, path=str(path), content_class=Page if is_page else Article, context=self.context
        )
        self._place(generator, made, is_page)
        edition = None
        if not is_page:
            self.session.make_editions([made], self.settings)
            edition = made.edition
        found = tuple(f for f in self.session.report() if f.path == self.session.shown(path))
        return Shown(
            self._page(generator, made, is_page), edition, found, _seconds(made.content), getattr(made, "cut_before", "")
        )

    def _place(self, generator: Any, made: Any, is_page: bool) -> None:
        """Replace its earlier version among its neighbors and its translations."""
        name = made.get_relative_source_path()
        self.context["generated_content"][name] = made
        lists = (generator.pages, generator.translations) if is_page else (generator.articles, generator.translations)
        for found in lists:
            for at, old in enumerate(found):
                if old.source_path == made.source_path:
                    found[at] = made
                    made.translations = old.translations
                    for side in ("postmerge_older", "postmerge_newer", "postmerge_of", "postmerge_languages"):
                        if hasattr(old, side):
                            setattr(made, side, getattr(old, side))
                    if hasattr(old, "postmerge_of"):
                        made.override_url, made.override_save_as = old.url, old.save_as

    def _page(self, generator: Any, made: Any, is_page: bool) -> str:
        made.override_url, made.override_save_as = made.url, made.save_as
        kind = "page" if is_page else "article"
        more = {kind: made, "output_file": made.save_as, "page_name": kind, "category": getattr(made, "category", None)}
        return str(generator.get_template(made.template).render({**self.context, **more}))


def _seconds(content: str) -> int:
    """Estimate the reading time: 220 words a minute, and a CJK character as half a word."""
    text = re.sub(r"<[^<>]+>", " ", content)
    wide = len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]", text))
    return round((len(re.findall(r"[^\W\d_]+", text)) + wide / 2) / _WORDS_A_MINUTE * 60)
