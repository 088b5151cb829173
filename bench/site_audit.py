"""Lighthouse, axe-core and html-validate over the sample newsletter, five issues of a real archive, and the pages of forms.

    mkdir -p /tmp/audit && (cd /tmp/audit && npm install lighthouse html-validate)
    .venv/bin/python -m bench.site_audit --tools /tmp/audit

Lighthouse and axe see each page in both colour modes at 360 pixels (as a telephone) and at 1,280. Where performance is below
100, Lighthouse measures again, twice at most, and the best counts: other work on the machine only lowers it. Pages that search
engines are asked not to index are judged without the audit for exactly that, and without the one of robots.txt, which their
policy lets no script load. Needs Node 20, Chromium and the two npm packages; nothing of it is needed to run or test Postmerge.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from bench.figures import Figures, parser
from mailer import editions
from mailer.core import tokens
from mailer.core.db import Database
from mailer.fakes.fake_stripe import FakeStripe
from mailer.fakes.free_ports import find_free_port
from mailer.workbench.picture import find_browser
from tests import paying, services, web

ROOT = Path(__file__).parent.parent
MODES = ("light", "dark")
WIDTHS = (360, 1280)
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
AROUND = ("", "archive/", "tags/", "tags/delivery/", "search/", "about/", "accessibility/")
MAX_RUNS = 3  # of Lighthouse over a page whose performance is below 100


@dataclass
class Seen:
    """What the tools said about one kind of page: the least score of each category, the largest layout shift, the faults."""

    pages: int = 0
    least: dict[str, float] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    shift: float = 0


@dataclass(frozen=True)
class ServedSite:
    """A built site that is served at ``url``; ``paths`` are its pages to look at, in ``files`` of ``folder`` if not there."""

    url: str
    folder: Path
    paths: list[str]
    files: tuple[str, ...] = ()
    is_crawled: bool = True


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, silently; text compressed, as the proxies in ``deploy/`` and hosts of static sites send it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send a file."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() and self.path.endswith("/") else path
        kind = self.guess_type(path)
        if not path.is_file() or (not kind.startswith("text/") and kind != "image/svg+xml"):
            return super().do_GET()
        data = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        for name, value in {"Content-Type": kind, "Content-Encoding": "gzip", "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

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


@contextmanager
def served_forms(build: Path) -> Iterator[ServedSite]:
    """Serve the pages of forms, of a paid subscriber and of a wrong address; their HTML is in ``folder``."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    with services.postgres(build) as server, FakeStripe(int(time.time())) as stripe:
        services.make_template(server, "audit")
        database = Database(services.on_database(server, "audit"))
        conf = paying.settings(
            build, database, stripe, plans=ROOT / "docs" / "plans.example.toml", api_url=url, site_url=url,
            topics=("delivery",), content=ROOT / "content", config=ROOT / "pelicanconf.py",
        )  # fmt: skip
        editions.build(editions.BuildOptions.of(conf))
        shop = paying.Shop(conf, database, stripe)
        to, now, secret = shop.recipient(shop.add_subscriber()), datetime.now(UTC), conf.need_secrets()
        shop.buy()
        shop.hear()
        paths = {
            "subscribe": "subscribe",
            "confirm": f"confirm/{tokens.confirm_token(secret, to, 1, now)}",
            "reader": f"reader/{tokens.page_token(secret, to, now)}",
            "leave": f"leave/{tokens.unsubscribe_token(secret, to, 1)}",
            "join": "join",
            "paid": f"paid/{tokens.paid_token(secret, to, now)}",
            "404": "404.html",
        }
        with web.served(shop.client.app, port):
            for name, path in paths.items():
                page = build / "pages" / name / "index.html"
                page.parent.mkdir(parents=True)
                page.write_bytes(httpx.get(f"{url}/{path}").content)
            yield ServedSite(url, build / "pages", list(paths.values()), tuple(paths), is_crawled=False)
        database.close()


