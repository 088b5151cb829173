"""Each reader gets one mail, in their language where a translation exists; premium text only with access, and first then."""

from __future__ import annotations

import email
import email.policy
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.db import Database
from mailer.edition import Edition, Variant
from mailer.flows.deliver import deliver
from mailer.flows.plan import Action
from mailer.flows.publish import Request, adopt, look, publish
from mailer.flows.tend import tend
from mailer.message import LEAVE_URL
from mailer.store import accesses
from mailer.transports.outbox import Outbox, list_mails
from tests import factories


def variant(name: str, **more: str) -> Variant:
    body = f"<p>text {name}</p>"
    page = f'<html><body>{body}<a href="{LEAVE_URL}">x</a></body></html>'
    spoken = name.removesuffix("premium").strip()
    own = {"lang": spoken, "title": f"Title {spoken}", "subject": f"Subject {spoken}", "url": f"http://127.0.0.1:9/{spoken}/"}
    facts = {**(own if spoken else {}), **more}
    return Variant(name, "x", page, f"{name} {LEAVE_URL}", body, hashlib.sha256(body.encode()).hexdigest(), **facts)


def edition(*names: str) -> Edition:
    return factories.edition(variants=tuple(variant(name) for name in names))


def box(who: str) -> str:
    """The mailbox of a reader: the language, and a plus for access."""
    return f"reader-{who.replace(' ', '-')}"


class Newsletter:
    """A ledger with readers of many languages, and an outbox."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.settings = factories.settings(folder, database.url)
        self.outbox = Outbox(self.settings.outbox)
        adopt(database, self.settings, [factories.old()])

    def reader(self, lang: str, paid: bool = False) -> None:
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
                accesses.put(tx, int(number), "paying", True, None)

    def publish(self, one: Edition) -> tuple[int, ...]:
        request = Request(allow=("old",))
        return publish(self.database, self.settings, [factories.old(), one], [], self.outbox, request).send_ids

    def deliver(self, send_id: int) -> dict[str, str]:
        """The variant that each reader's mail was made from, by the ledger; one mail each."""
        tend(self.database, self.settings)
        deliver(self.database, self.settings, self.outbox, send_id)
        with self.database.transaction() as tx:
            rows = tx.all(
                """
                SELECT split_part(email, '@', 1) AS name, coalesce(variant, '') AS variant
                FROM deliveries JOIN subscribers ON subscribers.id = subscriber_id
                WHERE send_id = %(id)s
                """,
                id=send_id,
            )
        mails = list_mails(self.settings.outbox, 1000)[0]
        assert sorted(mail.to for mail in mails) == sorted(f"{row['name']}@example.org" for row in rows), "one mail each"
        return {row["name"]: row["variant"] for row in rows}

    def mail(self, to: str) -> email.message.EmailMessage:
        [found] = [mail for mail in list_mails(self.settings.outbox, 1000)[0] if mail.to == f"{box(to)}@example.org"]
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
]  # fmt: skip


@pytest.mark.parametrize(("names", "wanted"), CASES)
def test_the_claim_chooses_by_access_and_language(
    newsletter: Newsletter, names: tuple[str, ...], wanted: dict[str, str]
) -> None:
    for who in wanted:
        newsletter.reader(who.removesuffix("+"), paid=who.endswith("+"))
    one = edition(*names)
    outlook = look(newsletter.database, newsletter.settings, [factories.old(), one], [], newsletter.outbox, Request())
    [step] = outlook.plan.of(Action.SEND)
    expected = {box(who): name for who, name in wanted.items()}
    counted = {name: list(expected.values()).count(name) for name in expected.values()}
    assert (dict(step.texts), step.size) == (counted, len(wanted))
    [send_id] = newsletter.publish(one)
    assert newsletter.deliver(send_id) == expected
    digests = {"": one.digest} | {text.name: text.digest for text in one.variants}
    for who, name in wanted.items():
        assert newsletter.mail(who)["X-Postmerge-Digest"] == digests[name]


def test_a_translated_mail_has_its_own_subject_language_and_text(newsletter: Newsletter) -> None:
    newsletter.reader("de")
    newsletter.reader("de", paid=True)
    newsletter.reader("en")
    [send_id] = newsletter.publish(edition("premium", "de", "de premium"))
    newsletter.deliver(send_id)
    german, paid, english = newsletter.mail("de"), newsletter.mail("de+"), newsletter.mail("en")
    assert [(str(m["Subject"]), m["Content-Language"]) for m in (german, paid, english)] == [
        ("Subject de", "de"), ("Subject de", "de"), ("Subject of 2026-11-24-hello", "en"),
    ]  # fmt: skip
    assert "text de<" in german.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "text de premium<" in paid.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for mail in (german, paid, english):
        assert "/leave/" in mail["List-Unsubscribe"]


def test_a_translation_that_comes_after_the_first_mail_is_sent_to_nobody(newsletter: Newsletter) -> None:
    newsletter.reader("de")
    newsletter.reader("en")
    [send_id] = newsletter.publish(edition())
    assert newsletter.deliver(send_id) == {"reader-de": "", "reader-en": ""}
    assert newsletter.publish(edition("de")) == ()
    assert newsletter.deliver(send_id) == {"reader-de": "", "reader-en": ""}


def test_a_translation_that_comes_while_the_send_waits_is_in_time(newsletter: Newsletter) -> None:
    newsletter.reader("de")
    newsletter.reader("en")
    [send_id] = newsletter.publish(edition())
    later = [edition("de"), edition("de", "fr"), replace(edition("fr"), variants=(variant("de", subject="Neu"),))]
    for one in later:
        assert newsletter.publish(one) == ()
        plan = look(newsletter.database, newsletter.settings, [factories.old(), one], [], newsletter.outbox, Request()).plan
        assert not plan.of(Action.UPDATE), "the waiting send has it now"
    assert newsletter.deliver(send_id) == {"reader-de": "de", "reader-en": ""}
    assert newsletter.mail("de")["Subject"] == "Neu"
