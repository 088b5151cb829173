"""Screenshots of emails, taken with the installed Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from mailer.core.errors import BadInput, Unavailable
from mailer.workbench.color_modes import fix_color_mode

PHONE_WIDTH = 390  # CSS pixels
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str:
    """Find the browser. Raises Unavailable if none is installed."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        raise Unavailable(
            "No Chromium is installed: on Debian and Ubuntu run `apt install chromium`, or leave the picture out."
        )
    return found


def draw_phones(html: str, target: Path) -> None:
    """Write a PNG of an email on a phone, in light mode and, beside it, in dark mode. Raises BadInput, Unavailable."""
    with tempfile.TemporaryDirectory(prefix="postmerge-") as folder:
        files = [Path(folder) / f"{mode}.png" for mode in ("light", "dark")]
        for file in files:
            draw_picture(fix_color_mode(html, file.stem), file, PHONE_WIDTH)
        pictures = [Image.open(file) for file in files]
        both = Image.new("RGB", (sum(one.width for one in pictures), max(one.height for one in pictures)), "white")
        both.paste(pictures[0], (0, 0))
        both.paste(pictures[1], (pictures[0].width, 0))
        try:
            both.save(target, "PNG")
        except OSError as error:
            raise BadInput(f"{target} cannot be written: give a file in a folder that you may write to.") from error


def draw_picture(html: str, target: Path, width: int = 660, height: int = 900) -> None:
    """Write a PNG of the top of an email, ``width`` x ``height`` CSS pixels. Raises BadInput, Unavailable."""
    program = find_browser()
    with tempfile.TemporaryDirectory(prefix="postmerge-") as folder:
        page = Path(folder) / "mail.html"
        page.write_text(html, encoding="utf-8")
        words = [
            program, "--headless=new", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={target.resolve()}",
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []), page.as_uri(),
        ]  # fmt: skip
        try:
            subprocess.run(words, capture_output=True, timeout=60, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"Chromium drew no picture ({type(error).__name__}): leave `--picture` out.") from error
    if not target.is_file():
        raise BadInput(f"{target} cannot be written: give a file in a folder that you may write to.")
