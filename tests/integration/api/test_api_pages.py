"""The rest of the HTTP app: archive, outbox viewer, ledger page, health, metrics; and that looking changes nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

import mailer
from mailer.core import migrate, tokens
from mailer.core.db import Database
from mailer.flows.billing import gifts
from mailer.flows.operations import api_keys, api_records
from mailer.flows.subscribers import signup
from mailer.store.transactional import test_emails
from mailer.transports.base import Envelope
from mailer.transports.outbox import Outbox
from tests import factories, web
from tests.web import Web

ADA = "ada@example.org"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path, redis_url: str) -> Web:
    return web.make(tmp_path, database, redis_url=redis_url)


@pytest.fixture
def site(newsletter: Web) -> Path:
    """A small built archive."""
    folder = newsletter.settings.site_folder
    for name, text in {
        "index.html": "<h1>front",
        "404.html": "<h1>no such page here",
        "issues/hello/index.html": "<h1>hello",
        "feeds/all.atom.xml": "<feed/>",
        "feeds/all.rss.xml": "<rss/>",
        "theme/css/letter.css": "a{}",
        "theme/icon.svg": "<svg/>",
        "images/a.png": "png",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder.parent / "secret.txt").write_text("secret")
    return folder


PAID = ("/paid/{token}", "/paid/{token}/leave", "/paid/{token}/withdraw")
READ = ("/read/{token}", "/read/{token}/feed.xml", "/read/{token}/{key:path}")


def paths_of(app_paths: Iterator[str], newsletter: Web, send_id: int) -> Iterator[str]:
    """Each route's path with values that are valid for it; a parameter that is not known here fails by its name."""
    secret = newsletter.settings.need_secrets()
    with newsletter.database.transaction() as tx:
        subscriber = int(tx.value("SELECT max(id) FROM subscribers WHERE state = 'unconfirmed'"))
        email = tx.one("SELECT id, created_at FROM transactional_emails")
        reviewer = int(tx.value("SELECT id FROM reviewers"))
        digest = str(tx.value("SELECT digest FROM editions"))
    assert email
    to = newsletter.recipient(subscriber)
    values = {
        "email_id": newsletter.emails()[0].id,
        "id_or_email": str(subscriber),
        "id_or_issue": str(send_id),
        "rest": "nothing",
        "address": "nothing",
        "path": "nothing",
        "digest": digest,
        **dict.fromkeys(("key", "id", "username"), "nothing"),
        "history_id": "1",
        "newsletter": "any",
        "operation": "plan",
    }
    for path in app_paths:
        token = {
            "/confirm/{token}": tokens.confirm_token(secret, to, email["id"], email["created_at"]),
            "/leave/{token}": tokens.unsubscribe_token(secret, to, send_id),
            "/leave/{token}/canary": tokens.unsubscribe_token(secret, to, send_id),
            "/reader/{token}": tokens.page_token(secret, to, email["created_at"]),
            "/address/{token}": tokens.address_token(secret, to, email["id"], email["created_at"]),
            "/canary/{token}": tokens.canary_token(secret, subscriber, email["id"]),
            "/gift/{token}": tokens.gift_token(secret, to, 1),
            "/reviewers/{token}": tokens.reviewer_token(secret, reviewer, datetime.now(UTC)),
            "/exports/{token}": tokens.export_token(secret, 1, 1, datetime.now(UTC)),
            **dict.fromkeys(PAID, tokens.paid_token(secret, to, datetime.now(UTC))),
            **dict.fromkeys(READ, tokens.reading_token(secret, to)),
        }
        names = re.findall(r"{(\w+)(?::\w+)?}", path)
        given = {**values, **({"token": token[path]} if "token" in names else {})}
        yield re.sub(r"{(\w+)(?::\w+)?}", lambda match: given[match[1]], path)  # noqa: B023


# When a key was used last, the log of its requests, and visits of hidden links: written by design.
BOOKS = ("api_keys", "api_requests", "scanner_visits")


