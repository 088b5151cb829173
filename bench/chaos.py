"""Delivery under fire: random faults while real processes send, judged only by what the fake SES accepted.

    .venv/bin/python -m bench.chaos --faults 50 --seed 1

Each round is one send to subscribers of its own. While it runs, workers, scheduler, web server and event consumer are killed
with -9, Valkey is emptied and killed, Postgres is restarted with ``-m immediate``, answers of SES are lost, connections reset,
calls hang, storms of 429 and 5xx pass, and publish is repeated. Then: nobody twice, nobody missing unless uncertain, no
more uncertain than were in flight; and when all events have come (late, doubled, shuffled), only those are uncertain who
got nothing. Exits 1 when a round breaks a promise; the same seed asks for the same faults.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from bench.field import CONNECTIONS, WORKERS, Field, Unlimited, field, patiently
from bench.figures import Figures, parser
from mailer.core import log
from mailer.core.edition import Edition
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from tests import factories

# Faults of the fake SES, and whether the ledger can know afterwards that the email was not taken.
LOST = ("error_after", "reset_after", "hang_after", "error_before", "reset_before", "hang_before")
HITS = (
    "kill worker",
    "kill scheduler",
    "kill serve",
    "kill events",
    "flushall",
    "kill valkey",
    "restart postgres",
    "publish again",
)
STORMS = ("storm of 429", "storm of 5xx")
KINDS = (*HITS, *LOST, *STORMS)
STALLED = 6.0  # seconds without progress until the next fault comes anyway


@dataclass(frozen=True)
class Fault:
    """One fault: ``at`` as a share of the round's emails, ``size`` in emails, ``away`` in seconds."""

    kind: str
    at: float
    size: int
    away: float

    @property
    def uncertain(self) -> int:
        """Emails that it can make uncertain: one worker's emails in flight, all workers' claims, or the lost responses."""
        if self.kind == "kill worker":
            return CONNECTIONS
        if self.kind == "restart postgres":
            return WORKERS * CONNECTIONS  # a claim whose commit's answer was lost is never put on the wire
        return self.size if self.kind in LOST or self.kind == "storm of 5xx" else 0


@dataclass(frozen=True)
class Round:
    """What one round showed. ``unexplained`` are subscribers without email or uncertainty; ``wrong`` is what was broken."""

    number: int
    subscribers: int
    faults: tuple[str, ...]
    seconds: float
    accepted: int
    twice: int
    unexplained: int
    uncertain: int
    allowed: int
    unsettled: int
    wrong: tuple[str, ...]


def draw(chance: random.Random, number: int, deck: list[str]) -> list[Fault]:
    """So many faults, in the order in which they come. Each kind comes once before any comes again: ``deck`` holds the rest."""
    faults = []
    for at in sorted(chance.uniform(0.02, 0.9) for _ in range(number)):
        if not deck:
            deck.extend(chance.sample(KINDS, len(KINDS)))
        faults.append(_fault(chance, deck.pop(), at))
    return faults


def _fault(chance: random.Random, kind: str, at: float) -> Fault:
    most = 3 if kind.startswith("hang") else 100 if kind == "storm of 429" else 12
    return Fault(kind, at, chance.randint(1, most), chance.uniform(0.1, 1.5))


def play(here: Field, number: int, subscribers: int, faults: list[Fault], chance: random.Random) -> Round:
    """One round, from publishing to the last event."""
    started = time.monotonic()
    before = len(here.ses.accepted())
    habits = {"visibility_s": 3, "double": 0.2, "shuffle_s": 3.0, "late_s": chance.choice((0.0, 0.5, 3600.0))}
    here.ses.control(events=habits, seed=chance.randrange(10**9))
    tag, issue = _prepare(here, number, subscribers)
    [send_id] = _publish(here, issue)
    for fault in faults:
        _reach(here, send_id, before + int(fault.at * subscribers))
        _strike(here, fault, issue, chance)
    finished = _until(here, lambda: _status(here, send_id).send.state in ("finished", "stopped"), 120 + subscribers / 50)
    status = _status(here, send_id)
    uncertain = status.deliveries["uncertain"]
    here.ses.control(faults=[])
    here.ses.release()
    drained = _until(here, lambda: here.whole() and not _left(here, send_id), 90)
    got = Counter(email["to"] for email in here.ses.accepted()[before:])
    return _judge(
        here, number, subscribers, faults, time.monotonic() - started, tag, send_id, got, uncertain, finished, drained
    )


