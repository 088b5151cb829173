"""Write the table of licences in ``docs/reference/licences.md`` from the pinned requirements and the installed packages.

python -m bench.licences            writes the table
python -m bench.licences --check    says whether it is out of date, and fails
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "licences.md"
BEGIN, END = "<!-- table: python -m bench.licences -->", "<!-- end of the table -->"
# Pinned for some platforms or versions of Python only, so not installed everywhere.
_BY_PLATFORM = {"async-timeout": "Apache-2.0", "tzdata": "Apache-2.0", "uvloop": "MIT OR Apache-2.0"}
_BY_FILE = {"resvg-py": "MIT"}  # its metadata names only the file with the licence
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License (GPL)": "GPL",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "public domain",
    "The Unlicense (Unlicense)": "Unlicense",
}


def pins() -> dict[str, list[str]]:
    """The pinned versions of each runtime requirement; a few differ by the version of Python."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


def licence(name: str) -> str:
    """A package's licence, in SPDX's words where its metadata allows; several are separated as the package declares them."""
    if known := (_BY_PLATFORM | _BY_FILE).get(name):
        return known
    try:
        about = metadata(name).json
    except PackageNotFoundError:
        sys.exit(f"{name} is not installed: run `make .venv/run.stamp` first.")
    expression, text = about.get("license_expression"), str(about.get("license", ""))
    if expression or re.fullmatch(r"MIT|[A-Za-z]+(-[\w.]+)+", text):
        return str(expression or text)
    kinds = [one.split(" :: ")[-1] for one in about.get("classifier", []) if one.startswith("License :: ")]
    return ", ".join(_SPDX.get(kind, kind) for kind in kinds) or text


def table() -> str:
    """The table in Markdown."""
    rows = [f"| {name} | {', '.join(versions)} | {licence(name)} |" for name, versions in sorted(pins().items())]
    return "\n".join(["| package | version | licence |", "|---|---|---|", *rows])


def main() -> None:
    """Write the table, or check it."""
    text = PAGE.read_text(encoding="utf-8")
    made = f"{text.partition(BEGIN)[0]}{BEGIN}\n{table()}\n{END}{text.partition(END)[2]}"
    if "--check" in sys.argv:
        sys.exit(None if made == text else "docs/reference/licences.md is out of date: run `make licences`.")
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
