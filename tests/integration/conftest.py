"""SES's stand-in, and an environment that leads to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.ses import FakeSes


@pytest.fixture(scope="module")
def fake_ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        yield fake


@pytest.fixture
def ses(fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> FakeSes:
    fake_ses.reset()
    for name, value in fake_ses.environ.items():
        monkeypatch.setenv(name, value)
    return fake_ses
