"""Each subscriber's email is the text of their access at the moment of the claim, rendered once and not for each subscriber."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition, Variant
from mailer.core.message import UNSUBSCRIBE_URL, Template
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.store.billing import entitlement_records
from mailer.transports.outbox import Outbox, list_emails
from tests import factories

SECRET = "eleven cellars under the yard"


def edition() -> Edition:
    body = f"<p>free</p><p>{SECRET}</p>"
    paid = Variant(
        "premium", "More", f'<html><body>{body}<a href="{UNSUBSCRIBE_URL}">x</a></body></html>', f"{SECRET} {UNSUBSCRIBE_URL}",
        body, hashlib.sha256(body.encode()).hexdigest(),
    )  # fmt: skip
    return factories.edition(variants=(paid,))


def access(database: Database, subscriber: int, premium: bool, until: datetime | None = None) -> None:
    with database.transaction() as tx:
        entitlement_records.save(tx, subscriber, "paying" if premium else "ended", premium, until)


def send(database: Database, folder: Path) -> tuple[Outbox, int]:
    settings = factories.settings(folder, database.url)
    outbox = Outbox(settings.outbox)
    adopt_issues(database, settings, [factories.old()])
    factories.bind_stripe(database)
    [send_id] = publish(database, settings, [factories.old(), edition()], [], outbox, Request()).send_ids
    advance_sends(database, settings)
    return outbox, send_id


def test_each_subscriber_gets_the_text_of_their_access_at_the_claim(database: Database, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    factories.add_subscribers(database, 6)
    access(database, 1, True)
    access(database, 2, True, now + timedelta(days=1))
    access(database, 3, True, now - timedelta(seconds=1))
    access(database, 4, True)
    outbox, send_id = send(database, tmp_path)
    access(database, 4, False)
    access(database, 5, True)
    settings = factories.settings(tmp_path, database.url)
    deliver_send(database, settings, outbox, send_id)
    got = {email.to: outbox.folder.joinpath(f"{email.id}.eml").read_text() for email in list_emails(settings.outbox)[0]}
    whole = {to.removeprefix("subscriber-").removesuffix("@example.org") for to, raw in got.items() if SECRET in raw}
    assert len(got) == 6
    assert whole == {"1", "2", "5"}
    one = edition()
    for to, raw in got.items():
        digest = one.variants[0].digest if to.removeprefix("subscriber-")[0] in whole else one.digest
        assert f"X-Postmerge-Digest: {digest}" in raw
    with database.transaction() as tx:
        rows = tx.all("SELECT subscriber_id FROM deliveries WHERE variant = 'premium' ORDER BY 1")
    assert [row["subscriber_id"] for row in rows] == [1, 2, 5]


def test_texts_are_rendered_once_each_and_not_for_each_subscriber(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.add_subscribers(database, 30)
    for subscriber in range(1, 16):
        access(database, subscriber, True)
    outbox, send_id = send(database, tmp_path)
    made = []
    prepare = Template.prepare

    def counted(cls: type[Template], /, **facts: Any) -> Template:
        made.append(1)
        return prepare(**facts)

    monkeypatch.setattr(Template, "prepare", classmethod(counted))
    done = deliver_send(database, factories.settings(tmp_path, database.url), outbox, send_id)
    assert (done.sent, len(made)) == (30, 2)


def test_an_issue_that_is_the_same_for_all_is_so_for_who_pays(database: Database, tmp_path: Path) -> None:
    factories.add_subscribers(database, 2)
    access(database, 1, True)
    settings = factories.settings(tmp_path, database.url)
    outbox = Outbox(settings.outbox)
    adopt_issues(database, settings, [factories.old()])
    [send_id] = publish(database, settings, [factories.old(), factories.edition()], [], outbox, Request()).send_ids
    advance_sends(database, settings)
    assert deliver_send(database, settings, outbox, send_id).sent == 2
    assert len({email.subject for email in list_emails(settings.outbox)[0]}) == 1