def _prepare(here: Field, number: int, subscribers: int) -> tuple[str, Edition]:
    tag = f"round-{number}"
    with here.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (email, email_normal, state, tags, confirmed_at)
            SELECT e, e, 'active', ARRAY[%(tag)s], now()
            FROM (SELECT format('%%s-%%s@example.org', %(tag)s, n) AS e FROM generate_series(1, %(subscribers)s) AS n) AS made
            """,
            tag=tag,
            subscribers=subscribers,
        )
        tx.script("ANALYZE subscribers")
    return tag, factories.edition(f"2026-11-{tag}", body=f"<p>{tag}: {random.Random(number).random()}</p>", audience=tag)


def _publish(here: Field, issue: Edition) -> tuple[int, ...]:
    request = Request(allow=["old", "duplicate"])
    everything = [factories.old(), issue]
    return patiently(lambda: publish(here.database, here.conf, everything, [], Unlimited(), request).send_ids)


def _strike(here: Field, fault: Fault, issue: Edition, chance: random.Random) -> None:
    match fault.kind:
        case "kill worker":
            here.kill(f"worker {chance.randint(1, WORKERS)}", fault.away)
        case "kill scheduler" | "kill serve" | "kill events":
            here.kill(fault.kind.split()[1], fault.away)
        case "flushall":
            here.flushall()
        case "kill valkey":
            here.restart_valkey(fault.away)
        case "restart postgres":
            here.restart_postgres()
        case "publish again":
            _publish_twice(here, issue)
        case "storm of 429":
            here.ses.control(faults=[{"kind": "throttle", "next": fault.size}])
        case "storm of 5xx":
            here.ses.control(faults=[{"kind": "error_before", "next": fault.size}])
        case kind:
            here.ses.control(faults=[{"kind": kind, "next": fault.size}])


def _publish_twice(here: Field, issue: Edition) -> None:
    """Publish from two sides at once; the judge sees whether anybody got it twice."""
    threads = [threading.Thread(target=_publish, args=(here, issue)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _reach(here: Field, send_id: int, emails: int) -> None:
    """Until SES has accepted so many in all, or the send stands still or is over."""
    last, since = -1, time.monotonic()
    while (now := here.ses.stats()["accepted"]) < emails and time.monotonic() - since < STALLED:
        if now != last:
            last, since = now, time.monotonic()
        if _status(here, send_id).send.state == "finished":
            return
        here.advance()
        time.sleep(0.02)


def _until(here: Field, true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        here.advance()
        time.sleep(0.1)
    return True


def _status(here: Field, send_id: int) -> SendStatus:
    return patiently(lambda: list_send_statuses(here.database, str(send_id))[0])


def _left(here: Field, send_id: int) -> bool:
    """Are events still to be recorded?"""
    stats = here.ses.stats()
    return bool(stats["waiting"] or stats["hidden"]) or _status(here, send_id).deliveries["accepted"] > 0


def _doubtful(here: Field, send_id: int) -> set[str]:
    """Addresses with an uncertain delivery; only compared with SES's log, never used to judge it."""
    with here.database.transaction() as tx:
        rows = tx.all(
            """
            SELECT email FROM deliveries JOIN subscribers ON subscribers.id = subscriber_id
            WHERE send_id = %(send_id)s AND deliveries.state = 'uncertain'
            """,
            send_id=send_id,
        )
    return {row["email"] for row in rows}


def _judge(
    here: Field,
    number: int,
    subscribers: int,
    faults: list[Fault],
    seconds: float,
    tag: str,
    send_id: int,
    got: Counter[str],
    uncertain: int,
    finished: bool,
    drained: bool,
) -> Round:
    audience = {f"{tag}-{n}@example.org" for n in range(1, subscribers + 1)}
    doubtful = patiently(lambda: _doubtful(here, send_id))
    twice = sum(times > 1 for times in got.values())
    unexplained = len(audience - set(got) - doubtful)
    allowed = sum(fault.uncertain for fault in faults)
    unsettled = len(doubtful & set(got))
    send = _status(here, send_id).send
    promises = {
        f"the send is {send.state} ({send.reason or send.waiting_reason})": not finished or send.state != "finished",
        "the events were not all taken in": not drained,
        "somebody got it twice": twice > 0,
        "somebody got nothing and is not uncertain": unexplained > 0,
        "somebody outside the audience got it": bool(set(got) - audience),
        "more are uncertain than were in flight": uncertain > allowed,
        "the events left accepted emails uncertain": unsettled > 0,
        "the web server is not well": not _until(here, here.serves, 20),
    }
    wrong = (*(name for name, broken in promises.items() if broken), *here.died)
    here.died.clear()
    kinds = tuple(fault.kind for fault in faults)
    return Round(
        number, subscribers, kinds, seconds, sum(got.values()), twice, unexplained, uncertain, allowed, unsettled, wrong
    )  # fmt: skip


