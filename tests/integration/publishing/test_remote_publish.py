"""``postmerge publish --server``: a pipeline with a publish key does over the API what direct access does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mailer.commands.publishing import remote_publish
from mailer.core.db import Database
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, Refused
from mailer.editions.site import edition_files
from mailer.flows.operations import api_keys
from mailer.flows.sending.send_status import list_send_statuses
from tests import factories, web
from tests.integration.sending.test_languages_sent import variant
from tests.web import Web


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.fixture
def url(newsletter: Web) -> Iterator[str]:
    """A real server on a socket."""
    with web.served(newsletter.app()) as url:
        yield url


def with_key(newsletter: Web, url: str, scope: str) -> remote_publish.Server:
    return remote_publish.Server(url, api_keys.create_key(newsletter.database, scope, scope))


def publish(server: remote_publish.Server, archive: Sequence[Edition], findings: Sequence[Finding] = ()) -> dict[str, Any]:
    """Hand the archive over and publish it."""
    order, new = remote_publish.hand_over(server, archive, "", (), None)
    return {**remote_publish.publish(server, order, findings), "uploaded": new}


@pytest.mark.parametrize(("scope", "number"), [("publish", None), ("admin", 3)])
def test_publishing_from_afar_sends_once_however_often(newsletter: Web, url: str, scope: str, number: int | None) -> None:
    factories.add_subscribers(newsletter.database, 3)
    server = with_key(newsletter, url, scope)
    archive = [factories.old()]
    first = publish(server, archive)
    assert (first["first"], first["sends"], first["uploaded"]) == (True, [], 1)
    archive.append(factories.edition(body="<p>" + "long " * 40_000 + "</p>"))
    second = publish(server, archive)
    assert second["uploaded"] == 1
    assert [(step["action"], step["subscribers"]) for step in second["steps"]] == [("send", number)]
    again = publish(server, archive)
    assert (again["sends"], again["uploaded"]) == ([], 0)
    [status] = list_send_statuses(newsletter.database)
    assert status.send.audience_size == 3
    assert status.send.digest == archive[1].digest


def test_a_plan_from_afar_says_what_publishing_would_do_and_what_refuses_it(newsletter: Web, url: str) -> None:
    factories.add_subscribers(newsletter.database, 3)
    server = with_key(newsletter, url, "publish")
    publish(server, [factories.old()])
    issue = factories.edition()
    order, _ = remote_publish.hand_over(server, [factories.old(), issue], "", (), None)
    planned = remote_publish.plan(server, order, [])
    assert [(step["action"], step["subscribers"], step["paths"]) for step in planned["steps"]] == [("send", None, [issue.path])]
    assert remote_publish.planned(planned) == [f"send: {issue.key}. {planned['steps'][0]['why']}"]
    assert planned["refusals"] == []
    wrong = Finding("error", issue.path, 7, "TODO stands here.")
    refused = remote_publish.plan(server, order, [wrong])
    assert remote_publish.planned(refused) == [
        "Publishing is refused. Nothing is sent:",
        f"- {issue.path}:7: TODO stands here.",
    ]
    assert list_send_statuses(newsletter.database) == []
    with pytest.raises(Refused, match="TODO stands here"):
        remote_publish.publish(server, order, [wrong])
    assert list_send_statuses(newsletter.database) == []


def test_a_plan_from_afar_counts_subscribers_for_a_key_that_may_see_them(newsletter: Web, url: str) -> None:
    factories.add_subscribers(newsletter.database, 3)
    server = with_key(newsletter, url, "admin")
    publish(server, [factories.old()])
    order, _ = remote_publish.hand_over(server, [factories.old(), factories.edition()], "", (), None)
    [line] = remote_publish.planned(remote_publish.plan(server, order, []))
    assert line.startswith("send: 2026-11-24-hello to 3 subscribers.")


def test_translations_are_handed_over_too(newsletter: Web, url: str) -> None:
    factories.add_subscribers(newsletter.database, 2)
    factories.bind_stripe(newsletter.database)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET lang = 'de' WHERE id = 1")
    server, issue = with_key(newsletter, url, "publish"), factories.edition(variants=(variant("de"), variant("premium")))
    publish(server, [factories.old()])
    assert publish(server, [factories.old(), issue])["sends"]
    newsletter.work()
    with newsletter.database.transaction() as tx:
        rows = tx.all("SELECT name, digest, own_lang, own_subject, own_url FROM edition_variants ORDER BY name")
    assert [tuple(row.values()) for row in rows] == [
        (one.name, one.digest, one.lang, one.subject, one.url) for one in issue.variants
    ]
    assert edition_files.from_bytes(edition_files.to_bytes(issue)) == issue
    forged = edition_files.to_bytes(issue).replace(b"text de", b"text !!")
    with pytest.raises(BadInput, match="was changed after the build"):
        edition_files.from_bytes(forged)


def test_checks_refuse_over_the_api_as_they_do_at_home(newsletter: Web, url: str) -> None:
    server = with_key(newsletter, url, "admin")
    publish(server, [factories.old()])
    with pytest.raises(Refused, match="is empty"):
        publish(server, [factories.old(), factories.edition()])
    assert list_send_statuses(newsletter.database) == []


@pytest.mark.parametrize("scope", ["read", "subscribers"])
def test_other_scopes_publish_nothing(newsletter: Web, url: str, scope: str) -> None:
    with pytest.raises(Refused, match="publish or admin"):
        publish(with_key(newsletter, url, scope), [factories.old()])


def test_a_publish_key_reads_no_subscriber(newsletter: Web, url: str) -> None:
    key = api_keys.create_key(newsletter.database, "ci", "publish")
    for path in ("/v1/subscribers", "/v1/tags", "/v1/emails", "/v1/users", "/v1/webhooks", "/v1/api_requests"):
        assert newsletter.client.get(path, headers={"Authorization": f"Token {key}"}).status_code == 403


def test_what_was_changed_on_the_way_is_refused(newsletter: Web, url: str) -> None:
    server = with_key(newsletter, url, "publish")
    raw = edition_files.to_bytes(factories.edition()).replace(b"ledger", b"Ledger")
    with pytest.raises(BadInput, match="upload it again"):
        server.ask("PUT", f"/publish/editions/{'0' * 64}", raw)
    with pytest.raises(BadInput, match="changed after the build"):
        server.ask("PUT", f"/publish/editions/{hashlib.sha256(raw).hexdigest()}", raw)


def test_a_key_is_never_sent_in_the_clear() -> None:
    with pytest.raises(BadInput, match="https"):
        remote_publish.Server("http://news.example.org", "pm_x")
    with pytest.raises(BadInput, match="POSTMERGE_API_KEY"):
        remote_publish.Server("https://news.example.org", "")


def test_a_key_that_asks_too_often_is_told_when_to_come_back(newsletter: Web) -> None:
    key = api_keys.create_key(newsletter.database, "slow", "read", per_minute=2)
    answers = [newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {key}"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 31
    assert answers[2].json()["code"] == "rate_limited"


def test_a_key_ends_when_its_time_is_over(newsletter: Web) -> None:
    key = api_keys.create_key(newsletter.database, "short", "read")
    headers = {"Authorization": f"Token {key}"}
    assert newsletter.client.get("/v1/ping", headers=headers).status_code == 200
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE api_keys SET expires_at = now() - interval '1 second'")
    assert newsletter.client.get("/v1/ping", headers=headers).status_code == 401
