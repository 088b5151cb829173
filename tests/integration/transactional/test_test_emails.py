"""An issue in a reviewer's inbox: the very message that subscribers get, marked, outside of the ledger's sends."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition, Variant
from mailer.core.errors import BadInput, Refused, TooManyRequests, Unavailable
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.flows.events import email_events
from mailer.flows.publishing.publish import Request, adopt_issues, preview_publish, publish
from mailer.flows.subscribers import erasure, signup
from mailer.flows.transactional import test_emails as flow
from mailer.store.subscribers import suppressions
from mailer.transports.base import Answer, Envelope, Outcome
from mailer.transports.outbox import Outbox, OutboxEmail
from mailer.webhooks.ses_events import LINK_TAGS
from tests import factories, web
from tests.web import SITE_NAME, Web

ME = "me@example.org"
PREMIUM = Variant("premium", "", "<html><body><p>Paid.</p></body></html>", "Paid.", "<p>Paid.</p>", "b" * 64)
GERMAN = Variant(
    "de", "", "<html><body><p>Hallo.</p></body></html>", "Hallo.", "<p>Hallo.</p>", "d" * 64, lang="de", subject="Hallo"
)


class Answering(Outbox):
    """An outbox whose service gives this answer instead of taking the email."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        super().__init__(folder)
        self.answer = answer

    def send(self, envelope: Envelope) -> Answer:
        return self.answer


