"""Common shortcodes of Hugo and tags of Jekyll's Liquid as Markdown; others are removed or kept, and named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from mailer.archives.picture_links import split_outside_code

_ARGUMENT = re.compile(r"(?:(\w+)\s*=\s*)?(?:\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`|'([^']*)'|(\S+))")
_HUGO = re.compile(r"\{\{[<%]\s*(/?)\s*([\w./-]+)((?:[^>%]|[>%](?!\}\}))*?)(/?)\s*[>%]\}\}")
_HUGO_CODE = re.compile(
    r"\{\{[<%]\s*highlight\s+\"?([\w+#-]+)\"?[^>%\n]*[>%]\}\}\n?(.*?)\n?\{\{[<%]\s*/\s*highlight\s*[>%]\}\}", re.DOTALL
)
_LIQUID_CODE = re.compile(r"\{%-?\s*highlight\s+([\w+#-]+)[^%\n]*%\}\n?(.*?)\n?\{%-?\s*endhighlight\s*-?%\}", re.DOTALL)
_LIQUID_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.*?)\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_LIQUID_COMMENT = re.compile(r"\{%-?\s*comment\s*-?%\}.*?\{%-?\s*endcomment\s*-?%\}", re.DOTALL)
_LIQUID_LINK = re.compile(r"\{%-?\s*(post_url|link)\s+([^\s%]+)\s*-?%\}")
_LIQUID_FILTER = re.compile(r"\{\{-?\s*[\"']([^\"'{}]*)[\"']\s*\|\s*(?:relative_url|absolute_url|prepend:[^{}]*)\s*-?\}\}")
_LIQUID_SITE = re.compile(r"\{\{-?\s*site\.(?:baseurl|url)\s*-?\}\}")
_LIQUID_OTHER = re.compile(r"\{%-?\s*(\w+)[^%]*%\}|\{\{-?\s*([\w.]+)[^{}]*\}\}")
_VIDEO = "https://www.youtube.com/watch?v="


def expand_hugo(body: str) -> tuple[str, list[str]]:
    """Return Markdown without Hugo's shortcodes, and sentences about those that were removed."""
    removed: Counter[str] = Counter()
    body = _HUGO_CODE.sub(_write_code, body)

    def replace(match: re.Match[str]) -> str:
        closes, name, words = match[1], match[2].lower(), _read_arguments(match[3])
        if closes:
            return ""
        writer = _HUGO_WRITERS.get(name)
        made = writer(words) if writer else None
        if made is None:
            removed[name] += 1
        return made or ""

    return _outside_code(body, lambda text: _HUGO.sub(replace, text)), _describe(removed)


def expand_liquid(body: str, addresses: dict[str, str]) -> tuple[str, list[str]]:
    """Return Markdown without Liquid's tags. ``addresses`` are those of posts, by the file's name without its extension."""
    removed: Counter[str] = Counter()
    body = _LIQUID_RAW.sub(lambda match: match[1], _LIQUID_COMMENT.sub("", _LIQUID_CODE.sub(_write_code, body)))

    def link(match: re.Match[str]) -> str:
        name = re.sub(r"\.\w+$", "", match[2].rpartition("/")[2])
        return addresses.get(name) or (f"/{match[2].strip('/')}" if match[1] == "link" else "#")

    def other(match: re.Match[str]) -> str:
        removed[match[1] or match[2]] += not (match[1] or "").startswith("end")
        return ""

    def expand(text: str) -> str:
        text = _LIQUID_SITE.sub("", _LIQUID_FILTER.sub(lambda match: match[1], _LIQUID_LINK.sub(link, text)))
        return _LIQUID_OTHER.sub(other, text)

    return _outside_code(body, expand), _describe(removed)


def _outside_code(body: str, change: Callable[[str], str]) -> str:
    return "".join(part if is_code else change(part) for part, is_code in split_outside_code(body))


def _describe(removed: Counter[str]) -> list[str]:
    return [f"{number} of the tag {name[:40]!r} removed." for name, number in sorted(removed.items()) if number]


def _write_code(match: re.Match[str]) -> str:
    fence = "````" if "```" in match[2] else "```"
    return f"{fence}{match[1]}\n{match[2]}\n{fence}"


def _read_arguments(text: str) -> dict[str, str]:
    """Return a shortcode's arguments; those without a name are 0, 1 and on."""
    found: dict[str, str] = {}
    for match in _ARGUMENT.finditer(text):
        value = next((one for one in match.groups()[1:] if one is not None), "")
        found[match[1] or str(sum(name.isdecimal() for name in found))] = value
    return found


def _write_figure(words: dict[str, str]) -> str | None:
    source = words.get("src") or words.get("0")
    title = (words.get("caption") or words.get("title") or "").replace('"', "'")
    alt = re.sub(r"[\[\]]", " ", words.get("alt") or "")
    return f"![{alt}]({source.replace(' ', '%20')}{f' {chr(34)}{title}{chr(34)}' if title else ''})" if source else None


def _write_gist(words: dict[str, str]) -> str | None:
    return f"<https://gist.github.com/{words['0']}/{words['1']}>" if {"0", "1"} <= words.keys() else None


def _write_link(words: dict[str, str]) -> str | None:
    path = words.get("0") or words.get("path")
    return re.sub(r"(/index|/_index)?\.md(?=$|#)", "/", path) if path else None


def _write_video(start: str) -> Callable[[dict[str, str]], str | None]:
    return lambda words: f"<{start}{identity}>" if (identity := words.get("id") or words.get("0")) else None


def _write_tweet(words: dict[str, str]) -> str | None:
    user, identity = words.get("user", "i"), words.get("id") or words.get("0")
    return f"<https://twitter.com/{user}/status/{identity}>" if identity else None


_HUGO_WRITERS: dict[str, Callable[[dict[str, str]], str | None]] = {
    "figure": _write_figure, "img": _write_figure, "youtube": _write_video(_VIDEO), "vimeo": _write_video("https://vimeo.com/"),
    "tweet": _write_tweet, "x": _write_tweet, "gist": _write_gist, "ref": _write_link, "relref": _write_link,
}  # fmt: skip
