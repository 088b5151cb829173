"""Emails to one person: what each answer leads to, that none goes out twice, and that nobody's words become markup in them."""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lxml import html as lxml_html

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.rate_limiter import NoRateLimit
from mailer.core.settings import Settings
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.send_rate import SendRate
from mailer.flows.subscribers import signup
from mailer.flows.transactional import transactional_worker
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.store.subscribers import subscribers
from mailer.store.transactional import transactional_emails
from mailer.store.transactional.transactional_emails import ClaimedEmail
from mailer.transports.base import AccountLimits, Answer, Envelope, Outcome
from tests import factories

CLAIM, OTHER_CLAIM = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
CRAFTED = '<a href="https://evil.example/">Win</a>"\'&amp;<script>alert(1)</script>'


@pytest.fixture
def conf(tmp_path: Path, database: Database) -> Settings:
    return factories.settings(tmp_path, database.url)


class Answering:
    """A transport that always gives the same answer, or breaks after it may have sent; it counts what it was asked to send."""

    name = "answering"

    def __init__(self, outcome: Outcome | None, account: AccountLimits | None = None) -> None:
        self.outcome, self._account = outcome, account
        self.asked: Counter[str] = Counter()

    def send(self, envelope: Envelope) -> Answer:
        self.asked[envelope.to] += 1
        if self.outcome is None:
            raise ConnectionResetError(envelope.to)
        return Answer(self.outcome, message_id="m" if self.outcome is Outcome.ACCEPTED else "", detail="said so")

    def account(self) -> AccountLimits | None:
        return self._account


def ask(database: Database, number: int = 3) -> None:
    for one in range(number):
        signup.sign_up(database, f"subscriber-{one}@example.org")


def states(database: Database) -> Counter[str]:
    with database.transaction() as tx:
        return Counter(row["state"] for row in tx.all("SELECT state FROM transactional_emails"))


@pytest.mark.parametrize(
    ("outcome", "ledger", "is_tried_again"),
    [
        (Outcome.ACCEPTED, "accepted", False),
        (Outcome.UNCERTAIN, "uncertain", False),
        (Outcome.REFUSED, "failed", False),
        (None, "uncertain", False),
        (Outcome.THROTTLED, "pending", True),
        (Outcome.RETRY, "pending", True),
        (Outcome.HALT, "pending", True),
    ],
)
def test_each_answer_has_its_place_in_the_ledger_and_only_proof_of_not_sent_tries_again(
    database: Database, conf: Settings, outcome: Outcome | None, ledger: str, is_tried_again: bool
) -> None:
    ask(database)
    other_side = Answering(outcome)
    rounds = [deliver_batch(database, conf, other_side, "The Letter") for _ in range(3)]
    assert states(database) == {ledger: 3}
    assert set(other_side.asked.values()) == {3 if is_tried_again else 1}
    assert rounds == ([0, 0, 0] if is_tried_again else [3, 0, 0])  # 0: the worker backs off before the next round
    with database.transaction() as tx:
        rows = tx.all("SELECT message_id, detail, claimed_by, settled_at FROM transactional_emails")
    for row in rows:
        assert row["message_id"] == ("m" if outcome is Outcome.ACCEPTED else None)
        assert "@" not in row["detail"]
        assert (row["claimed_by"] is None) is (row["settled_at"] is None) is is_tried_again


def test_an_email_that_cannot_be_built_fails_alone(database: Database, conf: Settings) -> None:
    ask(database)
    with database.transaction() as tx:
        tx.run("UPDATE transactional_emails SET topic = 'unknown to this version' WHERE id = 1")
    other_side = Answering(Outcome.ACCEPTED)
    assert deliver_batch(database, conf, other_side, "The Letter") == 3
    assert states(database) == {"failed": 1, "accepted": 2}
    assert "subscriber-0@example.org" not in other_side.asked


@pytest.mark.parametrize(("left", "sent"), [(0, 0), (1, 3), (5000, 3)])
def test_the_last_of_the_quota_is_for_single_emails(database: Database, conf: Settings, left: int, sent: int) -> None:
    ask(database)
    account = AccountLimits(rate=14, quota=50_000, sent=50_000 - left)
    other_side = Answering(Outcome.ACCEPTED, account)
    assert deliver_batch(database, conf, other_side, "The Letter", SendRate(other_side, NoRateLimit())) == sent
    assert other_side.asked.total() == sent


