"""Emails in the API are whole: the Markdown, the rendered parts, picture, address and dates, of adopted issues too."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.edition import SendIntent
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.transports.outbox import Outbox
from tests import factories
from tests.integration.api.test_contract import call
from tests.web import Web

MARKDOWN = "Hello *there*.\n\n![A picture](images/a.png)\n"
PICTURE = "https://news.example.org/images/a.png"


def retrieve(api: TestClient, slug: str) -> dict[str, Any]:
    found: dict[str, Any] = call(api, "GET", f"/emails/{slug}", "/emails/{}").json()
    return found


@pytest.fixture
def archive(newsletter: Web) -> list[Any]:
    """An adopted issue, and one that is sent."""
    factories.add_subscribers(newsletter.database, 2)
    adopted = factories.old(source=MARKDOWN, image=PICTURE)
    adopt_issues(newsletter.database, newsletter.settings, [adopted])
    sent = factories.edition(source="Sent *today*.\n", image=PICTURE)
    publish(newsletter.database, newsletter.settings, [adopted, sent], [], Outbox(newsletter.settings.outbox), Request())
    return [adopted, sent]


def test_an_adopted_issue_has_its_markdown_beside_what_was_rendered(api: TestClient, archive: list[Any]) -> None:
    adopted = archive[0]
    found = retrieve(api, adopted.key)
    assert (found["body"], found["html"], found["text"]) == (MARKDOWN, adopted.html, adopted.text)
    assert (found["subject"], found["description"], found["image"]) == (adopted.subject, adopted.preheader, PICTURE)
    assert (found["absolute_url"], found["publish_date"][:10]) == (adopted.url, adopted.dated.date().isoformat())
    assert (found["status"], found["source"]) == ("sent", "import")
    renders = call(api, "GET", f"/emails/{found['id']}/renders", "/emails/{}/renders").json()
    assert renders == {"content": adopted.html}


@pytest.mark.parametrize("query", ["status=sent", "status=imported", "status=sent&source=import", "ordering=-publish_date"])
def test_clients_that_list_the_archive_find_adopted_issues_whole(api: TestClient, archive: list[Any], query: str) -> None:
    listed = call(api, "GET", f"/emails?{query}").json()["results"]
    [found] = [one for one in listed if one["slug"] == archive[0].key]
    assert (found["body"], found["image"], found["absolute_url"]) == (MARKDOWN, PICTURE, archive[0].url)


def test_an_issue_that_is_sent_has_its_markdown_too(newsletter: Web, api: TestClient, archive: list[Any]) -> None:
    newsletter.work()
    found = retrieve(api, archive[1].key)
    assert (found["body"], found["html"], found["image"]) == ("Sent *today*.\n", archive[1].html, PICTURE)
    [entry] = call(api, "GET", f"/emails/{found['id']}/history", "/emails/{}/history").json()["results"]
    assert entry["value"] == "Sent *today*.\n"


def test_what_a_merge_changes_in_an_adopted_issue_is_shown(newsletter: Web, api: TestClient, archive: list[Any]) -> None:
    changed = factories.old(source="Corrected.\n", body="<p>Corrected.</p>")
    publish(newsletter.database, newsletter.settings, [changed, archive[1]], [], Outbox(newsletter.settings.outbox), Request())
    assert (retrieve(api, changed.key)["body"], retrieve(api, changed.key)["image"]) == ("Corrected.\n", "")


def test_an_edition_that_was_stored_without_its_markdown_shows_its_text(newsletter: Web, api: TestClient) -> None:
    newsletter.send(2)
    found = retrieve(api, factories.edition().key)
    assert (found["body"], found["text"]) == (factories.edition().text, factories.edition().text)


def test_strangers_get_no_body(newsletter: Web, api: TestClient, archive: list[Any]) -> None:
    answer = newsletter.client.get("/v1/public/emails/the-letter")
    assert archive[0].send is SendIntent.NO
    assert [one["slug"] for one in answer.json()["results"]] == [archive[0].key]
    assert not {"body", "html", "text"} & set(answer.json()["results"][0])
