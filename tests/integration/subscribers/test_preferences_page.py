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
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python", "mail"))


@pytest.fixture
def ada(newsletter: Web) -> int:
    signup.add_subscriber(newsletter.database, newsletter.settings, ADA, ["python", "vip"], confirmed=True)
    return 1


def mailed(newsletter: Web, ada: int = 1) -> str:
    """The path of the page as issues link to it."""
    return f"/reader/{tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(ada), 3)}"


def fresh(newsletter: Web, ada: int = 1, age: timedelta = timedelta(0)) -> str:
    """The path of the page by a link that was just asked for."""
    return (
        f"/reader/{tokens.page_token(newsletter.settings.need_secrets(), newsletter.recipient(ada), datetime.now(UTC) - age)}"
    )


def row(newsletter: Web) -> dict[str, object]:
    with newsletter.database.transaction() as tx:
        return tx.one("SELECT * FROM subscribers WHERE id = 1") or {}


def kinds(newsletter: Web) -> list[str]:
    with newsletter.database.transaction() as tx:
        return [one["kind"] for one in tx.all("SELECT kind FROM consents ORDER BY id")]


def test_the_unsubscribe_page_links_to_it_and_viewing_changes_nothing(newsletter: Web, ada: int) -> None:
    before = newsletter.dump()
    unsubscribe = f"/leave/{tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(ada), 3)}"
    assert mailed(newsletter) in newsletter.client.get(unsubscribe).text
    page = newsletter.client.get(mailed(newsletter)).text
    assert re.search(r'value="python" checked', page)
    assert re.search(r'value="vip" checked', page)
    assert re.search(r'value="mail">', page)
    assert newsletter.dump() == before


def test_topics_frequency_and_language_are_chosen_and_kept_as_evidence(newsletter: Web, ada: int) -> None:
    answer = newsletter.client.post(
        f"{mailed(newsletter)}/choose", data={"tag": ["mail"], "frequency": "monthly", "lang": "de"}
    )
    assert answer.status_code == 200
    assert '<html lang="de"' in answer.text
    assert (row(newsletter)["tags"], row(newsletter)["frequency"], row(newsletter)["lang"]) == (["mail"], "monthly", "de")
    assert kinds(newsletter) == ["added", "chosen"]
    with newsletter.database.transaction() as tx:
        assert audiences.count(tx, Everyone()) == 0


def test_a_tag_that_subscribers_may_edit_is_on_offer(newsletter: Web, ada: int) -> None:
    assert 'value="open"' not in newsletter.client.get(mailed(newsletter)).text
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO tags (name, subscriber_editable) VALUES ('open', true), ('shut', false)")
    page = newsletter.client.get(mailed(newsletter)).text
    assert 'value="open"' in page
    assert 'value="shut"' not in page
    newsletter.client.post(f"{mailed(newsletter)}/choose", data={"tag": "open", "frequency": "every", "lang": "en"})
    assert row(newsletter)["tags"] == ["open"]


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
def test_what_is_not_on_offer_is_refused_in_one_sentence(newsletter: Web, ada: int, data: dict[str, str]) -> None:
    before = newsletter.dump()
    answer = newsletter.client.post(f"{mailed(newsletter)}/choose", data=data)
    assert (answer.status_code, answer.text.count('role="alert"')) == (422, 1)
    assert newsletter.dump() == before


def test_a_pause_holds_issues_back_ends_by_itself_and_says_so(newsletter: Web, ada: int) -> None:
    answer = newsletter.client.post(f"{mailed(newsletter)}/pause", data={"months": "3"})
    assert "Paused until" in answer.text
    until = row(newsletter)["paused_until"]
    assert isinstance(until, datetime)
    assert timedelta(days=88) < until - datetime.now(UTC) < timedelta(days=93)
    with newsletter.database.transaction() as tx:
        assert audiences.count(tx, Everyone()) == 0
    assert preferences.end_pauses(newsletter.database) == 0
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET paused_until = now() - interval '1 second'")
        assert audiences.count(tx, Everyone()) == 1
    assert preferences.end_pauses(newsletter.database) == 1
    assert preferences.end_pauses(newsletter.database) == 0
    newsletter.work()
    [email] = newsletter.emails()
    assert "Your pause is over" in email.subject
    assert mailed(newsletter)[:8] in email.text
    assert row(newsletter)["paused_until"] is None
    assert kinds(newsletter) == ["added", "paused", "resumed"]


