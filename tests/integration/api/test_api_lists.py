"""Imports, exports and subscriptions in the API: in the contract's shapes, in two steps, private, and back exactly."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Tx
from mailer.flows.operations import api_keys, api_records
from mailer.flows.subscribers import erasure
from tests.integration.api.test_contract import call
from tests.web import Web

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
LIST = f"E-Mail,City,tags\n{ADA},Paris,python\n{BOB},Lyon,\nnot an address,,\n{EVE},Rome,\n"


def bring(api: TestClient, text: str | bytes, name: str = "list.csv", **metadata: Any) -> Any:
    body = text.encode() if isinstance(text, str) else text
    return call(api, "POST", "/imports", files={"file": (name, body, "text/csv")}, data={"metadata": json.dumps(metadata)})


def fetch(api: TestClient, url: str) -> Any:
    return TestClient(api.app).get("/exports/" + url.rpartition("/")[2])


def test_an_import_is_planned_first_and_done_on_the_clients_word(newsletter: Web, api: TestClient) -> None:
    call(api, "POST", "/subscribers", json={"email_address": EVE, "type": "unsubscribed"})
    made = bring(api, LIST).json()
    assert (made["status"], made["source"], made["results"]) == ("not_started", "standard", None)
    assert made["metadata"]["plan"]["counts"] == {"new": 2, "changed": 0, "same": 0, "refused": 2}
    assert made["metadata"]["plan"]["unconfirmed"] == 2
    assert newsletter.counted("subscribers") == 1
    one = f"/imports/{made['id']}"
    body = {"label": "June", "metadata": {"evidence": "asked on paper, 2024", "tags": ["paper"], "email_column": 0}}
    changed = call(api, "PATCH", one, "/imports/{}", json=body).json()
    assert (changed["label"], changed["metadata"]["plan"]["unconfirmed"]) == ("June", 0)
    assert newsletter.counted("subscribers") == 1
    done = call(api, "PATCH", one, "/imports/{}", json={"status": "in_progress"}).json()
    assert done["status"] == "succeeded"
    assert (done["results"]["new_subscribers"], done["results"]["updated_subscribers"]) == (2, 0)
    assert sorted(line for lines in done["results"]["reason_to_bad_subscribers"].values() for line in lines) == [
        "line 4",
        "line 5",
    ]
    ada = api.get(f"/v1/subscribers/{ADA}").json()
    assert (ada["type"], sorted(ada["tags"]), ada["metadata"]) == ("regular", ["paper", "python"], {"City": "Paris"})
    assert newsletter.state(EVE) == "unsubscribed"
    assert call(api, "GET", one, "/imports/{}").json() == done
    assert call(api, "GET", "/imports").json()["results"] == [done]
    assert call(api, "PATCH", one, "/imports/{}", json={"status": "in_progress"}).status_code == 409
    assert newsletter.counted("import_parts") == 0
    assert call(api, "DELETE", one, "/imports/{}").status_code == 204
    assert call(api, "GET", one, "/imports/{}").status_code == 404
    assert newsletter.state(ADA) == "active"


def test_without_evidence_nobody_is_confirmed(newsletter: Web, api: TestClient) -> None:
    made = bring(api, LIST).json()
    call(api, "PATCH", f"/imports/{made['id']}", "/imports/{}", json={"status": "in_progress"})
    assert newsletter.state(ADA) == "unconfirmed"


def test_no_address_of_an_import_stays_after_it(newsletter: Web, api: TestClient) -> None:
    made = bring(api, LIST).json()
    call(api, "PATCH", f"/imports/{made['id']}", "/imports/{}", json={"status": "in_progress"})
    for subscriber in (ADA, BOB, EVE):
        found = api.get(f"/v1/subscribers/{subscriber}").json()
        erasure.erase_subscriber(newsletter.database, newsletter.settings, found["secondary_id"])
    assert all(subscriber not in newsletter.dump() for subscriber in (ADA, BOB, EVE))


@pytest.mark.parametrize(
    ("text", "name", "metadata", "code", "says"),
    [
        ("", "empty.csv", {}, "malformed_csv", "empty.csv is empty"),
        (b"PK\x03\x04\x00\x00", "list.xlsx", {}, "invalid_file_type", "export the list as CSV"),
        ("name,city\nAda,Paris\n", "list.csv", {}, "malformed_csv", "No column contains the addresses"),
        (LIST, "../../etc/passwd", {"colums": {}}, "malformed_csv", "metadata.colums is unknown"),
        (LIST, "list.csv", {"email_column": 7}, "malformed_csv", "a number from 0 to 2"),
        (LIST, "list.csv", {"metadata_columns": {"town": 1}}, "malformed_csv", "rename it in the file"),
        (LIST, "list.csv", {"columns": {"Town": "ignore"}}, "malformed_csv", "has no column 'town'"),
        (LIST, "list.csv", {"tags": "python"}, "malformed_csv", "metadata.tags must be a list"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_a_sentence(
    newsletter: Web, api: TestClient, text: str | bytes, name: str, metadata: dict[str, Any], code: str, says: str
) -> None:
    answer = bring(api, text, name, **metadata)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert says in answer.json()["detail"]
    assert newsletter.counted("imports") == 0


def test_an_upload_has_a_limit(newsletter: Web, api: TestClient) -> None:
    answer = api.post("/v1/imports", files={"file": ("list.csv", b"email\n" + b"a" * (32 << 20), "text/csv")})
    assert (answer.status_code, newsletter.counted("imports")) == (413, 0)
    assert "32 MB" in answer.json()["detail"]


def test_a_file_that_nobody_imports_goes_after_a_day(newsletter: Web, api: TestClient) -> None:
    made = bring(api, LIST).json()
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE imports SET created_at = now() - interval '25 hours'")
    api_records.delete_old_rows(newsletter.database)
    assert newsletter.counted("import_parts") == 0
    now = call(api, "GET", f"/imports/{made['id']}", "/imports/{}").json()
    assert (now["status"], now["metadata"]["error"]) == ("failed", "nobody started it within a day")


def test_every_subscriber_can_be_exported_and_imported_again(newsletter: Web, api: TestClient) -> None:
    body = {"email_address": ADA, "type": "regular", "tags": ["a, b", "c"], "metadata": {"city": "Paris"}, "notes": "=1+1"}
    call(api, "POST", "/subscribers", json=body)
    call(api, "POST", "/subscribers", json={"email_address": BOB, "type": "unsubscribed"})
    made = call(api, "POST", "/exports", json={"collections": ["subscribers"]}).json()
    assert (made["status"], made["format"]) == ("ready", "csv")
    assert call(api, "GET", "/exports").json()["count"] == 1
    again = call(api, "GET", f"/exports/{made['id']}", "/exports/{}").json()
    answer = fetch(api, again["url"])
    assert answer.headers["content-disposition"] == 'attachment; filename="subscribers.csv"'
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["email_address"] for row in rows] == [ADA, BOB]
    assert (rows[0]["notes"], rows[0]["tags"], rows[0]["metadata"]) == ("'=1+1", '["a, b","c"]', '{"city":"Paris"}')
    back = bring(api, answer.text).json()
    assert back["source"] == "buttondown"
    assert back["metadata"]["plan"]["counts"]["same"] == 1


def test_an_export_is_as_narrow_as_asked(newsletter: Web, api: TestClient) -> None:
    for address, tag in ((ADA, "a"), (BOB, "b")):
        call(api, "POST", "/subscribers", json={"email_address": address, "type": "regular", "tags": [tag]})
    wanted = {
        "collections": ["subscribers"],
        "format": "json",
        "columns": ["email_address", "type"],
        "parameters": {"tag": ["a"]},
    }
    made = call(api, "POST", "/exports", json=wanted).json()
    assert fetch(api, made["url"]).json() == [{"email_address": ADA, "type": "regular"}]


def test_several_collections_come_as_a_zip(newsletter: Web, api: TestClient) -> None:
    newsletter.send(2)
    issues = api.get("/v1/emails").json()["count"]
    wanted = {"collections": ["subscribers", "emails", "events", "images", "stripe_subscriptions", "surveys"]}
    made = call(api, "POST", "/exports", json=wanted).json()
    packed = zipfile.ZipFile(io.BytesIO(fetch(api, made["url"]).content))
    files = {name: list(csv.reader(io.StringIO(packed.read(name).decode()))) for name in packed.namelist()}
    assert sorted(files) == [f"{name}.csv" for name in sorted(wanted["collections"])]
    assert (len(files["subscribers.csv"]), len(files["emails.csv"]), len(files["surveys.csv"])) == (3, issues + 1, 1)


def test_the_ledger_is_asked_as_often_for_many_emails_as_for_one(
    newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter.send(3)
    counted = newsletter.emails()[0].to
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO consents (subscriber_id, kind, source, evidence)
            SELECT id, 'unsubscribed', 'one-click', '{"send": 1}' FROM subscribers WHERE email = %(email)s
            """,
            email=counted,
        )
    made = call(api, "POST", "/exports", json={"collections": ["emails"], "format": "json"}).json()
    asked: list[str] = []
    ask = Tx.all

    def listen(tx: Tx, sql: str, **values: Any) -> list[dict[str, Any]]:
        asked.append(sql)
        return ask(tx, sql, **values)

    monkeypatch.setattr(Tx, "all", listen)

    def exported() -> tuple[list[Any], int]:
        asked.clear()
        return fetch(api, made["url"]).json(), len(asked)

    before, few = exported()
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO issues (key, path, title, dated, digest)
            SELECT 'issue-' || n, 'issues/' || n || '.md', 'Issue ' || n, now(), md5(n::text) FROM generate_series(1, 100) AS n
            """
        )
    after, many = exported()
    assert (len(after), many) == (len(before) + 100, few)
    [sent] = [one for one in call(api, "GET", "/emails").json()["results"] if one["analytics"]]
    assert (sent["analytics"]["recipients"], sent["analytics"]["unsubscriptions"]) == (3, 1)


def test_a_link_to_an_export_is_signed_and_ends(newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = call(api, "POST", "/exports", json={"collections": ["subscribers"]}).json()
    assert fetch(api, made["url"]).status_code == 200
    forged = made["url"][:-1] + ("A" if made["url"][-1] != "A" else "B")
    assert fetch(api, forged).status_code == 404
    monkeypatch.setattr("api.v1.operations.exports.LINK_LIFETIME", timedelta(seconds=-1))
    assert fetch(api, made["url"]).status_code == 404


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"collections": []}, 400, "collection_empty_invalid"),
        ({"collections": ["subscribers"], "columns": []}, 400, "columns_empty_invalid"),
        ({"collections": ["subscribers"], "columns": ["shoe_size"]}, 400, "columns_invalid"),
        ({"collections": ["books"]}, 422, "invalid_input"),
        ({"collections": ["subscribers"], "parameters": {"shoe_size": 7}}, 422, "invalid_input"),
    ],
)
def test_an_export_that_cannot_be_made_is_refused(
    newsletter: Web, api: TestClient, wanted: Any, status: int, code: str
) -> None:
    answer = call(api, "POST", "/exports", json=wanted)
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    if "parameters" in wanted:
        assert answer.json()["detail"][0]["loc"] == ["body", "parameters", "shoe_size"]


def test_scopes_hold_for_lists(newsletter: Web, api: TestClient) -> None:
    read_only = TestClient(api.app, headers={"Authorization": f"Token {api_keys.create_key(newsletter.database, 'r', 'read')}"})
    assert read_only.get("/v1/imports").status_code == 200
    assert read_only.post("/v1/exports", json={"collections": ["subscribers"]}).status_code == 403
    assert read_only.post("/v1/imports", files={"file": ("a.csv", b"email\n", "text/csv")}).status_code == 403


def test_a_subscribers_subscriptions_come_from_the_ledger(newsletter: Web, api: TestClient) -> None:
    made = call(api, "POST", "/subscribers", json={"email_address": ADA, "type": "regular"}).json()
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscriptions (stripe_id, subscriber_id, plan, status, amount, currency, months, started_at)
            VALUES ('sub_1', %(id)s, 'supporter', 'active', 500, 'eur', 12, now())
            """,
            id=made["secondary_id"],
        )
    path = "/subscribers/{}/stripe-subscriptions"
    found = call(api, "GET", path.format(ADA), path).json()
    assert found["count"] == 1
    shown = found["results"][0]
    assert (shown["subscription_id"], shown["amount"], shown["cadence"], shown["product"]) == (
        "sub_1",
        500,
        "year",
        "supporter",
    )
    assert call(api, "GET", path.format("nobody@example.org"), path).status_code == 404
