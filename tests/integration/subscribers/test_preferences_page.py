"""The subscriber's own page: what each button does, what a forwarded link cannot do, and that nothing else changes anything."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from mailer.core import tokens
from mailer.core.audience import Everyone
from mailer.core.db import Database
from mailer.core.db import json as as_json
from mailer.flows.scheduled import subscriber_maintenance
from mailer.flows.subscribers import imports, preferences, signup, unsubscribe_by_email
from mailer.flows.subscribers.imports import ImportRequest
from mailer.store.sending import audiences, deliveries
from tests import factories, web
from tests.web import Web

ADA = "ada@example.org"


@pytest.fixture
def letter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python", "mail"))


@pytest.fixture
def ada(letter: Web) -> int:
    signup.add_subscriber(letter.database, letter.settings, ADA, ["python", "vip"], confirmed=True)
    return 1


def mailed(letter: Web, ada: int = 1) -> str:
    """The path of the page as issues link to it."""
    return f"/reader/{tokens.leave_token(letter.settings.need_secrets(), ada, 3)}"


def fresh(letter: Web, ada: int = 1, age: timedelta = timedelta(0)) -> str:
    """The path of the page by a link that was just asked for."""
    return f"/reader/{tokens.page_token(letter.settings.need_secrets(), ada, datetime.now(UTC) - age)}"


def row(letter: Web) -> dict[str, object]:
    with letter.database.transaction() as tx:
        return tx.one("SELECT * FROM subscribers WHERE id = 1") or {}


def kinds(letter: Web) -> list[str]:
    with letter.database.transaction() as tx:
        return [one["kind"] for one in tx.all("SELECT kind FROM consents ORDER BY id")]


def test_the_leave_page_leads_to_it_and_looking_changes_nothing(letter: Web, ada: int) -> None:
    before = letter.dump()
    leave = f"/leave/{tokens.leave_token(letter.settings.need_secrets(), ada, 3)}"
    assert mailed(letter) in letter.client.get(leave).text
    page = letter.client.get(mailed(letter)).text
    assert re.search(r'value="python" checked', page)
    assert re.search(r'value="vip" checked', page)
    assert re.search(r'value="mail">', page)
    assert letter.dump() == before


def test_topics_frequency_and_language_are_chosen_and_kept_as_evidence(letter: Web, ada: int) -> None:
    answer = letter.client.post(f"{mailed(letter)}/choose", data={"tag": ["mail"], "frequency": "monthly", "lang": "de"})
    assert answer.status_code == 200
    assert '<html lang="de"' in answer.text
    assert (row(letter)["tags"], row(letter)["frequency"], row(letter)["lang"]) == (["mail"], "monthly", "de")
    assert kinds(letter) == ["added", "chosen"]
    with letter.database.transaction() as tx:
        assert audiences.count(tx, Everyone()) == 0


def test_a_tag_that_subscribers_may_edit_is_on_offer(letter: Web, ada: int) -> None:
    assert 'value="open"' not in letter.client.get(mailed(letter)).text
    with letter.database.transaction() as tx:
        tx.run("INSERT INTO tags (name, subscriber_editable) VALUES ('open', true), ('shut', false)")
    page = letter.client.get(mailed(letter)).text
    assert 'value="open"' in page
    assert 'value="shut"' not in page
    letter.client.post(f"{mailed(letter)}/choose", data={"tag": "open", "frequency": "every", "lang": "en"})
    assert row(letter)["tags"] == ["open"]


@pytest.mark.parametrize(
    "data",
    [
        {"tag": "secret", "frequency": "every"},
        {"tag": "python", "frequency": "hourly"},
        {"tag": "python", "frequency": "every", "lang": "xx"},
        {"tag": "python"},
        {},
        {"frequency": "every\0"},
    ],
)
def test_what_is_not_on_offer_is_refused_in_one_sentence(letter: Web, ada: int, data: dict[str, str]) -> None:
    before = letter.dump()
    answer = letter.client.post(f"{mailed(letter)}/choose", data=data)
    assert (answer.status_code, answer.text.count('role="alert"')) == (422, 1)
    assert letter.dump() == before


def test_a_pause_holds_issues_back_ends_by_itself_and_says_so(letter: Web, ada: int) -> None:
    answer = letter.client.post(f"{mailed(letter)}/pause", data={"months": "3"})
    assert "Paused until" in answer.text
    until = row(letter)["paused_until"]
    assert isinstance(until, datetime)
    assert timedelta(days=88) < until - datetime.now(UTC) < timedelta(days=93)
    with letter.database.transaction() as tx:
        assert audiences.count(tx, Everyone()) == 0
    assert preferences.end_pauses(letter.database) == 0
    with letter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET paused_until = now() - interval '1 second'")
        assert audiences.count(tx, Everyone()) == 1
    assert preferences.end_pauses(letter.database) == 1
    assert preferences.end_pauses(letter.database) == 0
    letter.work()
    [mail] = letter.mails()
    assert "Your pause is over" in mail.subject
    assert mailed(letter)[:8] in mail.text
    assert row(letter)["paused_until"] is None
    assert kinds(letter) == ["added", "paused", "resumed"]


def test_a_pause_can_be_ended_early_and_lasts_1_to_12_months(letter: Web, ada: int) -> None:
    for months in ("0", "13", "-1", "x", "1.5", ""):
        assert letter.client.post(f"{mailed(letter)}/pause", data={"months": months}).status_code == 422
    letter.client.post(f"{mailed(letter)}/pause", data={"months": "12"})
    assert "Resume now" in letter.client.get(mailed(letter)).text
    letter.client.post(f"{mailed(letter)}/resume")
    assert row(letter)["paused_until"] is None


def frozen(letter: Web) -> int:
    """A send to two subscribers that runs, with nothing claimed yet."""
    factories.readers(letter.database, 2)
    with letter.database.transaction() as tx:
        tx.run("INSERT INTO issues (key, path, title, dated, digest) VALUES ('a', 'a', 'a', now(), 'a')")
        tx.run(
            """
            INSERT INTO editions (issue_key, number, digest, title, subject, preheader, lang, url, html, text)
            VALUES ('a', 1, 'a', 'a', 'a', '', 'en', '', '', '')
            """
        )
        send_id = int(
            tx.value(
                """
                INSERT INTO sends (issue_key, edition_number, edition_id, state, sender, audience, due_at, open_wave)
                VALUES ('a', 1, 1, 'sending', 'a', 'everyone', now(), 1) RETURNING id
                """
            )
        )
        audiences.freeze(tx, send_id, Everyone())
    return send_id


@pytest.mark.parametrize("way", ["pause", "page", "one click", "mail"])
def test_who_pauses_or_leaves_during_a_send_is_not_mailed_what_is_not_claimed_yet(letter: Web, way: str) -> None:
    send_id = frozen(letter)
    token = tokens.leave_token(letter.settings.need_secrets(), 1, send_id)
    if way == "pause":
        letter.client.post(f"{mailed(letter, 1)}/pause", data={"months": "1"})
    elif way == "mail":
        raw = f"From: somebody@example.org\r\nSubject: leave {token}\r\n\r\n".encode()
        assert (
            unsubscribe_by_email.process_email(letter.database, letter.settings, raw)
            is unsubscribe_by_email.UnsubscribeEmailOutcome.UNSUBSCRIBED
        )
    else:
        letter.client.post(f"/leave/{token}", data={"List-Unsubscribe": "One-Click"} if way == "one click" else {})
    with letter.database.transaction() as tx:
        claimed, touched = deliveries.claim(tx, send_id, "00000000-0000-0000-0000-000000000001", 10)
    assert ([one.email for one in claimed], touched) == (["reader-2@example.org"], 2)


def test_leaving_works_from_the_page_and_twice(letter: Web, ada: int) -> None:
    for _ in range(2):
        assert "You’ve unsubscribed" in letter.client.post(f"{mailed(letter)}/leave").text
    assert row(letter)["state"] == "left"
    assert kinds(letter) == ["added", "left"]


def test_a_forwarded_link_neither_shows_nor_erases_nor_moves(letter: Web, ada: int) -> None:
    before = letter.dump()
    page = letter.client.get(mailed(letter)).text
    assert "Send me the link" in page
    assert "/erase" not in page
    for action in ("export", "erase", "address"):
        answer = letter.client.post(f"{mailed(letter)}/{action}", data={"email": "thief@example.org"})
        assert (answer.status_code, "forwarded" in answer.text) == (422, True)
    assert letter.dump() == before


def test_a_fresh_link_comes_by_email_and_no_more_often_than_it_should(letter: Web, ada: int) -> None:
    for _ in range(5):
        letter.client.post(f"{mailed(letter)}/link")
        letter.client.post("/reader", data={"email": ADA, "token": letter.form_token()})
    letter.work()
    assert len(letter.mails()) == 3
    [path] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/reader/")]
    assert "Delete all my data" in letter.client.get(path).text


def test_asking_for_a_link_says_the_same_to_strangers(letter: Web, ada: int) -> None:
    answers = set()
    for email in (ADA, "nobody@example.org"):
        answer = letter.client.post("/reader", data={"email": email, "token": letter.form_token()})
        answers.add((answer.status_code, answer.text.replace(email, "X")))
    assert len(answers) == 1
    bad = letter.client.post("/reader", data={"email": "nobody@", "token": letter.form_token()})
    assert (bad.status_code, 'value="nobody@"' in bad.text) == (422, True)
    young = letter.client.post("/reader", data={"email": ADA, "token": "x"})
    assert "click the button again" in young.text


def test_all_that_is_kept_comes_as_a_file(letter: Web, ada: int) -> None:
    letter.client.post(f"{mailed(letter)}/choose", data={"tag": ["mail"], "frequency": "every", "lang": "en"})
    answer = letter.client.post(f"{fresh(letter)}/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    kept = json.loads(answer.text)
    assert kept["subscribers"][0]["email"] == ADA
    assert [one["kind"] for one in kept["consents"]] == ["added", "chosen"]


def test_a_link_to_everything_holds_for_a_day(letter: Web, ada: int) -> None:
    assert letter.client.get(fresh(letter, age=timedelta(hours=23))).status_code == 200
    old = letter.client.get(fresh(letter, age=timedelta(hours=25)))
    assert (old.status_code, 'href="/reader"' in old.text) == (400, True)
    assert letter.client.post(f"{fresh(letter, age=timedelta(hours=25))}/erase").status_code == 400
    assert row(letter)["state"] == "active"


def test_erasing_leaves_a_number_and_a_keyed_hash(letter: Web) -> None:
    letter.send(2)
    with letter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET metadata = %(city)s WHERE id = 1", city=as_json({"city": "Secretville"}))
    letter.client.post(f"{fresh(letter)}/choose", data={"tag": [], "frequency": "every", "lang": "en"})
    answer = letter.client.post(f"{fresh(letter)}/erase")
    assert "Deleted" in answer.text
    whole = letter.dump()
    for trace in ("reader-1", "Secretville"):
        assert trace not in whole
    assert factories.sums_add_up(letter.database)
    assert letter.client.get(fresh(letter)).status_code == 404
    assert letter.counted("erased") == 1
    assert letter.client.post(f"{mailed(letter)}/leave").status_code in (200, 404)


def test_no_import_brings_back_who_was_erased_but_they_can_come_themselves(letter: Web, ada: int) -> None:
    letter.client.post(f"{fresh(letter)}/erase")
    path = letter.settings.build.parent / "list.csv"
    path.write_text(f"email\n{ADA}\n")
    done = imports.apply_import(letter.database, letter.settings, ImportRequest(path, evidence="yes"))
    assert done.reasons == {"erased": 1}
    assert letter.state(ADA) is None
    letter.subscribe(ADA)
    letter.work()
    [confirm] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/confirm/")]
    letter.client.post(confirm)
    assert letter.state(ADA) == "active"
    assert letter.counted("erased") == 0


def test_who_complained_and_was_erased_is_never_mailed_again(letter: Web, ada: int) -> None:
    with letter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=ADA)
    letter.client.post(f"{fresh(letter)}/erase")
    assert letter.counted("suppressions") == 0
    letter.subscribe(ADA)
    assert letter.counted("transactional_mails") == 0
    said = signup.add_subscriber(letter.database, letter.settings, ADA, [], confirmed=True)
    assert "suppressed" in said


def test_an_address_changes_when_both_ends_said_yes(letter: Web, ada: int) -> None:
    new = "ada@new.example"
    asked = letter.client.post(f"{fresh(letter)}/address", data={"email": new})
    assert "confirm there" in asked.text
    assert row(letter)["email"] == ADA
    letter.work()
    [mail] = letter.mails()
    assert mail.to == new
    [path] = [path for path in web.paths(mail.text, letter.settings) if path.startswith("/address/")]
    before = letter.dump()
    assert "<button" in letter.client.get(path).text
    assert letter.dump() == before
    for _ in range(2):
        assert "Your address has been changed" in letter.client.post(path).text
    assert (row(letter)["email"], row(letter)["state"]) == (new, "active")
    letter.work()
    told = next(mail for mail in letter.mails() if mail.to == ADA)
    assert new in told.text
    assert kinds(letter) == ["added", "address"]


def test_an_address_that_is_taken_suppressed_or_wrong_is_not_moved_to(letter: Web, ada: int) -> None:
    signup.add_subscriber(letter.database, letter.settings, "taken@example.org", [], confirmed=True)
    with letter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('bounced@example.org', 'hard bounce')")
    answers = {
        letter.client.post(f"{fresh(letter)}/address", data={"email": email}).text
        for email in ("taken@example.org", "bounced@example.org", ADA)
    }
    assert len({re.sub(r"/reader/[\w-]+", "", text) for text in answers}) == 1
    assert letter.counted("transactional_mails") == 0
    bad = letter.client.post(f"{fresh(letter)}/address", data={"email": "a b@c"})
    assert (bad.status_code, 'value="a b@c"' in unescape(bad.text)) == (422, True)
    assert letter.client.get("/address/forged").status_code == 400
    assert letter.client.post("/address/forged").status_code == 400


def test_who_left_is_told_of_no_next_issue_and_their_address_stays_known_as_left(letter: Web, ada: int) -> None:
    """A tab that is still open, and the link to a new address that was asked for before."""
    page = fresh(letter)
    letter.client.post(f"{page}/address", data={"email": "ada@new.example"})
    letter.work()
    [path] = [path for path in web.paths(letter.mails()[0].text, letter.settings) if path.startswith("/address/")]
    letter.client.post(f"{page}/leave")
    assert letter.client.post(path).status_code == 400
    for action, data in (("resume", {}), ("address", {"email": "ada@other.example"})):
        answer = letter.client.post(f"{page}/{action}", data=data)
        assert (answer.status_code, "subscribe again first" in answer.text) == (422, True)
    assert (row(letter)["email"], row(letter)["state"], kinds(letter)) == (ADA, "left", ["added", "left"])
    letter.work()
    assert len(letter.mails()) == 1


def test_one_email_a_month_holds_the_months_issues_once(letter: Web) -> None:
    letter.send(2)
    letter.client.post(f"{mailed(letter, 1)}/choose", data={"tag": [], "frequency": "monthly", "lang": "fr"})
    with letter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET confirmed_at = '2026-01-01'")
        tx.run("UPDATE sends SET started_at = '2026-02-10'")
    now = datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC)
    assert subscriber_maintenance.queue_monthly_digest(letter.database, now) == 1
    assert subscriber_maintenance.queue_monthly_digest(letter.database, now + timedelta(days=9)) == 0
    before = len(letter.mails())
    letter.work()
    mail = letter.mails()[0]
    assert len(letter.mails()) == before + 1
    assert mail.to == "reader-1@example.org"
    assert "Title of 2026-11-24-hello" in mail.text
    assert "List-Unsubscribe" in str(mail.headers)


@pytest.mark.parametrize(("lang", "title"), [("fr", "Titre"), ("fr-CA", "Titre"), ("de", "Title of"), ("premium", "Title of")])
def test_the_month_in_one_email_names_translations_where_the_subscriber_has_them(letter: Web, lang: str, title: str) -> None:
    letter.send(1)
    with letter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET confirmed_at = '2026-01-01', frequency = 'monthly', lang = %(lang)s", lang=lang)
        tx.run("UPDATE sends SET started_at = '2026-02-10'")
        for name, own in (("fr", "Titre"), ("premium", "")):
            tx.run(
                """
                INSERT INTO edition_variants (edition_id, name, digest, preheader, html, text, body, own_title, own_url)
                SELECT id, %(name)s, '', '', '', '', '', %(title)s, %(url)s FROM editions
                """,
                name=name,
                title=own,
                url=f"https://example.org/{own}/" if own else "",
            )
    assert subscriber_maintenance.queue_monthly_digest(letter.database, datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC)) == 1
    letter.work()
    text = letter.mails()[0].text
    assert title in text
    assert ("https://example.org/Titre/" in text) == (title == "Titre")


def test_what_is_not_to_be_kept_is_forgotten(letter: Web, ada: int) -> None:
    for email in ("never@example.org", "now@example.org"):
        letter.subscribe(email)
    signup.add_subscriber(letter.database, letter.settings, "left@example.org", [], confirmed=True)
    with letter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET created_at = '2020-01-01' WHERE email_normal = 'never@example.org'")
        tx.run("UPDATE consents SET at = '2020-01-01' WHERE subscriber_id = 2")
        tx.run("UPDATE subscribers SET state = 'left', left_at = '2020-01-01' WHERE email_normal = 'left@example.org'")
    assert subscriber_maintenance.apply_retention(letter.database, letter.settings) == (1, 0)
    kept = web.make(letter.settings.build.parent, letter.database, keep_unsubscribed=timedelta(days=365)).settings
    assert subscriber_maintenance.apply_retention(letter.database, kept) == (0, 1)
    assert (letter.state("never@example.org"), letter.state("left@example.org")) == (None, None)
    assert (letter.state("now@example.org"), letter.state(ADA)) == ("unconfirmed", "active")


def test_a_scanner_that_also_opens_hidden_links_changes_nothing_and_is_known_by_it(letter: Web, ada: int) -> None:
    send = letter.send()
    letter.subscribe("new@example.org")
    letter.client.post(f"{mailed(letter)}/link")
    letter.work()
    before = letter.dump(without=("scanner_visits",))
    waiting = [
        path for mail in letter.mails() for path in web.paths(mail.raw.decode() + mail.html + mail.text, letter.settings)
    ]
    assert {path.split("/")[1] for path in waiting} >= {"confirm", "reader", "canary", "leave"}
    assert sum(path.endswith("/canary") for path in set(waiting)) == 3  # Ada and the two of web.send
    seen: set[str] = set()
    while waiting and len(seen) < 300:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            letter.client.head(path)
            waiting += web.paths(letter.client.get(path).text, letter.settings)
    assert letter.dump(without=("scanner_visits",)) == before
    with letter.database.transaction() as tx:
        visits = tx.all("SELECT subscriber_id, send_id, mail_id FROM scanner_visits ORDER BY send_id, mail_id, subscriber_id")
    assert [row["send_id"] for row in visits] == [0, 0, send, send, send]
    assert [row["mail_id"] > 0 for row in visits] == [True, True, False, False, False]
    for path in seen:
        if "canary" in path:
            assert letter.client.post(path).status_code == 405


def test_people_do_not_see_the_hidden_link(letter: Web) -> None:
    letter.send()
    letter.subscribe(ADA)
    letter.work()
    assert {mail.kind for mail in letter.mails()} == {"issue", "confirmation"}
    for mail in letter.mails():
        [tag] = re.findall(r"<a [^>]*canary[^>]*>", mail.html)
        assert 'aria-hidden="true"' in tag
        assert 'tabindex="-1"' in tag
        assert "display:none" in tag
        assert "canary" not in mail.text
        assert "canary" not in str(mail.headers)


def test_a_hidden_link_that_is_not_ours_or_of_somebody_gone_is_not_written_down(letter: Web) -> None:
    assert letter.client.get("/leave/forged/canary").status_code == 404
    assert letter.client.get("/canary/forged").status_code == 404
    gone = tokens.leave_token(letter.settings.need_secrets(), 999, 1)
    assert letter.client.get(f"/leave/{gone}/canary").status_code == 200
    assert letter.counted("scanner_visits") == 0
