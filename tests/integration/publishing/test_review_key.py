"""A key of the scope `review`: it plans, comments and sends tests; it neither publishes nor learns who subscribes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailer.commands.publishing import remote_publish
from mailer.core import public_ids
from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.core.errors import BadInput, Refused
from mailer.flows.operations import api_keys
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.store.billing import entitlement_records
from mailer.store.publishing import drafts
from mailer.transports.base import Answer, Outcome
from mailer.transports.outbox import Outbox, OutboxEmail
from mailer.workbench.review import Change, Review, render_review
from tests import factories, web
from tests.integration.api.test_contract import conforms
from tests.integration.api.test_open_routes import edition as paid_edition
from tests.web import Web

ME = "me@example.org"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    made = web.make(tmp_path, database, reviewers=(ME,))
    adopt_issues(database, made.settings, [factories.old()])
    return made


@pytest.fixture
def server(newsletter: Web) -> Iterator[remote_publish.Server]:
    with web.served(newsletter.app()) as url:
        yield remote_publish.Server(url, api_keys.create_key(newsletter.database, "ci", "review"))


def plan(server: remote_publish.Server, issue: Edition) -> dict[str, object]:
    order, _ = remote_publish.hand_over(server, [factories.old(), issue], "", (), False)
    [step] = [one for one in remote_publish.plan(server, order, [])["steps"] if one["issue"] == issue.key]
    return dict(step)


def report(server: remote_publish.Server, issue: Edition) -> str:
    """The first sentence of the report on a change."""
    order, _ = remote_publish.hand_over(server, [factories.old(), issue], "", (), False)
    outlook = remote_publish.make_outlook(remote_publish.plan(server, order, []), [factories.old(), issue])
    change = Change("content/issues/a.md", issue, None)
    made = Review([change], [], outlook, "", "UTC", factories.settings(Path()).hold, "main")
    return render_review(made).split("\n\n")[1]


def test_it_gets_numbers_of_published_rules_only_and_no_small_one(newsletter: Web, server: remote_publish.Server) -> None:
    factories.add_subscribers(newsletter.database, 70, ("python",))
    assert plan(server, factories.edition())["subscribers"] == 70
    assert plan(server, factories.edition(audience="python"))["subscribers"] is None
    assert "to its audience at once" in report(server, factories.edition(audience="python"))
    sent = factories.edition("other", "<p>Quite another text</p>", audience="python")
    publish(
        newsletter.database, newsletter.settings, [factories.old(), sent], [], Outbox(newsletter.settings.outbox), Request()
    )
    assert plan(server, factories.edition("third", audience="python"))["subscribers"] == 70


@pytest.mark.slow
def test_a_number_below_fifty_is_not_told_and_cannot_be_subtracted(newsletter: Web, server: remote_publish.Server) -> None:
    factories.add_subscribers(newsletter.database, 77)
    factories.bind_stripe(newsletter.database)
    with newsletter.database.transaction() as tx:
        entitlement_records.save(tx, 1, "paying", True, None)
    step = plan(server, paid_edition())
    assert (step["subscribers"], step["texts"]) == (50, {"": 50, "premium": None})
    assert "to **50 subscribers** (free 50, paid under 50) at once" in report(server, paid_edition())


def test_a_small_audience_is_told_as_fewer_than_fifty(newsletter: Web, server: remote_publish.Server) -> None:
    factories.add_subscribers(newsletter.database, 3)
    step = plan(server, factories.edition())
    assert (step["subscribers"], step["fewer_than"]) == (None, 50)
    assert "to **fewer than 50 subscribers** at once" in report(server, factories.edition())
    order, _ = remote_publish.hand_over(server, [factories.old(), factories.edition()], "", (), False)
    assert "to fewer than 50 subscribers" in "\n".join(remote_publish.planned(remote_publish.plan(server, order, [])))


@pytest.mark.parametrize("scope", ["review", "publish"])
def test_no_refusal_tells_a_number_of_subscribers(newsletter: Web, server: remote_publish.Server, scope: str) -> None:
    factories.add_subscribers(newsletter.database, 37)
    with newsletter.database.transaction() as tx:
        entitlement_records.save(tx, 1, "paying", True, None)
    key = api_keys.create_key(newsletter.database, scope, scope)
    order, _ = remote_publish.hand_over(server, [factories.old(), paid_edition()], "", (), False)
    headers = {"Authorization": f"Token {key}", "Content-Type": "application/json"}
    told = newsletter.client.post("/v1/publish/plan", content=order.body([]), headers=headers).json()["refusals"]
    assert [one["check"] for one in told] == ["unsold"]
    assert not re.search(r"\b(37|36|1)\b", told[0]["sentence"])


def test_it_publishes_nothing(newsletter: Web, server: remote_publish.Server) -> None:
    order, _ = remote_publish.hand_over(server, [factories.old(), factories.edition()], "", (), None)
    with pytest.raises(Refused, match="A key with the scope review cannot do this: use one with publish or admin"):
        remote_publish.publish(server, order, [])
    assert newsletter.counted("sends") == 0


def test_a_test_email_goes_to_the_reviewers_or_to_nobody(newsletter: Web, server: remote_publish.Server) -> None:
    newsletter.settings = replace(newsletter.settings, transport="outbox")
    done = remote_publish.send_test(server, factories.edition(), "", ())
    assert (done["sent"], done["digest"]) == (1, factories.edition().digest)
    [email] = newsletter.emails()
    assert (email.to, email.subject) == (ME, "[Test] Subject of 2026-11-24-hello")
    with pytest.raises(BadInput, match="has no variant 'premium'"):
        remote_publish.send_test(server, factories.edition(), "premium", ())
    assert len(newsletter.emails()) == 1


def test_an_address_that_has_not_confirmed_gets_nothing_and_neither_do_the_others(
    newsletter: Web, server: remote_publish.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.flows.transactional.test_emails.is_reviewer", lambda _settings, email: email == ME)
    with pytest.raises(Refused, match="One of these addresses has not confirmed"):
        remote_publish.send_test(server, factories.edition(), "", (ME, "stranger@example.org"))
    assert newsletter.emails() == []


def test_ten_pushes_of_one_text_send_one_test(newsletter: Web, server: remote_publish.Server) -> None:
    sent = [remote_publish.send_test(server, factories.edition(), "", (), once=True)["sent"] for _ in range(10)]
    assert sent == [1, *[0] * 9]
    assert remote_publish.send_test(server, factories.edition(body="<p>Another</p>"), "", (), once=True)["sent"] == 1
    assert len(newsletter.emails()) == 2


def list_tests(newsletter: Web) -> list[OutboxEmail]:
    return [email for email in newsletter.emails() if email.subject.startswith("[Test]")]


def send_draft(newsletter: Web, issue: Edition, scope: str = "review", **body: object) -> Any:
    """Ask for a test of an email, by its key, with a key of this scope."""
    key = api_keys.create_key(newsletter.database, secrets.token_hex(4), scope)
    headers = {"Authorization": f"Token {key}"}
    answer = newsletter.client.post(f"/v1/emails/{issue.key}/send-draft", json=body, headers=headers)
    if answer.status_code != 503:  # which the contract has for no operation
        conforms("POST", "/emails/{}/send-draft", answer)
    return answer


def test_an_email_is_sent_as_a_test_in_the_text_that_was_uploaded_last(newsletter: Web, server: remote_publish.Server) -> None:
    newsletter.send(2)
    assert send_draft(newsletter, factories.edition()).json()["digest"] == factories.edition().digest
    corrected = factories.edition(body="<p>Corrected</p>")
    remote_publish.hand_over(server, [corrected], "", (), False)
    answer = send_draft(newsletter, factories.edition(), recipients=[ME, ME])
    assert (answer.status_code, answer.json()["sent"], answer.json()["digest"]) == (200, 1, corrected.digest)
    assert [email.to for email in list_tests(newsletter)] == [ME, ME]
    assert "Corrected" in list_tests(newsletter)[0].html


def test_an_email_that_was_never_uploaded_or_is_none_is_one_sentence(newsletter: Web, server: remote_publish.Server) -> None:
    answer = send_draft(newsletter, factories.old())
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "The server has not got this email as it is now: run `postmerge plan --server` on its branch, then try again.",
    )
    assert send_draft(newsletter, factories.edition("another")).status_code == 404
    assert newsletter.emails() == []


def test_a_draft_is_not_sent_as_a_test_in_a_text_older_than_its_last_change(
    newsletter: Web, server: remote_publish.Server
) -> None:
    issue = factories.edition("hello")
    with newsletter.database.transaction() as tx:
        made = drafts.add(tx, "hello", "content/issues/hello.md", {"subject": "Hello"}, "Title: Hello\n\nHello.\n")
    remote_publish.hand_over(server, [issue], "", (), False)
    assert send_draft(newsletter, issue).json()["digest"] == issue.digest
    assert made
    with newsletter.database.transaction() as tx:
        drafts.set_content(tx, made, {"subject": "Hello"}, "Title: Hello\n\nHello again.\n")
    assert send_draft(newsletter, issue).status_code == 409
    remote_publish.hand_over(server, [issue], "", (), False)
    assert send_draft(newsletter, issue).status_code == 200


def test_a_test_of_an_email_goes_to_no_address_that_has_not_confirmed(
    newsletter: Web, server: remote_publish.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.flows.transactional.test_emails.is_reviewer", lambda _settings, email: email == ME)
    newsletter.send(1)
    answer = send_draft(newsletter, factories.edition(), recipients=[ME, "stranger@example.org"])
    assert "One of these addresses has not confirmed" in answer.json()["detail"]
    subscriber = public_ids.public("sub", 1)
    assert send_draft(newsletter, factories.edition(), subscribers=[subscriber]).json()["code"] == "forbidden"
    assert (
        "has not confirmed" in send_draft(newsletter, factories.edition(), "admin", subscribers=[subscriber]).json()["detail"]
    )
    unknown = send_draft(newsletter, factories.edition(), "admin", subscribers=[public_ids.public("sub", 99)])
    assert unknown.json()["detail"] == "One of these subscribers does not exist: check their ids."
    assert (
        send_draft(newsletter, factories.edition(), "admin", recipients=[f"{n}@example.org" for n in range(21)]).status_code
        == 422
    )
    assert list_tests(newsletter) == []


def test_an_email_of_which_nobody_knows_whether_it_was_sent_is_not_called_a_fault_of_the_database(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter.send(1)
    lost = Answer(Outcome.UNCERTAIN, "", "the connection broke")
    monkeypatch.setattr(Outbox, "send", lambda _self, _envelope: lost)
    answer = send_draft(newsletter, factories.edition())
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("Nobody knows whether the test email was sent (the connection broke): look into")


def test_more_tests_than_an_hour_allows_are_a_limit(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.flows.transactional.test_emails.MAX_EMAILS_PER_ADDRESS_AND_HOUR", 1)
    newsletter.send(1)
    assert [send_draft(newsletter, factories.edition()).status_code for _ in range(2)] == [200, 429]
