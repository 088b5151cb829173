"""Lines that read like a fence of paid text and are none, because of a quotation mark, a blank or an invisible character."""

from __future__ import annotations

import difflib
import html
import re
import unicodedata

from mailer.core.known_mail_domains import LOOKALIKES

_WORDS = ("premium", "free", "paid", "paying", "members", "subscribers")
_KINDS = ("premium", "free")
_MAX_CHARS = 400  # of a line; what a fence is comes at its beginning
_MAX_WORD_CHARS = 16
# What looks like a colon (Unicode's confusables.txt, and punctuation of other scripts), or is typed in its place
_COLONS = str.maketrans(
    dict.fromkeys(
        ";\u02d0\u02f8\u0589\u05c3\u061b\u0703\u0704\u0903\u0a83\u1361\u1365\u16ec\u1803\u1804\u1809\u205a\u205d\u2236\u2982\u2af6\u2d57"
        "\ua4fd\ua789\ufe13\ufe30\ufe55\uff1a",
        ":",
    )
)
_FILLERS = "\u115f\u1160\u3164\uffa0"  # letters of Hangul that nobody sees
_BEFORE = re.compile(r"(?:[^\w:\n]|_|\d{1,9}[.)])*")  # marks of quotations, lists, headings, emphasis, and blanks
_LINE = re.compile(r"(:(?:\s*:)*)(.*)", re.DOTALL)
# Nearly all lines have a word before their first colon, and need no closer look.
_MAYBE = re.compile(r"(?:[^\w:;&\n<\x80-\U0010ffff]|_|\d{1,9}[.)]|<!--|<(?!!--)[^<>\n]*>|<)*+[:;&\x80-\U0010ffff]")
_CODE = re.compile(r"[()=;,&*/]")  # `::free(pointer)` is C++
_LATIN = {char: latin for char, latin in LOOKALIKES.items() if char > ord("z")}
_INVISIBLE = ("Cf", "Mn", "Me", "Cc")
_FIRST = re.compile(r"[\s.{(\[]*([^\W_]+)(?=[\s:}\])]|$)")


def reads_like_fence(line: str) -> bool:
    """Return whether a person who reads a line would take it for `:::premium` or `:::free`."""
    colons, rest = _flatten(line)
    if not colons:
        return False
    whole = re.sub(r"[\W_]+", "", rest)
    if colons < 2:
        return colons == 1 and whole == "premium" and not rest[:1].isspace()
    is_alone = len(whole) <= _MAX_WORD_CHARS and (colons > 2 or not _CODE.search(rest))
    if is_alone and _is_close(whole):
        return True
    found = _FIRST.match(rest)
    first = found[1] if found else ""
    return first in _KINDS or (colons > 2 and len(first) <= _MAX_WORD_CHARS and _is_close(first))


def reads_like_end(line: str) -> bool:
    """Return whether a person would take a line for the `:::` that ends a block."""
    colons, rest = _flatten(line)
    return colons > 2 and not re.search(r"\w", rest)


def meant_kind(word: str) -> str:
    """The kind that a misspelled word of a fence means, or ''."""
    close = difflib.get_close_matches(word, _WORDS, n=1, cutoff=0.65)
    return "" if not close else "free" if close[0] == "free" else "premium"


def _is_close(word: str) -> bool:
    return bool(meant_kind(word))


def _flatten(line: str) -> tuple[int, str]:
    """How many colons a line begins with, and the rest in lower case, without invisible characters and markup."""
    text = line[:_MAX_CHARS]
    if not _MAYBE.match(text):
        return 0, ""
    text = unicodedata.normalize("NFKD", html.unescape(text).translate(_COLONS)).translate(_COLONS)
    if not text.isascii():
        text = "".join(one for one in text if unicodedata.category(one) not in _INVISIBLE and one not in _FILLERS)
        text = text.casefold().translate(_LATIN)
    text = re.sub(r"<!--|-->|<[^<>]*>", "", text).replace("\\", "").replace("`", "").casefold()
    found = _LINE.match(text, _BEFORE.match(text).end())  # type: ignore[union-attr]
    return (found[1].count(":"), found[2]) if found else (0, "")
