"""The leak check: is paid text anywhere in what everybody can read?

Paid text is cut into shingles of eight words (short headings, titles and captions whole). Every byte of output is read in
all the ways a person or a robot could: raw, without tags, with entities and escapes decoded, unpacked.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import html
import re
import unicodedata
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailer.core.edition import Edition
from mailer.core.errors import Refused

SHINGLE_WORDS = 8
MIN_WORDS = 4  # of a heading or caption that is searched for as a whole
_WIDE = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W_{_WIDE}]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff\u0300-\u036f]")
_TAG = re.compile(r"<!--|-->|<[^<>]*>")
_UNIT = re.compile(r"\n\s*\n|\n(?=\s*[#>*+|-])|\n(?=\s*\d+[.)])")
_BRACKETS = re.compile(r"\[([^\]]+)\]")
_TITLES = re.compile(r"""\([^\s(]++\s++"([^"]+)"\)|(?:alt|title|content|summary)=["']([^"']+)["']""")
_MAX_UNPACKED_BYTES = 64 * 1024 * 1024  # bytes of an unpacked file


@dataclass(frozen=True)
class Secret:
    """Paid text of one issue, named by its file."""

    path: str
    text: str


@dataclass(frozen=True)
class Leak:
    """Where paid text was found."""

    where: str
    path: str
    words: str

    def __str__(self) -> str:
        return f"{self.where} contains paid text from {self.path}: “{self.words}”"


class LeakDetector:
    """Knows the shingles of all paid texts. ``find`` reports which of them a text contains.

    ``clean`` holds digests of what was found clean; ``know`` takes those of an earlier detector with the same ``digest``.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self.clean: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self._owners: dict[int, dict[tuple[str, ...], str]] = {}
        for secret in secrets:
            for shingle in shingles(secret.text):
                self._owners.setdefault(len(shingle), {}).setdefault(shingle, secret.path)
        self._first = {shingle[0] for table in self._owners.values() for shingle in table}

    @property
    def empty(self) -> bool:
        """Is there no paid text to find?"""
        return not self._owners

    def know(self, clean: Iterable[str]) -> None:
        """Skip what a detector of the same ``digest`` found clean."""
        self._known = frozenset(clean)

    def digest(self) -> str:
        """Return the SHA-256 of the shingles and of this code."""
        every = sorted(" ".join(shingle) for table in self._owners.values() for shingle in table)
        how = Path(__file__).read_text(encoding="utf-8") + unicodedata.unidata_version
        return hashlib.sha256("\n".join([how, *every]).encode()).hexdigest()

    def find(self, where: str, text: str) -> list[Leak]:
        """Find the first paid words of each issue that the text contains."""
        found: dict[str, Leak] = {}
        for view in _views(text):
            tokens = words(view)
            for at, token in enumerate(tokens):
                if token not in self._first:
                    continue
                for size, table in self._owners.items():
                    path = table.get(tuple(tokens[at : at + size]))
                    if path:
                        found.setdefault(path, Leak(where, path, " ".join(tokens[at : at + size])))
        return list(found.values())

    def find_edition(self, edition: Edition) -> list[Leak]:
        """Find leaks in what everybody gets of an edition: all its text except paid variants, so its emails in both parts,
        its titles and addresses. The ledger keeps them, and every answer of the API about an issue is made from them."""
        public = [vars(edition), *(vars(one) for one in edition.variants if not one.premium)]
        parts = [value for fields in public for value in fields.values() if isinstance(value, str)]
        whole = "\0".join(parts).encode("utf-8", "surrogatepass")
        return self._unless_clean(f"the email of {edition.key}", whole, lambda: parts)

    def find_in(self, folder: Path) -> list[Leak]:
        """Find leaks in all files of a folder, and in their names."""
        found: list[Leak] = []
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found += self._find_file(str(path.relative_to(folder)), path.read_bytes())
        return found

    def _find_file(self, name: str, data: bytes) -> list[Leak]:
        return self._unless_clean(name, data, lambda: (urllib.parse.unquote(name), *readable(data)))

    def _unless_clean(self, name: str, data: bytes, texts: Callable[[], Iterable[str]]) -> list[Leak]:
        """Find leaks in the texts, unless these very bytes of this name were clean before; only clean ones are remembered."""
        seen = hashlib.sha256(name.encode("utf-8", "surrogateescape") + b"\0" + data).hexdigest()
        found = [] if seen in self._known else [leak for text in texts() for leak in self.find(name, text)]
        if not found:
            self.clean.add(seen)
        return found


def of_editions(editions: Iterable[Edition]) -> LeakDetector:
    """Return a detector for what paid variants contain and the free texts in their language do not."""
    return LeakDetector(secrets(editions))


def secrets(editions: Iterable[Edition]) -> list[Secret]:
    """List what paid variants contain and the free texts in their language do not."""
    return [secret for one in editions for secret in _secrets(one)]


def insist(found: Iterable[Leak]) -> None:
    """Raise Refused if there is a leak."""
    listed = list(dict.fromkeys(map(str, found)))
    if listed:
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        raise Refused(f"Paid text would become public: {'; '.join(listed[:3])}{more}. Remove it there. Nothing was published.")


def _secrets(edition: Edition) -> Iterator[Secret]:
    free = {one.name: one.body for one in edition.variants if not one.premium} | {"": edition.body}
    for one in edition.variants:
        if one.premium:
            yield Secret(edition.path, _more(free.get(one.spoken, ""), one.body))


def _more(free: str, paid: str) -> str:
    """Return the blocks of a variant's body that its free body does not have."""
    cut = re.compile(r"(?<=</p>)|(?<=</h[1-6]>)|(?<=</li>)|(?<=</pre>)|(?<=</blockquote>)|(?<=</table>)")
    known = {block.strip() for block in cut.split(free)}
    return "\n\n".join(block for block in cut.split(paid) if block.strip() not in known)


