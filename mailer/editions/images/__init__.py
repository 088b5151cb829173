"""Pictures: share cards are drawn, SVG files are sanitized."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif")
