"""Who is asked, how often, and who never is: the limits by address over hours, days and months, tags, and those who left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.flows.subscribers import change_of_address, imports, inbox_limit, preferences, signup, subscriber_admin
from mailer.flows.subscribers.change_of_address import request_change
from mailer.flows.subscribers.imports import ImportRequest
from mailer.flows.subscribers.preferences import LinkOwner
from mailer.flows.subscribers.subscriber_admin import Rejected, SubscriberChanges
from mailer.store.subscribers import subscribers
from tests import web
from tests.web import Web

ADA = "ada@example.org"
Ask = Callable[[Web], object]


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("mail", "php", "python"))


def form(newsletter: Web) -> object:
    return signup.sign_up(newsletter.database, ADA, settings=newsletter.settings)


def confirmed(newsletter: Web, tags: tuple[str, ...] = ()) -> str:
    return signup.add_subscriber(newsletter.database, newsletter.settings, ADA, tags, confirmed=True)


def row(newsletter: Web) -> dict[str, object]:
    with newsletter.database.transaction() as tx:
        found = tx.one("SELECT state, tags, unsubscribed_at FROM subscribers WHERE email_normal = %(email)s", email=ADA)
    assert found
    return found


def let_pass(newsletter: Web, time: timedelta) -> None:
    """Time goes by for every email and every limit."""
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE transactional_emails SET created_at = created_at - %(time)s", time=time)
        tx.run("UPDATE inbox_emails SET created_at = created_at - %(time)s", time=time)
        tx.run("UPDATE limits SET used_until = used_until - %(time)s", time=time)


def change_address(newsletter: Web) -> object:
    """A program gives the subscriber an address that nobody has; the old one gets an email."""
    number = newsletter.counted("consents")
    return subscriber_admin.change_subscriber(newsletter.database, "1", SubscriberChanges(email=f"ada-{number}@example.org"))


# What makes us email one address, whether that needs an active subscriber, and how many emails are sent when it is requested
# every 9 minutes, 11 minutes, 61 minutes, 25 hours and 31 days.
SOURCES: dict[str, tuple[Ask, bool, dict[timedelta, list[int]]]] = {
    "the form": (form, False, {
        timedelta(minutes=9): [1, 0, 1, 0, 1, 0, 0, 0], timedelta(minutes=11): [1, 1, 1, 0, 0, 0, 0, 0],
        timedelta(hours=25): [1, 1, 1, 1, 1, 0, 0, 0], timedelta(days=31): [1] * 8,
    }),
    "a reminder": (lambda newsletter: signup.send_reminder(newsletter.database, newsletter.settings, 1), False, {
        timedelta(minutes=9): [1, 0, 1, 0, 1, 0, 0, 0], timedelta(minutes=11): [1, 1, 1, 0, 0, 0, 0, 0],
        timedelta(hours=25): [1, 1, 1, 1, 1, 0, 0, 0], timedelta(days=31): [1] * 8,
    }),
    "the link to one's page": (lambda newsletter: preferences.request_link(newsletter.database, ADA, None), True, {
        timedelta(minutes=9): [1, 1, 1, 0, 0, 0, 0, 1], timedelta(minutes=11): [1, 1, 1, 0, 0, 0, 1, 1],
        timedelta(minutes=21): [1] * 10 + [0] * 3,
        timedelta(hours=25): [1] * 8,
    }),
    "a new address": (lambda newsletter: request_change(newsletter.database, LinkOwner(1, True), "new@example.org"), True, {
        timedelta(minutes=9): [1, 0, 1, 0, 0, 0, 0, 1], timedelta(minutes=61): [1, 1, 1, 0, 0, 0, 0, 0],
        timedelta(days=31): [1] * 8,
    }),
    "a change by a program": (change_address, True, {
        timedelta(minutes=9): [1, 1, 1, 0, 0, 0, 0, 0], timedelta(hours=25): [1] * 8,
    }),
}  # fmt: skip
CASES = [(source, gap) for source, (_, _, gaps) in SOURCES.items() for gap in gaps]


@pytest.mark.parametrize(("source", "gap"), CASES, ids=lambda value: str(value))
def test_one_address_gets_no_more_emails_than_the_limits_of_hours_days_and_months_allow(
    newsletter: Web, source: str, gap: timedelta
) -> None:
    ask, is_active, gaps = SOURCES[source]
    with newsletter.database.transaction() as tx:
        known = subscribers.add(tx, ADA, ADA, [])
        if is_active:
            subscribers.activate(tx, known)
    sent = []
    for _ in gaps[gap]:
        before = newsletter.counted("transactional_emails")
        ask(newsletter)
        sent.append(newsletter.counted("transactional_emails") - before)
        let_pass(newsletter, gap)
    assert sent == gaps[gap]


def test_the_limits_are_those_of_the_security_page(newsletter: Web) -> None:
    assert ((1, timedelta(minutes=10)), (3, timedelta(days=1)), (5, timedelta(days=30))) == inbox_limit.INBOX_LIMITS
    assert ((3, timedelta(hours=1)), (10, timedelta(days=1))) == inbox_limit.SUBSCRIBER_LIMITS
    assert ((2, timedelta(hours=1)), (5, timedelta(days=30))) == change_of_address.EMAIL_LIMITS


@pytest.mark.parametrize("state", ["new", "unconfirmed", "active", "unsubscribed", "complained"])
def test_only_who_may_be_asked_is_asked(newsletter: Web, state: str) -> None:
    if state != "new":
        confirmed(newsletter)
    with newsletter.database.transaction() as tx:
        if state in ("unconfirmed", "unsubscribed"):
            tx.run("UPDATE subscribers SET state = %(state)s, unsubscribed_at = now()", state=state)
        if state == "complained":
            tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=ADA)
    before = newsletter.counted("consents")
    form(newsletter)
    is_asked = state in ("new", "unconfirmed", "unsubscribed")
    assert newsletter.counted("transactional_emails") == is_asked
    assert newsletter.counted("consents") - before == is_asked
    assert row(newsletter)["state"] == ("unconfirmed" if is_asked else "active")


def test_an_active_subscriber_who_signs_up_again_is_not_asked_and_nothing_of_theirs_changes_but_tags(newsletter: Web) -> None:
    confirmed(newsletter, ("python",))
    before = newsletter.dump(("limits", "signup_minutes"))
    for _ in range(3):
        form(newsletter)
        let_pass(newsletter, timedelta(days=40))
    newsletter.work()
    assert newsletter.emails() == []
    assert row(newsletter) == {"state": "active", "tags": ["python"], "unsubscribed_at": None}
    assert before.count("confirmed") == newsletter.dump(("limits", "signup_minutes")).count("confirmed")


def by_form(newsletter: Web, *tags: str) -> object:
    """They ask for topics and confirm them by the link that is emailed to them."""
    signup.sign_up(newsletter.database, ADA, tags, settings=newsletter.settings)
    newsletter.work()
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/")]
    return newsletter.client.post(path)


TAGGERS: dict[str, Callable[[Web], object]] = {
    "the form, and the link in the email": lambda newsletter: by_form(newsletter, "mail", "Python"),
    "the operator": lambda newsletter: confirmed(newsletter, ("mail", "Python")),
    "the operator, who asks": lambda newsletter: signup.add_subscriber(
        newsletter.database, newsletter.settings, ADA, ["mail", "Python"], confirmed=False
    ),
    "a program": lambda newsletter: subscriber_admin.add_subscriber(
        newsletter.database, newsletter.settings, SubscriberChanges(ADA, ["mail", "python"]), "add"
    ),
    "an import": lambda newsletter: imported(newsletter, "mail,python"),
}


@pytest.mark.parametrize("state", ["unconfirmed", "active"])
@pytest.mark.parametrize("who", TAGGERS)
def test_a_subscriber_of_one_topic_who_asks_for_another_keeps_the_first(newsletter: Web, who: str, state: str) -> None:
    with newsletter.database.transaction() as tx:
        known = subscribers.add(tx, ADA, ADA, ["php", "python"])
        if state == "active":
            subscribers.activate(tx, known)
    TAGGERS[who](newsletter)
    assert row(newsletter)["tags"] == ["mail", "php", "python"]


def test_paying_or_asking_without_topics_takes_none_away(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        subscribers.add(tx, ADA, ADA, ["php"])
        subscribers.add(tx, ADA, ADA, [])
        subscribers.add_or_lock(tx, ADA, ADA, [])
    assert row(newsletter)["tags"] == ["php"]


def imported(newsletter: Web, tags: str = "") -> object:
    path = newsletter.settings.build.parent / "list.csv"
    path.write_text(f'email,tags\n{ADA},"{tags}"\n', encoding="utf-8")
    return imports.apply_import(newsletter.database, newsletter.settings, ImportRequest(path, evidence="signed at the fair"))


def by_program(newsletter: Web) -> object:
    for add in (
        lambda: subscriber_admin.add_subscriber(
            newsletter.database, newsletter.settings, SubscriberChanges(ADA, kind="regular"), "add"
        ),
        lambda: subscriber_admin.add_subscriber(
            newsletter.database, newsletter.settings, SubscriberChanges(ADA, kind="regular"), "overwrite"
        ),
        lambda: subscriber_admin.change_subscriber(newsletter.database, ADA, SubscriberChanges(kind="regular")),
    ):
        try:
            add()
        except Rejected:
            continue
    return None


OTHERS: dict[str, Callable[[Web], object]] = {"the operator": confirmed, "an import": imported, "a program": by_program}


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("way", ["unsubscribed", "left and asked again"])
def test_who_left_is_brought_back_by_nobody_but_themselves(newsletter: Web, who: str, way: str) -> None:
    """Also when they have filled in the form again without confirming."""
    confirmed(newsletter)
    with newsletter.database.transaction() as tx:
        subscribers.unsubscribe(tx, 1)
    if way == "left and asked again":
        form(newsletter)
    before = row(newsletter)
    OTHERS[who](newsletter)
    assert row(newsletter) == before
    assert before["unsubscribed_at"]
    form(newsletter)
    newsletter.work()
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/")]
    newsletter.client.post(path)
    assert row(newsletter) == {"state": "active", "tags": [], "unsubscribed_at": None}
    assert confirmed(newsletter) == f"{ADA} is active."
