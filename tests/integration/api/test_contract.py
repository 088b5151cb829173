"""Every operation that we have answers in the shape of Buttondown's own description, whole: status, schema, list, error."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.v1.operations.users import PERMISSIONS
from bench import api_table
from mailer.core.db import Row, Tx
from mailer.flows.operations import api_keys
from mailer.flows.subscribers import signup
from mailer.store.billing import customers
from tests.conftest import ROOT
from tests.web import Web

ADA = "ada@example.org"


@cache
def _registry() -> Registry[Any]:
    resource = Resource.from_contents(api_table.contract(), default_specification=DRAFT202012)
    found: Registry[Any] = Registry().with_resource("urn:contract", resource)
    return found


def conforms(method: str, path: str, answer: Any) -> None:
    """The status is in the contract, and the body has its schema."""
    operation = api_table.contract_operation(method, path)
    documented = operation["responses"].get(str(answer.status_code))
    assert documented is not None, f"{method} {path}: {answer.status_code} is not documented: {answer.text[:300]}"
    content = documented.get("content", {}).get("application/json")
    if content is None:
        return
    pointer = json.dumps(content["schema"]).replace('"#/', '"urn:contract#/')
    validator = Draft202012Validator(json.loads(pointer), registry=_registry(), format_checker=FormatChecker())
    problems = [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(answer.json())]
    assert not problems, f"{method} {path}: {problems[:5]}"


def call(api: TestClient, method: str, path: str, of: str = "", **more: Any) -> Any:
    """Ask, and hold the answer against the contract's operation ``of`` (default: the path itself)."""
    answer = api.request(method, f"/v1{path}", **more)
    conforms(method, of or path.partition("?")[0], answer)
    return answer


def test_a_subscribers_life_is_told_in_the_contracts_shapes(newsletter: Web, api: TestClient) -> None:
    body = {"email_address": ADA, "tags": ["Python"], "metadata": {"city": "Paris"}, "notes": "Hello", "utm_source": "talk"}
    made = call(api, "POST", "/subscribers", json=body).json()
    assert made["tags"] == ["Python"]
    assert (made["metadata"], made["notes"], made["utm_source"], made["type"]) == (
        {"city": "Paris"},
        "Hello",
        "talk",
        "unactivated",
    )
    one = "/subscribers/{}"
    for name in (made["id"], ADA, str(made["secondary_id"])):
        assert call(api, "GET", f"/subscribers/{name}", one).json() == made
    changed = call(api, "PATCH", f"/subscribers/{made['id']}", one, json={"type": "regular", "tags": ["a", "b"]}).json()
    assert (changed["type"], changed["tags"], changed["notes"]) == ("regular", ["a", "b"], "Hello")
    assert [step["type"] for step in changed["transitions"]] == ["unactivated", "regular"]
    left = call(api, "PATCH", f"/subscribers/{ADA}", one, json={"type": "unsubscribed", "unsubscription_reason": "time"}).json()
    assert (left["type"], left["unsubscription_reason"]) == ("unsubscribed", "time")
    back = call(api, "PATCH", f"/subscribers/{ADA}", one, json={"type": "regular"})
    assert (back.status_code, back.json()["code"]) == (400, "subscriber_type_invalid")
    assert call(api, "DELETE", f"/subscribers/{ADA}", one).status_code == 204
    assert call(api, "GET", f"/subscribers/{made['id']}", one).status_code == 404
    assert "hello" not in newsletter.dump().lower()
    assert ADA not in newsletter.dump()


@pytest.mark.parametrize(
    ("behavior", "status", "tags", "notes"),
    [
        (None, 400, ["a"], "first"),
        ("fail", 400, ["a"], "first"),
        ("add", 201, ["a", "b"], "first"),
        ("overwrite", 201, ["b"], ""),
    ],
)
def test_a_collision_is_answered_as_asked(
    newsletter: Web, api: TestClient, behavior: str | None, status: int, tags: list[str], notes: str
) -> None:
    call(api, "POST", "/subscribers", json={"email_address": ADA, "tags": ["a"], "notes": "first", "type": "regular"})
    headers = {"X-Buttondown-Collision-Behavior": behavior} if behavior else {}
    again = call(api, "POST", "/subscribers", json={"email_address": ADA, "tags": ["b"]}, headers=headers)
    assert again.status_code == status
    now = api.get(f"/v1/subscribers/{ADA}").json()
    assert (now["tags"], now["notes"], now["type"]) == (tags, notes, "regular")
    if status == 400:
        assert again.json()["metadata"]["subscriber_id"] == now["id"]


