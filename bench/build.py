"""How long builds of whole archives take, and of one changed file, beside stock Pelican and Hugo on the same files.

    .venv/bin/python -m bench.build --content ../shared/real-archive/content --content ../blog/content

Each build is a process of its own, measured from start to end: seconds of wall clock, seconds of the processors in all its
processes, and the peak of the memory of all its processes, as the sum of their PSS (shared pages count once), looked at 20
times a second. Ours makes the editions for email and the feeds with full text and, where the line says so, the search index
and a card for each issue. Stock Pelican has its default settings and theme, without email. Hugo, if it is installed, makes
pages, lists and a feed with a small theme. The best of ``--rounds`` counts, for each figure.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.build_sites import list_issues, write_hugo_site, write_ours, write_stock
from bench.figures import Figures, parser

ROOT = Path(__file__).parent.parent
_PAUSE = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """Seconds of wall clock and of the processors, and megabytes of memory, of one build."""

    clock: float
    used: float
    memory: float

    @classmethod
    def least(cls, costs: Sequence[Cost]) -> Cost:
        """Return the smallest of each figure."""
        return cls(min(one.clock for one in costs), min(one.used for one in costs), min(one.memory for one in costs))


def measure(command: list[str], folder: Path, environ: dict[str, str], allowed: Sequence[int] = (0,)) -> Cost:
    """Run a command and measure it. Raises CalledProcessError, with its output shown, for an exit code not ``allowed``."""
    started, before = time.perf_counter(), _used()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environ}, stdout=said, stderr=said)
        peak, done = [0.0], threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, peak, done))
        watch.start()
        code = process.wait()
        clock = time.perf_counter() - started
        done.set()
        watch.join()
        if code not in allowed:
            said.seek(0)
            print(said.read()[-2000:], file=sys.stderr)
            raise subprocess.CalledProcessError(code, command)
    return Cost(clock, _used() - before, peak[0])


def _used() -> float:
    """Seconds of the processors that ended children had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    while not done.wait(_PAUSE):
        peak[0] = max(peak[0], sum(map(_measure_memory, list_processes(pid))))


def list_processes(pid: int) -> list[int]:
    """List a process and all below it."""
    children = defaultdict[int, list[int]](list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        children[parent].append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def _measure_memory(pid: int) -> float:
    """Megabytes of a process, its part of shared pages (PSS); 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def change(content: Path, number: int) -> None:
    """Edit one issue in the middle of the archive."""
    files = list_issues(content)
    path = files[len(files) // 2]
    path.write_text(path.read_text(encoding="utf-8") + f"\n\nEdit {number}.\n", encoding="utf-8")


class Archive:
    """One archive, and the sites that are built of it in ``folder``."""

    def __init__(self, original: Path, folder: Path) -> None:
        self.content, self.folder = folder / "content", folder
        shutil.copytree(original, self.content, ignore=shutil.ignore_patterns("pages"))
        write_stock(folder / "stock.py")
        write_ours(folder / "shipped.py", bare=False)
        write_ours(folder / "bare.py", bare=True)
        self.hugo = shutil.which("hugo") or ""
        if self.hugo:
            write_hugo_site(self.content, folder / "hugo")
        self.issues = len(list_issues(self.content))

    def build_stock(self) -> Cost:
        """Build it by the stock ``pelican`` command, from nothing."""
        shutil.rmtree(self.folder / "stock", ignore_errors=True)
        command = [sys.executable, "-m", "pelican", str(self.content), "-o", str(self.folder / "stock"), "-q"]
        return measure([*command, "-s", str(self.folder / "stock.py")], self.folder, {})

    def build_hugo(self) -> Cost:
        """Build it by Hugo, from nothing."""
        shutil.rmtree(self.folder / "hugo/public", ignore_errors=True)
        return measure([self.hugo, "--quiet", "--ignoreCache"], self.folder / "hugo", {})

    def build_ours(self, config: str, fresh: bool = True) -> Cost:
        """Build it by ``postmerge build``, from nothing if ``fresh``."""
        if fresh:
            shutil.rmtree(self.folder / "ours", ignore_errors=True)
        environ = {
            "POSTMERGE_CONTENT": str(self.content),
            "POSTMERGE_BUILD": str(self.folder / "ours"),
            "POSTMERGE_CONFIG": str(self.folder / config),
            "POSTMERGE_POSTAL_ADDRESS": "1 Example Street",
            "POSTMERGE_SITE_URL": "https://ours.example",
            "PYTHONPATH": str(ROOT),
        }
        # 1: a file of the archive has an error, is named, and left out
        return measure([sys.executable, "-m", "mailer.cli", "build"], self.folder, environ, allowed=(0, 1))

    def measure(self, rounds: int) -> list[tuple[str, Cost]]:
        """Build everything in turn, and return the least cost of each build."""
        builds: list[tuple[str, Callable[[], Cost]]] = [
            ("stock Pelican, no email", self.build_stock),
            ("Postmerge with editions", lambda: self.build_ours("bare.py")),
            ("Postmerge with search and cards too", lambda: self.build_ours("shipped.py")),
        ]
        if self.hugo:
            builds.insert(1, ("Hugo, no email", self.build_hugo))
        costs = defaultdict[str, list[Cost]](list)
        for number in range(rounds):
            for name, build in builds:
                costs[name].append(build())
            change(self.content, number)
            costs["Postmerge, one file changed"].append(self.build_ours("shipped.py", fresh=False))
        return [(name, Cost.least(several)) for name, several in costs.items()]


def main() -> None:
    """Run the builds and print the table."""
    command = parser(__doc__)
    command.add_argument("--content", type=Path, action="append", help="a content folder (repeatable)")
    command.add_argument("--rounds", type=int, default=2)
    options = command.parse_args()
    contents = options.content or [ROOT.parent / "shared" / "real-archive" / "content"]
    for content in contents:
        if not content.is_dir():
            command.error(f"there is no folder {content}: give one with --content")
    rows: list[Sequence[str]] = []
    for content in contents:
        with tempfile.TemporaryDirectory(prefix="postmerge-bench-") as name:
            archive = Archive(content, Path(name))
            rows += list_rows(f"{archive.issues} issues", archive.measure(options.rounds))
    columns = ("archive", "build", "seconds", "of the processors", "beside stock", "MB at most")
    Figures("build", columns, rows).show(options.save)


def list_rows(archive: str, costs: Sequence[tuple[str, Cost]]) -> list[Sequence[str]]:
    """Write the rows of an archive; the first cost is stock Pelican's, and the processors' time is compared with it."""
    stock = costs[0][1].used
    return [
        (archive, name, f"{one.clock:.1f}", f"{one.used:.1f}", f"{one.used / stock:.2f}", f"{one.memory:,.0f}")
        for name, one in costs
    ]


if __name__ == "__main__":
    main()
