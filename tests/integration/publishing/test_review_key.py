"""A key of the scope `review`: it plans, comments and sends tests; it neither publishes nor learns who subscribes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.commands.publishing import remote_publish
from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.core.errors import BadInput, Refused
from mailer.flows.operations import api_keys
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.store.billing import entitlement_records
from mailer.transports.outbox import Outbox
from mailer.workbench.review import Change, Review, render_review
from tests import factories, web
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
