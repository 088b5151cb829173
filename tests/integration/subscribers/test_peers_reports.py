"""What people reported of other newsletter tools, tried on ours; each test names the report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import pytest

from mailer.core import tokens
from mailer.core.db import Database
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.flows.events import email_events
from mailer.flows.subscribers import erasure, exports, imports, signup, suppression_lifting
from mailer.flows.subscribers.imports import ImportPlan, ImportRequest
from mailer.flows.subscribers.suppression_lifting import UnsuppressRequest
from mailer.flows.subscribers.unsubscribe_by_email import UnsubscribeEmailOutcome, process_email
from mailer.store.subscribers import subscribers
from tests import web
from tests.web import Web

ADA = "ada@example.org"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python",))


def import_list(newsletter: Web, data: bytes, tags: Sequence[str] = (), evidence: str = "asked on paper") -> ImportPlan:
    path = newsletter.settings.build.parent / "list.csv"
    path.write_bytes(data)
    request = ImportRequest(path, tags=tags, evidence=evidence)
    done = imports.apply_import(newsletter.database, newsletter.settings, request)
    assert done.read == sum(done.counts.values())
    return done


def row(newsletter: Web, columns: str, email: str = ADA) -> tuple[object, ...]:
    with newsletter.database.transaction() as tx:
        found = tx.one(f"SELECT {columns} FROM subscribers WHERE email_normal = %(email)s", email=email)
    assert found, email
    return tuple(found.values())


def confirm(newsletter: Web, email: str = ADA) -> None:
    newsletter.work()
    [path] = [one for one in web.paths(newsletter.emails()[0].text, newsletter.settings) if one.startswith("/confirm/")]
    newsletter.client.post(path)


def unsubscribe(newsletter: Web, subscriber_id: int = 1) -> str:
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(subscriber_id))
    newsletter.client.post(f"/leave/{token}", data={"List-Unsubscribe": "One-Click"})
    return token


def tell(newsletter: Web, event: str, message_id: str, **tags: str) -> email_events.EventCounts:
    body = json.dumps(event_json(FakeEvent(event, AcceptedEmail(message_id, ADA, tags, "Subject", 0.0), 0.0)))
    return email_events.process_messages(newsletter.database, newsletter.settings, [body])


def test_listmonk_65_and_46_a_byte_order_mark_hides_no_column(newsletter: Web) -> None:
    assert import_list(newsletter, "email,name\nada@example.org,Ada\n".encode("utf-8-sig")).counts["new"] == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_that_excel_saved_as_unicode_text_is_read_or_refused_with_the_way_out(newsletter: Web, encoding: str) -> None:
    data = "\ufeff" * (encoding != "utf-16") + "email\tname\nada@example.org\tAda\n"
    assert import_list(newsletter, data.encode(encoding)).counts["new"] == 1


def test_listmonk_1070_cells_padded_to_a_width_are_read_without_the_padding(newsletter: Web) -> None:
    table = f"email{' ' * 60}, name{' ' * 20},\nada@example.org{' ' * 40}, Unknown Name{' ' * 20},\n"
    assert import_list(newsletter, table.encode()).counts["new"] == 1
    assert row(newsletter, "email") == (ADA,)


def test_listmonk_2344_the_last_line_without_an_end_is_imported_and_exported(newsletter: Web) -> None:
    lines = [f"reader-{number}@example.org,{{}}" for number in range(65)]
    assert import_list(newsletter, ("email,metadata\n" + "\n".join(lines)).encode()).counts["new"] == 65
    file = io.BytesIO()
    assert exports.export_subscribers(newsletter.database, file) == 65
    assert b"reader-64@example.org" in file.getvalue()


def test_listmonk_1420_every_line_of_a_list_with_duplicates_is_counted(newsletter: Web) -> None:
    lines = [f"reader-{number % 230}@example.org" for number in range(1046)]
    done = import_list(newsletter, ("email\n" + "\n".join(lines) + "\n").encode())
    assert (done.read, done.counts["new"]) == (1046, 230)


def test_listmonk_2553_what_was_exported_is_imported_again(newsletter: Web, tmp_path: Path) -> None:
    odd = {"note": 'He said "hi", then\nleft; =1+1', "company": "Müller & Söhne, GmbH"}
    import_list(newsletter, b"email\nada@example.org\n")
    with newsletter.database.transaction() as tx:
        subscribers.add_metadata(tx, 1, odd)
    exports.export_to_path(newsletter.database, tmp_path / "all.csv")
    done = import_list(newsletter, (tmp_path / "all.csv").read_bytes())
    assert (done.counts["same"], done.read) == (1, 1)
    assert row(newsletter, "metadata") == (odd,)


def test_buttondown_2355_one_tag_in_several_spellings_becomes_one_tag(newsletter: Web) -> None:
    import_list(newsletter, b'email,tags\nada@example.org,"News, news ,NEWS"\nbob@example.org,news\n', tags=("News",))
    assert row(newsletter, "tags") == (["news"],)
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT count(DISTINCT tag) FROM subscribers, unnest(tags) AS tag") == 1


def test_listmonk_2574_who_is_imported_unconfirmed_gets_nothing_until_a_reminder_asks(newsletter: Web) -> None:
    import_list(newsletter, b"email\nada@example.org\n", evidence="")
    newsletter.work()
    assert (newsletter.state(ADA), newsletter.emails()) == ("unconfirmed", [])
    assert signup.send_reminder(newsletter.database, newsletter.settings, 1)
    confirm(newsletter)
    assert newsletter.state(ADA) == "active"


def test_keila_433_an_import_unsubscribes_and_never_brings_back(newsletter: Web) -> None:
    import_list(newsletter, b"email,subscribed\nada@example.org,yes\n")
    import_list(newsletter, b"email,unsubscribed\nada@example.org,2999-01-01\n")
    assert newsletter.state(ADA) == "unsubscribed"
    import_list(newsletter, b"email,subscribed\nada@example.org,yes\n")
    assert newsletter.state(ADA) == "unsubscribed"


def test_ghost_11719_the_buttons_link_is_the_link_below_it(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    [email] = newsletter.emails()
    links = {unescape(one) for one in re.findall(r"https?://[^\s\"<]+/confirm/[\w-]+", email.html + email.text)}
    assert len(links) == 1
    assert newsletter.client.get(links.pop()).status_code == 200


@pytest.mark.parametrize("address", ["m.j.smith@example.org", "o'brien+news@example.org", "x@a-b.example.museum"])
def test_changelog_375_unusual_but_valid_addresses_sign_up_and_confirm(newsletter: Web, address: str) -> None:
    newsletter.subscribe(address)
    confirm(newsletter)
    assert newsletter.state(address) == "active"


def test_ghost_12600_unsubscribing_keeps_tags_and_metadata(newsletter: Web) -> None:
    import_list(newsletter, b"email,tags\nada@example.org,python\n")
    with newsletter.database.transaction() as tx:
        subscribers.add_metadata(tx, 1, {"company": "Example"})
    unsubscribe(newsletter)
    assert row(newsletter, "state, tags, metadata") == ("unsubscribed", ["python"], {"company": "Example"})


def test_ghost_13444_an_unsubscribe_link_works_when_its_query_is_cut_off_or_added(newsletter: Web) -> None:
    import_list(newsletter, b"email\nada@example.org\n")
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1))
    assert "?" not in token
    for query in ("?utm_source=x&fbclid=y", "?"):
        assert newsletter.client.get(f"/leave/{token}{query}").status_code == 200
    newsletter.client.post(f"/leave/{token}?utm_source=x", data={"List-Unsubscribe": "One-Click"})
    assert newsletter.state(ADA) == "unsubscribed"


def test_listmonk_1454_a_scanner_that_opens_every_link_unsubscribes_and_confirms_nobody(newsletter: Web) -> None:
    import_list(newsletter, b"email\nada@example.org\n")
    newsletter.subscribe("bob@example.org")
    newsletter.work()
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1))
    for path in [f"/leave/{token}", *web.paths(newsletter.emails()[0].text, newsletter.settings)]:
        for method in ("GET", "HEAD"):
            newsletter.client.request(method, path)
    assert (newsletter.state(ADA), newsletter.state("bob@example.org")) == ("active", "unconfirmed")


def test_mautic_5313_who_unsubscribed_can_sign_up_again_by_the_form(newsletter: Web) -> None:
    import_list(newsletter, b"email\nada@example.org\n")
    unsubscribe(newsletter)
    newsletter.subscribe(ADA)
    confirm(newsletter)
    assert newsletter.state(ADA) == "active"


def test_ghost_14019_the_link_of_somebody_deleted_meanwhile_brings_nobody_back(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    [path] = [one for one in web.paths(newsletter.emails()[0].text, newsletter.settings) if one.startswith("/confirm/")]
    erasure.erase_by_email(newsletter.database, newsletter.settings, ADA)
    assert newsletter.client.post(path).status_code == 400
    assert newsletter.state(ADA) is None


def test_mautic_2761_a_vacation_reply_that_quotes_the_unsubscribe_link_unsubscribes_nobody(newsletter: Web) -> None:
    import_list(newsletter, b"email\nada@example.org\n")
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1))
    text = f"I am on vacation. To unsubscribe from my team's list write to Bob.\r\n> unsubscribe: http://x/leave/{token}\r\n"
    head = f"From: {ADA}\r\nTo: leave@example.org\r\nSubject: Out of office: Your issue\r\nAuto-Submitted: auto-replied\r\n\r\n"
    outcome = process_email(newsletter.database, newsletter.settings, (head + text).encode(), is_sender_verified=True)
    assert (outcome, newsletter.state(ADA)) == (UnsubscribeEmailOutcome.AUTOMATIC, "active")


def test_listmonk_2193_a_bounce_of_a_transactional_email_suppresses_the_address(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    with newsletter.database.transaction() as tx:
        number, message = tx.all("SELECT id, message_id FROM transactional_emails")[0].values()
    tell(newsletter, "Permanent/General", message, mail=str(number), kind="confirmation")
    assert newsletter.counted("suppressions") == 1


def test_listmonk_1460_another_bounce_after_the_first_was_lifted_counts_again(newsletter: Web) -> None:
    newsletter.subscribe(ADA)
    newsletter.work()
    with newsletter.database.transaction() as tx:
        number, message = tx.all("SELECT id, message_id FROM transactional_emails")[0].values()
    for times in (1, 1):
        tell(newsletter, "Permanent/General", message, mail=str(number), kind="confirmation")
        assert newsletter.counted("suppressions") == times
    request = UnsuppressRequest(ADA, "wrote to us", "cli", False)
    suppression_lifting.unsuppress(newsletter.database, newsletter.settings, request)
    assert newsletter.counted("suppressions") == 0


@pytest.mark.parametrize("body", ['{"eventType": "Bounce"}', '{"notificationType": "Bounce"}'])
def test_mautic_7497_and_mailtrain_200_a_message_without_snss_envelope_is_refused_in_a_sentence(
    newsletter: Web, body: str
) -> None:
    answer = newsletter.client.post("/webhooks/ses", content=body)
    assert answer.status_code in (400, 403)
    assert "raw message delivery" in answer.text.lower()


def test_ghost_25735_and_13010_saving_a_subscriber_unchanged_changes_nothing(newsletter: Web) -> None:
    import_list(newsletter, b"email,tags\nada@example.org,python\n")
    client = newsletter.holder(base_url="http://127.0.0.1")
    before = client.get(f"/v1/subscribers/{ADA}").json()
    same = {name: before[name] for name in ("email_address", "tags", "metadata", "notes", "referrer_url")}
    client.patch(f"/v1/subscribers/{ADA}", json={**same, "tags": [*same["tags"], "vip"]})
    after = client.get(f"/v1/subscribers/{ADA}").json()
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"tags", "modification_date", "last_modification_date"}


def test_keila_281_a_subscriber_added_by_the_api_is_asked_to_confirm(newsletter: Web) -> None:
    client = newsletter.holder(base_url="http://127.0.0.1")
    assert client.post("/v1/subscribers", json={"email_address": ADA}).status_code == 201
    newsletter.work()
    assert ["Confirm" in one.subject for one in newsletter.emails()] == [True]


def test_ghost_20767_nothing_that_a_stranger_types_is_in_the_email_to_the_address_they_type(newsletter: Web) -> None:
    spam = "WIN $1000 http://evil.example"
    data = {"email": ADA, "token": newsletter.form_token(), "tag": [spam, "python"], "page": f"https://evil.example/{spam}"}
    newsletter.client.post("/subscribe", data=data, headers={"Referer": "https://evil.example/win"})
    newsletter.work()
    assert all("evil" not in one.text + one.html + one.subject for one in newsletter.emails())
