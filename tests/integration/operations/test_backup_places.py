"""Backups in S3: rotated, fetched and restored there, in parts when they are large; and a clear answer when S3 refuses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings, environment
from mailer.flows.operations import backups
from mailer.flows.operations.backups import BackupOptions
from mailer.flows.sending.fence import read_fence
from mailer.flows.sending.send_status import list_send_statuses
from mailer.transports.backup_places import open_backup_place
from tests import commands
from tests.fakes.s3 import FakeS3
from tests.integration.operations.test_restore_drill import conf, empty, ledger, send

__all__ = ["conf", "empty", "ledger"]


@pytest.mark.slow
def test_a_backup_in_s3_is_rotated_and_restored_from_there(
    ledger: Database, empty: Database, conf: Settings, s3: str, bucket: type[FakeS3]
) -> None:
    send(ledger, conf, most=8)
    for day in range(1, 6):  # more than one page of a listing
        bucket.objects[f"weekly/postmerge-2026010{day}T000000Z.tar"] = b""
    bucket.objects |= {"weekly/notes.txt": b"mine", "weeklyother/postmerge-20260101T000000Z.tar": b"another's"}
    made = backups.make_backup(ledger, conf, BackupOptions(s3, keep=2))
    assert made.deleted == [f"postmerge-2026010{day}T000000Z.tar" for day in range(1, 5)]
    assert sorted(bucket.objects) == [
        "weekly/notes.txt", "weekly/postmerge-20260105T000000Z.tar", f"weekly/{made.name}",
        "weeklyother/postmerge-20260101T000000Z.tar",
    ]  # fmt: skip
    assert len(bucket.objects[f"weekly/{made.name}"]) == made.size
    there = replace(conf, database_url=empty.url)
    assert backups.restore_backup(empty, there, f"{s3}/{made.name}", None)["ledger"]
    assert read_fence(empty, there).problem
    assert [one.deliveries for one in list_send_statuses(empty)] == [one.deliveries for one in list_send_statuses(ledger)]


@pytest.mark.slow
def test_the_command_backs_up_to_s3_in_a_process_of_its_own(
    ledger: Database, conf: Settings, s3: str, bucket: type[FakeS3], tmp_path: Path
) -> None:
    done = commands.run(tmp_path, environment(conf), "backup", s3)
    assert "Backed up to s3://bucket/weekly/postmerge-" in done.stdout, done.stderr
    assert len(bucket.objects) == 1


def test_a_large_backup_is_uploaded_and_fetched_in_parts(s3: str, bucket: type[FakeS3], tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(20 << 20))
    place = open_backup_place(s3)
    place.store(large, "large.tar")
    assert next(bucket.numbers) > 1, "it was not uploaded in parts"
    assert not bucket.parts, "an upload is left open, which costs money for ever"
    place.fetch("large.tar", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == large.read_bytes()


def test_when_s3_refuses_nothing_is_deleted_and_the_place_is_named(
    ledger: Database, conf: Settings, s3: str, bucket: type[FakeS3]
) -> None:
    bucket.objects["weekly/postmerge-20260101T000000Z.tar"] = b"old"
    bucket.broken = 403
    with pytest.raises(
        Unavailable, match=r"The place for backups, s3://bucket/weekly, cannot be used: .*(403|AccessDenied|Forbidden)"
    ):
        backups.make_backup(ledger, conf, BackupOptions(s3, keep=1))
    assert sorted(bucket.objects) == ["weekly/postmerge-20260101T000000Z.tar"]
    bucket.broken = 0
    with pytest.raises(Unavailable, match="cannot be used"):
        open_backup_place(s3).fetch("missing.tar", conf.build / "missing.tar")
