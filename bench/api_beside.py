"""The API of this tree beside an older one's: both servers run, and each kind of request alternates between them.

    git worktree add /tmp/older 57e2366
    ln -s "$PWD/.venv" /tmp/older/.venv
    .venv/bin/python -m bench.api_beside /tmp/older

The older tree runs with the interpreter of its own ``.venv``. Prints the best rate of some rounds of each, the newer one as a
share of the older (at least 0.85 is wanted), and the least CPU time of a request in serve and Postgres: other work adds to it.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.api import Figure, measure, requests, write_seed
from bench.figures import Figures, parser
from bench.send import cpu, postgres_cpu
from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port

_ROOT = Path(__file__).parent.parent
# Runs inside a tree of either layout: prints what the driver needs, and serves until its input ends.
_SERVE = """
import importlib, socket, sys
from pathlib import Path
from bench.send import bench_settings
from tests import processes, services
import psycopg2
try:
    keys = importlib.import_module("mailer.flows.operations.api_keys")
except ModuleNotFoundError:
    keys = importlib.import_module("mailer.flows.keys")
with bench_settings(32) as (conf, database):
    for sql in (Path(sys.argv[1]).read_text(), "VACUUM ANALYZE"):
        connection = psycopg2.connect(database.url)
        connection.autocommit = True
        connection.cursor().execute(sql)
        connection.close()
    key = keys.create_key(database, "bench", per_minute=0)
    with processes.running("serve", conf, {}, "--port", sys.argv[2]) as serving:
        processes.eventually(lambda: not socket.socket().connect_ex(("127.0.0.1", int(sys.argv[2]))), 120, "it listens")
        print("serves", key, database.url, serving.pid, flush=True)
        sys.stdin.read()
"""


@dataclass(frozen=True)
class Server:
    """A server that was filled, and how to ask and watch it."""

    key: str
    database: Database
    pid: int
    port: int

    def measure(self, name: str, subscribers: int, seconds: float, clients: int, first: int) -> Figure:
        """Ask for so long, numbering the requests from ``first``, so that no round repeats an address."""
        ask = requests(self.key, subscribers)[name]

        def used() -> tuple[float, float]:
            return cpu([self.pid]), postgres_cpu(self.database)

        return asyncio.run(measure(name, self.port, lambda number: ask(first + number), seconds, clients, used))


@contextmanager
def serving(tree: Path, seed: Path) -> Iterator[Server]:
    """A tree's server, with a database of its own."""
    port = find_free_port()
    command = [str(tree / ".venv/bin/python"), "-c", _SERVE, str(seed), str(port)]
    child = subprocess.Popen(command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdin
    try:
        key, url, pid = next(line for line in child.stdout if line.startswith("serves ")).split()[1:]
        yield Server(key, Database(url), int(pid), port)
    finally:
        child.stdin.close()
        child.wait(60)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("older", type=Path, help="a checkout of the older commit")
    options.add_argument("--subscribers", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=4.0, help="for each kind of request in a round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--only", default="", metavar="WORD", help="only the kinds whose name holds it")
    given = options.parse_args()
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "seed.sql").write_text(write_seed(given.subscribers), encoding="utf-8")
        servers = [stack.enter_context(serving(tree, folder / "seed.sql")) for tree in (given.older, _ROOT)]
        for name in (name for name in requests("", given.subscribers) if given.only in name and "metadata" not in name):
            rounds = [
                [one.measure(name, given.subscribers, given.seconds, given.clients, 100_000 * number) for one in servers]
                for number in range(given.rounds)
            ]
            older, newer = (max(figures, key=lambda figure: figure.rate) for figures in zip(*rounds, strict=True))
            spent = [
                f"{min(one.serving for one in figures):.2f} + {min(one.storing for one in figures):.2f}"
                for figures in zip(*rounds, strict=True)
            ]
            rows.append((name, f"{older.rate:,.0f}", f"{newer.rate:,.0f}", f"{newer.rate / older.rate:.2f}", *spent))
    columns = (
        "request",
        "older, a second",
        "newer",
        "newer / older",
        "CPU of the older (ms: serve + Postgres)",
        "of the newer",
    )
    Figures("api-beside", columns, rows).show()


if __name__ == "__main__":
    main()
