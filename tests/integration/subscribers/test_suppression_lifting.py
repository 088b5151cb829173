"""The way back from a suppression: the operator's, the owner's own sign-up, and the time after soft bounces."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mailer import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.subscribers import erasure, signup, suppression_lifting
from mailer.flows.subscribers.suppression_lifting import UnsuppressRequest
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.store.subscribers import suppressions
from mailer.transports.base import SuppressionRemoval
from mailer.transports.outbox import Outbox
from tests import web
from tests.web import Web

ADA = "ada@example.org"
WEEK = erasure.BOUNCE_BLOCKS_SIGNUP_FOR
WHY = "wrote to us from this address"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    newsletter = web.make(tmp_path, database)
    signup.add_subscriber(database, newsletter.settings, ADA, [], confirmed=True)
    return newsletter


def suppress(newsletter: Web, reason: str = "hard bounce", age: timedelta = timedelta(), email: str = ADA) -> None:
    with newsletter.database.transaction() as tx:
        suppressions.add(tx, [email], reason)
        tx.run("UPDATE suppressions SET created_at = now() - %(age)s WHERE email_normal = %(email)s", age=age, email=email)


def suppressed(newsletter: Web) -> dict[str, str]:
    with newsletter.database.transaction() as tx:
        return {row["email_normal"]: row["reason"] for row in tx.all("SELECT email_normal, reason FROM suppressions")}


def unsuppress(newsletter: Web, email: str = ADA, **more: Any) -> suppression_lifting.Unsuppressed:
    request = UnsuppressRequest(email, **{"why": WHY, "by": "cli", **more})
    return suppression_lifting.unsuppress(newsletter.database, newsletter.settings, request)


def sign_up(newsletter: Web) -> bool:
    return signup.sign_up(newsletter.database, ADA, settings=newsletter.settings).email_queued


class ListingOutbox(Outbox):
    """An outbox whose provider has a suppression list; ``failing`` is raised instead of an answer."""

    def __init__(self, folder: Path, **listed: str) -> None:
        super().__init__(folder)
        self.listed = {f"{name}@example.org": reason for name, reason in listed.items()}
        self.failing: Exception | None = None

    def remove_suppression(self, email: str, complaints: bool = False) -> SuppressionRemoval:
        if self.failing:
            raise self.failing
        if email not in self.listed:
            return SuppressionRemoval.NOT_LISTED
        if self.listed[email] == "COMPLAINT" and not complaints:
            return SuppressionRemoval.COMPLAINT
        del self.listed[email]
        return SuppressionRemoval.REMOVED


@pytest.mark.parametrize("reason", ["hard bounce", "soft bounces", "operator"])
def test_the_operator_lifts_a_suppression_and_the_evidence_is_kept(newsletter: Web, reason: str) -> None:
    suppress(newsletter, reason)
    done = unsuppress(newsletter)
    assert ([one.reason for one in done.lifted], done.blocked) == ([reason], False)
    assert suppressed(newsletter) == {}
    with newsletter.database.transaction() as tx:
        evidence = tx.one("SELECT source, evidence FROM consents WHERE kind = 'unsuppressed'")
        kept = tx.one("SELECT * FROM lifted_suppressions")
        told = tx.value("SELECT facts FROM events WHERE type = 'subscriber.type.changed' ORDER BY id DESC LIMIT 1")
    assert evidence
    assert kept
    assert (evidence["source"], evidence["evidence"]["reason"], evidence["evidence"]["why"]) == ("cli", reason, WHY)
    assert (kept["reason"], kept["lifted_by"], kept["why"]) == (reason, "cli", WHY)
    assert kept["suppressed_at"] < kept["lifted_at"]
    assert told == {"from": "suppressed", "to": "active"}


def test_a_complaint_is_lifted_only_on_request_and_in_every_spelling_of_the_inbox(newsletter: Web) -> None:
    suppress(newsletter, "complaint", email="ada+news@example.org")
    with pytest.raises(Refused, match="--complaint"):
        unsuppress(newsletter)
    assert suppressed(newsletter) == {"ada+news@example.org": "complaint"}
    assert not unsuppress(newsletter, complaint=True).blocked
    assert suppressed(newsletter) == {}


@pytest.mark.parametrize("why", ["", "  ", "x" * 1001])
def test_a_suppression_is_never_lifted_without_a_reason(newsletter: Web, why: str) -> None:
    suppress(newsletter)
    with pytest.raises(BadInput, match="reason is required"):
        unsuppress(newsletter, why=why)
    assert suppressed(newsletter) == {ADA: "hard bounce"}


def test_lifting_subscribes_nobody_who_unsubscribed(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = now()")
    suppress(newsletter)
    unsuppress(newsletter)
    assert newsletter.state(ADA) == "unsubscribed"


def test_an_address_that_bounced_and_was_erased_can_be_lifted_too(newsletter: Web) -> None:
    suppress(newsletter)
    erasure.erase_by_email(newsletter.database, newsletter.settings, ADA)
    with newsletter.database.transaction() as tx:
        assert not erasure.may_be_emailed(tx, newsletter.settings, ADA)
    assert not unsuppress(newsletter).blocked


def test_erasing_a_subscriber_deletes_the_evidence_of_lifted_suppressions(newsletter: Web) -> None:
    suppress(newsletter)
    unsuppress(newsletter)
    erasure.erase_by_email(newsletter.database, newsletter.settings, ADA)
    assert newsletter.counted("lifted_suppressions") == 0


def test_the_address_is_removed_from_the_providers_list_too_and_a_failing_call_is_repeated(newsletter: Web) -> None:
    transport = ListingOutbox(newsletter.settings.outbox, ada="BOUNCE")
    suppress(newsletter)
    unsuppress(newsletter)
    transport.failing = Unavailable("SES does not answer.")
    [said] = suppression_lifting.clear_provider_list(newsletter.database, transport)
    assert said == "SES does not answer. Workers will try again."
    assert not advance_sends(newsletter.database, newsletter.settings).transactional  # not each second
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE lifted_suppressions SET ses_due_at = now()")
    transport.failing = None
    assert advance_sends(newsletter.database, newsletter.settings).transactional
    assert suppression_lifting.clear_provider_list(newsletter.database, transport) == ["removed"]
    assert transport.listed == {}
    assert not advance_sends(newsletter.database, newsletter.settings).transactional


def test_an_address_that_only_the_provider_lists_is_removed_there_unless_it_complained(newsletter: Web) -> None:
    transport = ListingOutbox(newsletter.settings.outbox, ada="BOUNCE", bob="COMPLAINT")
    for email in (ADA, "bob@example.org"):
        assert unsuppress(newsletter, email).lifted == []
    outcomes = suppression_lifting.clear_provider_list(newsletter.database, transport)
    assert sorted(outcomes) == ["listed because of a complaint", "removed"]
    assert transport.listed == {"bob@example.org": "COMPLAINT"}


def confirm(newsletter: Web, transport: Outbox | None = None) -> None:
    transport = transport or Outbox(newsletter.settings.outbox)
    deliver_batch(newsletter.database, newsletter.settings, transport, "The Letter")
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/")]
    newsletter.client.post(path)


@pytest.mark.parametrize("reason", ["hard bounce", "soft bounces"])
@pytest.mark.parametrize("state", ["active", "unsubscribed", "unconfirmed"])
def test_a_new_confirmed_signup_lifts_a_bounce_a_week_later(newsletter: Web, reason: str, state: str) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = %(state)s", state=state)
    suppress(newsletter, reason, WEEK + timedelta(minutes=1))
    transport = ListingOutbox(newsletter.settings.outbox, ada="BOUNCE")
    assert sign_up(newsletter)
    assert suppressed(newsletter) == {ADA: reason}  # anybody can fill in the form
    confirm(newsletter, transport)
    assert (suppressed(newsletter), newsletter.state(ADA), transport.listed) == ({}, "active", {})
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT source FROM consents WHERE kind = 'unsuppressed'") == "page"


@pytest.mark.parametrize(
    ("reason", "age"),
    [
        ("hard bounce", WEEK - timedelta(minutes=1)),
        ("soft bounces", timedelta()),
        ("complaint", timedelta(days=999)),
        ("operator", timedelta(days=999)),
    ],
)
def test_nobody_is_asked_right_after_a_bounce_or_after_a_complaint(newsletter: Web, reason: str, age: timedelta) -> None:
    suppress(newsletter, reason, age)
    assert not sign_up(newsletter)
    assert newsletter.counted("transactional_emails") == 0


def test_a_bounce_after_the_email_was_asked_for_keeps_the_address_suppressed(newsletter: Web) -> None:
    suppress(newsletter, age=WEEK * 2)
    sign_up(newsletter)
    transport = Outbox(newsletter.settings.outbox)
    deliver_batch(newsletter.database, newsletter.settings, transport, "The Letter")
    suppress(newsletter, age=timedelta(seconds=-2))  # the email itself bounced
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/")]
    newsletter.client.post(path)
    assert suppressed(newsletter) == {ADA: "hard bounce"}
    with newsletter.database.transaction() as tx:
        tx.run("DELETE FROM inbox_emails")
    assert not sign_up(newsletter)  # the week begins again


def test_a_complaint_meanwhile_stops_the_email_that_was_asked_for(newsletter: Web) -> None:
    suppress(newsletter, age=WEEK * 2)
    sign_up(newsletter)
    suppress(newsletter, "complaint")
    newsletter.work()
    assert newsletter.emails() == []


def test_the_email_waits_for_the_provider_and_is_refused_if_the_provider_has_a_complaint(newsletter: Web) -> None:
    suppress(newsletter, age=WEEK * 2)
    sign_up(newsletter)
    transport = ListingOutbox(newsletter.settings.outbox, ada="COMPLAINT")
    transport.failing = Unavailable("SES does not answer.")
    deliver_batch(newsletter.database, newsletter.settings, transport, "The Letter")
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT state FROM transactional_emails") == "pending"
    transport.failing = None
    deliver_batch(newsletter.database, newsletter.settings, transport, "The Letter")
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT state FROM transactional_emails") == "failed"
    assert newsletter.emails() == []


def test_a_suppression_by_soft_bounces_ends_after_thirty_days_and_no_other_does(newsletter: Web) -> None:
    age = suppression_lifting.SOFT_SUPPRESSION_ENDS_AFTER
    assert age == timedelta(days=30)
    suppress(newsletter, "soft bounces", age + timedelta(minutes=1))
    suppress(newsletter, "soft bounces", age - timedelta(minutes=1), "young@example.org")
    suppress(newsletter, "hard bounce", age * 100, "hard@example.org")
    assert suppression_lifting.end_soft_suppressions(newsletter.database, 10) == 1
    assert suppressed(newsletter) == {"young@example.org": "soft bounces", "hard@example.org": "hard bounce"}
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT source FROM consents WHERE kind = 'unsuppressed'") == "clock"


def test_the_command_lifts_a_suppression_and_says_what_ses_answered(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", newsletter.settings.database_url)
    monkeypatch.setenv("POSTMERGE_SECRET", newsletter.settings.secret)
    suppress(newsletter)
    run = CliRunner().invoke(cli.cli, ["subscribers", "unsuppress", ADA, "--reason", WHY])
    assert (run.exit_code, "suppression lifted (hard bounce" in run.output) == (0, True)
    assert suppressed(newsletter) == {}
    assert CliRunner().invoke(cli.cli, ["subscribers", "unsuppress", ADA]).exit_code == 2


def test_a_program_lifts_a_bounce_with_a_reason_but_never_a_complaint(newsletter: Web) -> None:
    api = newsletter.holder()
    suppress(newsletter)
    assert api.post(f"/v1/subscribers/{ADA}/unsuppress", json={"reason": " "}).status_code == 422
    assert api.post("/v1/subscribers/nobody@example.org/unsuppress", json={"reason": WHY}).status_code == 404
    assert api.get(f"/v1/subscribers/{ADA}").json()["type"] == "undeliverable"
    lifted = api.post(f"/v1/subscribers/{ADA}/unsuppress", json={"reason": WHY})
    assert (lifted.status_code, lifted.json()["type"]) == (200, "regular")
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT lifted_by FROM lifted_suppressions WHERE why = %(why)s", why=WHY) == "api"
    suppress(newsletter, "complaint")
    refused = api.post(f"/v1/subscribers/{ADA}/unsuppress", json={"reason": WHY})
    assert (refused.status_code, refused.json()["code"]) == (409, "subscriber_suppressed")
    assert suppressed(newsletter) == {ADA: "complaint"}


def test_the_answer_to_a_signup_claims_no_email_and_is_the_same_for_suppressed_addresses(newsletter: Web) -> None:
    suppress(newsletter, "complaint")
    answers = {
        newsletter.client.post("/subscribe", data={"email": email, "token": newsletter.form_token()}).text.replace(email, "X")
        for email in (ADA, "new@example.org")
    }
    [answer] = answers
    assert "and can get our emails, we’ve sent it a link" in answer
    assert "try again after 7 days" in answer
