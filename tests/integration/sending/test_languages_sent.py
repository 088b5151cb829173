"""Each subscriber gets one email, in their language where a translation exists; premium text only with access."""

from __future__ import annotations

import email
import email.policy
import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from mailer.commands import cli_output
from mailer.commands.sending.report import show as show_report
from mailer.core.db import Database
from mailer.core.edition import Edition, Variant
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.flows.operations.send_rehearsal import rehearse_send
from mailer.flows.publishing.publish import Request, adopt_issues, preview_publish, publish
from mailer.flows.publishing.publish_plan import Action
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_report import make_report, report_facts
from mailer.flows.sending.send_report_page import render_report
from mailer.store.billing import entitlement_records
from mailer.transports.outbox import Outbox, list_emails
from mailer.workbench.review import Change, Review, render_review
from tests import factories


def variant(name: str, **more: str) -> Variant:
    body = f"<p>text {name}</p>"
    page = f'<html><body>{body}<a href="{UNSUBSCRIBE_URL}">x</a></body></html>'
    spoken = name.removesuffix("premium").strip()
    own = {"lang": spoken, "title": f"Title {spoken}", "subject": f"Subject {spoken}", "url": f"http://127.0.0.1:9/{spoken}/"}
    facts = {**(own if spoken else {}), **more}
    return Variant(name, "x", page, f"{name} {UNSUBSCRIBE_URL}", body, hashlib.sha256(body.encode()).hexdigest(), **facts)


def edition(*names: str) -> Edition:
    return factories.edition(variants=tuple(variant(name) for name in names))


def box(who: str) -> str:
    """The mailbox of a subscriber: the language, and a plus for access."""
    return f"subscriber-{who.replace(' ', '-')}"


class Newsletter:
    """A ledger with subscribers of many languages, and an outbox."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.settings = factories.settings(folder, database.url)
        self.outbox = Outbox(self.settings.outbox)
        adopt_issues(database, self.settings, [factories.old()])
        factories.bind_stripe(database)

    def add_subscriber(self, lang: str, paid: bool = False) -> None:
        with self.database.transaction() as tx:
            name = f"{box(lang + '+' * paid)}@example.org"
            number = tx.value(
                """
                INSERT INTO subscribers (email, email_normal, state, lang, confirmed_at)
                VALUES (%(name)s, %(name)s, 'active', %(lang)s, now())
                RETURNING id
                """,
                name=name,
                lang=lang,
            )
            if paid:
                entitlement_records.save(tx, int(number), "paying", True, None)

    def publish(self, one: Edition) -> tuple[int, ...]:
        request = Request(allow=("old",))
        return publish(self.database, self.settings, [factories.old(), one], [], self.outbox, request).send_ids

    def deliver(self, send_id: int) -> dict[str, str]:
        """The variant that each subscriber's email was made from, by the ledger; one email each."""
        advance_sends(self.database, self.settings)
        deliver_send(self.database, self.settings, self.outbox, send_id)
        with self.database.transaction() as tx:
            rows = tx.all(
                """
                SELECT split_part(email, '@', 1) AS name, coalesce(variant, '') AS variant
                FROM deliveries JOIN subscribers ON subscribers.id = subscriber_id
                WHERE send_id = %(id)s
                """,
                id=send_id,
            )
        emails = list_emails(self.settings.outbox, 1000)[0]
        assert sorted(sent.to for sent in emails) == sorted(f"{row['name']}@example.org" for row in rows), "one email each"
        return {row["name"]: row["variant"] for row in rows}

    def email(self, to: str) -> email.message.EmailMessage:
        [found] = [sent for sent in list_emails(self.settings.outbox, 1000)[0] if sent.to == f"{box(to)}@example.org"]
        raw = self.outbox.folder.joinpath(f"{found.id}.eml").read_bytes()
        return email.message_from_bytes(raw, policy=email.policy.default)


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Newsletter:
    return Newsletter(database, tmp_path)


