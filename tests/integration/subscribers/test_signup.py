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
def letter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("mail", "php", "python"))


def form(letter: Web) -> object:
    return signup.sign_up(letter.database, ADA, settings=letter.settings)


def confirmed(letter: Web, tags: tuple[str, ...] = ()) -> str:
    return signup.add_subscriber(letter.database, letter.settings, ADA, tags, confirmed=True)


def row(letter: Web) -> dict[str, object]:
    with letter.database.transaction() as tx:
        found = tx.one("SELECT state, tags, left_at FROM subscribers WHERE email_normal = %(email)s", email=ADA)
    assert found
    return found


def let_pass(letter: Web, time: timedelta) -> None:
    """Time goes by for every email and every limit."""
    with letter.database.transaction() as tx:
        tx.run("UPDATE transactional_mails SET created_at = created_at - %(time)s", time=time)
        tx.run("UPDATE inbox_emails SET created_at = created_at - %(time)s", time=time)
        tx.run("UPDATE limits SET used_until = used_until - %(time)s", time=time)


def change_address(letter: Web) -> object:
    """A program gives the subscriber an address that nobody has; the old one is told."""
    number = letter.counted("consents")
    return subscriber_admin.change_subscriber(letter.database, "1", SubscriberChanges(email=f"ada-{number}@example.org"))


