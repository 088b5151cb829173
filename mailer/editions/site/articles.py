"""Pelican's articles: how they belong together, and which of them are left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

from mailer.editions.source.reading import Sources
from mailer.editions.source.translations import beside

WORDS_PER_MINUTE = 230  # of silent reading; Brysbaert 2019 found 238 in English
CHARACTERS_PER_MINUTE = 400  # where words are not separated: Chinese, Japanese
_TAG = re.compile(r"<[^>]+>")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


@lru_cache(maxsize=1024)
def count_minutes(html: str) -> int:
    """Return how many minutes it takes to read a body, at least 1; 0 if part of it is for paid subscribers only."""
    if 'class="locked"' in html:
        return 0
    text = _TAG.sub(" ", html)
    characters = len(_HAN.findall(text))
    words = len(_HAN.sub(" ", text).split())
    return max(1, round(words / WORDS_PER_MINUTE + characters / CHARACTERS_PER_MINUTE))


def place_steps(articles: Iterable[Any], sources: Sources) -> None:
    """Give the pages of steps addresses of their own, apart from those of issues."""
    for article in articles:
        if (file := sources.files.get(article.source_path)) and file.place:
            article.override_url, article.override_save_as = file.place.address, f"{file.place.address}index.html"
            article.postmerge_step = True


def link_languages(generator: Any) -> dict[str, Any]:
    """Give each translation an address of its own, and link all languages, the original first.

    Return the original of each translation, by the translation's source.
    """
    translated = [*generator.translations, *generator.hidden_translations]
    originals = {}
    for original in (*generator.articles, *generator.hidden_articles):
        others = sorted((one for one in original.translations if one in translated), key=lambda one: str(one.lang))
        for one in others:
            originals[one.source_path] = original
            one.tags = list(getattr(original, "tags", []))
            if one.url == original.url or one.save_as == original.save_as:
                one.override_url = beside(original.url, one.lang)
                one.override_save_as = beside(original.save_as, one.lang)
        for one in (original, *others):
            one.postmerge_languages = [original, *others] if others else []
    return originals


def find_removed_translations(generator: Any) -> dict[str, str]:
    """Map translations that another plugin moved to a site of their own to their originals, by their sources."""
    listed = {article.source_path for article in list_articles(generator)}
    return {
        one.source_path: original.source_path
        for original in (*generator.articles, *generator.hidden_articles)
        for one in original.translations
        if one.source_path not in listed
    }


def link_neighbours(newest_first: list[Any]) -> None:
    """Give each article its neighbors, for links to the next and the previous issue."""
    for newer, older in pairwise(newest_first):
        for one in (newer, *newer.translations):
            one.postmerge_older = _in_language_of(one, older)
        for one in (older, *older.translations):
            one.postmerge_newer = _in_language_of(one, newer)


def fix_address(content: Any) -> None:
    """Keep Pelican from working out an address again and again."""
    content.override_url, content.override_save_as = content.url, content.save_as


def list_articles(generator: Any) -> list[Any]:
    """List all articles, those that are in no list of the site included."""
    return [*generator.articles, *generator.translations, *generator.hidden_articles, *generator.hidden_translations]


def remove_articles(generator: Any, sources: Collection[str]) -> None:
    """Remove the articles of these sources from every list of Pelican's ArticlesGenerator."""
    if not sources:
        return
    for article in list_articles(generator):
        _drop(article.translations, sources)
        _drop(getattr(article, "postmerge_languages", []), sources)
    lists = [generator.articles, generator.translations, generator.hidden_articles, generator.hidden_translations]
    periods = [one[name] for kind in generator.period_archives.values() for one in kind for name in ("articles", "dates")]
    named = [found for _, found in chain(generator.tags.items(), generator.categories, generator.authors)]
    for found in (*lists, generator.dates, *periods, *named):
        _drop(found, sources)
    for name in ("tags", "categories", "authors"):
        generator.context[name] = [pair for pair in generator.context[name] if pair[1]]
    generator.tags = {tag: found for tag, found in generator.tags.items() if found}
    generator.categories, generator.authors = generator.context["categories"], generator.context["authors"]


def _drop(articles: Any, sources: Collection[str]) -> None:
    if isinstance(articles, list):
        articles[:] = [article for article in articles if article.source_path not in sources]


def _in_language_of(page: Any, issue: Any) -> Any:
    """Return the translation of an issue in the page's language, else the issue itself."""
    return next((one for one in issue.translations if one.lang == page.lang), issue)
