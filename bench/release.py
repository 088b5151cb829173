"""Whether a tag can be released: tag, changelog, UPGRADING.md and the built files name one version.

python -m bench.release v0.3.0 dist
"""

from __future__ import annotations

import re
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from mailer import __version__

ROOT = Path(__file__).resolve().parent.parent


def list_faults(root: Path, tag: str, dist: Path) -> list[str]:
    """Return a sentence for each thing that contradicts the tag."""
    version = tag.removeprefix("v")
    faults = [] if tag == f"v{__version__}" else [f"The tag {tag} is not v{__version__}, the version in mailer/__init__.py."]
    for name in ("CHANGELOG.md", "UPGRADING.md"):
        text = (root / name).read_text(encoding="utf-8")
        if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d{{2}}-\d{{2}}$", text, re.MULTILINE):
            faults.append(f"{name} has no section “{version} - YYYY-MM-DD”.")
    wanted = {f"postmerge-{version}-py3-none-any.whl", f"postmerge-{version}.tar.gz"}
    found = {path.name for path in dist.iterdir() if not path.name.startswith(".")}
    if found != wanted:
        faults.append(f"{dist} has {', '.join(sorted(found)) or 'no files'} instead of {', '.join(sorted(wanted))}.")
    return faults + [fault for path in dist.glob("*.whl") for fault in _list_wheel_faults(path, version)]


def _list_wheel_faults(path: Path, version: str) -> list[str]:
    with zipfile.ZipFile(path) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        facts = Parser().parsestr(wheel.read(name).decode())
    faults = [] if facts["Version"] == version else [f"{path.name} says that it is version {facts['Version']}."]
    if any(" @ " in requirement for requirement in facts.get_all("Requires-Dist", [])):
        faults.append(f"{path.name} requires a package by its address, which a registry refuses.")
    return faults


def main() -> None:
    """Print the faults; exit with 1 if there are any."""
    tag, dist = sys.argv[1:]
    faults = list_faults(ROOT, tag, Path(dist))
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