def test_a_pause_can_be_ended_early_and_lasts_1_to_12_months(newsletter: Web, ada: int) -> None:
    for months in ("0", "13", "-1", "x", "1.5", ""):
        assert newsletter.client.post(f"{mailed(newsletter)}/pause", data={"months": months}).status_code == 422
    newsletter.client.post(f"{mailed(newsletter)}/pause", data={"months": "12"})
    assert "Resume now" in newsletter.client.get(mailed(newsletter)).text
    newsletter.client.post(f"{mailed(newsletter)}/resume")
    assert row(newsletter)["paused_until"] is None


def frozen(newsletter: Web) -> int:
    """A send to two subscribers that runs, with nothing claimed yet."""
    factories.add_subscribers(newsletter.database, 2)
    with newsletter.database.transaction() as tx:
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
def test_pausing_or_unsubscribing_during_a_send_stops_what_is_not_claimed_yet(newsletter: Web, way: str) -> None:
    send_id = frozen(newsletter)
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1), send_id)
    if way == "pause":
        newsletter.client.post(f"{mailed(newsletter, 1)}/pause", data={"months": "1"})
    elif way == "mail":
        raw = f"From: somebody@example.org\r\nSubject: leave {token}\r\n\r\n".encode()
        assert (
            unsubscribe_by_email.process_email(newsletter.database, newsletter.settings, raw)
            is unsubscribe_by_email.UnsubscribeEmailOutcome.UNSUBSCRIBED
        )
    else:
        newsletter.client.post(f"/leave/{token}", data={"List-Unsubscribe": "One-Click"} if way == "one click" else {})
    with newsletter.database.transaction() as tx:
        claimed, touched = deliveries.claim(tx, send_id, "00000000-0000-0000-0000-000000000001", 10)
    assert ([one.email for one in claimed], touched) == (["subscriber-2@example.org"], 2)


def test_leaving_works_from_the_page_and_twice(newsletter: Web, ada: int) -> None:
    for _ in range(2):
        assert "You’ve unsubscribed" in newsletter.client.post(f"{mailed(newsletter)}/leave").text
    assert row(newsletter)["state"] == "unsubscribed"
    assert kinds(newsletter) == ["added", "unsubscribed"]


def test_a_forwarded_link_neither_shows_nor_erases_nor_moves(newsletter: Web, ada: int) -> None:
    before = newsletter.dump()
    page = newsletter.client.get(mailed(newsletter)).text
    assert "Send me the link" in page
    assert "/erase" not in page
    for action in ("export", "erase", "address"):
        answer = newsletter.client.post(f"{mailed(newsletter)}/{action}", data={"email": "thief@example.org"})
        assert (answer.status_code, "forwarded" in answer.text) == (422, True)
    assert newsletter.dump() == before


def test_a_fresh_link_comes_by_email_and_no_more_often_than_it_should(newsletter: Web, ada: int) -> None:
    for _ in range(5):
        newsletter.client.post(f"{mailed(newsletter)}/link")
        newsletter.client.post("/reader", data={"email": ADA, "token": newsletter.form_token()})
    newsletter.work()
    assert len(newsletter.emails()) == 3
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/reader/")]
    assert "Delete all my data" in newsletter.client.get(path).text


def test_asking_for_a_link_says_the_same_to_strangers(newsletter: Web, ada: int) -> None:
    answers = set()
    for email in (ADA, "nobody@example.org"):
        answer = newsletter.client.post("/reader", data={"email": email, "token": newsletter.form_token()})
        answers.add((answer.status_code, answer.text.replace(email, "X")))
    assert len(answers) == 1
    bad = newsletter.client.post("/reader", data={"email": "nobody@", "token": newsletter.form_token()})
    assert (bad.status_code, 'value="nobody@"' in bad.text) == (422, True)
    young = newsletter.client.post("/reader", data={"email": ADA, "token": "x"})
    assert "click the button again" in young.text


