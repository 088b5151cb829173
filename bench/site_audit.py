"""Lighthouse, axe-core and html-validate over the public site: the sample newsletter, and five issues of a real archive.

    mkdir -p /tmp/audit && (cd /tmp/audit && npm install lighthouse html-validate)
    .venv/bin/python -m bench.site_audit --tools /tmp/audit

Lighthouse and axe see each page in both colour modes at 360 pixels (as a telephone) and at 1,280. Needs Node 20, Chromium and
the two npm packages; nothing of it is needed to run or test Postmerge.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from bench.figures import Figures, parser
from mailer import editions
from mailer.workbench.picture import find_browser

ROOT = Path(__file__).parent.parent
MODES = ("light", "dark")
WIDTHS = (360, 1280)
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
AROUND = ("", "archive/", "tags/", "search/", "about/")


@dataclass
class Seen:
    """What the tools said about one kind of page: the least score of each category, and how often each fault was found."""

    pages: int = 0
    least: dict[str, float] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class ServedSite:
    """A built site that is served at ``url``; ``paths`` are its pages to look at."""

    url: str
    folder: Path
    paths: list[str]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, silently."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(content: Path, build: Path, around: tuple[str, ...], most: int) -> Iterator[ServedSite]:
    """Build a newsletter and serve it; ``most`` of its issues are looked at, the newest first."""
    folder = build / "site"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    options = editions.BuildOptions(
        content, folder, build / "editions", build / "cache", ROOT / "pelicanconf.py", url, postal_address="1 Example Street"
    )
    report = editions.build(options)
    issues = [edition.url.removeprefix(f"{url}/") for edition in reversed(report.editions)][:most]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield ServedSite(url, folder, [*around, *issues])
    finally:
        server.shutdown()
        server.server_close()


def five_real(archive: Path, target: Path) -> None:
    """Five issues from the archive's whole time, with the sample's pages around them."""
    shutil.copytree(ROOT / "content" / "pages", target / "pages")
    files = sorted(path for path in archive.glob("*.m*") if path.name[:4].isdecimal())
    for path in files[:: len(files) // 4 - 1][:5]:
        shutil.copy(path, target)


def lighthouse(tools: Path, url: str, mode: str, width: int) -> dict[str, Any]:
    """Lighthouse's report of one page. Raises CalledProcessError."""
    flags = f"--headless=new --disable-gpu --no-sandbox --blink-settings=preferredColorScheme={MODES[::-1].index(mode)}"
    form = ["--form-factor=mobile"] if width < 600 else ["--preset=desktop"]
    command = [
        str(tools / "node_modules" / ".bin" / "lighthouse"), url, "--quiet", "--output=json", f"--chrome-flags={flags}", *form,
        f"--screenEmulation.width={width}", "--screenEmulation.height=800", f"--only-categories={','.join(CATEGORIES)}",
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "CHROME_PATH": find_browser()}, capture_output=True, text=True, check=True
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def scored(tools: Path, site: ServedSite, seen: Seen) -> None:
    """Lighthouse over all pages, each in both modes and widths."""
    for path in site.paths:
        for mode in MODES:
            for width in WIDTHS:
                made = lighthouse(tools, f"{site.url}/{path}", mode, width)
                for name in CATEGORIES:
                    score = (made["categories"][name]["score"] or 0) * 100
                    seen.least[name] = min(seen.least.get(name, 100), score)
                    if score < 95:
                        print(f"  {name} {score:.0f}: /{path} {mode} {width}: {', '.join(_lost(made, name))}", flush=True)


def _lost(made: dict[str, Any], category: str) -> list[str]:
    """The audits that cost a page points in a category."""
    weighed = [one["id"] for one in made["categories"][category]["auditRefs"] if one["weight"]]
    return [
        name for name in weighed if (made["audits"][name]["score"] or 0) < 0.9 and made["audits"][name]["score"] is not None
    ]


def accessible(site: ServedSite, seen: Seen) -> None:
    """axe-core over all pages, each in both modes and widths."""
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        for mode in MODES:
            for width in WIDTHS:
                context = made.new_context(
                    color_scheme="dark" if mode == "dark" else "light", viewport={"width": width, "height": 800}
                )
                page = context.new_page()
                for path in site.paths:
                    page.goto(f"{site.url}/{path}")
                    page.wait_for_timeout(200)  # the page reacts to its width
                    page.evaluate(axe)
                    for one in page.evaluate("axe.run().then(found => found.violations)"):
                        seen.faults[f"axe {one['id']}: /{path}"] += 1
                context.close()
        made.close()


def valid(tools: Path, site: ServedSite, seen: Seen, folder: Path) -> None:
    """html-validate's recommended rules over all pages."""
    config = folder / "rules.json"
    config.write_text('{"root": true, "extends": ["html-validate:recommended"]}')
    files = [str(site.folder / path / "index.html") for path in site.paths]
    command = [str(tools / "node_modules" / ".bin" / "html-validate"), "--config", str(config), "--formatter", "json", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    for one in json.loads(done.stdout):
        for message in one["messages"]:
            where = Path(one["filePath"]).parent.relative_to(site.folder)
            seen.faults[f"html-validate {message['ruleId']}: /{where}/"] += 1


def main() -> None:
    """Look at both newsletters and print the table."""
    command = parser(__doc__)
    command.add_argument(
        "--tools", type=Path, required=True, help="the folder where lighthouse and html-validate were installed"
    )
    command.add_argument("--only", choices=("sample", "real"), help="one of the two newsletters")
    command.add_argument("--archive", type=Path, default=ROOT.parent / "shared" / "real-archive" / "content")
    options = command.parse_args()
    if not (options.tools / "node_modules" / ".bin" / "lighthouse").exists():
        command.error(f"no lighthouse in {options.tools}: run `npm install lighthouse html-validate` there")
    rows = []
    with tempfile.TemporaryDirectory(prefix="postmerge-audit-") as made:
        folder = Path(made)
        five_real(options.archive, folder / "real")
        for name, title, content, around, most in (
            ("sample", "the sample newsletter", ROOT / "content", AROUND, 7),
            ("real", "five real issues", folder / "real", ("", "archive/"), 5),
        ):
            if options.only not in (None, name):
                continue
            with served(content, folder / title, around, most) as site:
                seen = Seen(len(site.paths))
                valid(options.tools, site, seen, folder)
                accessible(site, seen)
                scored(options.tools, site, seen)
            rows.append(_row(title, seen))
    Figures("site", ("pages", "number", *CATEGORIES, "axe-core", "html-validate"), rows).show(options.save)


def _row(title: str, seen: Seen) -> tuple[str, ...]:
    for fault, times in sorted(seen.faults.items()):
        print(f"  {times} × {fault}")
    by = Counter({tool: sum(n for fault, n in seen.faults.items() if fault.startswith(tool)) for tool in ("axe", "html")})
    scores = [f"{seen.least[name]:.0f}" for name in CATEGORIES]
    return title, str(seen.pages), *scores, str(by["axe"] or "nothing"), str(by["html"] or "nothing")


if __name__ == "__main__":
    main()
