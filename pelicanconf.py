"""The web archive. What stands here (name, address, language, zone) is not said anywhere else."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))  # in a clone the program is not installed

from mailer.defaults import *  # noqa: E402, F403

SITENAME = "The Postmerge Letter"
SITESUBTITLE = "Notes on sending the right email, once, to the right people"
SITEURL = "http://127.0.0.1:8025"
AUTHOR = "The Postmerge authors"
THEME = str(HERE / "theme")
POSTMERGE_MARKDOWN = "gfm"
