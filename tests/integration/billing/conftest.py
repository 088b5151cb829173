"""Stripe's stand-in, and a newsletter that sells through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.fake_stripe import FakeStripe
from tests import paying
from tests.paying import Shop


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe(int(time.time())) as fake:
        yield fake


@pytest.fixture
def shop(database: Database, tmp_path: Path, fake: FakeStripe) -> Shop:
    return Shop(paying.settings(tmp_path, database, fake), database, fake)
