"""Common shortcodes of Hugo as Markdown; others are removed and named. What Jekyll's tags share with them is here too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

from mailer.archives.picture_links import split_outside_code

_MAX_EXAMPLE_CHARS = 120  # of a removed tag
_ARGUMENT = re.compile(r"(?:(\w+)\s*=\s*)?(?:\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`|'([^']*)'|(\S+))")
_HUGO = re.compile(r"\{\{[<%](?!/\*)\s*(/?)\s*([\w./-]+)((?:(?!\{\{)[^>%]|[>%](?!\}\})){0,4000}?)(/?)\s*[>%]\}\}")
_HUGO_CODE = re.compile(
    r"\{\{[<%]\s*highlight\s+\"?([\w+#-]+)\"?[^>%\n]*[>%]\}\}\n?((?:(?!\{\{[<%]\s*highlight).)*?)\n?\{\{[<%]\s*/\s*highlight\s*[>%]\}\}",
    re.DOTALL,
)
_HUGO_ESCAPED = re.compile(r"(\{\{[<%])/\*([^{}]{0,500}?)\*/([>%]\}\})")
_URL = re.compile(r"https?://[^\s<>\"']+")


class RemovedTags:
    """The tags that were removed from one text, with an example of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, name: str, tag: str) -> None:
        """Note a removed tag."""
        self._counts[name] += 1
        self._examples.setdefault(name, " ".join(tag.split())[:_MAX_EXAMPLE_CHARS])

    def describe(self) -> list[str]:
        """Return a sentence for each kind of tag."""
        return [
            f"{number} of the tag {name[:40]!r} removed, such as {self._examples[name]}."
            for name, number in sorted(self._counts.items())
        ]


def expand_hugo(body: str) -> tuple[str, list[str]]:
    """Return Markdown without Hugo's shortcodes, and sentences about those that were removed."""
    removed = RemovedTags()
    body = _HUGO_CODE.sub(lambda match: write_code(match[1], match[2]), body)

    def replace(match: re.Match[str]) -> str:
        closes, name = match[1], match[2].lower()
        made = "" if closes else _write_shortcode(name, read_arguments(match[3]))
        if made is None:
            removed.add(name, match[0])
        return made or ""

    expanded = "".join(part if is_code else _HUGO.sub(replace, part) for part, is_code in split_outside_code(body))
    return _HUGO_ESCAPED.sub(lambda match: f"{match[1]}{match[2]}{match[3]}", expanded), removed.describe()


def write_code(language: str, code: str) -> str:
    """Return a fenced block."""
    fence = "````" if "```" in code else "```"
    return f"{fence}{language}\n{code}\n{fence}"


def read_arguments(text: str) -> dict[str, str]:
    """Return a tag's arguments; those without a name are 0, 1 and on."""
    found: dict[str, str] = {}
    for match in _ARGUMENT.finditer(text):
        value = next((one for one in match.groups()[1:] if one is not None), "")
        found[match[1] or str(sum(name.isdecimal() for name in found))] = value
    return found


def write_figure(words: Mapping[str, str]) -> str | None:
    """Return a picture, None without an address."""
    source = words.get("src") or words.get("0")
    title = (words.get("caption") or words.get("title") or "").replace('"', "'")
    alt = re.sub(r"[\[\]]", " ", words.get("alt") or "")
    return f"![{alt}]({source.replace(' ', '%20')}{f' {chr(34)}{title}{chr(34)}' if title else ''})" if source else None


def write_embed(name: str, words: Mapping[str, str]) -> str | None:
    """Return a link to what a tag embeds: by a known name and an id, or by a URL among its arguments; None for neither."""
    url = next((match[0] for word in words.values() if (match := _URL.fullmatch(word))), "")
    if url:
        return f"<{url}>"
    embed = _EMBEDS.get(re.sub(r"[_-]?(?:video|player|embed|responsive)[_-]?", "", name.lower()))
    identity = words.get("id") or words.get("video_id") or words.get("0")
    return f"<{embed(words, identity)}>" if embed and identity and re.fullmatch(r"[\w./@-]{1,200}", identity) else None


def _write_shortcode(name: str, words: dict[str, str]) -> str | None:
    if name in ("figure", "img"):
        return write_figure(words)
    if name in ("ref", "relref"):
        path = words.get("0") or words.get("path")
        return re.sub(r"(/index|/_index)?\.md(?=$|#)", "/", path) if path else None
    return write_embed(name, words)


def _find_gist(words: Mapping[str, str], identity: str) -> str:
    path = f"{identity}/{words['1']}" if re.fullmatch(r"[0-9a-f]{5,40}", words.get("1", "")) else identity
    return f"https://gist.github.com/{path}"


def _find_tweet(words: Mapping[str, str], identity: str) -> str:
    return f"https://twitter.com/{words.get('user', 'i')}/status/{identity}"


_EMBEDS: dict[str, Callable[[Mapping[str, str], str], str]] = {
    "youtube": lambda _, identity: f"https://www.youtube.com/watch?v={identity}",
    "vimeo": lambda _, identity: f"https://vimeo.com/{identity}",
    "instagram": lambda _, identity: f"https://www.instagram.com/p/{identity}/",
    "gist": _find_gist, "tweet": _find_tweet, "twitter": _find_tweet, "x": _find_tweet,
}  # fmt: skip
