"""What WordPress stores instead of HTML: paragraphs as empty lines, and shortcodes."""

from __future__ import annotations

import re
from collections import Counter

_BLOCK = re.compile(
    r"\s*<(?:!--|/?(?:p|div|h[1-6]|ul|ol|li|table|tr|td|th|thead|tbody|blockquote|pre|figure|figcaption|hr|dl|dt|dd|section|article|"
    r"aside|details|summary|iframe|form|video|audio)\b)",
    re.IGNORECASE,
)
_PRE = re.compile(r"<pre\b.*?</pre>", re.IGNORECASE | re.DOTALL)
_CAPTION = re.compile(r"\[(?:wp_)?caption[^\]\n]*\](.{0,5000}?)\[/(?:wp_)?caption\]", re.DOTALL)
_PICTURE = re.compile(r"\s*((?:<a\b[^>]*>\s*)?<img\b[^>]*>(?:\s*</a>)?)\s*(.*)", re.DOTALL | re.IGNORECASE)
_EMBED = re.compile(r"\[(embed|youtube|vimeo|audio|video|soundcloud)\b[^\]\n]*\](?:\s*(https?://[^\s\[\]<]+)\s*\[/\1\])?")
_URL = re.compile(r"https?://[^\s\"'\]<]+")
_LINE_OF_URL = re.compile(r"^[ \t]*(https?://[^\s<\"]+)[ \t]*$", re.MULTILINE)
_OTHER = re.compile(
    r"\[/?(gallery|playlist|contact-form[-\w]*|contact-field|gravityform|mc4wp_form|newsletter\w*|subscribe\w*|jetpack\w*|"
    r"sociable|share\w*|polldaddy|poll|vc_\w+|et_pb_\w+|fusion_\w+)\b[^\]\n]*\]",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\[(?:source)?code(?:\s+lang(?:uage)?=[\"']?([\w+#-]+)[\"']?)?[^\]\n]*\](.*?)\[/(?:source)?code\]", re.DOTALL
)


def expand_markup(text: str) -> tuple[str, list[str]]:
    """Return a post's HTML, and sentences about shortcodes that were removed."""
    removed: Counter[str] = Counter()

    def remove(match: re.Match[str]) -> str:
        removed[match[1].lower()] += not match[0].startswith("[/")
        return ""

    has_paragraphs = "<!-- wp:" in text or re.search(r"<p\b", text)
    text = _CODE.sub(_write_code, text)
    text = _CAPTION.sub(_write_figure, text)
    text = _LINE_OF_URL.sub(r'<p><a href="\1">\1</a></p>', _EMBED.sub(_write_link, text))
    text = _OTHER.sub(remove, text)
    lost = [f"{number} shortcode [{name}] removed." for name, number in sorted(removed.items()) if number]
    return text if has_paragraphs else _write_paragraphs(text), lost


def _write_code(match: re.Match[str]) -> str:
    code = match[2].strip("\r\n").replace("<", "&lt;") if "<br" not in match[2] else match[2]
    return f'<pre><code class="language-{match[1]}">{code}</code></pre>' if match[1] else f"<pre><code>{code}</code></pre>"


def _write_figure(match: re.Match[str]) -> str:
    found = _PICTURE.fullmatch(match[1])
    return f"<figure>{found[1]}<figcaption>{found[2].strip()}</figcaption></figure>" if found else match[1]


def _write_link(match: re.Match[str]) -> str:
    url = match[2] or next(iter(_URL.findall(match[0])), "")
    return f'<p><a href="{url}">{url}</a></p>' if url else ""


def _write_paragraphs(text: str) -> str:
    """Do what WordPress does on display: an empty line ends a paragraph, a line's end is a break."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f'\n\n<pre data-kept="{len(kept) - 1}"></pre>\n\n'

    blocks = re.split(r"\n\s*\n", _PRE.sub(keep, text.replace("\r\n", "\n")))
    made = [
        block if _BLOCK.match(block) else f"<p>{block.strip().replace(chr(10), '<br>')}</p>"
        for block in blocks
        if block.strip()
    ]
    return re.sub(r'<pre data-kept="(\d+)"></pre>', lambda match: kept[int(match[1])], "\n\n".join(made))
