"""The same send at several sizes: freezing the audience, rate, CPU, memory and the size of the ledger.

    .venv/bin/python -m bench.scale --sizes 10000,100000

People sign up while the audience is frozen by a rule over tags; the slowest of them is shown. 1,000,000 subscribers take a
quarter of an hour on two cores.
"""

from __future__ import annotations

from bench.figures import Figures, parser
from bench.send import RULE, Measured, Wanted, measure
from mailer.core import log


def main() -> None:
    """Run each size and print the table."""
    command = parser(__doc__)
    command.add_argument("--sizes", default="10000,100000", help="subscribers, separated by commas")
    command.add_argument("--events", action="store_true", help="SES reports each email, and `postmerge events` takes it in")
    options = command.parse_args()
    log.configure("error")
    sizes = [int(size) for size in options.sizes.split(",")]
    found = [measure(Wanted(subscribers=size, events=options.events, confirmations=20)) for size in sizes]
    columns = (f"audience: {RULE}", *(f"{size:,} subscribers" for size in sizes))
    Figures("scale", columns, rows(found)).show(options.save)


def rows(found: list[Measured]) -> list[list[str]]:
    """One cell for each size."""
    cells: dict[str, list[str]] = {
        "accepted by SES, of them twice": [f"{one.accepted:,}, {one.doubled}" for one in found],
        "publish, freeze included": [f"{one.freeze:.1f} s" for one in found],
        "  slowest sign-up meanwhile": [f"{one.slowest_sign_up:.2f} s" for one in found],
        "emails a second": [f"{one.rate:,.0f}" for one in found],
        "CPU-seconds for 1,000 emails": [f"{one.cpu / one.accepted * 1000:.2f}" for one in found],
        "  Postgres": [f"{one.postgres_cpu / one.accepted * 1000:.2f}" for one in found],
        "memory of the largest process": [f"{one.memory:.0f} MB" for one in found],
        "confirmations, 99th percentile": [f"{one.waits[int(len(one.waits) * 0.99) - 1]:.2f} s" for one in found],
        "ledger": [f"{one.ledger:,.0f} MB" for one in found],
    }
    return [[name, *values] for name, values in cells.items()]


if __name__ == "__main__":
    main()
