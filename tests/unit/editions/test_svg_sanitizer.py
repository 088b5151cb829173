"""Pictures: whatever could run in an SVG is left out, in every encoding that a browser reads."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from mailer.editions.images.svg_sanitizer import Unreadable, clean

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'
PLAIN = SVG.format("<circle r='1'/>")
NASTY = {
    "<script>": SVG.format("<script>alert(1)</script>"),
    "onload=": PLAIN.replace("<svg ", "<svg onload='alert(1)' "),
    "<foreignobject>": SVG.format("<foreignObject><p/></foreignObject>"),
    "<iframe>": SVG.format("<iframe src='https://evil.example/'/>"),
    "href=javascript:alert(1)": SVG.format("<a xlink:href='javascript:alert(1)'><circle r='1'/></a>"),
    "<animate>": SVG.format("<a><animate attributeName='href' to='javascript:alert(1)'/></a>"),
    "<set>": SVG.format("<circle><set attributeName='onclick' to='alert(1)'/></circle>"),
    "<style>": SVG.format("<style>@import url(https://evil.example/x.css)</style>"),
    "<!DOCTYPE>": f'<!DOCTYPE svg [<!ATTLIST svg onload CDATA "alert(1)">]>{PLAIN}',
    "<?…?>": f'<?xml-stylesheet href="https://evil.example/x.xsl"?>{PLAIN}',
}
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with its mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 LE": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16 BE": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "packed": lambda text: gzip.compress(text.encode()),
    "packed UTF-16": lambda text: gzip.compress(text.encode("utf-16")),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", NASTY)
def test_what_could_run_is_left_out_in_every_encoding(name: str, encoding: str) -> None:
    made, dropped = clean(ENCODINGS[encoding](NASTY[name]))
    assert name in dropped
    text = (gzip.decompress(made) if made[:2] == b"\x1f\x8b" else made).decode()
    assert not any(word in text for word in ("alert", "evil", "DOCTYPE", "script", "foreignObject"))
    assert clean(made) == (made, ())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_picture_with_nothing_that_runs_keeps_its_bytes(encoding: str) -> None:
    data = ENCODINGS[encoding](PLAIN)
    assert clean(data) == (data, ())


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG", b"<html/>", PLAIN.encode()[:-2], b"\x1f\x8bbroken", gzip.compress(b"\0" * (33 << 20))]
)
def test_what_is_no_picture_is_not_published(data: bytes) -> None:
    with pytest.raises(Unreadable):
        clean(data)
