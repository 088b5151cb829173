"""Files with addresses in them are for their owner alone, whatever the process's umask is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.transports.base import Envelope
from mailer.transports.outbox import Outbox


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """A umask that withholds nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_only_the_owner_reads_the_outbox(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.send(Envelope("ada@example.org", b"Subject: Hello\r\n\r\nHello"))
    [file] = outbox.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert outbox.folder.stat().st_mode & 0o777 == 0o700
