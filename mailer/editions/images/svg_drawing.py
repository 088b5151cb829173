"""Draw SVG pictures as PNG, for email programs: none of the usual ones shows SVG."""

from __future__ import annotations

from lxml import etree

from mailer.editions.images import svg_sanitizer

_MAX_RATIO = 20.0  # of the height to the width, and the other way round
_DEFAULT_SIZE = (300.0, 150.0)  # CSS: of a picture that says neither its size nor its shape
_UNITS = {"px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "": 1.0}


def draw(data: bytes, max_width: int) -> tuple[int, int, bytes]:
    """Return the width and height in CSS pixels at which an SVG is shown, at most ``max_width``, and a PNG of twice that.

    Only what is in the picture itself is drawn, no other file or address; text with the fonts of this machine. Raises
    Unreadable.
    """
    import resvg_py

    root = svg_sanitizer.parse_clean(data)
    width, height = _measure(root)
    if not 1 / _MAX_RATIO <= height / width <= _MAX_RATIO:
        raise svg_sanitizer.Unreadable(f"it is more than {_MAX_RATIO:.0f} times as long as wide")
    shown = min(width, max_width)
    for element in root.iter(etree.Element):
        for name, value in element.attrib.items():
            if etree.QName(name).localname == "href" and not str(value).strip().startswith(("#", "data:image/")):
                del element.attrib[name]
    try:
        made = resvg_py.svg_to_bytes(
            svg_string=etree.tostring(root, encoding="unicode"), width=max(1, round(2 * shown)), dpi=96
        )
    except (ValueError, RuntimeError) as error:
        raise svg_sanitizer.Unreadable(f"it cannot be drawn: {str(error)[:80]}") from error
    except BaseException as error:  # a panic of the library is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise svg_sanitizer.Unreadable("it cannot be drawn") from error
    return max(1, round(shown)), max(1, round(height * shown / width)), bytes(made)


def _measure(root: etree._Element) -> tuple[float, float]:
    """Return the size in CSS pixels: what the picture says, else what its shape says."""
    width, height = _length(root.get("width")), _length(root.get("height"))
    box = [_length(part) for part in str(root.get("viewBox") or "").replace(",", " ").split()]
    wide, high = (box[2] or 0.0, box[3] or 0.0) if len(box) == 4 else (0.0, 0.0)
    if wide <= 0 or high <= 0:
        wide, high = width or _DEFAULT_SIZE[0], height or _DEFAULT_SIZE[1]
    if not width and not height:
        return wide, high
    return width or height * wide / high, height or width * high / wide  # type: ignore[operator]


def _length(text: object) -> float | None:
    """Read a length in CSS pixels; None for a share of the page, or no length."""
    value = str(text or "").strip().lower()
    number = value.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return float(number) * _UNITS[value[len(number) :]] or None
    except (ValueError, KeyError):
        return None