@pytest.mark.parametrize("kind", [None, "regular", "unactivated"])
@pytest.mark.parametrize("behavior", ["no_op", "add", "overwrite"])
def test_no_collision_brings_back_who_left_by_itself(newsletter: Web, api: TestClient, behavior: str, kind: str | None) -> None:
    call(api, "POST", "/subscribers", json={"email_address": ADA, "type": "unsubscribed"})
    headers = {"X-Buttondown-Collision-Behavior": behavior}
    call(api, "POST", "/subscribers", json={"email_address": ADA, "type": kind}, headers=headers)
    assert newsletter.state(ADA) != "active"


def test_an_idempotency_key_does_the_work_once(newsletter: Web, api: TestClient) -> None:
    headers = {"Idempotency-Key": "sign-up-1"}
    body = {"email_address": ADA, "type": "regular"}
    first = call(api, "POST", "/subscribers", json=body, headers=headers)
    again = call(api, "POST", "/subscribers", json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert newsletter.counted("subscribers") == 1
    other = call(api, "POST", "/subscribers", json={**body, "email_address": "b@example.org"}, headers=headers)
    assert other.status_code == 409
    assert newsletter.counted("subscribers") == 1


def test_filters_ordering_and_pages_find_who_they_should(newsletter: Web, api: TestClient) -> None:
    for number, tag in enumerate(["a", "b", "a", "c"]):
        signup.add_subscriber(
            newsletter.database, newsletter.settings, f"r{number}@d{number % 2}.example.org", [tag], confirmed=True
        )
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('r3@d1.example.org', 'hard bounce')")

    def found(query: str) -> list[str]:
        answer = call(api, "GET", f"/subscribers?{query}").json()
        assert answer["count"] == len(answer["results"])
        return [one["email_address"][:2] for one in answer["results"]]

    assert found("") == ["r3", "r2", "r1", "r0"]
    assert found("ordering=email_address") == ["r0", "r1", "r2", "r3"]
    assert found("tag=a") == ["r2", "r0"]
    assert found("tag=a&tag=b") == ["r2", "r1", "r0"]
    assert found("-tag=a") == ["r3", "r1"]
    assert found("type=undeliverable") == ["r3"]
    assert found("-type=undeliverable&tag=c") == []
    assert found("domain=d1.example.org") == ["r3", "r1"]
    assert found("-domain=d1.example.org") == ["r2", "r0"]
    assert found("email_address=r1%40") == ["r1"]
    assert found("source=admin") == ["r3", "r2", "r1", "r0"]
    assert found("source=api") == []
    assert found("date__end=2020-01-01") == []
    today, tomorrow = (datetime.now(UTC).date() + timedelta(days=days) for days in (0, 1))
    assert found(f"date__end={today}") == []  # "created before the given date"
    assert found(f"date__end={tomorrow}") == ["r3", "r2", "r1", "r0"]
    assert found("date__start=2020-01-01") == ["r3", "r2", "r1", "r0"]
    assert found("bounce_reason=hard_bounce") == ["r3"]
    assert found("coupon=x") == []
    assert found("open_rate__start=0.5") == []
    one = api.get("/v1/subscribers/r1@d1.example.org").json()["id"]
    assert found(f"ids={one}") == ["r1"]
    code = api.get("/v1/subscribers/r1@d1.example.org").json()["referral_code"]
    assert found(f"referral_code={code}") == ["r1"]
    assert found("type=churned") == []
    for query in ("type=regulr", "-type=unsubscribd", "source=forms", "bounce_reason=hard", "undeliverability_reason=hard"):
        answer = call(api, "GET", f"/subscribers?{query}")
        assert (answer.status_code, answer.json()["detail"][0]["loc"][1]) == (422, query.partition("=")[0])
    for query, code in (("tag=nobody", "invalid_tag"), ("ordering=height", "invalid_ordering")):
        answer = call(api, "GET", f"/subscribers?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_tags_are_made_changed_renamed_and_taken_away(newsletter: Web, api: TestClient) -> None:
    made = call(api, "POST", "/tags", json={"name": "VIP", "color": "#ff0000"}).json()
    assert made["name"] == "VIP"
    assert call(api, "POST", "/tags", json={"name": "vip", "color": "#00ff00"}).json()["code"] == "name_already_exists"
    headers = {"X-Buttondown-Collision-Behavior": "overwrite"}
    again = call(api, "POST", "/tags", json={"name": "vip", "color": "#00ff00"}, headers=headers)
    assert (again.status_code, again.json()["id"], again.json()["color"]) == (200, made["id"], "#00ff00")
    signup.add_subscriber(newsletter.database, newsletter.settings, ADA, ["vip", "other"], confirmed=True)
    assert {one["name"] for one in call(api, "GET", "/tags").json()["results"]} == {"vip", "other"}
    assert call(api, "GET", f"/tags/{made['id']}/analytics", "/tags/{}/analytics").json()["created_subscribers"] == 1
    renamed = call(api, "PATCH", f"/tags/{made['id']}", "/tags/{}", json={"name": "friends"}).json()
    assert renamed["name"] == "friends"
    assert api.get(f"/v1/subscribers/{ADA}").json()["tags"] == ["friends", "other"]
    assert call(api, "DELETE", f"/tags/{made['id']}", "/tags/{}").status_code == 204
    assert api.get(f"/v1/subscribers/{ADA}").json()["tags"] == ["other"]
    assert call(api, "GET", f"/tags/{made['id']}", "/tags/{}").status_code == 404


def test_emails_and_their_outcomes_come_from_the_ledger(newsletter: Web, api: TestClient) -> None:
    newsletter.send(3)
    listed = call(api, "GET", "/emails?ordering=-creation_date").json()
    assert [(one["subject"], one["status"]) for one in listed["results"]] == [
        ("Subject of 2026-11-24-hello", "sent"),
        ("Subject of 2020-01-01-old", "sent"),
    ]
    one = listed["results"][0]
    assert one["body"].startswith("2026-11-24-hello")
    assert call(api, "GET", f"/emails/{one['id']}", "/emails/{}").json().items() >= one.items()
    assert call(api, "GET", f"/emails/{one['id']}/analytics", "/emails/{}/analytics").json()["recipients"] == 3
    assert "<html" in call(api, "GET", f"/emails/{one['id']}/renders", "/emails/{}/renders").json()["content"]
    [past] = call(api, "GET", f"/emails/{one['id']}/history", "/emails/{}/history").json()["results"]
    path = f"/emails/{one['id']}/history/body/{past['history_id']}"
    assert call(api, "GET", path, "/emails/{}/history/body/{}").json()["value"] == one["body"]
    assert call(api, "GET", "/emails?status=sent").json()["count"] == 2
    for wrong in ("status=bogus", "-status=bogus", "source=x", "archival_mode=x", "email_type=x"):
        assert api.get(f"/v1/emails?{wrong}").status_code == 422
    public = call(api, "GET", "/public/emails/the-letter", "/public/emails/{}").json()
    assert [entry["slug"] for entry in public["results"]] == ["2026-11-24-hello", "2020-01-01-old"]


def deliver(newsletter: Web, number: int) -> None:
    """Send an issue to so many subscribers; SES says of each that it was delivered."""
    send = newsletter.send(number)
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO delivery_events (send_id, subscriber_id, kind, at)
            SELECT %(send)s, id, 'delivery', now() FROM subscribers
            """,
            send=send,
        )


def test_events_tell_what_became_of_each_subscriber(newsletter: Web, api: TestClient) -> None:
    deliver(newsletter, 2)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = now() WHERE id = 1")
    listed = call(api, "GET", "/events").json()
    assert [one["event_type"] for one in listed["results"]] == ["unsubscribed", "delivered", "delivered"]
    subscriber = listed["results"][0]["subscriber_id"]
    assert call(api, "GET", f"/events?subscriber_id={subscriber}").json()["count"] == 2
    email = listed["results"][1]["email_id"]
    assert call(api, "GET", f"/events?email_id={email}&event_type=delivered").json()["count"] == 2
    one = call(api, "GET", f"/events/{listed['results'][1]['id']}?expand=subscriber&expand=email", "/events/{}").json()
    assert one["email"]["id"] == email
    assert one["subscriber"]["id"]
    with pytest.raises(Exception, match="only ever added"), newsletter.database.transaction() as tx:
        tx.run("DELETE FROM events")


def test_what_is_expanded_is_asked_for_once_for_all_events(
    newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(newsletter, 40)
    asked, every = list[str](), Tx.all

    def counted(tx: Tx, sql: str, **values: object) -> list[Row]:
        asked.append(sql)
        return every(tx, sql, **values)

    monkeypatch.setattr(Tx, "all", counted)
    numbers = []
    for size in (1, 40):
        asked.clear()
        listed = call(api, "GET", f"/events?page_size={size}&expand=subscriber&expand=email").json()["results"]
        assert len(listed) == size
        assert all(one["subscriber"]["id"] == one["subscriber_id"] for one in listed)
        assert all(one["email"]["id"] == one["email_id"] for one in listed)
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]


def test_segments_and_notes_are_kept(newsletter: Web, api: TestClient) -> None:
    one = {"field": "subscriber.tags", "operator": "contains", "value": "vip"}
    filters = {"filters": [one], "groups": [], "predicate": "and"}
    made = call(api, "POST", "/segments", json={"name": "Friends", "filters": filters}).json()
    assert made["filters"] == filters
    assert call(api, "POST", "/segments", json={"name": "Friends", "filters": filters}).json()["code"] == "name_already_exists"
    assert call(api, "PATCH", f"/segments/{made['id']}", "/segments/{}", json={"name": "Best"}).json()["name"] == "Best"
    assert call(api, "GET", "/segments").json()["count"] == 1
    one["field"] = "subscriber.open_rate"
    assert call(api, "POST", "/segments", json={"name": "x", "filters": filters}).status_code == 422
    assert call(api, "DELETE", f"/segments/{made['id']}", "/segments/{}").status_code == 204
    subscriber = call(api, "POST", "/subscribers", json={"email_address": ADA, "type": "regular"}).json()["id"]
    note = call(api, "POST", "/notes", json={"body": "Met in Paris", "model_type": "subscriber", "model_id": subscriber}).json()
    assert call(api, "GET", f"/notes?model_id={subscriber}").json()["results"] == [note]
    assert call(api, "DELETE", f"/notes/{note['id']}", "/notes/{}").status_code == 204
    missing = {"body": "x", "model_type": "subscriber", "model_id": note["id"]}
    assert call(api, "POST", "/notes", json=missing).status_code == 400


def test_emails_that_a_program_causes_are_limited(newsletter: Web, api: TestClient) -> None:
    call(api, "POST", "/subscribers", json={"email_address": ADA})
    reminder, link = f"/subscribers/{ADA}/send-reminder", f"/subscribers/{ADA}/send-magic-link"
    assert call(api, "POST", reminder, "/subscribers/{}/send-reminder").status_code == 429
    assert call(api, "POST", link, "/subscribers/{}/send-magic-link").status_code == 429
    call(api, "PATCH", f"/subscribers/{ADA}", "/subscribers/{}", json={"type": "regular"})
    assert call(api, "POST", reminder, "/subscribers/{}/send-reminder").status_code == 409
    newsletter.work()
    before = len(newsletter.emails())
    found = [call(api, "POST", link, "/subscribers/{}/send-magic-link").status_code for _ in range(5)]
    newsletter.work()
    assert (found[0], found[-1]) == (200, 429)
    assert len(newsletter.emails()) - before <= 2


def test_a_program_does_not_bring_back_who_was_erased(newsletter: Web, api: TestClient) -> None:
    call(api, "POST", "/subscribers", json={"email_address": ADA, "type": "regular"})
    call(api, "DELETE", f"/subscribers/{ADA}", "/subscribers/{}")
    again = call(api, "POST", "/subscribers", json={"email_address": ADA, "type": "regular"})
    assert (again.status_code, again.json()["code"]) == (400, "subscriber_blocked")
    assert newsletter.state(ADA) is None


def test_files_of_the_archive_are_listed(newsletter: Web, api: TestClient) -> None:
    for name in ("images/a b.png", "images/.hidden", "files/guide.pdf"):
        path = newsletter.settings.site_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    [image] = call(api, "GET", "/images").json()["results"]
    assert image["image"].endswith("/images/a%20b.png")
    [file] = call(api, "GET", "/attachments").json()["results"]
    assert (file["name"], file["size"]) == ("guide.pdf", 5)
    assert call(api, "GET", f"/attachments/{file['id']}", "/attachments/{}").json() == file
    assert call(api, "GET", f"/images?ids={file['id']}").json()["count"] == 0


def test_bulk_actions_change_many_at_once(newsletter: Web, api: TestClient) -> None:
    made = [call(api, "POST", "/subscribers", json={"email_address": f"r{n}@example.org", "type": "regular"}) for n in range(3)]
    ids = [one.json()["id"] for one in made]

    def bulk(kind: str, **metadata: Any) -> Any:
        return call(api, "POST", "/bulk_actions", json={"type": kind, "metadata": metadata})

    done = bulk("apply_tags", ids=ids, tags=["VIP"]).json()
    assert (done["status"], done["metadata"]["done"]) == ("processed", "3")
    assert call(api, "GET", f"/bulk_actions/{done['id']}", "/bulk_actions/{}").json() == done
    assert call(api, "GET", "/subscribers?tag=vip").json()["count"] == 3
    assert bulk("unsubscribe_subscribers", ids=[*ids[:1], "nobody@example.org"]).json()["metadata"]["done"] == "1"
    assert bulk("delete_subscribers", ids=ids[1:2]).json()["metadata"]["done"] == "1"
    assert [newsletter.state(f"r{n}@example.org") for n in range(3)] == ["unsubscribed", None, "active"]
    for wrong in (bulk("send_emails", ids=ids), bulk("apply_tags", ids=ids), bulk("delete_subscribers", ids=[])):
        assert 400 <= wrong.status_code < 500


def test_account_forms_users_and_requests(newsletter: Web, api: TestClient) -> None:
    assert call(api, "GET", "/ping").json() == {}
    assert call(api, "GET", "/accounts/me").json() == {"username": "the-letter", "email_address": "letter@example.org"}
    news = call(api, "GET", "/newsletters").json()["results"][0]
    assert call(api, "GET", f"/newsletters/{news['id']}", "/newsletters/{}").json() == news
    form = call(api, "GET", "/forms").json()["results"][0]
    assert call(api, "GET", f"/forms/{form['id']}", "/forms/{}").json() == form
    made = call(api, "POST", "/users", json={"email_address": "ci@example.org", "permissions": {"sending": "write"}}).json()
    assert made["permissions"]["subscriber"] == "none"
    one = f"/users/{made['id']}"
    assert newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {made['key']}"}).status_code == 200
    assert newsletter.client.get("/v1/subscribers", headers={"Authorization": f"Token {made['key']}"}).status_code == 403
    assert call(api, "PATCH", one, "/users/{}", json={"permissions": PERMISSIONS["subscribers"]}).status_code == 200
    assert newsletter.client.get("/v1/subscribers", headers={"Authorization": f"Token {made['key']}"}).status_code == 200
    assert call(api, "DELETE", one, "/users/{}").status_code == 204
    assert newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {made['key']}"}).status_code == 401
    assert call(api, "GET", one, "/users/{}").json()["status"] == "revoked"
    assert call(api, "GET", "/users").json()["count"] == 2
    api.get(f"/v1/subscribers/{ADA}")
    api.app.state.requests.flush()  # type: ignore[attr-defined]
    listed = call(api, "GET", "/api_requests?path=/subscribers/{id_or_email}").json()["results"]
    assert [(entry["status_code"], entry["api_key_label"]) for entry in listed] == [(404, "test")]
    assert call(api, "GET", f"/api_requests/{listed[0]['id']}", "/api_requests/{}").status_code == 200
    assert ADA not in newsletter.dump()
    assert api_keys.list_keys(newsletter.database)[0].last_used_at is not None


def test_what_is_not_here_is_empty_and_what_is_in_git_says_where(newsletter: Web, api: TestClient) -> None:
    for method, path, state in api_table.states():
        asked = path.replace("{}", "x")
        if state.startswith("not supported: an empty list"):
            assert call(api, method, asked, path).json() == {"results": [], "count": 0, "next": None, "previous": None}
        elif state.startswith("kept in git"):
            answer = api.request(method, f"/v1{asked}")
            assert (answer.status_code, answer.json()["code"]) == (403, "held_in_git")
        elif state.startswith("not supported"):
            assert api.request(method, f"/v1{asked}").status_code == 404


def test_every_list_and_every_missing_thing_conforms(newsletter: Web, api: TestClient) -> None:
    """Whatever the contract lists with GET: our answer has its shape, also for an id that nobody has."""
    for method, path, state in api_table.states():
        if method == "GET" and state == "works":
            call(api, "GET", path.replace("{}", "1e5"), path)


def test_the_table_and_the_shapes_are_true() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.api_table", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_expanding_shows_what_the_ledger_knows_of_stripe(newsletter: Web, api: TestClient) -> None:
    made = call(api, "POST", "/subscribers", json={"email_address": ADA, "type": "regular"}).json()
    wanted = "?expand=stripe_customer&expand=stripe_subscription"
    before = call(api, "GET", f"/subscribers/{ADA}{wanted}", "/subscribers/{}").json()
    assert (before["stripe_customer_id"], before["stripe_customer"], before["stripe_subscription"]) == (None, None, None)
    with newsletter.database.transaction() as tx:
        customers.assign(tx, "cus_1", made["secondary_id"], ADA)
        tx.run(
            """
            INSERT INTO subscriptions (stripe_id, subscriber_id, plan, status, amount, currency, months, started_at)
            VALUES ('sub_1', %(id)s, 'supporter', 'active', 500, 'eur', 1, now())
            """,
            id=made["secondary_id"],
        )
    for one in (
        call(api, "GET", f"/subscribers/{ADA}{wanted}", "/subscribers/{}").json(),
        call(api, "GET", f"/subscribers{wanted}").json()["results"][0],
    ):
        assert (one["stripe_customer_id"], one["stripe_customer"]) == ("cus_1", {"id": "cus_1"})
        assert (one["stripe_subscription"]["subscription_id"], one["stripe_subscription"]["cadence"]) == ("sub_1", "month")
    assert "stripe_customer" not in call(api, "GET", f"/subscribers/{ADA}", "/subscribers/{}").json()
    assert api.get(f"/v1/subscribers/{ADA}?expand=father").status_code == 422


def test_every_order_of_emails_in_the_contract_is_taken(newsletter: Web, api: TestClient) -> None:
    newsletter.send(2)
    described = api_table.contract_operation("GET", "/emails")["parameters"]
    [orders] = [one["schema"]["allOf"][0]["enum"] for one in described if one["name"] == "ordering"]
    for order in orders:
        assert call(api, "GET", f"/emails?ordering={order}").status_code == 200, order
    dates = [one["creation_date"] for one in call(api, "GET", "/emails").json()["results"]]
    assert len(dates) > 1
    assert dates == sorted(dates)


def test_a_key_used_too_often_is_told_its_limit(newsletter: Web, api: TestClient) -> None:
    api.headers["Authorization"] = f"Token {api_keys.create_key(newsletter.database, 'slow', per_minute=1)}"
    assert api.get("/v1/ping").status_code == 200
    refused = call(api, "GET", "/ping")
    assert refused.status_code == 429
    limits = {name: int(refused.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")}
    assert (limits["Limit"], limits["Remaining"]) == (1, 0)
    assert 0 < limits["Reset"] - time.time() <= 62
