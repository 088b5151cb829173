from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core import fence_store
from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.fence_store import FenceStore
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import adopt_issues
from mailer.flows.sending import fence
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_status import list_send_statuses
from mailer.transports.outbox import Outbox
from mailer.transports.s3_fence import open_fence_store
from tests.factories import add_subscribers, old, settings
from tests.integration.operations.test_restore_drill import send


@pytest.fixture(params=["folder", "redis", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, s3: str) -> FenceStore:
    return open_fence_store({"folder": str(tmp_path), "redis": redis_url, "s3": s3}[request.param])


def test_of_many_simultaneous_updates_none_is_lost_in_any_place(store: FenceStore) -> None:
    def add(number: int) -> None:
        store.update("ledger.journal-2026-11.jsonl", lambda now: (now or b"") + f"{number}\n".encode())
        fence_store.write_epoch(store, "ledger", number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(1, 21)))
    content = store.read("ledger.journal-2026-11.jsonl") or b""
    assert sorted(map(int, content.split())) == list(range(1, 21))
    assert fence_store.read_epoch(store, "ledger") == 20
    assert store.list_keys("ledger") == ["ledger.journal-2026-11.jsonl", "ledger.json"]
    assert fence_store.read_epoch(store, "other") is None


def test_a_place_that_cannot_be_reached_is_named_without_its_password(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"redis://127\.0\.0\.1 cannot be reached") as told:
        open_fence_store("redis://:hidden@127.0.0.1:1").read("x")
    assert "hidden" not in str(told.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="s3://bucket/weekly cannot be reached"):
        open_fence_store(s3).update("x", lambda _: b"")


@pytest.fixture
def conf(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    return settings(tmp_path, database_url, redis_url, connections=4, first_slice=100.0)


def test_a_send_needs_no_disk_and_a_machine_without_its_half_does_not_halt_it_for_the_others(
    database: Database, conf: Settings, redis_url: str, tmp_path: Path
) -> None:
    diskless = replace(conf, fence=redis_url)
    add_subscribers(database, 12)
    adopt_issues(database, diskless, [old()])
    send_id = send(database, diskless, most=4)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "elsewhere", tmp_path / "file" / "fence"):
        assert not fence.advance_or_back_off(database, replace(conf, fence=str(place)), send_id)
        assert str(place) in list_send_statuses(database)[0].send.waiting_reason
        assert fence.advance_or_back_off(database, diskless, send_id)
        assert deliver_send(database, diskless, Outbox(conf.outbox), send_id, stopping=lambda: False).sent >= 0
    assert list_send_statuses(database)[0].deliveries["accepted"] == 12
