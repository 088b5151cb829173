"""The operator's desk: who gets in, who may change what, and what is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mailer import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.flows.operations import api_keys
from mailer.flows.operations.desk import desk_access, desk_settings, slow_figures
from mailer.flows.operations.desk.desk_access import DeskRole
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from mailer.flows.sending import send_control
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.sending.warmup import start_warmup
from mailer.store.operations import standstills
from mailer.store.sending.sends import SendState
from mailer.store.subscribers import suppressions
from tests import factories, sequences, web
from tests.integration.api.test_open_routes import routes
from tests.web import Web

OWNER, VIEWER = "ada@example.org", "bob@example.org"
PAGES = (
    "/desk", "/desk/live", "/desk/sends", "/desk/sequences", "/desk/growth", "/desk/bounces", "/desk/suppressions",
    "/desk/held", "/desk/imports", "/desk/webhooks", "/desk/keys", "/desk/settings", "/desk/log",
    "/desk/sends/1", "/desk/sends/1/report",
)  # fmt: skip


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    made = web.make(tmp_path, database)
    conf = replace(made.settings, desk=True, desk_owners=(OWNER,), desk_viewers=(VIEWER,), outbox=tmp_path / "outbox")
    return Web(conf, database)


class Operator:
    """A browser that has signed in."""

    def __init__(self, newsletter: Web, role: DeskRole) -> None:
        self.client = TestClient(newsletter.app(), base_url="http://127.0.0.1", follow_redirects=False)
        link = desk_access.create_link(newsletter.database, newsletter.settings, str(role), role)
        self.path = link.removeprefix(newsletter.settings.api_url)
        self.answer = self.client.post(self.path)

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def post(self, path: str, page: str = "/desk", **fields: Any) -> Any:
        """Post a form with the token of a page."""
        token = re.findall(r'name="form_token" value="(\w+)"', self.get(page).text)[0]
        return self.client.post(path, data={"form_token": token, **fields})


@pytest.fixture
def owner(newsletter: Web) -> Operator:
    return Operator(newsletter, DeskRole.OWNER)


@pytest.fixture
def viewer(newsletter: Web) -> Operator:
    return Operator(newsletter, DeskRole.VIEWER)


def acts(newsletter: Web) -> list[tuple[str, str, str, bool]]:
    found = desk_access.list_acts(newsletter.database)
    return [(one.operator, one.act, one.target, not one.outcome) for one in reversed(found)]


def test_it_is_off_unless_it_is_switched_on(database: Database, tmp_path: Path) -> None:
    off = web.make(tmp_path, database)
    assert not [path for path in routes(off.app()) if path.startswith("/desk")]
    assert off.client.get("/desk").status_code == 404
    with pytest.raises(Refused, match="The desk is off"):
        desk_access.create_link(database, off.settings, "ada", DeskRole.OWNER)


def test_without_a_session_every_page_leads_to_the_sign_in_and_shows_nothing(newsletter: Web) -> None:
    newsletter.send()
    found = {path.replace("{send_id}", "1") for path in routes(newsletter.app()) if path.startswith("/desk")}
    assert found == {*PAGES, "/desk/login", "/desk/login/{token}"}
    for path in PAGES:
        answer = newsletter.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/desk/login"), path
        assert "Subject of" not in answer.text
    for path in ("/desk/sends/1/pause", "/desk/held/drop", "/desk/keys/revoke", "/desk/suppressions", "/desk/logout"):
        assert newsletter.client.post(path).status_code == 303
    assert acts(newsletter) == []


def test_a_link_signs_in_once_and_only_by_a_post(newsletter: Web, owner: Operator) -> None:
    assert owner.answer.status_code == 303
    cookie = owner.answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/desk"))
    assert owner.get("/desk").status_code == 200
    replayed = newsletter.client.post(owner.path)
    assert replayed.status_code == 400
    assert "set-cookie" not in replayed.headers
    link = desk_access.create_link(newsletter.database, newsletter.settings, "bob", DeskRole.VIEWER)
    path = link.removeprefix(newsletter.settings.api_url)
    for _ in range(3):  # a scanner
        assert newsletter.client.get(path).status_code == 200
    elsewhere = newsletter.client.post(path, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 400
    assert newsletter.client.post(path).status_code == 303
    assert newsletter.client.get("/desk/login/forged").status_code == 400


def test_over_https_the_cookie_is_secure(newsletter: Web, database: Database) -> None:
    secure = Web(replace(newsletter.settings, api_url="https://news.example.org", hosts=("127.0.0.1",)), database)
    cookie = Operator(secure, DeskRole.OWNER).answer.headers["set-cookie"]
    assert cookie.startswith("__Secure-postmerge_desk=")
    assert "; Secure" in cookie


@pytest.mark.parametrize("change", ["used_at = now()", "expires_at = now() - interval '1 second'"])
def test_an_old_link_signs_nobody_in(newsletter: Web, change: str) -> None:
    link = desk_access.create_link(newsletter.database, newsletter.settings, "ada", DeskRole.OWNER)
    with newsletter.database.transaction() as tx:
        tx.run(f"UPDATE desk_links SET {change}")
    answer = newsletter.client.post(link.removeprefix(newsletter.settings.api_url))
    assert answer.status_code == 400
    assert "This link no longer works" in answer.text


def test_sessions_end_by_time_by_signing_out_and_by_the_command(newsletter: Web, owner: Operator, viewer: Operator) -> None:
    assert owner.post("/desk/logout").headers["location"] == "/desk/login"
    assert owner.get("/desk").status_code == 303
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE desk_sessions SET expires_at = now() - interval '1 second' WHERE role = 'viewer'")
    assert viewer.get("/desk").status_code == 303
    third = Operator(newsletter, DeskRole.OWNER)
    assert third.get("/desk").status_code == 200
    assert desk_access.end_sessions(newsletter.database) == 1
    assert third.get("/desk").status_code == 303


def test_a_link_comes_by_email_to_operators_alone(newsletter: Web) -> None:
    said = set()
    for email in ("eve@example.org", "not an address", "", OWNER.upper()):
        answer = newsletter.client.post("/desk/login", data={"email": email})
        said.add((answer.status_code, answer.text))
    assert len(said) == 1
    [sent] = newsletter.emails()
    assert sent.to == OWNER
    [path] = re.findall(r"http://127.0.0.1:8025(/desk/login/[\w-]+)", sent.text)
    assert newsletter.client.post(path).status_code == 303


def test_no_number_of_requests_floods_an_operators_inbox(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = partial(newsletter.client.post, "/desk/login", data={"email": OWNER})
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: ask(), range(12)))
    assert len(newsletter.emails()) == desk_access.MAX_OPEN_LINKS
    monkeypatch.setattr(desk_access, "MAX_OPEN_LINKS", 1000)
    ask()
    assert len(newsletter.emails()) == 3


def test_an_operator_who_complained_gets_no_link_by_email(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        suppressions.add(tx, [OWNER], "complaint")
    newsletter.client.post("/desk/login", data={"email": OWNER})
    assert not newsletter.emails()


def test_who_is_taken_out_of_the_settings_is_out_at_the_next_request(newsletter: Web, database: Database) -> None:
    newsletter.client.post("/desk/login", data={"email": VIEWER})
    [path] = re.findall(r"(/desk/login/[\w-]+)", newsletter.emails()[0].text)[:1]
    client = newsletter.client
    client.post(path)
    assert "bob@example.org, viewer" in client.get("/desk").text
    promoted = Web(replace(newsletter.settings, desk_owners=(VIEWER,), desk_viewers=()), database).client
    promoted.cookies = client.cookies
    assert "bob@example.org, owner" in promoted.get("/desk").text
    gone = Web(replace(newsletter.settings, desk_viewers=()), database).client
    gone.cookies = client.cookies
    assert gone.get("/desk").status_code == 303


def _controls(newsletter: Web) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every form of the desk, with the page it is on."""
    yield "/desk/sends/1/pause", "/desk/sends/1", {}
    yield "/desk/sends/1/resume", "/desk/sends/1", {}
    yield "/desk/sends/1/stop", "/desk/sends/1", {}
    yield "/desk/sends/1/cancel", "/desk/sends/1", {}
    yield "/desk/sends/1/uncertain", "/desk/sends/1", {"resolve": "sent"}
    yield "/desk/sequences/welcome/stop", "/desk/sequences", {}
    yield "/desk/suppressions", "/desk/suppressions", {"email": "x@example.org", "why": "wrote to us"}
    yield "/desk/held/release", "/desk/held", {"id": "1"}
    yield "/desk/held/drop", "/desk/held", {"id": "1"}
    yield "/desk/webhooks/1/replay", "/desk/webhooks", {}
    yield "/desk/keys/revoke", "/desk/keys", {"name": "ci"}