def test_no_get_of_the_whole_app_changes_anything(newsletter: Web, site: Path) -> None:
    send_id = newsletter.send()
    newsletter.subscribe(ADA)
    newsletter.work()
    gifts.grant_complimentary(newsletter.database, newsletter.settings, ADA, None, "a friend")
    api_records.create_record(newsletter.database, "exports", {"collections": ["subscribers"], "format": "csv"})
    with newsletter.database.transaction() as tx:
        test_emails.add_reviewer(tx, ADA, ADA)
    key = api_keys.create_key(newsletter.database, "test")
    app = newsletter.app()
    client = TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Token {key}"})
    shown = (one for one in iter_route_contexts(app.routes) if "GET" in (one.methods or ()))
    found = list(paths_of((str(one.path) for one in shown), newsletter, send_id))
    assert len(found) >= 15
    outbox = [email.id for email in newsletter.emails()]
    before, wake_ups = newsletter.dump(BOOKS), len(newsletter.wake_ups)
    for path in found:
        for method in ("GET", "HEAD"):
            answer = client.request(method, path)
            missing = "/nothing" in path or re.search("^/paid/.*/(leave|withdraw)$", path)
            expected = 404 if missing else 204 if path.startswith("/v1/permissions/") else 200
            assert answer.status_code == expected, f"{method} {path}"
            assert "set-cookie" not in answer.headers
            assert method == "GET" or answer.content == b""
    assert newsletter.dump(BOOKS) == before
    assert len(newsletter.wake_ups) == wake_ups
    assert [email.id for email in newsletter.emails()] == outbox


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/issues/hello/", "text/html"),
        ("/feeds/all.atom.xml", "text/xml"),
        ("/feeds/all.rss.xml", "text/xml"),
        ("/theme/css/letter.css", "text/css"),
        ("/theme/icon.svg", "image/svg+xml"),
    ],
)
def test_the_archive_is_served_with_the_right_types(newsletter: Web, site: Path, path: str, kind: str) -> None:
    answer = newsletter.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = newsletter.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_pages_and_feeds_are_asked_for_again_and_the_rest_is_kept_a_while(newsletter: Web, site: Path) -> None:
    for path in ("/", "/feeds/all.rss.xml", "/nothing"):
        assert newsletter.client.get(path).headers["cache-control"] == "no-cache"
    for path in ("/theme/css/letter.css", "/images/a.png"):
        assert newsletter.client.get(path).headers["cache-control"] == "public, max-age=600"


def test_a_missing_page_is_the_sites_own_404(newsletter: Web, site: Path) -> None:
    answer = newsletter.client.get("/issues/nothing/")
    assert answer.status_code == 404
    assert "no such page here" in answer.text


def test_without_a_built_site_everything_else_still_works(newsletter: Web) -> None:
    assert newsletter.client.get("/").status_code == 404
    assert newsletter.client.get("/subscribe").status_code == 200
    assert newsletter.client.get("/-/desk.css").status_code == 200


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/issues/..%2f..%2f..%2fsecret.txt", "/%00", "//etc/passwd"]
)
def test_nothing_outside_the_archive_is_served(newsletter: Web, site: Path, path: str) -> None:
    answer = newsletter.client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