def test_all_that_is_kept_comes_as_a_file(newsletter: Web, ada: int) -> None:
    newsletter.client.post(f"{mailed(newsletter)}/choose", data={"tag": ["mail"], "frequency": "every", "lang": "en"})
    answer = newsletter.client.post(f"{fresh(newsletter)}/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    kept = json.loads(answer.text)
    assert kept["subscribers"][0]["email"] == ADA
    assert [one["kind"] for one in kept["consents"]] == ["added", "chosen"]


def test_a_link_to_everything_holds_for_a_day(newsletter: Web, ada: int) -> None:
    assert newsletter.client.get(fresh(newsletter, age=timedelta(hours=23))).status_code == 200
    old = newsletter.client.get(fresh(newsletter, age=timedelta(hours=25)))
    assert (old.status_code, 'href="/reader"' in old.text) == (400, True)
    assert newsletter.client.post(f"{fresh(newsletter, age=timedelta(hours=25))}/erase").status_code == 400
    assert row(newsletter)["state"] == "active"


def test_after_erasing_only_a_number_and_a_keyed_hash_are_left(newsletter: Web) -> None:
    newsletter.send(2)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET metadata = %(city)s WHERE id = 1", city=as_json({"city": "Secretville"}))
    newsletter.client.post(f"{fresh(newsletter)}/choose", data={"tag": [], "frequency": "every", "lang": "en"})
    answer = newsletter.client.post(f"{fresh(newsletter)}/erase")
    assert "Deleted" in answer.text
    whole = newsletter.dump()
    for trace in ("subscriber-1", "Secretville"):
        assert trace not in whole
    assert factories.sums_add_up(newsletter.database)
    assert newsletter.client.get(fresh(newsletter)).status_code == 404
    assert newsletter.counted("erased") == 1
    assert newsletter.client.post(f"{mailed(newsletter)}/leave").status_code in (200, 404)


def test_no_import_brings_back_who_was_erased_but_they_can_come_themselves(newsletter: Web, ada: int) -> None:
    newsletter.client.post(f"{fresh(newsletter)}/erase")
    path = newsletter.settings.build.parent / "list.csv"
    path.write_text(f"email\n{ADA}\n")
    done = imports.apply_import(newsletter.database, newsletter.settings, ImportRequest(path, evidence="yes"))
    assert done.reasons == {"erased": 1}
    assert newsletter.state(ADA) is None
    newsletter.subscribe(ADA)
    newsletter.work()
    [confirm] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/confirm/")]
    newsletter.client.post(confirm)
    assert newsletter.state(ADA) == "active"
    assert newsletter.counted("erased") == 0


def test_who_complained_and_was_erased_is_never_mailed_again(newsletter: Web, ada: int) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=ADA)
    newsletter.client.post(f"{fresh(newsletter)}/erase")
    assert newsletter.counted("suppressions") == 0
    newsletter.subscribe(ADA)
    assert newsletter.counted("transactional_emails") == 0
    said = signup.add_subscriber(newsletter.database, newsletter.settings, ADA, [], confirmed=True)
    assert "suppressed" in said


def test_an_address_changes_when_both_ends_said_yes(newsletter: Web, ada: int) -> None:
    new = "ada@new.example"
    asked = newsletter.client.post(f"{fresh(newsletter)}/address", data={"email": new})
    assert "confirm there" in asked.text
    assert row(newsletter)["email"] == ADA
    newsletter.work()
    [email] = newsletter.emails()
    assert email.to == new
    [path] = [path for path in web.paths(email.text, newsletter.settings) if path.startswith("/address/")]
    before = newsletter.dump()
    assert "<button" in newsletter.client.get(path).text
    assert newsletter.dump() == before
    for _ in range(2):
        assert "Your address has been changed" in newsletter.client.post(path).text
    assert (row(newsletter)["email"], row(newsletter)["state"]) == (new, "active")
    newsletter.work()
    told = next(email for email in newsletter.emails() if email.to == ADA)
    assert new in told.text
    assert kinds(newsletter) == ["added", "address"]


def test_an_address_that_is_taken_suppressed_or_wrong_is_not_moved_to(newsletter: Web, ada: int) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, "taken@example.org", [], confirmed=True)
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('bounced@example.org', 'hard bounce')")
    answers = {
        newsletter.client.post(f"{fresh(newsletter)}/address", data={"email": email}).text
        for email in ("taken@example.org", "bounced@example.org", ADA)
    }
    assert len({re.sub(r"/reader/[\w-]+", "", text) for text in answers}) == 1
    assert newsletter.counted("transactional_emails") == 0
    bad = newsletter.client.post(f"{fresh(newsletter)}/address", data={"email": "a b@c"})
    assert (bad.status_code, 'value="a b@c"' in unescape(bad.text)) == (422, True)
    assert newsletter.client.get("/address/forged").status_code == 400
    assert newsletter.client.post("/address/forged").status_code == 400