def words(text: str) -> list[str]:
    """Split into words: letters and digits only, folded; in scripts without spaces each character is a word."""
    return _TOKEN.findall(_INVISIBLE.sub("", unicodedata.normalize("NFKD", text)).casefold())


def shingles(markdown: str) -> set[tuple[str, ...]]:
    """Yield everything of a paid text that must not be found elsewhere: its runs of words, headings, captions and titles."""
    source = html.unescape(markdown)
    plain = _without_targets(_TAG.sub("", source))
    found: set[tuple[str, ...]] = set()
    bracketed = _BRACKETS.findall(source[: source.rfind("]") + 1])  # behind the last ] each [ would be followed to the end
    units = [*_UNIT.split(plain), *bracketed, *(next(filter(None, match)) for match in _TITLES.findall(source))]
    for unit in units:
        tokens = words(unit)
        if MIN_WORDS <= len(tokens) < SHINGLE_WORDS:
            found.add(tuple(tokens))
        found |= {tuple(tokens[at : at + SHINGLE_WORDS]) for at in range(len(tokens) - SHINGLE_WORDS + 1)}
    return found


def _without_targets(text: str) -> str:
    """Remove the targets of links; what follows the last ) is apart, as each link there would be followed to the end."""
    end = text.rfind(")") + 1
    closed = re.sub(r"\]\([^)]*\)|\]\[[^\]]*\]|https?://\S+", "] ", text[:end])
    return closed + re.sub(r"\]\[[^\]]*\]|https?://\S+", "] ", text[end:])


def readable(data: bytes) -> Iterator[str]:
    """Yield the texts in a file: itself in its possible encodings, and what is packed inside."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return
    if len(data) > _MAX_UNPACKED_BYTES:
        data = data[:_MAX_UNPACKED_BYTES]
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png(data)
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        yield data.decode("utf-16", "replace")
    else:
        yield data.decode("utf-8", "replace")


def _png(data: bytes) -> Iterator[str]:
    """Return a PNG's text chunks."""
    at = 8
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        if kind in (b"tEXt", b"iTXt", b"eXIf"):
            yield body.decode("utf-8", "replace")
        if kind == b"zTXt" and b"\0" in body:
            with contextlib.suppress(zlib.error):
                yield zlib.decompress(body.partition(b"\0")[2][1:]).decode("latin-1")
        at += 12 + size


def _views(text: str) -> Iterator[str]:
    """Yield the text as it is and as programs decode it, without repetitions."""
    whole = html.unescape(text)
    yield whole
    if "<" in whole:
        yield _TAG.sub("", whole)
        yield _TAG.sub(" ", whole)
    if "\\" in whole:
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), whole)
        yield _TAG.sub("", html.unescape(re.sub(r"\\[nrt]", " ", plain)))
    if "%2" in whole or "+" in whole:
        yield urllib.parse.unquote_plus(whole)
    if "=\n" in whole or "=\r\n" in whole:
        yield re.sub(r"=\r?\n", "", whole)