CASES = [
    (("de", "pt-br"), {"": "", "en": "", "de": "de", "DE_at": "de", "de-ch": "de", "fr": "", "pt-BR": "pt-br", "pt": ""}),
    (("de",), {"de+": "de", "en+": "", "premium": "", "de premium": ""}),
    (
        ("premium", "de", "fr", "de premium"),
        {"": "", "+": "premium", "de": "de", "de+": "de premium", "de-AT+": "de premium", "fr": "fr", "fr+": "premium",
         "premium": "", "de premium": "", "en+": "premium", "es": "", "es+": "premium"},
    ),
    (("de", "de premium"), {"de": "de", "de+": "de premium", "en+": "", "fr+": ""}),
    (("premium",), {"de": "", "de+": "premium"}),
    (("zh", "zh-hant"), {"zh-TW": "zh-hant", "zh_Hant_HK": "zh-hant", "zh-Hans-CN": "zh", "zh": "zh", "zh-sg": "zh"}),
    (("zh",), {"zh-TW": "zh", "zha": "", "z": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("names", "wanted"), CASES)
def test_the_claim_chooses_by_access_and_language(
    newsletter: Newsletter, names: tuple[str, ...], wanted: dict[str, str]
) -> None:
    for who in wanted:
        newsletter.add_subscriber(who.removesuffix("+"), paid=who.endswith("+"))
    one = edition(*names)
    outlook = preview_publish(
        newsletter.database, newsletter.settings, [factories.old(), one], [], newsletter.outbox, Request()
    )
    [step] = outlook.plan.of(Action.SEND)
    expected = {box(who): name for who, name in wanted.items()}
    counted = {name: list(expected.values()).count(name) for name in expected.values()}
    assert (dict(step.texts), step.size) == (counted, len(wanted))
    [send_id] = newsletter.publish(one)
    assert newsletter.deliver(send_id) == expected
    digests = {"": one.digest} | {text.name: text.digest for text in one.variants}
    for who, name in wanted.items():
        assert newsletter.email(who)["X-Postmerge-Digest"] == digests[name]


def test_a_translated_email_has_its_own_subject_language_and_text(newsletter: Newsletter) -> None:
    newsletter.add_subscriber("de")
    newsletter.add_subscriber("de", paid=True)
    newsletter.add_subscriber("en")
    [send_id] = newsletter.publish(edition("premium", "de", "de premium"))
    newsletter.deliver(send_id)
    german, paid, english = newsletter.email("de"), newsletter.email("de+"), newsletter.email("en")
    assert [(str(m["Subject"]), m["Content-Language"]) for m in (german, paid, english)] == [
        ("Subject de", "de"), ("Subject de", "de"), ("Subject of 2026-11-24-hello", "en"),
    ]  # fmt: skip
    assert "text de<" in german.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "text de premium<" in paid.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for sent in (german, paid, english):
        assert "/leave/" in sent["List-Unsubscribe"]


def test_a_translation_that_comes_after_the_first_email_is_sent_to_nobody(newsletter: Newsletter) -> None:
    newsletter.add_subscriber("de")
    newsletter.add_subscriber("en")
    [send_id] = newsletter.publish(edition())
    assert newsletter.deliver(send_id) == {"subscriber-de": "", "subscriber-en": ""}
    assert newsletter.publish(edition("de")) == ()
    assert newsletter.deliver(send_id) == {"subscriber-de": "", "subscriber-en": ""}


def test_a_translation_that_comes_while_the_send_waits_is_in_time(newsletter: Newsletter) -> None:
    newsletter.add_subscriber("de")
    newsletter.add_subscriber("en")
    [send_id] = newsletter.publish(edition())
    later = [edition("de"), edition("de", "fr"), replace(edition("fr"), variants=(variant("de", subject="Neu"),))]
    for one in later:
        assert newsletter.publish(one) == ()
        plan = preview_publish(
            newsletter.database, newsletter.settings, [factories.old(), one], [], newsletter.outbox, Request()
        ).plan
        assert not plan.of(Action.UPDATE), "the waiting send has it now"
    assert newsletter.deliver(send_id) == {"subscriber-de": "de", "subscriber-en": ""}
    assert newsletter.email("de")["Subject"] == "Neu"


def test_plan_comment_and_report_say_how_many_get_which_text(newsletter: Newsletter) -> None:
    for lang in ("", "en", "de", "de-AT"):
        newsletter.add_subscriber(lang)
    newsletter.add_subscriber("de", paid=True)
    one, screen = edition("de", "de premium"), Console(width=200, record=True)
    outlook = preview_publish(
        newsletter.database, newsletter.settings, [factories.old(), one], [], newsletter.outbox, Request()
    )
    cli_output.plan(screen, outlook, everything=False)
    assert "5 subscribers (en 2, de 2, de paid 1)" in screen.export_text()
    assert cli_output.plan_facts(outlook)["steps"][0]["texts"] == {"en": 2, "de": 2, "de premium": 1}
    said = render_review(Review([Change(one.path, one, None)], [], outlook, "", "UTC", timedelta(0), "main"))
    assert "**5 subscribers** (en 2, de 2, de paid 1)" in said
    [send_id] = newsletter.publish(one)
    newsletter.deliver(send_id)
    found = make_report(newsletter.database, str(send_id))
    assert report_facts(found)["texts"] == {"en": 2, "de": 2, "de premium": 1}
    show_report(screen, found)
    assert re.search(r"de premium +1\b", screen.export_text())
    assert '<td class="name">de premium</td>' in render_report(found)


def test_an_issue_in_one_language_is_reported_as_before(newsletter: Newsletter) -> None:
    newsletter.add_subscriber("de")
    [send_id] = newsletter.publish(edition())
    newsletter.deliver(send_id)
    found = make_report(newsletter.database, str(send_id))
    assert found.texts == {}
    assert "Which text" not in render_report(found)


def test_a_rehearsal_sends_every_text(tmp_path: Path) -> None:
    found = rehearse_send(factories.settings(tmp_path), edition("premium", "de", "de premium"), 40, faults=())
    assert found.passed
    assert found.texts == {"en": 10, "de": 10, "de premium": 10, "premium": 10}


class Pages(http.server.BaseHTTPRequestHandler):
    """The public site: a digest at each address."""

    digests: dict[str, str] = {}  # noqa: RUF012 (the test's own)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'<div data-digest="{self.digests.get(self.path, "")}">'.encode())

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    Pages.digests = {}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_send_waits_for_the_page_of_each_language(newsletter: Newsletter, site: str) -> None:
    newsletter.add_subscriber("de")
    german = variant("de", url=f"{site}/de/")
    one = factories.edition(url=f"{site}/", variants=(german, variant("premium"), variant("de premium", url=f"{site}/de/")))
    Pages.digests = {"/": one.digest}
    found, request = [factories.old(), one], Request(gate=True)
    refusals = preview_publish(newsletter.database, newsletter.settings, found, [], newsletter.outbox, request).refusals
    assert f"{site}/de/ does not show this issue yet" in refusals[0].sentence
    Pages.digests["/de/"] = german.digest
    assert not preview_publish(newsletter.database, newsletter.settings, found, [], newsletter.outbox, request).refusals
    [send_id] = publish(newsletter.database, newsletter.settings, found, [], newsletter.outbox, request).send_ids
    Pages.digests["/de/"] = "0" * 64
    advance_sends(newsletter.database, newsletter.settings)
    with newsletter.database.transaction() as tx:
        row = tx.one("SELECT state, waiting_reason FROM sends WHERE id = %(id)s", id=send_id)
        tx.run("UPDATE sends SET deferred_until = now()")
    assert row
    assert row["state"] == "holding"
    assert row["waiting_reason"].startswith(f"{site}/de/ shows another text yet")
    Pages.digests["/de/"] = german.digest
    assert newsletter.deliver(send_id) == {"subscriber-de": "de"}
