"""The API with 1,000,000 subscribers: a real `postmerge serve` on a durable Postgres, asked over kept connections.

    .venv/bin/python -m bench.api
    .venv/bin/python -m bench.api --clients 1 --only =

Prints requests a second, the 50th and 95th percentile of what one client waits, and the CPU time of one request in the
serving processes and in Postgres (which a busy machine changes little), for adding, finding by address, listing at the top
and deep in the list, and filtering by a common, a middling and a rare tag. ``--only GET`` measures the kinds whose name
holds the word.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bench.figures import Figures, parser
from bench.send import bench_settings, cpu, postgres_cpu
from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from mailer.store.operations import heartbeats
from tests import processes, services

_PROCESSES = 2

Ask = Callable[[int], bytes]
Used = Callable[[], tuple[float, float]]


_COLUMNS = (
    "request", "a second", "50 % under (ms)", "95 % under (ms)", "CPU of serve (ms)", "CPU of Postgres (ms)", "not 2xx",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One kind of request: a second, milliseconds of waiting, and milliseconds of CPU for one."""

    name: str
    rate: float
    half: float
    most: float
    bad: int
    serving: float
    storing: float


def write_seed(subscribers: int) -> str:
    """SQL that adds so many subscribers, whom `requests` asks for.

    Every tenth has the tag common, every thousandth middling, ten have rare, and the first thirtieth, nobody recent, early.
    Every tenth has the plan free, every thousandth pro.
    """
    return f"""
        INSERT INTO subscribers (email, email_normal, state, tags, metadata, confirmed_at)
        SELECT
            format('subscriber-%s@example.org', n), format('subscriber-%s@example.org', n), 'active',
            ARRAY(
                SELECT tag FROM (VALUES
                    ('common', n % 10 = 0), ('middling', n % 1000 = 0), ('rare', n % ({subscribers} / 10) = 0),
                    ('early', n <= {subscribers} / 30)
                ) AS given (tag, has) WHERE has
            ),
            CASE WHEN n % 1000 = 0 THEN '{{"plan": "pro"}}' WHEN n % 10 = 0 THEN '{{"plan": "free"}}' ELSE '{{}}' END::jsonb,
            now()
        FROM generate_series(1, {subscribers}) AS n;
        INSERT INTO consents (subscriber_id, kind, source)
        SELECT id, kind, 'form' FROM subscribers, unnest(ARRAY['requested', 'confirmed']) AS kind
    """


async def measure(name: str, port: int, ask: Ask, seconds: float, clients: int, used: Used) -> Figure:
    """Ask for so long over so many connections. ``used`` gives the CPU-seconds of the serving process and of Postgres."""
    waits: list[float] = []
    bad = 0
    numbers = itertools.count(1)
    until = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal bad
        incoming, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            started = time.perf_counter()
            writer.write(ask(next(numbers)))
            head = await incoming.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            await incoming.readexactly(length)
            waits.append((time.perf_counter() - started) * 1000)
            bad += head[9:10] != b"2"
        writer.close()

    before = used()
    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    taken = time.perf_counter() - started
    cut = statistics.quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    serving, storing = (1000 * (now - then) / len(waits) for now, then in zip(used(), before, strict=True))
    return Figure(name, len(waits) / taken, cut[49], cut[94], bad, serving, storing)


def requests(key: str, subscribers: int) -> dict[str, Ask]:
    """What is asked, by name."""

    def get(path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {key}\r\n\r\n".encode()

    def post(facts: dict[str, object]) -> bytes:
        body = json.dumps({**facts, "tags": ["bench"]}).encode()
        head = f"POST /v1/subscribers HTTP/1.1\r\nHost: x\r\nAuthorization: Token {key}\r\nContent-Type: application/json\r\n"
        return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    deep = subscribers // 100 - 5
    return {
        "GET by address": lambda number: get(f"/v1/subscribers/subscriber-{number * 7919 % subscribers + 1}@example.org"),
        "list, page 1": lambda number: get("/v1/subscribers"),
        f"list, page {deep:,}": lambda number: get(f"/v1/subscribers?page={deep - number % 5}"),
        "tag=common (1 in 10)": lambda number: get("/v1/subscribers?tag=common"),
        "tag=middling (1 in 1,000)": lambda number: get("/v1/subscribers?tag=middling"),
        "tag=rare (10 subscribers)": lambda number: get("/v1/subscribers?tag=rare"),
        "tag=early (1 in 30, none recent)": lambda number: get("/v1/subscribers?tag=early"),
        "metadata['plan']=pro (1 in 1,000)": lambda number: get("/v1/subscribers?metadata%5B'plan'%5D=pro"),
        "metadata['plan']=free (1 in 10)": lambda number: get("/v1/subscribers?metadata%5B'plan'%5D=free"),
        "POST, confirmed": lambda number: post({"email_address": f"new-{number}@example.net", "type": "regular"}),
        "POST, asks for confirmation": lambda number: post({"email_address": f"asked-{number}@d{number}.example.net"}),
    }


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--subscribers", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=8.0, help="for each kind of request")
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--only", default="", metavar="WORD", help="only the kinds whose name holds it")
    given = options.parse_args()
    with bench_settings(32) as (conf, database):
        started = time.perf_counter()
        with database.transaction() as tx:
            tx.script(write_seed(given.subscribers))
        services.run_outside_transaction(database.url, "VACUUM ANALYZE")
        print(f"{given.subscribers:,} readers in {time.perf_counter() - started:.0f} s")
        key = api_keys.create_key(database, "bench", per_minute=0)
        port = find_free_port()
        with processes.running("serve", conf, {}, "--port", str(port), "--processes", str(_PROCESSES)) as serving:
            processes.eventually(lambda: _count_running(database) == _PROCESSES, 60, "all processes have started")
            figures = [
                asyncio.run(
                    measure(name, port, ask, given.seconds, given.clients, lambda: (cpu([serving.pid]), postgres_cpu(database)))
                )
                for name, ask in requests(key, given.subscribers).items()
                if given.only in name
            ]
    rows = [
        (f.name, f"{f.rate:,.0f}", f"{f.half:.1f}", f"{f.most:.1f}", f"{f.serving:.2f}", f"{f.storing:.2f}", str(f.bad))
        for f in figures
    ]
    Figures("api", _COLUMNS, rows).show(given.save)


def _count_running(database: Database) -> int:
    with database.transaction() as tx:
        return sum(group.number for group in heartbeats.list_running(tx, timedelta(minutes=1)))


if __name__ == "__main__":
    main()
