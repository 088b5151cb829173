"""How long a build of a whole archive takes, and of one changed file, beside stock Pelican on the same files.

    .venv/bin/python -m bench.build --content ../shared/real-archive/content

Each build is a process of its own, timed from start to end. Ours makes the editions for email and the feeds with full text,
and, where the line says so, the search index and a card for each issue. Stock Pelican makes pages and its feeds with its
simple theme. The best of ``--rounds`` counts, of the time of wall clock and of the processors' time (of all its processes).
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figures, parser

ROOT = Path(__file__).parent.parent
STOCK = """
SITENAME = "Stock"
SITEURL = "https://stock.example"
TIMEZONE = "UTC"
DEFAULT_LANG = "en"
SLUGIFY_SOURCE = "basename"
THEME = "simple"
FEED_ALL_ATOM = "feeds/all.atom.xml"
FEED_ALL_RSS = "feeds/all.rss.xml"
ARTICLE_URL = "issues/{slug}/"
ARTICLE_SAVE_AS = "issues/{slug}/index.html"
"""
BARE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pelicanconf import *
POSTMERGE_SEARCH = POSTMERGE_CARDS = False
"""


Times = tuple[float, float]


def timed(command: list[str], folder: Path, environ: dict[str, str]) -> Times:
    """Seconds of wall clock and of CPU that a command took. Raises CalledProcessError, with its output shown."""
    started, before = time.perf_counter(), _used()
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        done.check_returncode()
    return time.perf_counter() - started, _used() - before


def _used() -> float:
    """Seconds of the processors that ended children had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stock(content: Path, folder: Path) -> Times:
    """One cold build by the stock ``pelican`` command."""
    config = folder / "stock.py"
    config.write_text(STOCK)
    shutil.rmtree(folder / "stock", ignore_errors=True)
    command = [sys.executable, "-m", "pelican", str(content), "-o", str(folder / "stock"), "-s", str(config), "-q"]
    return timed(command, folder, {})


def ours(content: Path, folder: Path, bare: bool = False) -> Times:
    """One build by ``postmerge build``, cold when ``folder`` holds none yet; ``bare`` is without search index and cards."""
    config = folder / "bare.py"
    config.write_text(BARE)
    environ = {
        "POSTMERGE_CONTENT": str(content),
        "POSTMERGE_BUILD": str(folder / "ours"),
        "POSTMERGE_CONFIG": str(config if bare else ROOT / "pelicanconf.py"),
        "POSTMERGE_POSTAL_ADDRESS": "1 Example Street",
        "POSTMERGE_SITE_URL": "https://ours.example",
        "PYTHONPATH": str(ROOT),
    }
    return timed([sys.executable, "-m", "mailer.cli", "build"], folder, environ)


def change(content: Path, number: int) -> None:
    """Edit one issue in the middle of the archive."""
    files = sorted(path for path in content.rglob("*") if path.suffix in (".md", ".markdown") and "pages" not in path.parts)
    path = files[len(files) // 2]
    path.write_text(path.read_text(encoding="utf-8") + f"\n\nEdit {number}.\n", encoding="utf-8")


def main() -> None:
    """Run the builds and print the table."""
    command = parser(__doc__)
    command.add_argument("--content", type=Path, default=ROOT.parent / "shared" / "real-archive" / "content")
    command.add_argument("--rounds", type=int, default=2)
    options = command.parse_args()
    if not options.content.is_dir():
        command.error(f"there is no folder {options.content}: give one with --content")
    with tempfile.TemporaryDirectory(prefix="postmerge-bench-") as name:
        folder = Path(name)
        content = folder / "content"
        shutil.copytree(options.content, content)
        plain, fast, cold, one = (list[Times]() for _ in range(4))
        for number in range(options.rounds):
            plain.append(stock(content, folder))
            for times, bare in ((fast, True), (cold, False)):
                shutil.rmtree(folder / "ours", ignore_errors=True)
                times.append(ours(content, folder, bare))
            change(content, number)
            one.append(ours(content, folder))
        pages = len(list((folder / "ours" / "site" / "issues").glob("*/index.html")))
    show(pages, _best(plain), _best(fast), _best(cold), _best(one), options.save)


def _best(times: list[Times]) -> Times:
    clock, used = zip(*times, strict=True)
    return min(clock), min(used)


def show(pages: int, plain: Times, fast: Times, cold: Times, one: Times, save: bool) -> None:
    """The figures of one run."""
    rows = [
        ("stock Pelican, all, no email", plain, ""),
        ("Postmerge, all, with editions", fast, f"{plain[0] / fast[0]:.2f} times as fast"),
        ("Postmerge, all, with search and cards too", cold, f"{plain[0] / cold[0]:.2f} times as fast"),
        ("Postmerge, one file changed", one, f"{plain[0] / one[0]:.1f} times as fast"),
    ]
    cells = [(name, f"{clock:.1f}", f"{used:.1f}", beside) for name, (clock, used), beside in rows]
    Figures("build", (f"{pages} issues", "seconds", "of the processors", "beside stock"), cells).show(save)


if __name__ == "__main__":
    main()