def test_who_left_is_told_of_no_next_issue_and_their_address_stays_known_as_left(newsletter: Web, ada: int) -> None:
    """A tab that is still open, and the link to a new address that was asked for before."""
    page = fresh(newsletter)
    newsletter.client.post(f"{page}/address", data={"email": "ada@new.example"})
    newsletter.work()
    [path] = [path for path in web.paths(newsletter.emails()[0].text, newsletter.settings) if path.startswith("/address/")]
    newsletter.client.post(f"{page}/leave")
    assert newsletter.client.post(path).status_code == 400
    for action, data in (("resume", {}), ("address", {"email": "ada@other.example"})):
        answer = newsletter.client.post(f"{page}/{action}", data=data)
        assert (answer.status_code, "subscribe again first" in answer.text) == (422, True)
    assert (row(newsletter)["email"], row(newsletter)["state"], kinds(newsletter)) == (
        ADA,
        "unsubscribed",
        ["added", "unsubscribed"],
    )
    newsletter.work()
    assert len(newsletter.emails()) == 1


def test_what_is_not_to_be_kept_is_forgotten(newsletter: Web, ada: int) -> None:
    for email in ("never@example.org", "now@example.org"):
        newsletter.subscribe(email)
    signup.add_subscriber(newsletter.database, newsletter.settings, "left@example.org", [], confirmed=True)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET created_at = '2020-01-01' WHERE email_normal = 'never@example.org'")
        tx.run("UPDATE consents SET at = '2020-01-01' WHERE subscriber_id = 2")
        tx.run(
            "UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = '2020-01-01' "
            "WHERE email_normal = 'left@example.org'"
        )
    assert subscriber_maintenance.apply_retention(newsletter.database, newsletter.settings) == (1, 0)
    kept = web.make(newsletter.settings.build.parent, newsletter.database, keep_unsubscribed=timedelta(days=365)).settings
    assert subscriber_maintenance.apply_retention(newsletter.database, kept) == (0, 1)
    assert (newsletter.state("never@example.org"), newsletter.state("left@example.org")) == (None, None)
    assert (newsletter.state("now@example.org"), newsletter.state(ADA)) == ("unconfirmed", "active")


def test_a_scanner_that_also_opens_hidden_links_changes_nothing_and_is_known_by_it(newsletter: Web, ada: int) -> None:
    send = newsletter.send()
    newsletter.subscribe("new@example.org")
    newsletter.client.post(f"{mailed(newsletter)}/link")
    newsletter.work()
    before = newsletter.dump(without=("scanner_visits",))
    waiting = [
        path
        for email in newsletter.emails()
        for path in web.paths(email.raw.decode() + email.html + email.text, newsletter.settings)
    ]
    assert {path.split("/")[1] for path in waiting} >= {"confirm", "reader", "canary", "leave"}
    assert sum(path.endswith("/canary") for path in set(waiting)) == 3  # Ada and the two of web.send
    seen: set[str] = set()
    while waiting and len(seen) < 300:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            newsletter.client.head(path)
            waiting += web.paths(newsletter.client.get(path).text, newsletter.settings)
    assert newsletter.dump(without=("scanner_visits",)) == before
    with newsletter.database.transaction() as tx:
        visits = tx.all("SELECT subscriber_id, send_id, email_id FROM scanner_visits ORDER BY send_id, email_id, subscriber_id")
    assert [row["send_id"] for row in visits] == [0, 0, send, send, send]
    assert [row["email_id"] > 0 for row in visits] == [True, True, False, False, False]
    for path in seen:
        if "canary" in path:
            assert newsletter.client.post(path).status_code == 405


def test_people_do_not_see_the_hidden_link(newsletter: Web) -> None:
    newsletter.send()
    newsletter.subscribe(ADA)
    newsletter.work()
    assert {email.kind for email in newsletter.emails()} == {"issue", "confirmation"}
    for email in newsletter.emails():
        [tag] = re.findall(r"<a [^>]*canary[^>]*>", email.html)
        assert 'aria-hidden="true"' in tag
        assert 'tabindex="-1"' in tag
        assert "display:none" in tag
        assert "canary" not in email.text
        assert "canary" not in str(email.headers)


def test_a_hidden_link_that_is_not_ours_or_of_somebody_gone_is_not_written_down(newsletter: Web) -> None:
    assert newsletter.client.get("/leave/forged/canary").status_code == 404
    assert newsletter.client.get("/canary/forged").status_code == 404
    gone = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(999), 1)
    assert newsletter.client.get(f"/leave/{gone}/canary").status_code == 200
    assert newsletter.counted("scanner_visits") == 0
