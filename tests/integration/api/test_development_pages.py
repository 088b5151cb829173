"""The outbox viewer and the ledger show every address: only `postmerge up` has them, under this machine's own names."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.server import app_process
from mailer.commands.operations.dev_stack import Place
from mailer.core import settings as settings_module
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.transports import make_transport
from tests import commands, factories
from tests.web import Web

PAGES = ("/outbox", "/ledger")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost:8025", 200), ("[::1]:8025", 200), ("testserver", 404), ("evil.example", 421)],
)
def test_they_answer_only_to_this_machines_own_names(newsletter: Web, path: str, host: str, status: int) -> None:
    client = TestClient(newsletter.app())
    assert client.get(path, headers={"Host": host}).status_code == status
    assert client.get(path, headers={"Host": "127.0.0.1", "X-Forwarded-For": "192.0.2.7"}).status_code == 404


@pytest.mark.parametrize(("development", "status"), [(False, 404), (True, 200)])
def test_serve_has_them_only_in_development(database: Database, tmp_path: Path, development: bool, status: int) -> None:
    conf = factories.settings(tmp_path, database.url)
    app = app_process.make_app(conf, database, "The Letter", development=development)
    for path in PAGES:
        assert TestClient(app).get(path, headers={"Host": "127.0.0.1"}).status_code == status
    assert "--development" in Place(tmp_path, tmp_path, 1, 2).options("serve")


def test_development_on_another_address_than_loopback_is_refused(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "POSTMERGE_TRANSPORT": "outbox", "POSTMERGE_SECRET": "s" * 32}
    done = commands.run(tmp_path, environ, "serve", "--development", "--host", "0.0.0.0")
    assert (done.returncode, "serve them on 127.0.0.1" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("environ", "listens_on", "refused"),
    [
        ({}, "127.0.0.1", False),
        ({"POSTMERGE_API_URL": "http://localhost:8025"}, "127.0.0.1", False),
        ({"POSTMERGE_API_URL": "https://news.example.org"}, "127.0.0.1", True),
        ({"POSTMERGE_API_URL": "http://news.example.org"}, "127.0.0.1", True),
        ({"POSTMERGE_API_URL": "https://localhost"}, "127.0.0.1", True),
        ({}, "0.0.0.0", True),
        ({"POSTMERGE_API_URL": "https://news.example.org", "POSTMERGE_TRANSPORT": "outbox"}, "0.0.0.0", False),
        ({"POSTMERGE_API_URL": "https://news.example.org", "POSTMERGE_TRANSPORT": "ses"}, "0.0.0.0", False),
    ],
)
def test_a_public_server_needs_a_chosen_transport(environ: dict[str, str], listens_on: str, refused: bool) -> None:
    loaded = settings_module.load(environ)
    if not refused:
        return loaded.need_transport(listens_on)
    with pytest.raises(BadInput, match="set it to ses"):
        loaded.need_transport(listens_on)


@pytest.mark.parametrize(
    "command",
    [
        "serve", "worker", "scheduler", "events", "publish", "plan", "test 2026-11-24-hello --to me@example.org", "resume 1",
        "uncertain 1 --not-sent --yes", "sequences resume welcome",
    ],
)  # fmt: skip
def test_no_command_that_leads_to_emails_runs_on_a_public_server_without_a_chosen_transport(
    tmp_path: Path, command: str
) -> None:
    environ = {
        "POSTMERGE_API_URL": "https://news.example.org", "DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1",
        "POSTMERGE_SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/q", "AWS_REGION": "eu-west-1",
        "POSTMERGE_SECRET": "s" * 32,
    }  # fmt: skip
    done = commands.run(tmp_path, environ, *command.split())
    assert (done.returncode, "POSTMERGE_TRANSPORT is not set" in done.stderr) == (1, True), done.stderr


def test_a_transport_that_nobody_chose_is_made_for_development_only(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="set it to ses"):
        make_transport(settings_module.load({"POSTMERGE_API_URL": "https://news.example.org"}))
    assert make_transport(settings_module.load({})).name == "outbox"
