"""Random histories of paying subscribers, with faults: does our access equal that of a plain model, for every subscriber?

``python -m bench.stripe_chaos --histories 1000 --seed 1``. Each history is one subscriber's months: pay, cancel, stay, pause,
go on, withdraw, their card fails and heals; at Stripe's dashboard somebody cancels or pauses; a bank disputes. Events come
twice, shuffled, late or never, calls break, answers are lost after the work was done. At the end ``reconcile`` runs once, and
a model of a few lines, which knows nothing of Stripe's words or of our code and counts in days, says who may read and how
often was charged. Exit code 1 when one subscriber differs.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stripe import HTTPClient

from bench import figures
from bench.figures import Figures
from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.fakes.fake_stripe import EventFaults, FakeStripe
from mailer.fakes.fake_stripe_books import DAY, StripeObject
from mailer.flows.billing import stripe_sync, subscription_changes
from mailer.flows.billing.stripe_reconcile import reconcile
from tests import services
from tests.conftest import ROOT
from tests.paying import Shop
from tests.paying import settings as make_settings

GROUP = 50  # histories on one fake
STEPS = 16
PERIOD, GRACE, TRIES = 30, 14, (0, 3, 8, 15)
VERBS = ("leave", "stay", "pause", "resume", "withdraw", "card fails", "card heals", "cancel now", "pause there", "dispute")


@dataclass
class Model:
    """One subscriber, in days. ``paid_to`` is the day to which was paid; nothing here knows of Stripe."""

    start: int
    trial: int
    today: int = 0
    paid_to: int = 0
    good_card: bool = True
    leaving: bool = False
    over: bool = False
    failing: int = -1
    kept: int = -1  # days that wait for the end of a pause; -1: no pause of the subscriber's
    there: bool = False  # paused by hand at Stripe: charges are void
    voided: bool = False
    charged: int = 0
    back: bool = False
    disputed: int = -1

    def __post_init__(self) -> None:
        self.today = self.start
        self.next = self.paid_to = self.start + (self.trial or PERIOD)
        self.charged = 0 if self.trial else 1

    def days(self, number: int) -> None:
        for _ in range(number):
            self.today += 1
            if not self.over:
                self._bill()

    def _bill(self) -> None:
        if self.failing >= 0 and not (self.kept >= 0 or self.there):
            since = self.today - self.failing
            if since in TRIES and self.good_card:
                self.charged += 1
                self.failing, self.paid_to = -1, self.next
            elif since >= TRIES[-1]:
                self.over = True
        if self.today < self.next or self.over:
            return
        if self.leaving:
            self.over = True
            return
        self.next += PERIOD
        self.disputed = -1  # it was about the payment before; this one counts for itself
        if self.kept >= 0 or self.there:
            self.voided = True
        elif self.good_card:
            self.charged += 1
            self.paid_to, self.voided = self.next, False
        else:
            self.failing = self.today

    def may_read(self) -> bool:
        if self.disputed >= 0 and not self.over:
            return self.today < self.disputed + GRACE
        if self.kept >= 0:
            return False
        if self.failing >= 0 and not self.over:
            return self.today < self.failing + GRACE
        if self.over or self.leaving:
            return self.failing < 0 and not self.back and self.today < self.paid_to
        return not self.voided if self.there else True

    def can(self, verb: str) -> bool:
        """What a person can sensibly do now; the rest does nothing in either world."""
        quiet = self.failing < 0 and not self.there and self.disputed < 0 and not self.over
        return {
            "leave": quiet and not self.leaving and self.kept < 0,
            "stay": quiet and self.leaving and self.kept < 0,
            "pause": quiet and not self.leaving and self.kept < 0 and self.paid_to > self.today,
            "resume": quiet and self.kept >= 0,
            "withdraw": quiet and self.kept < 0 and not self.leaving and self.today < self.start + 14,
            "card fails": self.good_card,
            "card heals": not self.good_card,
            "cancel now": quiet and self.kept < 0 and not self.leaving,
            "pause there": quiet and self.kept < 0 and not self.leaving and not self.trial,
            "dispute": quiet and self.kept < 0 and not self.leaving and self.charged > 0 and not self.trial,
        }[verb]

    def do(self, verb: str) -> None:
        if verb == "leave":
            self.leaving = True
        elif verb == "stay":
            self.leaving = False
        elif verb == "pause":
            self.kept = self.paid_to - self.today
        elif verb == "resume":
            self.next = self.paid_to = self.today + self.kept
            self.kept = -1
        elif verb in ("withdraw", "cancel now"):
            self.over = True
            self.back = verb == "withdraw"
        elif verb.startswith("card"):
            self.good_card = verb == "card heals"
        elif verb == "pause there":
            self.there = True
        elif verb == "dispute":
            self.disputed = self.today


class World:
    """Stripe and us, where the same things are done."""

    def __init__(self, shop: Shop, chance: random.Random, start: int) -> None:
        self.shop, self.chance, self.start = shop, chance, start
        self.habits = EventFaults(twice=0.2, lost=0.25, late=0.3, shuffled=True)

    def do(self, verb: str, subscriber: int, sub: StripeObject) -> bool:
        """Do it; False when Stripe or we could not and the subscriber saw a sentence."""
        books = self.shop.fake.books
        if verb in ("leave", "stay", "pause", "resume", "withdraw"):
            if self.chance.random() < 0.3:
                self.shop.fake.lose_answers(self.chance.randint(1, 2))
            ask = getattr(subscription_changes, verb)
            try:
                more = {"days": 365} if verb == "pause" else {}
                ask(self.shop.database, self.shop.settings, subscriber, **more)
                return True
            finally:
                self.shop.fake.lose_answers(0)
        with self.shop.fake.lock:
            if verb.startswith("card"):
                (books.bad_cards.add if verb == "card fails" else books.bad_cards.discard)(sub["customer"])
            elif verb == "cancel now":
                books.end(sub)
            elif verb == "pause there":
                sub["pause_collection"] = {"behavior": "void"}
                books.emit("customer.subscription.updated", sub)
            elif charge := books.get(sub["latest_invoice"]).get("charge_id"):
                books.dispute(charge)
            else:
                return False  # the latest invoice was void or for nothing: no bank can dispute it
        return True


def group(database: Database, folder: Path, histories: int, seed: int) -> tuple[int, list[str], dict[str, int]]:
    """So many histories on one fake: how many agree, what differs, and how often each thing happened."""
    chance = random.Random(seed)
    start = int(time.time()) // DAY
    counted: dict[str, int] = {}
    with FakeStripe(start * DAY) as fake:
        shop = Shop(make_settings(folder, database, fake, plans=folder / "plans.toml"), database, fake, chance)

        def clock() -> datetime:
            return datetime.fromtimestamp(fake.books.now, UTC)

        subscription_changes.clock = stripe_sync.clock = clock
        world = World(shop, chance, start)
        people = [_begin(shop, chance, number, start) for number in range(histories)]
        shop.hear()
        for _ in range(STEPS):
            for subscriber, sub, model in people:
                verb = chance.choice(VERBS)
                if chance.random() < 0.35 and model.can(verb):
                    with contextlib.suppress(PostmergeError):
                        if world.do(verb, subscriber, sub):
                            model.do(verb)
                            counted[verb] = counted.get(verb, 0) + 1
            days = chance.randint(1, 9)
            with fake.lock:
                fake.books.advance(days * DAY)
            for _, _, model in people:
                model.days(days)
            if chance.random() < 0.3:
                fake.break_calls(chance.randint(1, 6))
            shop.hear(world.habits)
            fake.break_calls(0)
            shop.hurry()
        reconcile(database, shop.settings)
        wrong = [text for number, one in enumerate(people) if (text := _differs(shop, number, *one))]
        if fake.unkeyed:
            wrong.append(f"calls without an idempotency key: {fake.unkeyed[:3]}")
    return histories - len(wrong), wrong, counted


def _begin(shop: Shop, chance: random.Random, number: int, start: int) -> tuple[int, StripeObject, Model]:
    email = f"r{number}@example.org"
    trial = chance.choice((0, 0, 0, 14))
    subscriber = shop.add_subscriber(email)
    return subscriber, shop.buy(email, trial_days=trial), Model(start, trial)


def _differs(shop: Shop, number: int, subscriber: int, sub: StripeObject, model: Model) -> str:
    ours = shop.entitlement(f"r{number}@example.org")
    charged = sum(1 for customer, amount in shop.fake.books.charged if customer == sub["customer"] and amount > 0)
    back = sum(1 for customer, amount in shop.fake.books.charged if customer == sub["customer"] and amount < 0)
    said = (ours.premium, charged, back)
    wanted = (model.may_read(), model.charged, int(model.back and model.charged > 0))
    return "" if said == wanted else f"reader {number}: we say {said} ({ours.state}), the model {wanted}: {model}"


def _empty(database: Database) -> None:
    names = (
        "subscribers, consents, subscriptions, customers, charges, grants, entitlements, gifts, stripe_events, stripe_account,"
        " transactional_emails, notices"
    )
    with database.transaction() as tx:
        tx.script(f"TRUNCATE {names} CASCADE")


def main() -> None:
    parser = figures.parser(__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    log.configure("error")
    setattr(HTTPClient, "INITIAL_DELAY", 0.005)  # noqa: B010 (seconds between the library's own tries)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "plans.toml").write_text((ROOT / "docs" / "plans.example.toml").read_text())
        with services.postgres(folder) as server:
            services.make_template(server, "stripe_chaos_template")
            with services.cloned(server, "stripe_chaos_template") as url:
                sys.exit(_run(Database(url), folder, asked.histories, asked.seed, asked.save))


def _run(database: Database, folder: Path, histories: int, seed: int, save: bool) -> int:
    started, agreed = time.monotonic(), 0
    wrong: list[str] = []
    total: dict[str, int] = {}
    for at in range(0, histories, GROUP):
        _empty(database)
        good, bad, counted = group(database, folder, min(GROUP, histories - at), seed * 1000 + at)
        agreed, wrong = agreed + good, wrong + bad
        for verb, number in counted.items():
            total[verb] = total.get(verb, 0) + number
        print(f"{at + GROUP:5} histories, {agreed} agree, {time.monotonic() - started:.0f} s", flush=True)
    rows = [("histories that agree with the model", f"{agreed:,} of {histories:,}")]
    rows += [
        ("seconds", f"{time.monotonic() - started:.0f}"),
        *((verb, f"{number:,}") for verb, number in sorted(total.items())),
    ]
    Figures("stripe-chaos", (f"seed {seed}", "figure"), rows).show(save)
    for text in wrong[:10]:
        print(text)
    database.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