def test_the_emails_of_a_worker_that_dies_are_uncertain_and_not_sent_again(database: Database, conf: Settings) -> None:
    ask(database)
    with database.transaction() as tx:
        transactional_emails.claim_batch(tx, CLAIM, 2)
        tx.run("UPDATE transactional_emails SET claimed_at = now() - %(lease)s * 1.1 WHERE id = 1", lease=conf.claim_lease)
    advance_sends(database, conf)
    other_side = Answering(Outcome.ACCEPTED)
    while deliver_batch(database, conf, other_side, "The Letter"):
        pass
    assert states(database) == {"uncertain": 1, "claimed": 1, "accepted": 1}
    assert set(other_side.asked) == {"subscriber-2@example.org"}


@pytest.mark.parametrize("before", ["claimed", "uncertain", "accepted", "delivered", "failed", "skipped", "bounced"])
def test_only_the_worker_that_holds_a_claim_writes_its_outcome_also_when_it_is_late(
    database: Database, conf: Settings, before: str
) -> None:
    ask(database, 1)
    with database.transaction() as tx:
        transactional_emails.claim_batch(tx, CLAIM, 1)
        tx.run("UPDATE transactional_emails SET state = %(state)s", state=before)
        assert transactional_emails.record_outcome(tx, 1, OTHER_CLAIM, "accepted", "m", "") == 0
        is_open = before in ("claimed", "uncertain")
        assert transactional_emails.record_outcome(tx, 1, CLAIM, "accepted", "m", "") == is_open
    assert states(database) == {"accepted" if is_open else before: 1}


@pytest.mark.parametrize("change", ["active", "unsubscribed", "suppressed", "erased", "nothing"])
def test_a_confirmation_that_is_not_wanted_any_more_is_skipped(database: Database, conf: Settings, change: str) -> None:
    ask(database, 1)
    with database.transaction() as tx:
        if change == "suppressed":
            tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('subscriber-0@example.org', 'complaint')")
        elif change == "erased":
            tx.run("UPDATE subscribers SET erased_at = now()")
        elif change == "active":
            subscribers.activate(tx, 1)
        elif change == "unsubscribed":
            subscribers.unsubscribe(tx, 1)
    other_side = Answering(Outcome.ACCEPTED)
    assert deliver_batch(database, conf, other_side, "The Letter") == 1
    assert states(database) == {"accepted" if change == "nothing" else "skipped": 1}
    assert other_side.asked.total() == (change == "nothing")


PAID_FACTS = {"subject": f"A gift from {CRAFTED}", "sentences": [f"{CRAFTED} gives you a year."], "label": CRAFTED}
ISSUES = [{"title": CRAFTED, "url": "https://news.example.org/a/", "text": CRAFTED}]
CONFIRMATIONS: dict[str, dict[str, Any]] = {
    "": {}, "page": {}, "pause over": {}, "new address": {"to": "a@example.org"}, "address changed": {"new": CRAFTED},
    "digest": {"issues": ISSUES}, "topics": {"tags": [CRAFTED]},
}  # fmt: skip