def run(faults: int, seed: int, smallest: int, largest: int, each: int, latency: float = 0.02) -> list[Round]:
    """Rounds of at most ``each`` faults until all were played; subscribers between ``smallest`` and ``largest`` in each."""
    chance = random.Random(seed)
    rounds: list[Round] = []
    deck: list[str] = []
    with field(latency) as here:
        adopt_issues(here.database, here.conf, [factories.old()])
        while faults > 0:
            number = min(each, faults)
            faults -= number
            drawn = draw(chance, number, deck)
            done = play(here, len(rounds) + 1, chance.randint(smallest, largest), drawn, chance)
            rounds.append(done)
            print(
                f"round {len(rounds)}: {done.accepted:,} emails, {'; '.join(done.wrong) or 'kept'}", file=sys.stderr, flush=True
            )
    return rounds


def show(console: Console, rounds: list[Round], seed: int) -> None:
    """The table, and how often each kind of fault came."""
    table = Table(box=None, header_style="bold")
    for name in ("round", "subscribers", "faults", "s", "accepted", "twice", "missing", "uncertain", "allowed", "left"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for one in rounds:
        numbers = (one.number, one.subscribers, len(one.faults), round(one.seconds), one.accepted, one.twice, one.unexplained)
        more = (one.uncertain, one.allowed, one.unsettled)
        table.add_row(*(f"{number:,}" for number in (*numbers, *more)), "; ".join(one.wrong) or "kept")
    console.print(table)
    kinds = Counter(kind for one in rounds for kind in one.faults)
    console.print(f"Seed {seed}, {kinds.total()} faults: " + ", ".join(f"{n} × {kind}" for kind, n in sorted(kinds.items())))
    console.print("missing: got nothing and is not uncertain; uncertain: before the last events, at most as many as allowed;")
    console.print("left: still uncertain although SES accepted them and all events came.")


def summary(rounds: list[Round], seed: int) -> Figures:
    """All rounds together."""
    kinds = Counter(kind for one in rounds for kind in one.faults)
    rows = [
        ("rounds, of them with a broken promise", f"{len(rounds)}, {sum(bool(one.wrong) for one in rounds)}"),
        ("emails accepted by SES", f"{sum(one.accepted for one in rounds):,}"),
        ("subscribers who got an email twice", f"{sum(one.twice for one in rounds)}"),
        ("subscribers who got nothing and are not uncertain", f"{sum(one.unexplained for one in rounds)}"),
        ("uncertain before the events, and at most allowed (in flight at a fault)",
         f"{sum(one.uncertain for one in rounds):,}, {sum(one.allowed for one in rounds):,}"),
        ("accepted but still uncertain after the events", f"{sum(one.unsettled for one in rounds)}"),
        *((f"fault: {kind}", f"{number}") for kind, number in sorted(kinds.items())),
    ]  # fmt: skip
    return Figures("chaos", (f"{kinds.total()} faults, seed {seed}", "figure"), rows)


def main() -> None:
    """Run and print the table."""
    command = parser(__doc__)
    command.add_argument("--faults", type=int, default=50)
    command.add_argument("--seed", type=int, default=20261124)
    command.add_argument("--subscribers", type=int, nargs=2, default=(1000, 4000), metavar=("LEAST", "MOST"))
    command.add_argument("--each", type=int, default=10, help="faults in one round")
    command.add_argument("--json", action="store_true")
    options = command.parse_args()
    log.configure("error")
    rounds = run(options.faults, options.seed, options.subscribers[0], options.subscribers[1], options.each)
    if options.json:
        print(json.dumps([asdict(one) for one in rounds], indent=2))
    else:
        show(Console(width=110), rounds, options.seed)
    if options.save:
        summary(rounds, options.seed).show(save=True)
    sys.exit(any(one.wrong for one in rounds))


if __name__ == "__main__":
    main()