@pytest.mark.parametrize("path", ["/issues/hello", "//issues/hello", "/issues//hello"])
def test_a_folder_without_its_slash_leads_to_this_very_host(newsletter: Web, site: Path, path: str) -> None:
    assert newsletter.client.get(f"http://testserver{path}", headers={"Host": "evil.example"}).status_code == 421
    answer = newsletter.client.get(f"http://testserver{path}", headers={"X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 307
    assert re.fullmatch(r"/issues/+hello/", answer.headers["location"])


def test_the_archive_is_back_at_once_after_it_was_exchanged(newsletter: Web, site: Path) -> None:
    assert newsletter.client.get("/").status_code == 200
    site.rename(site.with_name("old"))
    assert newsletter.client.get("/").status_code == 404
    site.with_name("old").rename(site)
    assert newsletter.client.get("/").status_code == 200


def test_the_outbox_lists_emails_newest_first_in_pages(newsletter: Web) -> None:
    newsletter.send(60)
    page = newsletter.client.get("/outbox").text
    assert page.count("<tr>") == 51
    assert "subscriber-60@example.org" in page
    assert "Page 1 of 2" in page
    assert newsletter.client.get("/outbox?page=2").text.count("<tr>") == 11
    assert newsletter.client.get("/outbox?page=99").status_code == 200
    assert newsletter.client.get("/outbox?page=0").status_code == 422


def test_an_email_is_shown_as_html_text_headers_and_source(newsletter: Web) -> None:
    newsletter.send()
    email = newsletter.emails()[0]
    base = f"/outbox/{email.id}"
    assert f'src="{base}/html"' in newsletter.client.get(base).text
    assert 'class="mail phone"' in newsletter.client.get(f"{base}?show=phone").text
    assert "2026-11-24-hello" in newsletter.client.get(f"{base}?show=text").text
    assert "List-Unsubscribe-Post" in newsletter.client.get(f"{base}?show=headers").text
    raw = newsletter.client.get(f"{base}/raw")
    assert raw.headers["content-type"] == "message/rfc822"
    assert raw.content == email.raw


def test_the_one_click_button_of_the_viewer_unsubscribes(newsletter: Web) -> None:
    newsletter.send()
    email = newsletter.emails()[0]
    page = newsletter.client.get(f"/outbox/{email.id}").text
    [action] = re.findall(r'action="(/leave/[^"]+)"', page)
    assert newsletter.client.post(action, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert newsletter.state(email.to) == "unsubscribed"
    row = newsletter.client.get("/ledger").text.split(email.to)[1].split("</tr>")[0]
    assert "unsubscribed" in row


def test_an_emails_html_runs_no_script_and_opens_links_in_a_new_tab(newsletter: Web) -> None:
    html = b'<html><head></head><body><script>alert(1)</script><a href="/x">x</a>'
    crafted = b"To: ada@example.org\r\nSubject: <script>alert(2)</script>\r\nContent-Type: text/html\r\n\r\n" + html
    Outbox(newsletter.settings.outbox).send(Envelope(ADA, crafted, {}))
    [email] = newsletter.emails()
    framed = newsletter.client.get(f"/outbox/{email.id}/html")
    assert '<head><base target="_blank">' in framed.text
    policy = framed.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "allow-scripts" not in policy
    for path in ("/outbox", f"/outbox/{email.id}", f"/outbox/{email.id}?show=headers"):
        assert newsletter.client.get(path).text.count("<script") == 1  # of light and dark


@pytest.mark.parametrize("email_id", ["x", "1-1-1", "..%2f..%2fsecret", "%00"])
def test_an_email_that_is_not_there_is_not_found(newsletter: Web, email_id: str) -> None:
    for path in ("", "/html", "/raw"):
        assert newsletter.client.get(f"/outbox/{email_id}{path}").status_code == 404


@pytest.mark.parametrize("path", ["/outbox", "/outbox/1-1-1", "/outbox/1-1-1/raw", "/ledger"])
def test_the_development_pages_are_not_there_in_production(newsletter: Web, path: str) -> None:
    production = TestClient(newsletter.app(outbox=None))
    assert production.get(path).status_code == 404
    assert "/outbox" not in production.get("/subscribe").text


def test_the_ledger_page_shows_what_became_of_each_email(newsletter: Web) -> None:
    send_id = newsletter.send(150)
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(3), send_id)
    signup.unsubscribe(newsletter.database, newsletter.settings, token)
    page = newsletter.client.get("/ledger").text
    assert "150 accepted" in page
    deliveries = page.split('id="deliveries"')[1].split('id="subscribers"')[0]
    assert deliveries.count("<tr>") == 101
    left = deliveries.split("subscriber-3@example.org")[1].split("</tr>")[0]
    assert 'class="state accepted"' in left
    assert 'class="state unsubscribed"' in left
    assert f"{datetime.now(UTC):%d %b %Y}" in left
    more = newsletter.client.get(f"/ledger?send={send_id}&lines=2").text
    assert more.split('id="deliveries"')[1].split('id="subscribers"')[0].count("<tr>") == 51
    assert newsletter.client.get("/ledger?send=999").status_code == 200
    assert newsletter.client.get("/ledger?send=99999999999999999999").status_code == 422


def test_health_is_good_when_all_answers(newsletter: Web) -> None:
    answer = newsletter.client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_health_names_what_is_away_without_saying_where(newsletter: Web, database_url: str, tmp_path: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    no_redis = factories.settings(tmp_path, database_url, redis_url="redis://127.0.0.1:1/0")
    for client, name in (
        (TestClient(newsletter.app(database=away)), "Postgres"),
        (TestClient(newsletter.app(settings=no_redis)), "Redis"),
    ):
        answer = client.get("/health")
        assert answer.status_code == 503
        assert name in answer.json()["detail"]
        assert "127.0.0.1" not in answer.text


def test_health_notices_a_database_that_is_older_than_the_program(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("DELETE FROM schema_migrations WHERE name = (SELECT max(name) FROM schema_migrations)")
    assert "postmerge migrate" in newsletter.client.get("/health").json()["detail"]
    with newsletter.database.transaction() as tx:
        tx.script("DROP TABLE schema_migrations")
    assert newsletter.client.get("/health").status_code == 503


def test_readiness_fails_without_postgres_but_not_without_redis(newsletter: Web, database_url: str, tmp_path: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    no_redis = factories.settings(tmp_path, database_url, redis_url="redis://127.0.0.1:1/0")
    ready = TestClient(newsletter.app(settings=no_redis)).get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    broken = TestClient(newsletter.app(database=away))
    assert broken.get("/health/ready").status_code == 503
    live = broken.get("/health/live")
    assert (live.status_code, live.json()["version"]) == (200, mailer.__version__)


def test_a_newer_program_on_disk_does_not_fail_the_running_ones_readiness(
    newsletter: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(migrate.FOLDER, tmp_path / "migrations")
    (folder / "9999_next_version.sql").write_text("SELECT 1;")
    monkeypatch.setattr(migrate, "FOLDER", folder)
    assert newsletter.client.get("/health/ready").status_code == 200
    assert newsletter.client.get("/health").status_code == 200


@pytest.mark.parametrize(("scope", "status"), [("", 401), ("publish", 403), ("read", 200), ("admin", 200)])
def test_metrics_need_a_key_that_may_read(newsletter: Web, scope: str, status: int) -> None:
    headers = {"Authorization": f"Token {api_keys.create_key(newsletter.database, scope, scope)}"} if scope else {}
    assert newsletter.client.get("/metrics", headers=headers).status_code == status


def test_metrics_can_be_switched_off(newsletter: Web, database_url: str, tmp_path: Path) -> None:
    quiet = factories.settings(tmp_path, database_url, metrics=False)
    assert TestClient(newsletter.app(settings=quiet)).get("/metrics").status_code == 404


@pytest.mark.parametrize("lang", ["en", "de", "fr", "es", "zh"])
def test_the_page_for_an_unknown_host_names_the_settings_to_change(newsletter: Web, lang: str) -> None:
    page = newsletter.client.get("/subscribe", headers={"Host": "evil.example", "Accept-Language": lang})
    assert page.status_code == 421
    assert f'<html lang="{lang}"' in page.text
    assert "POSTMERGE_HOSTS" in page.text
    assert "POSTMERGE_API_URL" in page.text