# What makes us email one address, whether that needs an active subscriber, and how many emails go out when it is asked for so
# often: every 9 minutes, 11 minutes, 61 minutes, 25 hours and 31 days.
SOURCES: dict[str, tuple[Ask, bool, dict[timedelta, list[int]]]] = {
    "the form": (form, False, {
        timedelta(minutes=9): [1, 0, 1, 0, 1, 0, 0, 0], timedelta(minutes=11): [1, 1, 1, 0, 0, 0, 0, 0],
        timedelta(hours=25): [1, 1, 1, 1, 1, 0, 0, 0], timedelta(days=31): [1] * 8,
    }),
    "a reminder": (lambda letter: signup.send_reminder(letter.database, letter.settings, 1), False, {
        timedelta(minutes=9): [1, 0, 1, 0, 1, 0, 0, 0], timedelta(minutes=11): [1, 1, 1, 0, 0, 0, 0, 0],
        timedelta(hours=25): [1, 1, 1, 1, 1, 0, 0, 0], timedelta(days=31): [1] * 8,
    }),
    "the link to one's page": (lambda letter: preferences.request_link(letter.database, ADA, None), True, {
        timedelta(minutes=9): [1, 1, 1, 0, 0, 0, 0, 1], timedelta(minutes=11): [1, 1, 1, 0, 0, 0, 1, 1],
        timedelta(minutes=21): [1] * 10 + [0] * 3,
        timedelta(hours=25): [1] * 8,
    }),
    "a new address": (lambda letter: request_change(letter.database, LinkOwner(1, True), "new@example.org"), True, {
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
    letter: Web, source: str, gap: timedelta
) -> None:
    ask, is_active, gaps = SOURCES[source]
    with letter.database.transaction() as tx:
        known = subscribers.add(tx, ADA, ADA, [])
        if is_active:
            subscribers.activate(tx, known)
    sent = []
    for _ in gaps[gap]:
        before = letter.counted("transactional_mails")
        ask(letter)
        sent.append(letter.counted("transactional_mails") - before)
        let_pass(letter, gap)
    assert sent == gaps[gap]


def test_the_limits_are_those_of_the_security_page(letter: Web) -> None:
    assert ((1, timedelta(minutes=10)), (3, timedelta(days=1)), (5, timedelta(days=30))) == inbox_limit.INBOX_LIMITS
    assert ((3, timedelta(hours=1)), (10, timedelta(days=1))) == inbox_limit.SUBSCRIBER_LIMITS
    assert ((2, timedelta(hours=1)), (5, timedelta(days=30))) == change_of_address.EMAIL_LIMITS


@pytest.mark.parametrize("state", ["new", "unconfirmed", "active", "left", "complained"])
def test_only_who_may_be_asked_is_asked(letter: Web, state: str) -> None:
    if state != "new":
        confirmed(letter)
    with letter.database.transaction() as tx:
        if state in ("unconfirmed", "left"):
            tx.run("UPDATE subscribers SET state = %(state)s, left_at = now()", state=state)
        if state == "complained":
            tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=ADA)
    before = letter.counted("consents")
    form(letter)
    is_asked = state in ("new", "unconfirmed", "left")
    assert letter.counted("transactional_mails") == is_asked
    assert letter.counted("consents") - before == is_asked
    assert row(letter)["state"] == ("unconfirmed" if is_asked else "active")


def test_an_active_subscriber_who_signs_up_again_is_not_asked_and_nothing_of_theirs_changes_but_tags(letter: Web) -> None:
    confirmed(letter, ("python",))
    before = letter.dump(("limits", "signup_minutes"))
    for _ in range(3):
        form(letter)
        let_pass(letter, timedelta(days=40))
    letter.work()
    assert letter.mails() == []
    assert row(letter) == {"state": "active", "tags": ["python"], "left_at": None}
    assert before.count("confirmed") == letter.dump(("limits", "signup_minutes")).count("confirmed")


def by_form(letter: Web, *tags: str) -> object:
    """They ask for topics and confirm them by the link that is emailed to them."""
    signup.sign_up(letter.database, ADA, tags, settings=letter.settings)
    letter.work()
    [path] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/confirm/")]
    return letter.client.post(path)


TAGGERS: dict[str, Callable[[Web], object]] = {
    "the form, and the link in the email": lambda letter: by_form(letter, "mail", "Python"),
    "the operator": lambda letter: confirmed(letter, ("mail", "Python")),
    "the operator, who asks": lambda letter: signup.add_subscriber(
        letter.database, letter.settings, ADA, ["mail", "Python"], confirmed=False
    ),
    "a program": lambda letter: subscriber_admin.add_subscriber(
        letter.database, letter.settings, SubscriberChanges(ADA, ["mail", "python"]), "add"
    ),
    "an import": lambda letter: imported(letter, "mail,python"),
}


@pytest.mark.parametrize("state", ["unconfirmed", "active"])
@pytest.mark.parametrize("who", TAGGERS)
def test_a_subscriber_of_one_topic_who_asks_for_another_keeps_the_first(letter: Web, who: str, state: str) -> None:
    with letter.database.transaction() as tx:
        known = subscribers.add(tx, ADA, ADA, ["php", "python"])
        if state == "active":
            subscribers.activate(tx, known)
    TAGGERS[who](letter)
    assert row(letter)["tags"] == ["mail", "php", "python"]


def test_paying_or_asking_without_topics_takes_none_away(letter: Web) -> None:
    with letter.database.transaction() as tx:
        subscribers.add(tx, ADA, ADA, ["php"])
        subscribers.add(tx, ADA, ADA, [])
        subscribers.add_or_lock(tx, ADA, ADA, [])
    assert row(letter)["tags"] == ["php"]


def imported(letter: Web, tags: str = "") -> object:
    path = letter.settings.build.parent / "list.csv"
    path.write_text(f'email,tags\n{ADA},"{tags}"\n', encoding="utf-8")
    return imports.apply_import(letter.database, letter.settings, ImportRequest(path, evidence="signed at the fair"))


def by_program(letter: Web) -> object:
    for add in (
        lambda: subscriber_admin.add_subscriber(
            letter.database, letter.settings, SubscriberChanges(ADA, kind="regular"), "add"
        ),
        lambda: subscriber_admin.add_subscriber(
            letter.database, letter.settings, SubscriberChanges(ADA, kind="regular"), "overwrite"
        ),
        lambda: subscriber_admin.change_subscriber(letter.database, ADA, SubscriberChanges(kind="regular")),
    ):
        try:
            add()
        except Rejected:
            continue
    return None


OTHERS: dict[str, Callable[[Web], object]] = {"the operator": confirmed, "an import": imported, "a program": by_program}


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("way", ["left", "left and asked again"])
def test_who_left_is_brought_back_by_nobody_but_themselves(letter: Web, who: str, way: str) -> None:
    """Also when they have filled in the form again and have not said yes."""
    confirmed(letter)
    with letter.database.transaction() as tx:
        subscribers.unsubscribe(tx, 1)
    if way == "left and asked again":
        form(letter)
    before = row(letter)
    OTHERS[who](letter)
    assert row(letter) == before
    assert before["left_at"]
    form(letter)
    letter.work()
    [path] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/confirm/")]
    letter.client.post(path)
    assert row(letter) == {"state": "active", "tags": [], "left_at": None}
    assert confirmed(letter) == f"{ADA} is active."
