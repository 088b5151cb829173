"""Segments are named audience rules: the same subscribers in the API, the CLI and for an issue, and never circular."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mailer.cli import cli
from mailer.core.db import Database
from mailer.core.edition import SendIntent
from mailer.core.errors import BadInput
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled import subscriber_maintenance
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers import segment_rules
from mailer.store.sending.sends import SendState
from tests import web
from tests.factories import edition, old
from tests.integration.publishing.test_publish import Limits
from tests.web import Web

PYTHON = [("subscriber.tags", "contains", "python")]
PARIS = [("subscriber.metadata.city", "equals", "Paris")]


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.fixture
def api(newsletter: Web) -> TestClient:
    client = newsletter.holder()
    for name, tags, city in (("ada", ["python"], "Paris"), ("bob", ["python"], "Lyon"), ("eve", [], "Paris")):
        body = {"email_address": f"{name}@example.org", "type": "regular", "tags": tags, "metadata": {"city": city}}
        assert client.post("/v1/subscribers", json=body).status_code == 201
    return client


def group(*terms: tuple[str, str, str], predicate: str = "and") -> dict[str, Any]:
    filters = [{"field": field, "operator": operator, "value": value} for field, operator, value in terms]
    return {"filters": filters, "groups": [], "predicate": predicate}


def make(api: TestClient, name: str, *terms: tuple[str, str, str]) -> Any:
    return api.post("/v1/segments", json={"name": name, "filters": group(*terms)})


def chosen(newsletter: Web, rule: str) -> list[str]:
    env = {"DATABASE_URL": newsletter.database.url}
    found = CliRunner().invoke(cli, ["subscribers", "list", "--audience", rule, "--json"], env=env, catch_exceptions=False)
    return [one["email"].partition("@")[0] for one in json.loads(found.stdout)]


def test_a_segment_is_named_in_any_rule(newsletter: Web, api: TestClient) -> None:
    assert make(api, "Early Birds", *PYTHON).status_code == 201
    assert make(api, "parisians", *PARIS).status_code == 201
    assert chosen(newsletter, 'segment "early birds"') == ["ada", "bob"]
    assert chosen(newsletter, 'not segment "EARLY  birds"') == ["eve"]
    assert chosen(newsletter, 'segment parisians and (segment "Early Birds" or domain = example.net)') == ["ada"]


def test_a_segment_may_name_another_and_all_change_together(newsletter: Web, api: TestClient) -> None:
    first = make(api, "coders", *PYTHON).json()
    make(api, "coders in paris", ("subscriber.segment", "equals", "coders"), *PARIS)
    assert chosen(newsletter, 'segment "coders in paris"') == ["ada"]
    api.patch(f"/v1/segments/{first['id']}", json={"filters": group(*PARIS)})
    assert chosen(newsletter, 'segment "coders in paris"') == ["ada", "eve"]


def test_no_segment_leads_back_to_itself(newsletter: Web, api: TestClient) -> None:
    first = make(api, "a", *PYTHON).json()
    make(api, "b", ("subscriber.segment", "equals", "a"))
    make(api, "c", ("subscriber.segment", "equals", "b"))
    answer = api.patch(f"/v1/segments/{first['id']}", json={"filters": group(("subscriber.segment", "equals", "c"))})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "filters"]
    assert "contains a circular reference (a → c → b → a)" in answer.json()["detail"][0]["msg"]
    assert chosen(newsletter, "segment c") == ["ada", "bob"]


def test_segments_that_double_each_other_are_bounded(newsletter: Web, api: TestClient) -> None:
    make(api, "s0", *PYTHON)
    for number in range(1, 12):
        name = f"s{number - 1}"
        body = {"name": f"s{number}", "filters": group(*[("subscriber.segment", "equals", name)] * 2)}
        if (answer := api.post("/v1/segments", json=body)).status_code != 201:
            break
    assert (answer.status_code, number) == (422, 7)
    assert "more than 200 segments" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("python and segment codrs", "at column 12 that does not exist: did you mean 'coders'?"),
        ("segment zzz", "at column 1 that does not exist: `postmerge segments` lists the existing ones."),
        ('segment "coders', "never closed at column 9"),
        ("segment coders paris", "at column 16 (expected `and` or `or`)"),
    ],
)
def test_a_rule_with_a_wrong_segment_says_where(newsletter: Web, api: TestClient, rule: str, says: str) -> None:
    make(api, "coders", *PYTHON)
    with newsletter.database.transaction() as tx, pytest.raises(BadInput) as told:
        segment_rules.read_rule(tx, rule)
    assert says in str(told.value)


def test_the_word_alone_stays_a_tag(newsletter: Web, api: TestClient) -> None:
    api.patch("/v1/subscribers/eve@example.org", json={"tags": ["segment"]})
    assert chosen(newsletter, "segment") == ["eve"]
    assert chosen(newsletter, "segment or python") == ["ada", "bob", "eve"]


def test_an_issue_goes_to_a_segment_and_an_unknown_one_is_refused(newsletter: Web, api: TestClient) -> None:
    make(api, "coders", *PYTHON)
    conf = replace(newsletter.settings, transport="ses")
    adopt_issues(newsletter.database, conf, [old()])
    with pytest.raises(BadInput, match=r"names a segment 'coder' at column 1 .* did you mean 'coders'"):
        publish(newsletter.database, conf, [old(), edition(audience="segment coder")], [], Limits(), Request(gate=False))
    assert list_send_statuses(newsletter.database)[:0] == []
    publish(newsletter.database, conf, [old(), edition(audience="segment coders")], [], Limits(), Request(gate=False))
    assert list_send_statuses(newsletter.database)[0].send.audience_size == 2


def test_a_scheduled_issue_keeps_its_segment(newsletter: Web, api: TestClient) -> None:
    made = make(api, "coders", *PYTHON).json()
    conf = replace(newsletter.settings, transport="ses")
    adopt_issues(newsletter.database, conf, [old()])
    later = edition(audience="segment coders", send=SendIntent.AT, send_at=datetime.now(UTC) + timedelta(hours=3))
    publish(newsletter.database, conf, [old(), later], [], Limits(), Request(gate=False))
    for answer in (api.delete(f"/v1/segments/{made['id']}"), api.patch(f"/v1/segments/{made['id']}", json={"name": "x"})):
        assert answer.status_code == 409
        assert f"The issue {later.key} is scheduled for this segment" in answer.json()["detail"]
    with newsletter.database.transaction() as tx:
        tx.run("DELETE FROM segments")
        tx.run("UPDATE sends SET due_at = now()")
    advance_sends(newsletter.database, conf)
    stopped = list_send_statuses(newsletter.database)[0].send
    assert (stopped.state, "names a segment 'coders'" in stopped.reason) == (SendState.STOPPED, True)


def test_a_segment_in_use_stays(newsletter: Web, api: TestClient) -> None:
    made = make(api, "coders", *PYTHON).json()
    make(api, "inner", ("subscriber.segment", "equals", "coders"))
    answer = api.delete(f"/v1/segments/{made['id']}")
    assert (answer.status_code, "'inner' uses this one" in answer.json()["detail"]) == (409, True)


def test_a_list_and_a_bulk_action_take_segments(newsletter: Web, api: TestClient) -> None:
    made = make(api, "coders", *PYTHON).json()
    for name in ("coders", made["id"]):
        page = api.get("/v1/subscribers", params={"segment": name, "ordering": "creation_date"}).json()
        assert (page["count"], [one["email_address"][:3] for one in page["results"]]) == (2, ["ada", "bob"])
    assert api.get("/v1/subscribers?segment=codrs").status_code == 422
    body = {"type": "apply_tags", "metadata": {"rule": "segment coders and not metadata.city = Lyon", "tags": ["gift"]}}
    done = api.post("/v1/bulk_actions", json=body).json()
    assert (done["status"], done["metadata"]["done"]) == ("processed", "1")
    assert api.get("/v1/subscribers?tag=gift").json()["results"][0]["email_address"] == "ada@example.org"
    nobody = api.post("/v1/bulk_actions", json={"type": "unsubscribe_subscribers", "metadata": {"rule": "segment zzz"}})
    assert (nobody.status_code, "does not exist" in nobody.json()["detail"]) == (400, True)


def test_the_command_line_lists_them(newsletter: Web, api: TestClient) -> None:
    make(api, "coders", *PYTHON)
    make(api, "inner", ("subscriber.segment", "equals", "coders"), *PARIS)
    env = {"DATABASE_URL": newsletter.database.url}
    shown = json.loads(CliRunner().invoke(cli, ["segments", "--json"], env=env, catch_exceptions=False).stdout)
    assert [(one["name"], one["size"], one["rule"]) for one in shown] == [
        ("coders", 2, '"python"'),
        ("inner", 1, 'segment "coders" and metadata."city" = "Paris"'),
    ]
    assert "coders" in CliRunner().invoke(cli, ["segments"], env=env, catch_exceptions=False).stdout


def test_the_months_email_does_without_an_issue_whose_segment_has_gone(newsletter: Web, api: TestClient) -> None:
    newsletter.send(1)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE sends SET audience = 'segment gone', started_at = '2027-05-06'")
        assert tx.run("UPDATE subscribers SET frequency = 'monthly'") > 0
        tx.run("DELETE FROM deliveries")
    assert subscriber_maintenance.queue_digests(newsletter.database, datetime(2027, 6, 2, tzinfo=UTC)) == 0
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE sends SET audience = 'everyone', started_at = '2027-06-06'")
    assert subscriber_maintenance.queue_digests(newsletter.database, datetime(2027, 7, 2, tzinfo=UTC)) > 0


def command(newsletter: Web, *words: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, ["segments", *words], env={"DATABASE_URL": newsletter.database.url})
    return found.exit_code, " ".join(found.output.split()) if found.exit_code == 0 else str(found.exception)


def test_the_command_line_makes_changes_and_takes_away_a_segment_of_any_rule(newsletter: Web, api: TestClient) -> None:
    assert command(newsletter, "set", "Germans", "domain = example.net or not (python)") == (
        0,
        "Segment 'Germans' created: 1 subscriber now.",
    )
    assert chosen(newsletter, "segment germans") == ["eve"]
    [shown] = api.get("/v1/segments").json()["results"]
    [asked] = shown["filters"]["filters"]
    assert (asked["field"], asked["value"]) == ("subscriber.audience", "domain = example.net or not (python)")
    changed = command(newsletter, "set", "germans", "python", "--description", "who reads")
    assert changed == (0, "Segment 'Germans' changed: 2 subscribers now.")
    assert chosen(newsletter, "segment germans") == ["ada", "bob"]
    assert command(newsletter, "remove", "GERMANS", "--yes")[0] == 0
    assert api.get("/v1/segments").json()["count"] == 0


def test_a_rule_that_cannot_be_read_or_goes_in_a_circle_makes_no_segment(newsletter: Web, api: TestClient) -> None:
    status, said = command(newsletter, "set", "a", "python and and x")
    assert (status, "column 12" in said) == (1, True), said
    command(newsletter, "set", "a", "python")
    assert command(newsletter, "set", "b", "segment a")[0] == 0
    status, said = command(newsletter, "set", "a", "not segment b")
    assert (status, "circular reference (a → b → a)" in said) == (1, True), said
    assert "uses this one" in command(newsletter, "remove", "a", "--yes")[1]
    assert "There is no segment 'c'" in command(newsletter, "remove", "c", "--yes")[1]
    assert chosen(newsletter, "segment b") == ["ada", "bob"]


def test_the_api_takes_a_whole_rule_too_and_names_the_field_of_a_wrong_one(api: TestClient, newsletter: Web) -> None:
    assert (
        make(api, "far", ("subscriber.audience", "not_equals", "python and metadata.city = Paris"), *PARIS).status_code == 201
    )
    assert chosen(newsletter, "segment far") == ["eve"]
    wrong = make(api, "wrong", ("subscriber.audience", "equals", "python or"))
    assert wrong.status_code == 422
    assert [one["loc"] for one in wrong.json()["detail"]] == [["body", "filters", "filters", "0", "value"]]
