"""Remove articles that cannot be published from what Pelican has read, before it writes any page."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import Any


def remove_articles(generator: Any, sources: Collection[str]) -> None:
    """Remove the articles of these sources from every list of Pelican's ArticlesGenerator."""
    if not sources:
        return
    every = [generator.articles, generator.translations, generator.hidden_articles, generator.hidden_translations]
    for article in chain(*every):
        _drop(article.translations, sources)
        _drop(getattr(article, "postmerge_languages", []), sources)
    periods = [one[name] for kind in generator.period_archives.values() for one in kind for name in ("articles", "dates")]
    named = [found for _, found in chain(generator.tags.items(), generator.categories, generator.authors)]
    for found in (*every, generator.dates, *periods, *named):
        _drop(found, sources)
    for name in ("tags", "categories", "authors"):
        generator.context[name] = [pair for pair in generator.context[name] if pair[1]]
    generator.tags = {tag: found for tag, found in generator.tags.items() if found}
    generator.categories, generator.authors = generator.context["categories"], generator.context["authors"]


def _drop(articles: Any, sources: Collection[str]) -> None:
    if isinstance(articles, list):
        articles[:] = [article for article in articles if article.source_path not in sources]