def test_a_viewer_sees_everything_and_changes_nothing_and_it_is_written_down(newsletter: Web, viewer: Operator) -> None:
    newsletter.send()
    api_keys.create_key(newsletter.database, "ci", "publish")
    for path in PAGES:
        answer = viewer.get(path)
        assert answer.status_code == 200, path
        assert not re.search(r'<form method="post"(?! action="/desk/(held/release|logout)")', answer.text), path
    before = newsletter.dump(("desk_acts", "kept_figures"))
    posted = list(_controls(newsletter))
    for path, page, fields in posted:
        answer = viewer.post(path, page, **fields)
        assert (answer.status_code, "ask an owner" in answer.text) == (403, True), path
    assert newsletter.dump(("desk_acts", "kept_figures")) == before
    assert [done for _, _, _, done in acts(newsletter)] == [True, *[False] * len(posted)]


def test_every_form_of_the_app_is_in_the_table_of_controls(newsletter: Web) -> None:
    from fastapi.routing import iter_route_contexts

    found = {str(one.path) for one in iter_route_contexts(newsletter.app().routes) if "POST" in (one.methods or ())}
    desk = {path for path in found if path.startswith("/desk") and "login" not in path and path != "/desk/logout"}
    known = {path for path, _, _ in _controls(newsletter)}
    shapes = {re.sub(r"\{\w+\}", r"[\\w-]+", path) for path in desk}
    assert all(any(re.fullmatch(shape, path) for path in known) for shape in shapes)
    assert all(any(re.fullmatch(shape, path) for shape in shapes) for path in known)


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"form_token": "0" * 64}, {}),
        (None, {"Origin": "https://evil.example"}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_a_forged_form_changes_nothing_and_is_written_down(
    newsletter: Web, owner: Operator, fields: dict[str, str] | None, headers: dict[str, str]
) -> None:
    send_id = newsletter.send()
    token = re.findall(r'name="form_token" value="(\w+)"', owner.get("/desk").text)[0]
    answer = owner.client.post(
        f"/desk/sends/{send_id}/stop", data=fields if fields is not None else {"form_token": token}, headers=headers
    )
    assert answer.status_code == 403
    assert acts(newsletter)[-1] == ("owner", "forged form", f"/desk/sends/{send_id}/stop", False)
    assert list_send_statuses(newsletter.database)[0].send.state is SendState.FINISHED


def test_the_form_of_another_session_is_forged(newsletter: Web, owner: Operator, viewer: Operator) -> None:
    token = re.findall(r'name="form_token" value="(\w+)"', viewer.get("/desk").text)[0]
    assert owner.client.post("/desk/keys/revoke", data={"form_token": token, "name": "ci"}).status_code == 403


def waiting_send(newsletter: Web) -> int:
    """A send that waits, of three subscribers."""
    from datetime import timedelta

    from mailer.flows.publishing.publish import Request, adopt_issues, publish
    from mailer.transports.outbox import Outbox

    held = replace(newsletter.settings, hold=timedelta(hours=1))
    factories.add_subscribers(newsletter.database, 3)
    adopt_issues(newsletter.database, held, [factories.old()])
    issues = [factories.old(), factories.edition()]
    return publish(newsletter.database, held, issues, [], Outbox(held.outbox), Request()).send_ids[0]


def test_an_owner_controls_a_send_with_the_words_and_guards_of_the_commands(newsletter: Web, owner: Operator) -> None:
    send_id = waiting_send(newsletter)
    page = f"/desk/sends/{send_id}"

    def state() -> str:
        return str(list_send_statuses(newsletter.database)[0].send.state)

    assert "is paused" in owner.post(f"{page}/pause", page).text
    assert state() == "paused"
    assert "paused by the operator" in owner.get("/desk").text
    assert "is holding" in owner.post(f"{page}/resume", page).text
    assert "is stopped (wrong link)" in owner.post(f"{page}/stop", page, reason="wrong link").text
    refused = owner.post(f"{page}/resume", page)
    assert (refused.status_code, "fix the cause" in refused.text) == (409, True)
    assert owner.post(f"{page}/resume", page, sure="yes").status_code == 200
    assert "set `Edition: 2`" in owner.post(f"{page}/cancel", page).text
    assert owner.post(f"{page}/pause", page).status_code == 409
    assert owner.post(f"{page}/uncertain", page, resolve="not-sent").status_code == 422
    assert owner.post(f"{page}/explode", page).status_code == 404
    done = [(act, ok) for _, act, _, ok in acts(newsletter)]
    assert done == [
        ("sign in", True), ("pause", True), ("resume", True), ("stop", True), ("resume", False), ("resume", True),
        ("cancel", True), ("pause", False), ("uncertain", False),
    ]  # fmt: skip


def test_the_first_page_says_what_needs_the_operator(newsletter: Web, owner: Operator) -> None:
    assert "Everything is fine" in owner.get("/desk").text
    newsletter.send()
    assert "Everything is fine" in owner.get("/desk").text
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'uncertain' WHERE subscriber_id = 1")
        standstills.record_seen(tx, {"worker": "No worker is running: no email is sent."})
    text = owner.get("/desk").text
    assert "2 things need you" in text
    assert "Deliveries that are uncertain: 1." in text
    assert "No worker is running" in text
    assert "Not running: " in text


def test_it_shows_who_waits_for_which_step_and_stops_a_sequence(newsletter: Web, owner: Operator, viewer: Operator) -> None:
    database = newsletter.database
    sequences.merge(database, newsletter.settings, [factories.old(), *sequences.steps("hello", "more")])
    sequences.join(database, "ann", "ben")
    queue_due_steps(database, newsletter.settings)
    sequences.join(database, "cat")
    page = " ".join(re.sub("<[^>]+>", " ", owner.get("/desk/sequences").text).split())
    assert "by confirmed · in it: 3" in page
    assert "01 hello at once 1 2" in page
    assert "02 more 3 days 2 0" in page
    assert "Subject of sequences" not in owner.get("/desk").text + owner.get("/desk/live").text, "it never ends"
    assert viewer.post("/desk/sequences/welcome/stop").status_code == 403
    assert "Sequence welcome is stopped." in owner.post("/desk/sequences/welcome/stop", "/desk/sequences").text
    assert queue_due_steps(database, newsletter.settings) == 0
    assert "Sequence welcome runs." in owner.post("/desk/sequences/welcome/resume", "/desk/sequences").text
    assert queue_due_steps(database, newsletter.settings) == 1
    assert "There is no sequence" in owner.post("/desk/sequences/none/stop", "/desk/sequences").text
    send_control.stop_send(database, "sequences/welcome/hello", "by hand")
    assert "of sequences/welcome/hello is stopped: by hand." in owner.get("/desk").text
    assert ("owner", "stop sequence", "welcome", True) in acts(newsletter)


def test_suppressions_have_a_way_back_but_not_for_complaints(newsletter: Web, owner: Operator) -> None:
    with newsletter.database.transaction() as tx:
        suppressions.add(tx, ["bounce@example.org"], "hard bounce")
        suppressions.add(tx, ["angry@example.org"], "complaint")
    page = "/desk/suppressions"
    assert "2 suppressed addresses" in owner.get(page).text
    assert "1 suppressed address<" in owner.get(f"{page}?q=BOUNCE").text
    assert "may be emailed again" in owner.post(page, page, email="bounce@example.org", why="wrote to us").text
    assert owner.post(page, page, email="angry@example.org", why="wrote to us").status_code == 409
    assert owner.post(page, page, email="bounce@example.org", why=" ").status_code == 422
    assert "1 suppressed address<" in owner.get(page).text


def test_no_secret_is_on_any_page(newsletter: Web, owner: Operator) -> None:
    newsletter.send()
    key = api_keys.create_key(newsletter.database, "ci", "publish")
    conf = replace(
        newsletter.settings, stripe_key="sk_live_VERYSECRET", stripe_webhook_secret="whsec_VERYSECRET",
        sentry_dsn="https://VERYSECRET@sentry.example/1", api_key="pm_VERYSECRET", challenge_secret="VERYSECRET",
        notify_url="https://hooks.example/VERYSECRET", redis_url="redis://me:VERYSECRET@10.0.0.1/0",
        database_url=f"{newsletter.settings.database_url}&password=VERYSECRET", fence="redis://:VERYSECRET@host/1",
    )  # fmt: skip
    shown = dict(desk_settings.list_settings(conf))
    assert "VERYSECRET" not in str(shown)
    assert shown["secret"] == "set, hidden"
    assert shown["sender"] == conf.sender
    text = "".join(owner.get(path).text for path in PAGES)
    assert newsletter.settings.secret not in text
    assert key not in text


def test_pages_have_a_strict_policy_and_are_not_cached(newsletter: Web, owner: Operator) -> None:
    newsletter.send()
    for path in PAGES:
        headers = owner.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"] or path.endswith("/report")


def test_a_get_of_the_desk_changes_nothing(newsletter: Web, owner: Operator) -> None:
    newsletter.send()
    link = desk_access.create_link(newsletter.database, newsletter.settings, "eve", DeskRole.OWNER)
    before = newsletter.dump(("kept_figures",))
    for path in (*PAGES, "/desk/login", link.removeprefix(newsletter.settings.api_url)):
        assert owner.get(path).status_code == 200
    assert newsletter.dump(("kept_figures",)) == before


@pytest.mark.parametrize("path", ["/desk/sends/99", "/desk/sends/x", "/desk/growth?days=999999", "/desk/suppressions?page=0"])
def test_nonsense_is_answered_with_a_page(newsletter: Web, owner: Operator, path: str) -> None:
    assert owner.get(path).status_code in (404, 422)


def test_a_character_that_cannot_be_stored_is_refused_and_hides_no_act(
    newsletter: Web, owner: Operator, viewer: Operator
) -> None:
    assert owner.get("/desk/suppressions?q=%00").status_code == 422
    assert owner.post("/desk/keys/revoke", name="a\0b").status_code == 422
    assert viewer.post("/desk/keys/revoke", name="a\0b").status_code == 403
    assert [(act, done) for _, act, target, done in acts(newsletter)[-2:] if target.startswith("a")] == [
        ("revoke key", False)
    ] * 2


def test_the_log_outlives_everything(newsletter: Web, owner: Operator) -> None:
    with pytest.raises(Exception, match="only ever added"), newsletter.database.transaction() as tx:
        tx.run("DELETE FROM desk_acts")


def test_the_commands(newsletter: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", newsletter.settings.database_url)
    run = CliRunner()
    assert "The desk is off" in str(run.invoke(cli.cli, ["desk", "link"]).exception)
    monkeypatch.setenv("POSTMERGE_DESK", "1")
    link = run.invoke(cli.cli, ["desk", "link", "--name", "Ada", "--role", "viewer"]).output.strip()
    assert newsletter.client.post(link.removeprefix("http://127.0.0.1:8025")).status_code == 303
    assert "Ada" in run.invoke(cli.cli, ["desk", "log"]).output
    assert run.invoke(cli.cli, ["desk", "sign-out"]).output == "1 session ended.\n"
    assert newsletter.client.get("/desk").status_code == 303
    with pytest.raises(BadInput, match="Name whom the link is for"):
        desk_access.create_link(newsletter.database, newsletter.settings, " ", DeskRole.OWNER)


def test_figures_that_take_long_are_shown_at_once_and_counted_again_behind_the_page(
    newsletter: Web, owner: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter.send(3)
    pages = ("/desk/sends", "/desk/sends/1", "/desk/growth", "/desk/sends/1/report")
    assert not any("Counted at" in owner.get(path).text for path in pages)
    monkeypatch.setattr(slow_figures, "QUICK_SECONDS", 0.0)
    for path in pages:
        owner.get(path)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'complained' WHERE subscriber_id = 1")
        tx.run("UPDATE sends SET state = 'paused', reason = 'just now'")
    for path in pages:
        text = owner.get(path).text
        assert ">complained<" not in text or path == "/desk/growth", path
        assert "Counted at" in text or path.endswith("report")
        assert "paused" in text or path in ("/desk/growth", "/desk/sends/1/report"), "what a send does is never old"
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE kept_figures SET made_at = now() - interval '6 seconds'")
    for path in pages:
        owner.get(path)  # counts again
    assert "1 complained" in re.sub("<[^>]+>", "", owner.get("/desk/sends").text)
    assert ">complained<" in owner.get("/desk/sends/1").text


def test_a_page_does_not_wait_for_the_first_count_of_a_large_ledger(
    newsletter: Web, owner: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter.send(3)
    monkeypatch.setattr(slow_figures, "MIN_LARGE_ROWS", 1)
    monkeypatch.setattr(slow_figures, "QUICK_SECONDS", 0.0)
    for path in ("/desk/sends/1", "/desk/growth"):
        first = owner.get(path)
        assert ("being counted" in first.text, first.headers["Refresh"]) == (True, "3")
        assert "NOT add up" not in first.text
        again = owner.get(path)
        assert ("being counted" in again.text, "Refresh" in again.headers) == (False, False)
        assert "accepted" in again.text or path == "/desk/growth"
    monkeypatch.setattr(slow_figures, "QUICK_SECONDS", 60.0)  # it was counted in no time: the pages stay exact
    for path in ("/desk/sends/1", "/desk/growth"):
        for _ in range(3):
            assert "being counted" not in owner.get(path).text


def test_the_first_page_shows_the_warm_up(newsletter: Web, owner: Operator) -> None:
    factories.add_subscribers(newsletter.database, 100)
    assert "Warm-up" not in owner.get("/desk").text
    start_warmup(newsletter.database, 10, 4)
    assert "Warm-up, day 1 of 4: 0 of 10 emails of today are used." in owner.get("/desk").text
