"""The leak check reads a text as people and programs do: through markup, entities, escapes, and in pictures."""

from __future__ import annotations

import gzip
import html
import struct
import urllib.parse
import zlib

import pytest

from mailer.editions.source import paid_leaks
from mailer.editions.source.paid_leaks import LeakDetector, Secret

TEXT = "The ledger of the second winter names eleven cellars under the old brewery yard"
WORDS = TEXT.split()
DETECTOR = LeakDetector([Secret("issues/winter.md", TEXT)])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 13) + b"".join(chunks) + chunk(b"IEND", b"")


HIDDEN = {
    "as it is": TEXT,
    "in capitals": TEXT.upper(),
    "a tag inside a word": TEXT.replace("ledger", "led<b>g</b>er").replace("eleven", "ele<wbr>ven"),
    "a tag between words without a space": "<i>" + "</i><i>".join(WORDS) + "</i>",
    "a comment inside a word": TEXT.replace("cellars", "cel<!---->lars"),
    "tags between all words": " ".join(f"<span>{word}</span>" for word in WORDS),
    "soft hyphens": TEXT.replace("e", "e\u00ad"),
    "zero-width spaces": TEXT.replace("l", "l\u200b"),
    "a word joiner": TEXT.replace("o", "o\u2060"),
    "a byte order mark inside": TEXT.replace("names", "na\ufeffmes"),
    "combining signs": TEXT.replace("u", "u\u0301"),
    "wide letters": "".join(chr(ord(sign) + 0xFEE0) if sign.isalpha() else sign for sign in TEXT),
    "entities": "".join(f"&#{ord(sign)};" for sign in TEXT),
    "markup that is escaped": html.escape(TEXT.replace("ledger", "led<b>g</b>er")),
    "JSON's escapes": "".join(f"\\u{ord(sign):04x}" if sign.isalpha() else sign for sign in TEXT),
    "JSON's line breaks": TEXT.replace(" ", "\\n"),
    "an address": urllib.parse.quote(TEXT),
    "a form": urllib.parse.quote_plus(TEXT),
    "quoted-printable lines": "=\n".join(TEXT[at : at + 11] for at in range(0, len(TEXT), 11)),
    "quoted-printable lines of Windows": "=\r\n".join(TEXT[at : at + 11] for at in range(0, len(TEXT), 11)),
    "punctuation": TEXT.replace(" ", " – "),
    "underscores": TEXT.replace(" ", "_"),
}  # fmt: skip


@pytest.mark.parametrize("how", HIDDEN)
def test_no_way_to_write_a_text_hides_it(how: str) -> None:
    assert [leak.path for leak in DETECTOR.find("page", f"Before it. {HIDDEN[how]}. After it.")] == ["issues/winter.md"]


def test_an_address_with_characters_beyond_ascii_does_not_hide_it_either() -> None:
    text = "Käse für alle Gäste der Brauerei über dem Hügel"
    detector = LeakDetector([Secret("issues/winter.md", text)])
    for written in (urllib.parse.quote_plus(text), urllib.parse.quote(text)):
        assert detector.find("page", f"https://news.example.org/{written}")


@pytest.mark.parametrize(
    "data",
    [
        png(chunk(b"tEXt", b"Comment\0" + TEXT.encode())),
        png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(TEXT.encode("latin-1")))),
        png(chunk(b"iTXt", b"Comment\0\0\0\0\0" + TEXT.encode())),
        png(chunk(b"eXIf", b"II*\0" + TEXT.encode())),
        png(chunk(b"tEXt", b"a\0b"), chunk(b"zTXt", b"broken\0\0not zlib"), chunk(b"tEXt", b"Comment\0" + TEXT.encode())),
        gzip.compress(TEXT.encode()),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        b"\xff\xfe" + TEXT.encode("utf-16-le"),
        b"\xff\x00" + TEXT.encode(),
    ],
    ids=["tEXt", "zTXt", "iTXt", "eXIf", "behind a broken chunk", "gzip", "UTF-16", "UTF-16 BE", "UTF-16 LE", "binary"],
)
def test_no_kind_of_file_hides_it(data: bytes) -> None:
    assert any(DETECTOR.find("file", text) for text in paid_leaks.readable(data))


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x8bbroken", gzip.compress(b"x", mtime=0)[:-4], b"\x89PNG\r\n\x1a\n\0", png()[:20], b""],
    ids=["no gzip", "gzip cut off", "no PNG", "PNG cut off", "nothing"],
)
def test_a_broken_file_is_no_trouble(data: bytes) -> None:
    assert not any(DETECTOR.find("file", text) for text in paid_leaks.readable(data))


@pytest.mark.parametrize(
    ("number", "is_leak"),
    [(paid_leaks.SHINGLE_WORDS, True), (paid_leaks.SHINGLE_WORDS + 1, True), (paid_leaks.SHINGLE_WORDS - 1, False), (1, False)],
)
def test_so_many_words_in_a_row_are_a_leak_and_one_less_is_not(number: int, is_leak: bool) -> None:
    for first in (0, len(WORDS) - number):
        assert bool(DETECTOR.find("page", " ".join(WORDS[first : first + number]))) is is_leak


@pytest.mark.parametrize(("number", "is_leak"), [(paid_leaks.MIN_WORDS, True), (paid_leaks.MIN_WORDS - 1, False)])
def test_a_short_heading_is_guarded_whole_from_four_words_on(number: int, is_leak: bool) -> None:
    heading = " ".join(WORDS[:number])
    assert bool(LeakDetector([Secret("a.md", f"## {heading}\n\nx")]).find("page", heading)) is is_leak


def test_each_issue_that_leaks_is_named() -> None:
    other = "Nobody was told where the second half of the money from the brewery went that year"
    detector = LeakDetector([Secret("a.md", TEXT), Secret("b.md", other)])
    assert {leak.path for leak in detector.find("page", f"{TEXT} and {other}")} == {"a.md", "b.md"}