def five_real(archive: Path, target: Path) -> None:
    """Five issues from the archive's whole time, with the sample's pages around them."""
    shutil.copytree(ROOT / "content" / "pages", target / "pages")
    files = sorted(path for path in archive.glob("*.m*") if path.name[:4].isdecimal())
    for path in files[:: len(files) // 4 - 1][:5]:
        shutil.copy(path, target)


def lighthouse(tools: Path, url: str, mode: str, width: int, *more: str) -> dict[str, Any]:
    """Lighthouse's report of one page; the best of several runs. Raises CalledProcessError."""
    made: dict[str, Any] = {}
    for _ in range(MAX_RUNS):
        again = _run_lighthouse(tools, url, mode, width, *more)
        made = max((made, again), key=_performance) if made else again
        if _performance(made) == 1:
            break
    return made


def _performance(made: dict[str, Any]) -> float:
    return float(made["categories"]["performance"]["score"] or 0)


def _run_lighthouse(tools: Path, url: str, mode: str, width: int, *more: str) -> dict[str, Any]:
    flags = f"--headless=new --disable-gpu --no-sandbox --blink-settings=preferredColorScheme={MODES[::-1].index(mode)}"
    form = ["--form-factor=mobile"] if width < 600 else ["--preset=desktop"]
    command = [
        str(tools / "node_modules" / ".bin" / "lighthouse"), url, "--quiet", "--output=json", f"--chrome-flags={flags}", *form,
        f"--screenEmulation.width={width}", "--screenEmulation.height=800", f"--only-categories={','.join(CATEGORIES)}", *more,
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "CHROME_PATH": find_browser()}, capture_output=True, text=True, check=True
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def scored(tools: Path, site: ServedSite, seen: Seen) -> None:
    """Lighthouse over all pages, each in both modes and widths."""
    more = [] if site.is_crawled else ["--skip-audits=is-crawlable,robots-txt"]
    for path in site.paths:
        for mode in MODES:
            for width in WIDTHS:
                made = lighthouse(tools, f"{site.url}/{path}", mode, width, *more)
                seen.shift = max(seen.shift, made["audits"]["cumulative-layout-shift"]["numericValue"])
                for name in CATEGORIES:
                    score = (made["categories"][name]["score"] or 0) * 100
                    seen.least[name] = min(seen.least.get(name, 100), score)
                    if score < 100:
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
    files = [str(site.folder / path / "index.html") for path in site.files or site.paths]
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
    command.add_argument("--only", choices=("sample", "real", "forms"), help="one of the three kinds of pages")
    command.add_argument("--archive", type=Path, default=ROOT.parent / "shared" / "real-archive" / "content")
    options = command.parse_args()
    if not (options.tools / "node_modules" / ".bin" / "lighthouse").exists():
        command.error(f"no lighthouse in {options.tools}: run `npm install lighthouse html-validate` there")
    rows = []
    with tempfile.TemporaryDirectory(prefix="postmerge-audit-") as made:
        folder = Path(made)
        five_real(options.archive, folder / "real")
        kinds: dict[str, tuple[str, Callable[[], AbstractContextManager[ServedSite]]]] = {
            "sample": ("the sample newsletter", lambda: served(ROOT / "content", folder / "sample", AROUND, 8)),
            "real": ("five real issues", lambda: served(folder / "real", folder / "real-site", ("", "archive/"), 5)),
            "forms": ("forms and subscribers' pages", lambda: served_forms(folder / "forms")),
        }
        for name, (title, serve) in kinds.items():
            if options.only not in (None, name):
                continue
            with serve() as site:
                seen = Seen(len(site.paths))
                valid(options.tools, site, seen, folder)
                accessible(site, seen)
                scored(options.tools, site, seen)
            rows.append(_row(title, seen))
    Figures("site", ("pages", "number", *CATEGORIES, "layout shift", "axe-core", "html-validate"), rows).show(options.save)


def _row(title: str, seen: Seen) -> tuple[str, ...]:
    for fault, times in sorted(seen.faults.items()):
        print(f"  {times} × {fault}")
    by = Counter({tool: sum(n for fault, n in seen.faults.items() if fault.startswith(tool)) for tool in ("axe", "html")})
    scores = [f"{seen.least[name]:.0f}" for name in CATEGORIES]
    return title, str(seen.pages), *scores, f"{seen.shift:.3f}", str(by["axe"] or "nothing"), str(by["html"] or "nothing")


if __name__ == "__main__":
    main()