def parts(raw: bytes) -> dict[str, str]:
    """The two bodies of an email, by kind."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}


@pytest.mark.parametrize(
    ("kind", "topic", "facts"),
    [
        ("paid", "", PAID_FACTS),
        ("paid", "", {**PAID_FACTS, "gift": 1}),
        *(("confirmation", *one) for one in CONFIRMATIONS.items()),
    ],
)
def test_what_anybody_wrote_stays_text_in_an_email_to_a_stranger(
    conf: Settings, kind: str, topic: str, facts: dict[str, Any]
) -> None:
    sent = ClaimedEmail(1, kind, 1, "ada@example.org", datetime.now(UTC), facts, topic, "de")
    found = parts(transactional_worker.build_message(conf, CRAFTED.replace("\n", ""), sent))
    shown = lxml_html.document_fromstring(found["text/html"])
    assert list(shown.iter("script")) == []
    assert not [link for link in shown.iter("a") if "evil.example" in link.get("href", "")]
    assert "<script>alert(1)</script>" in "".join(map(str, shown.itertext()))
    assert '<a href="https://evil.example/">' in re.sub(r"\s+", " ", found["text/plain"])
    assert "&lt;" not in found["text/plain"]
    assert "&#3" not in found["text/plain"]


STATES = ("unconfirmed", "active", "paused", "unsubscribed", "suppressed", "erased")
WANTED = {
    "": {"unconfirmed"}, "page": {"unconfirmed", "active", "paused", "unsubscribed"},
    "pause over": {"active"}, "digest": {"active"},
    "new address": {"unconfirmed", "active", "paused", "unsubscribed"},
    "address changed": {"unconfirmed", "active", "paused", "unsubscribed"},
}  # fmt: skip


def test_each_kind_of_email_is_sent_to_those_who_want_it_at_that_moment(database: Database) -> None:
    factories.add_subscribers(database, len(STATES))
    with database.transaction() as tx:
        for number, state in enumerate(STATES, 1):
            changes = {"paused": "paused_until = now() + interval '1 day'", "erased": "erased_at = now()"}
            changes["suppressed"] = "state = 'active'"
            change = changes.get(state, f"state = '{state}'")
            tx.run(f"UPDATE subscribers SET {change} WHERE id = %(id)s", id=number)
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('subscriber-5@example.org', 'hard bounce')")
    for topic, wanted in WANTED.items():
        with database.transaction() as tx:
            for number in range(1, len(STATES) + 1):
                transactional_emails.queue(tx, "confirmation", number, topic=topic)
            claimed, touched = transactional_emails.claim_batch(tx, CLAIM, 10)
        assert {STATES[one.subscriber_id - 1] for one in claimed} == wanted, topic
        assert touched == len(STATES)


def test_monthly_digests_are_sent_last(database: Database) -> None:
    factories.add_subscribers(database, 1)
    with database.transaction() as tx:
        for topic in ("digest", "page", "digest", "address changed"):
            transactional_emails.queue(tx, "confirmation", 1, topic=topic)
        assert [transactional_emails.claim_batch(tx, CLAIM, 1)[0][0].id for _ in range(4)] == [2, 4, 1, 3]


def test_one_kind_of_email_is_not_counted_for_another(database: Database) -> None:
    factories.add_subscribers(database, 2)
    with database.transaction() as tx:
        for kind, topic, subscriber in (("confirmation", "", 1), ("confirmation", "page", 1), ("confirmation", "page", 1),
                                    ("paid", "page", 1), ("paid", "", 1), ("confirmation", "page", 2)):  # fmt: skip
            transactional_emails.queue(tx, kind, subscriber, topic=topic)
        hour = timedelta(hours=1)
        assert [transactional_emails.count_since(tx, 1, hour, topic) for topic in ("", "page", "digest")] == [1, 2, 0]


@pytest.mark.parametrize("stuck", [Outcome.THROTTLED, Outcome.RETRY, Outcome.HALT])
def test_a_worker_rests_when_one_email_of_a_group_is_not_taken(database: Database, conf: Settings, stuck: Outcome) -> None:
    ask(database)

    class Mixed(Answering):
        def send(self, envelope: Envelope) -> Answer:
            return Answer(stuck) if "subscriber-1" in envelope.to else super().send(envelope)

    assert deliver_batch(database, conf, Mixed(Outcome.ACCEPTED), "The Letter") == 0
    assert states(database) == {"accepted": 2, "pending": 1}


@pytest.mark.parametrize("failures", [1, 2])
def test_an_outcome_is_written_when_postgres_is_back_and_the_email_is_not_sent_again(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    ask(database, 1)
    away = iter([True] * failures + [False])
    write = transactional_emails.record_outcome

    def settle(*given: Any) -> int:
        if next(away):
            raise Unavailable("Postgres cannot be reached.")
        return write(*given)

    monkeypatch.setattr(transactional_emails, "record_outcome", settle)
    monkeypatch.setattr(transactional_worker, "time", SimpleNamespace(sleep=lambda _seconds: None))
    other_side = Answering(Outcome.ACCEPTED)
    assert deliver_batch(database, conf, other_side, "The Letter") == 1
    assert states(database) == {"accepted": 1}
    assert other_side.asked.total() == 1
