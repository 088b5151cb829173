"""A typeface in which every character is a box: pages drawn with it look the same whatever typefaces a machine has."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

_UNITS = 1000  # of the em
_ADVANCE = 560  # about the mean of a text typeface
_BLANKS = " \u00a0\t\n\r"
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u034f"


def style(texts: Iterable[str]) -> str:
    """A ``<style>`` that shows all of these texts' characters as boxes."""
    data = base64.b64encode(_font(set().union(*map(set, texts)))).decode()
    face = f"@font-face{{font-family:Box;src:url(data:font/ttf;base64,{data})}}"
    return f"<style>{face} *,*::before,*::after{{font-family:Box!important;font-style:normal!important}}</style>"


def _font(characters: set[str]) -> bytes:
    builder = FontBuilder(_UNITS, isTTF=True)
    glyphs = {".notdef": _box(), "box": _box(), "blank": TTGlyphPen(None).glyph(), "nothing": TTGlyphPen(None).glyph()}
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(one): _glyph(one) for one in characters})
    builder.setupGlyf(glyphs)
    widths = {name: (0 if name == "nothing" else _ADVANCE // 2 if name == "blank" else _ADVANCE, 0) for name in glyphs}
    builder.setupHorizontalMetrics(widths)
    builder.setupHorizontalHeader(ascent=900, descent=-250)
    builder.setupNameTable({"familyName": "Box", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-250, usWinAscent=900, usWinDescent=250)
    builder.setupPost()
    file = io.BytesIO()
    builder.save(file)
    return file.getvalue()


def _glyph(character: str) -> str:
    if character in _INVISIBLE:
        return "nothing"
    return "blank" if character in _BLANKS else "box"


def _box() -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((60, 0))
    for point in ((60, 600), (500, 600), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()