class Taking(Outbox):
    """An outbox that keeps the envelopes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.envelopes: list[Envelope] = []

    def send(self, envelope: Envelope) -> Answer:
        self.envelopes.append(envelope)
        return super().send(envelope)


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, reviewers=(ME,), transport="ses")


def send(newsletter: Web, email: str = ME, edition: Edition | None = None, variant: str = "", **more: object) -> bool:
    text = flow.choose_text(edition or factories.edition(), variant)
    transport = more.get("transport") or Outbox(newsletter.settings.outbox)
    settings = replace(newsletter.settings, **more.get("settings", {}))  # type: ignore[arg-type]
    return flow.send_test_email(newsletter.database, settings, transport, SITE_NAME, text, email, "cli")  # type: ignore[arg-type]


def rows(newsletter: Web, columns: str = "state") -> list[tuple[object, ...]]:
    with newsletter.database.transaction() as tx:
        return [tuple(row.values()) for row in tx.all(f"SELECT {columns} FROM test_emails ORDER BY id")]


def follow(newsletter: Web, email: OutboxEmail) -> str:
    [path] = {path for path in web.paths(email.text, newsletter.settings) if path.startswith("/reviewers/")}
    return path


def test_a_reviewer_gets_the_very_message_with_a_mark(newsletter: Web) -> None:
    edition = factories.edition()
    assert send(newsletter, edition=edition)
    [email] = newsletter.emails()
    assert (email.to, email.subject) == (ME, f"[Test] {edition.subject}")
    assert edition.body in email.html.replace("\r\n", "\n")
    banner = f"Test email: {edition.key}, edition 1, the free text, digest {edition.digest[:12]}."
    assert banner in email.html.partition("<p>")[0]
    assert email.text.startswith(banner)
    assert dict(email.headers)["X-Postmerge-Digest"] == edition.digest
    assert rows(newsletter, "email_normal, source, issue_key, variant, digest, state") == [
        (ME, "cli", edition.key, "", edition.digest, "accepted")
    ]
    assert newsletter.counted("deliveries") == newsletter.counted("sends") == 0


def test_it_comes_from_whom_the_issue_names(newsletter: Web) -> None:
    send(newsletter, edition=factories.edition(sender="Ada <ada@example.org>", reply_to="desk@example.org"))
    headers = dict(newsletter.emails()[0].headers)
    assert (headers["From"], headers["Reply-To"]) == ("Ada <ada@example.org>", "desk@example.org")


@pytest.mark.parametrize(("variant", "said", "subject"), [("premium", "Paid.", "Subject of"), ("de", "Hallo.", "Hallo")])
def test_each_variant_can_be_tested(newsletter: Web, variant: str, said: str, subject: str) -> None:
    send(newsletter, edition=factories.edition(variants=(PREMIUM, GERMAN)), variant=variant)
    [email] = newsletter.emails()
    assert said in email.html
    assert f"variant {variant}, digest {(PREMIUM if variant == 'premium' else GERMAN).digest[:12]}" in email.text
    assert email.subject.startswith(f"[Test] {subject}")


def test_an_unknown_variant_or_issue_is_answered_with_what_there_is(newsletter: Web) -> None:
    edition = factories.edition(variants=(PREMIUM, GERMAN))
    with pytest.raises(BadInput, match=r"no variant 'fr'. Its variants: `premium`, `de`\."):
        flow.choose_text(edition, "fr")
    with pytest.raises(BadInput, match=r"key or path 'other'. The latest ones: 2026-11-24-hello, 2020-01-01-old\."):
        flow.choose_edition([factories.old(), edition], "other")
    for name in (edition.key, edition.path, Path(edition.path).name):
        assert flow.choose_edition([factories.old(), edition], name) is edition


def test_its_unsubscribe_link_changes_nothing(newsletter: Web) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, ME, [], confirmed=True)
    send(newsletter)
    [email] = newsletter.emails()
    before = newsletter.dump()
    for path in {path for path in web.paths(email.text + email.html, newsletter.settings) if "/leave/" in path}:
        assert "This was a test email" in newsletter.client.get(path).text
    assert newsletter.client.post("/leave/test", data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert newsletter.dump() == before


def test_any_other_address_confirms_once_by_a_link(newsletter: Web) -> None:
    assert not send(newsletter, "you@example.org")
    [asked] = newsletter.emails()
    assert (asked.to, newsletter.counted("test_emails")) == ("you@example.org", 0)
    path = follow(newsletter, asked)
    shown = newsletter.client.get(path)
    assert (shown.status_code, "y•••@example.org" in shown.text) == (200, True)
    with pytest.raises(Refused, match="A link was sent to this address already"):
        send(newsletter, "you@example.org")
    assert newsletter.client.post(path).status_code == 200
    assert send(newsletter, "You@Example.org")
    assert [email.subject[:6] for email in newsletter.emails()] == ["[Test]", asked.subject[:6]]


def test_where_emails_are_only_written_to_files_nobody_has_to_confirm(newsletter: Web) -> None:
    assert send(newsletter, "you@example.org", settings={"transport": "outbox"})
    assert [email.subject[:6] for email in newsletter.emails()] == ["[Test]"]


def test_a_forged_link_proves_nothing(newsletter: Web) -> None:
    send(newsletter, "you@example.org")
    [asked] = newsletter.emails()
    path = follow(newsletter, asked)
    for wrong in (path[:-1] + ("A" if path[-1] != "A" else "B"), "/reviewers/x"):
        assert newsletter.client.get(wrong).status_code == newsletter.client.post(wrong).status_code == 404
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT proven_at FROM reviewers") is None


@pytest.mark.parametrize("reason", ["complaint", "hard bounce", "operator"])
def test_who_must_not_be_emailed_gets_no_test_either(newsletter: Web, reason: str) -> None:
    with newsletter.database.transaction() as tx:
        suppressions.add(tx, [ME], reason)
    with pytest.raises(Refused, match="must not be emailed"):
        send(newsletter)
    assert newsletter.emails() == []


def test_an_address_and_everybody_have_a_limit_an_hour(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_EMAILS_PER_ADDRESS_AND_HOUR", 2)
    monkeypatch.setattr(flow, "MAX_EMAILS_PER_HOUR", 3)
    reviewers = {"reviewers": (ME, "b@example.org", "c@example.org")}
    for email in (ME, ME, "b@example.org"):
        send(newsletter, email, settings=reviewers)
    with pytest.raises(TooManyRequests, match="This address got 2 test emails within an hour"):
        send(newsletter, ME, settings=reviewers)
    with pytest.raises(TooManyRequests, match="3 test emails were sent within an hour"):
        send(newsletter, "c@example.org", settings=reviewers)
    assert len(newsletter.emails()) == 3


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [
        (Outcome.REFUSED, "failed", Refused),
        (Outcome.HALT, "failed", Refused),
        (Outcome.THROTTLED, "failed", Unavailable),
        (Outcome.RETRY, "failed", Unavailable),
        (Outcome.UNCERTAIN, "uncertain", Unavailable),
    ],
)
def test_what_the_service_answers_is_written_down_and_said(
    newsletter: Web, outcome: Outcome, state: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="because of a test"):
        send(newsletter, transport=Answering(newsletter.settings.outbox, Answer(outcome, detail="because of a test")))
    assert rows(newsletter, "state, detail") == [(state, "because of a test")]


def test_a_bounce_takes_the_proof_back_and_suppresses_nobody(newsletter: Web) -> None:
    settings = {"reviewers": ()}
    send(newsletter, settings=settings)
    newsletter.client.post(follow(newsletter, newsletter.emails()[0]))
    send(newsletter, settings=settings)
    for kind, state in (("Delivery", "delivered"), ("Permanent/General", "bounced"), ("Delivery", "bounced")):
        event = FakeEvent(kind, AcceptedEmail("m-1", ME, {"test": "1"}, "x", time.time()), time.time())
        counts = email_events.process_messages(newsletter.database, newsletter.settings, [json.dumps(event_json(event))])
        assert (counts.recorded, counts.unknown, rows(newsletter)) == (1, 0, [(state,)])
    assert newsletter.counted("suppressions") == 0
    with pytest.raises(Refused, match="A link was sent"):
        send(newsletter, settings=settings)


def tell(newsletter: Web, kind: str, tags: dict[str, str]) -> email_events.EventCounts:
    event = FakeEvent(kind, AcceptedEmail("m-1", ME, tags, "x", time.time()), time.time())
    return email_events.process_messages(newsletter.database, newsletter.settings, [json.dumps(event_json(event))])


@pytest.mark.parametrize("about", ["the link", "the test email"])
def test_whoever_complains_about_a_test_email_or_its_link_is_emailed_no_more(newsletter: Web, about: str) -> None:
    reviewers = () if about == "the link" else (ME,)
    taken = Taking(newsletter.settings.outbox)
    send(newsletter, settings={"reviewers": reviewers}, transport=taken)
    assert tell(newsletter, "Complaint", dict(taken.envelopes[0].tags)).recorded == 1
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT reason FROM suppressions WHERE email_normal = %(me)s", me=ME) == "complaint"
    with pytest.raises(Refused, match="must not be emailed"):
        send(newsletter, settings={"reviewers": (ME,)})


def test_a_bounce_of_a_link_suppresses_its_address_and_a_delivery_does_not(newsletter: Web) -> None:
    for kind, suppressed in (("Delivery", 0), ("Transient/General", 0), ("Permanent/General", 1)):
        tell(newsletter, kind, dict(LINK_TAGS))
        assert newsletter.counted("suppressions") == suppressed


def test_erasure_takes_the_reviewer_with_it(newsletter: Web) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, ME, [], confirmed=True)
    send(newsletter, settings={"reviewers": ()})
    newsletter.client.post(follow(newsletter, newsletter.emails()[0]))
    send(newsletter, settings={"reviewers": ()})
    assert erasure.erase_subscriber(newsletter.database, newsletter.settings, 1)
    assert newsletter.counted("reviewers") == 0
    assert rows(newsletter, "email_normal") == [("",)]


def test_with_required_review_only_what_a_reviewer_was_sent_is_published(newsletter: Web) -> None:
    factories.add_subscribers(newsletter.database, 1)
    factories.bind_stripe(newsletter.database)
    adopt_issues(newsletter.database, newsletter.settings, [factories.old()])
    settings = replace(newsletter.settings, require_review=True)
    edition = factories.edition(variants=(PREMIUM,))
    transport, found = Outbox(settings.outbox), [factories.old(), edition]

    def refusals() -> list[str]:
        return [
            one.sentence for one in preview_publish(newsletter.database, settings, found, [], transport, Request()).refusals
        ]

    assert [f"`postmerge test {edition.key}`" in refusals()[0], "--variant 'premium'`" in refusals()[1]] == [True, True]
    send(newsletter, edition=edition)
    assert len(refusals()) == 1
    send(newsletter, edition=edition, variant="premium")
    assert refusals() == []
    found[1] = replace(edition, digest="e" * 64)
    with pytest.raises(Refused, match="No reviewer was sent"):
        publish(newsletter.database, settings, found, [], transport, Request())
    found[1] = edition
    assert publish(newsletter.database, settings, found, [], transport, Request()).send_ids
