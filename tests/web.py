"""The HTTP app for tests: a newsletter with subscribers, a finished send and its emails in the outbox, and a client."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from api.app import create_app
from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.operations import api_keys
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.store.sending.sends import SendState
from mailer.transports.outbox import Outbox, OutboxEmail, list_emails
from tests import factories

SITE_NAME = "The Letter"


@dataclass
class Web:
    """An app on a database of its own. ``wake_ups`` has the moment of each wake-up."""

    settings: Settings
    database: Database
    wake_ups: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = TestClient(self.app(), base_url="http://127.0.0.1", follow_redirects=False)

    def app(self, **more: Any) -> FastAPI:
        """The app, in development unless ``outbox=None``."""
        values: dict[str, Any] = {
            "settings": self.settings,
            "database": self.database,
            "site_folder": self.settings.site_folder,
            "outbox": self.settings.outbox,
            "wake_transactional": self._wake,
            "site_name": SITE_NAME,
            **more,
        }
        return create_app(**values)

    def holder(self, per_minute: int = 0, **more: Any) -> TestClient:
        """A client of the API that holds a key with every permission and so many requests a minute (0: no limit)."""
        client = TestClient(self.app(), **more)
        client.headers["Authorization"] = f"Token {api_keys.create_key(self.database, 'test', per_minute=per_minute)}"
        return client

    def _wake(self) -> bool:
        self.wake_ups.append(datetime.now(UTC))
        return True

    def recipient(self, subscriber_id: int) -> tokens.Recipient:
        """Whom a subscriber's private links are for."""
        return factories.recipient(self.database, subscriber_id)

    def form_token(self, age: timedelta = timedelta(seconds=5)) -> str:
        """A form's token, as if the form had been shown ``age`` ago."""
        return tokens.form_token(self.settings.need_secrets(), datetime.now(UTC) - age)

    def subscribe(self, email: str) -> None:
        """Post the form as a person does."""
        self.client.post("/subscribe", data={"email": email, "token": self.form_token()})

    def work(self) -> None:
        """What worker and scheduler do, once."""
        advance_sends(self.database, self.settings)
        while deliver_batch(self.database, self.settings, Outbox(self.settings.outbox), SITE_NAME):
            pass

    def send(self, number: int = 2) -> int:
        """Send an edition to so many subscribers through the outbox; the send's id."""
        factories.add_subscribers(self.database, number)
        adopt_issues(self.database, self.settings, [factories.old()])
        issues = [factories.old(), factories.edition()]
        transport = Outbox(self.settings.outbox)
        [send_id] = publish(self.database, self.settings, issues, [], transport, Request()).send_ids
        while list_send_statuses(self.database, str(send_id))[0].send.state != SendState.FINISHED:
            advance_sends(self.database, self.settings)
            deliver_send(self.database, self.settings, transport, send_id)
        return send_id

    def emails(self) -> list[OutboxEmail]:
        """The outbox, newest first."""
        return list_emails(self.settings.outbox, limit=1000)[0]

    def state(self, email: str) -> str | None:
        """A subscriber's state, or None when nobody has this address."""
        with self.database.transaction() as tx:
            found = tx.value("SELECT state FROM subscribers WHERE email_normal = %(email)s", email=email)
        return str(found) if found else None

    def counted(self, table: str) -> int:
        """How many rows a table has."""
        with self.database.transaction() as tx:
            return int(tx.value(f"SELECT count(*) FROM {table}"))

    def dump(self, without: tuple[str, ...] = ()) -> str:
        """Everything in the database: each table's rows, and how far each sequence is; ``without`` are beginnings of names."""
        with self.database.transaction() as tx:
            tables = tx.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            names = [name for table in tables if not (name := table["tablename"]).startswith(without)]
            rows = [tx.all(f"SELECT {name}::text AS whole, xmin::text AS changed FROM {name} ORDER BY 1") for name in names]
            sequences = tx.all("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
            sequences = [one for one in sequences if not one["sequencename"].startswith(without)]
        return repr((tables, rows, sequences))


def make(folder: Path, database: Database, **more: Any) -> Web:
    """A newsletter on this database, its files in ``folder``."""
    return Web(factories.settings(folder, database.url, **more), database)


@contextlib.contextmanager
def served(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """The address of a real server on a socket; it ends with the block."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def paths(text: str, settings: Settings) -> list[str]:
    """Paths of all links to our own server in an email or page."""
    found = re.findall(re.escape(settings.api_url) + r"(/[\w/.-]+)", text) + re.findall(r'href="(/[^"#]*)"', text)
    return list(dict.fromkeys(found))
