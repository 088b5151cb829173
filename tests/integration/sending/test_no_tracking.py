"""The promise of docs/explanation/numbers.md: no email tells subscribers apart, and no link is rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.transports.outbox import Outbox, OutboxEmail, list_emails
from mailer.webhooks.ses_events import parse_event
from tests.factories import add_subscribers, edition, old, settings

ADDRESSES = ("src", "href", "srcset", "background", "poster", "action", "data", "cite", "style")
BODY = (
    '<p>Read <a href="https://example.org/a?b=1&amp;c=2">this</a> and <a href="https://example.org/d">that</a>.</p>'
    '<img src="https://example.org/images/cat.png" alt="A cat">'
)


class _Addresses(HTMLParser):
    """Collects all attributes that make a program load or open something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs if name in ADDRESSES]


def addresses(html: str) -> list[tuple[str, str, str]]:
    parser = _Addresses()
    parser.feed(html)
    return parser.found


def sent_to_all(database: Database, folder: Path, issue: Edition) -> Iterable[OutboxEmail]:
    conf, outbox = settings(folder, database.url), Outbox(folder / "outbox")
    add_subscribers(database, 3)
    adopt_issues(database, conf, [old()])
    [send_id] = publish(database, conf, [old(), issue], [], outbox, Request()).send_ids
    advance_sends(database, conf)
    deliver_send(database, conf, outbox, send_id)
    return list_emails(folder / "outbox")[0]


def test_every_picture_and_link_is_the_issues_own_and_the_same_for_everybody(database: Database, tmp_path: Path) -> None:
    issue = edition(body=BODY)
    emails = list(sent_to_all(database, tmp_path, issue))
    assert len(emails) == 3
    expected = addresses(issue.html)
    without_own = set()
    for one in emails:
        [own] = set(re.findall(r"http://[^\s\"]+/leave/([\w-]{20,})", one.text))
        found = addresses(one.html.replace(own, "OWN"))
        hidden = [each for each in found if each[2].endswith("/leave/OWN/canary") or "display:none" in each[2]]
        assert [each for each in found if each not in hidden] == [
            (tag, name, value.replace(UNSUBSCRIBE_URL, "http://127.0.0.1:8025/leave/OWN")) for tag, name, value in expected
        ]
        assert [each[:2] for each in hidden] == [("a", "href"), ("a", "style")]
        without_own.add((one.html.replace(own, "OWN"), one.text.replace(own, "OWN")))
    assert len(without_own) == 1


@pytest.mark.parametrize("kind", ["Open", "Click"])
def test_events_about_opens_and_clicks_are_ignored(kind: str) -> None:
    assert parse_event(f'{{"eventType": "{kind}", "mail": {{"messageId": "1"}}, "{kind.lower()}": {{}}}}') is None
