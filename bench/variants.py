"""Does a send with several texts go as fast as one with a single text? In one run, by turns, on the same subscribers.

``python -m bench.variants --subscribers 100000 --rounds 2`` prints emails a second for one text and for three: the
original, its premium text and a German translation, each for a third of the subscribers. The transport accepts at once, so
that only our own work is measured and a difference is as visible as possible.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figures, parser
from mailer.core import log
from mailer.core.db import Database
from mailer.core.edition import Edition, Variant
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.store.sending import send_reports
from mailer.transports.base import AccountLimits, Answer, Envelope, Outcome
from tests import factories, services

_PARAGRAPH = f"<p>{factories.PROSE}</p>\n"


@dataclass
class Nothing:
    """Accepts every email at once."""

    name: str = "nothing"
    sent: int = 0

    def send(self, envelope: Envelope) -> Answer:
        self.sent += 1
        return Answer(Outcome.ACCEPTED, message_id=f"m{self.sent}")

    def account(self) -> AccountLimits | None:
        return None


def edition(number: int, texts: int) -> Edition:
    """An edition of 40 KB with so many texts."""
    body = _PARAGRAPH * 130
    return factories.edition(f"issue-{number}", body=f"{body}<p>{number}</p>", variants=tuple(_variants(body, texts)))


def _variants(body: str, texts: int) -> list[Variant]:
    names = ("premium", "de")[: texts - 1]
    found = []
    for name in names:
        own = f"{body}<p>{name}</p>"
        page = f'<html><body>{own}<a href="{UNSUBSCRIBE_URL}">Unsubscribe</a></body></html>'
        digest = hashlib.sha256(own.encode()).hexdigest()
        found.append(Variant(name, "x", page, f"{own} {UNSUBSCRIBE_URL}", own, digest))
    return found


def run(database: Database, folder: Path, number: int, texts: int) -> float:
    """Emails a second of one send."""
    settings, transport = factories.settings(folder, database.url, first_slice=100.0), Nothing()
    issues = [factories.old(), *(edition(n, 1) for n in range(number)), edition(number, texts)]
    [send_id] = publish(database, settings, issues, [], transport, Request(issue=f"issue-{number}", allow=("unsold",))).send_ids
    advance_sends(database, settings)
    started = time.monotonic()
    while deliver_send(database, settings, transport, send_id).more:
        pass
    seconds = time.monotonic() - started
    with database.transaction() as tx:
        subscribers = tx.value("SELECT count(*) FROM subscribers")
        shares = sorted(send_reports.count_by_text(tx, send_id).values())
    assert transport.sent == subscribers, f"{transport.sent} of {subscribers} were sent"
    assert len(shares) == texts, f"{len(shares)} of {texts} texts were chosen"
    assert shares[0] > subscribers / texts - 2, f"the texts went to {shares} readers"
    return transport.sent / seconds


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--subscribers", type=int, default=100_000)
    made.add_argument("--rounds", type=int, default=2)
    asked = made.parse_args()
    log.configure("error")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with services.postgres(folder) as server:
            services.make_template(server, "variants_template")
            with services.cloned(server, "variants_template") as url:
                _measure(Database(url), folder, asked.subscribers, asked.rounds, asked.save)


def _measure(database: Database, folder: Path, subscribers: int, rounds: int, save: bool) -> None:
    texts = 3
    factories.add_subscribers(database, subscribers)
    with database.transaction() as tx:
        tx.run(
            "INSERT INTO entitlements (subscriber_id, state, premium) "
            "SELECT id, 'paying', true FROM subscribers WHERE id % 3 = 0"
        )
        tx.run("UPDATE subscribers SET lang = 'de-AT' WHERE id % 3 = 1")
        tx.script("ANALYZE entitlements; ANALYZE subscribers")
    adopt_issues(database, factories.settings(folder, database.url), [factories.old()])
    run(database, folder, 0, 1)  # the first warms everything up
    rates: dict[int, list[float]] = {1: [], texts: []}
    for number in range(1, 2 * rounds + 1):
        kind = (1, texts)[number // 2 % 2]  # one, three, three, one
        rates[kind].append(run(database, folder, number, kind))
        print(f"{kind} text(s): {rates[kind][-1]:,.0f} mails/s", flush=True)
    one, many = (sum(found) / len(found) for found in rates.values())
    rows = [["one text for all", f"{one:,.0f}", ""], ["original, premium, German", f"{many:,.0f}", f"{many / one - 1:+.1%}"]]
    Figures("variants", ["texts", "emails a second", "difference"], rows).show(save)
    database.close()


if __name__ == "__main__":
    main()
