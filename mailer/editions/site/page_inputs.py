"""What the page of an issue is made from, as a digest: with the same digest as in the last build, it is not rendered again.

Only for our own templates: they show nothing but the names that they contain, and of other contents (the neighbours, the
translations, the pages in the menu) nothing that lies behind these again. Whatever is of a kind not known here is rendered.
"""

from __future__ import annotations

import hashlib
import locale
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import date, tzinfo
from enum import Enum
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, meta, nodes
from pelican.contents import Content
from pelican.urlwrappers import URLWrapper

import mailer
from mailer.core.files import find_file
from mailer.editions.mail.markdown_to_html import Cache, digest, own_code
from mailer.editions.source import build_files

_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_BODY = "body_html"  # the digest of an issue stands for it
_Names = tuple[list[str], list[str]]


class PageInputs:
    """The digests of the pages of one build."""

    def __init__(self, settings: Mapping[str, Any], cache: Cache) -> None:
        self._settings, self._cache = settings, cache
        self._theme = find_file("theme") / "templates"
        self._names: dict[str, _Names] = {}
        self._common: dict[str, str] = {}
        self._shared: dict[tuple[int, int], bytes] = {}  # the descriptions of contents, without those behind them

    def digest(self, name: str, template: Any, context: Mapping[str, Any], named: Mapping[str, Any]) -> str | None:
        """Return the digest of all that decides about an issue's page; None if that is not sure."""
        if "article" not in named or not self._is_ours:
            return None
        try:
            names, attributes = self._list_names(template.environment, template.name)
            own = [(one, self._describe(named[one], attributes)) for one in names if one in named]
            if template.name not in self._common:  # what all pages show
                values = {**template.environment.globals, **context}
                shown = [(one, self._flatten(values[one], attributes)) for one in names if one in values]
                self._common[template.name] = digest(self._salt, template.name, repr(shown))
        except _UnknownError:
            return None
        return digest(self._common[template.name], name, repr(own))

    @cached_property
    def _is_ours(self) -> bool:
        own = ("THEME_TEMPLATES_OVERRIDES", "JINJA_FILTERS", "JINJA_TESTS", "RELATIVE_URLS")
        used, ours = (
            {path.name: build_files.read(path) for path in folder.glob("*.html")}
            for folder in (Path(self._settings["THEME"]) / "templates", self._theme)
        )
        return used == ours and not any(map(self._settings.get, own))

    @cached_property
    def _salt(self) -> str:
        """Digest our code and templates, and what formats dates and numbers."""
        files = [*sorted(Path(mailer.__file__).parent.rglob("*.py")), *sorted(self._theme.glob("*.html"))]
        versions = [version(name) for name in ("babel", "jinja2", "markupsafe", "pelican")]
        environment = repr(self._flatten(self._settings["JINJA_ENVIRONMENT"], []))
        return digest(
            own_code(), *versions, sys.version, locale.setlocale(locale.LC_ALL), environment, *map(build_files.read, files)
        )

    def _list_names(self, environment: Environment, template: str) -> _Names:
        """List the names of values, and those of attributes, that a template and those it includes contain."""
        if template not in self._names:
            key = digest("names", self._salt, template)
            if (kept := self._cache.get(key)) is None:
                self._cache.put(key, kept := self._find_names(environment, template))
            self._names[template] = kept[0], kept[1]
        return self._names[template]

    def _find_names(self, environment: Environment, template: str) -> _Names:
        waiting, done, names, attributes = {template}, set[str](), set[str](), set[str]()
        while waiting:
            done.add(one := waiting.pop())
            source = build_files.read(self._theme / one)
            if source is None:
                raise _UnknownError
            tree = environment.parse(source.decode())
            included = list(meta.find_referenced_templates(tree))
            if None in included:  # its name is computed
                raise _UnknownError
            names |= {node.name for node in tree.find_all(nodes.Name)}
            attributes |= {node.attr for node in tree.find_all(nodes.Getattr)}
            attributes |= {str(node.value) for node in tree.find_all(nodes.Const)}  # as in `map(attribute="schema")`
            waiting |= {other for other in included if other} - done
        return sorted(names), sorted(filter(str.isidentifier, attributes))

    def _describe(self, value: Any, attributes: list[str]) -> object:
        return self._list_facts(value, attributes, True) if isinstance(value, Content) else self._flatten(value, attributes)

    def _list_facts(self, content: Content, attributes: list[str], outermost: bool) -> object:
        left = _BODY if hasattr(content, "digest") else ""
        facts = [(one, getattr(content, one)) for one in attributes if one != left and hasattr(content, one)]
        return type(content).__name__, [(one, self._flatten(value, attributes, outermost)) for one, value in facts]

    def _summarize(self, content: Content, attributes: list[str]) -> bytes:
        """Describe a content without those behind it."""
        key = id(content), id(attributes)
        if key not in self._shared:
            self._shared[key] = hashlib.sha256(repr(self._list_facts(content, attributes, False)).encode()).digest()
        return self._shared[key]

    def _flatten(self, value: Any, attributes: list[str], outermost: bool = True) -> object:
        """Describe a value by plain ones; a content, by the attributes of these names, and with those that it names."""
        if type(value) in _PLAIN or isinstance(value, Enum | Path | tzinfo):
            return value
        if isinstance(value, str | date):  # markup, and dates of Pelican's own class
            return str(value)
        if isinstance(value, Content):
            return self._summarize(value, attributes) if outermost else None
        if isinstance(value, URLWrapper):
            return type(value).__name__, value.name, value.slug, value.url, value.save_as
        if isinstance(value, Mapping):
            return [
                (self._flatten(name, attributes, outermost), self._flatten(one, attributes, outermost))
                for name, one in value.items()
            ]
        if isinstance(value, list | tuple):
            return [self._flatten(one, attributes, outermost) for one in value]
        if is_dataclass(value) and not isinstance(value, type):
            return type(value).__name__, self._flatten(vars(value), attributes, outermost)
        name, module = getattr(value, "__qualname__", ""), getattr(value, "__module__", "") or ""
        if name and module.partition(".")[0] in ("mailer", "jinja2", "builtins"):  # a function
            return module, name
        raise _UnknownError


class _UnknownError(Exception):
    """A value of a kind that is not known here."""
