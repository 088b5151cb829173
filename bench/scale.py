"""The same send at several sizes: freezing the audience, rate, CPU, memory and the size of the ledger.

    .venv/bin/python -m bench.scale --sizes 10000,100000

People sign up while the audience is frozen by a rule over tags; the slowest of them is shown. 1,000,000 readers take about a
quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from bench.send import RULE, Measured, Wanted, measure
from mailer import log


def main() -> None:
    """Run each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="readers, separated by commas")
    parser.add_argument("--events", action="store_true", help="SES tells of each mail, and `postmerge events` takes it in")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    log.configure("error")
    found = [measure(Wanted(readers=size, events=options.events, confirmations=20)) for size in sizes]
    Console(width=110).print(table(sizes, found))


def table(sizes: list[int], found: list[Measured]) -> Table:
    """One column for each size."""
    made = Table(f"audience: {RULE}", *(f"{size:,} readers" for size in sizes), box=None, header_style="bold")
    rows: dict[str, list[str]] = {
        "accepted by SES, of them twice": [f"{one.accepted:,}, {one.doubled}" for one in found],
        "publish, freeze included": [f"{one.freeze:.1f} s" for one in found],
        "  slowest sign-up meanwhile": [f"{one.slowest_sign_up:.2f} s" for one in found],
        "mails a second": [f"{one.rate:,.0f}" for one in found],
        "CPU-seconds for 1,000 mails": [f"{one.cpu / one.accepted * 1000:.2f}" for one in found],
        "  Postgres": [f"{one.postgres_cpu / one.accepted * 1000:.2f}" for one in found],
        "memory of the largest process": [f"{one.memory:.0f} MB" for one in found],
        "confirmations, 99th percentile": [f"{one.waits[int(len(one.waits) * 0.99) - 1]:.2f} s" for one in found],
        "ledger": [f"{one.ledger:,.0f} MB" for one in found],
    }
    for name, cells in rows.items():
        made.add_row(name, *cells)
    return made


if __name__ == "__main__":
    main()
