"""SES's stand-in, and an environment that leads to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import s3 as fake_s3
from tests.fakes.s3 import FakeS3
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


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeS3]]:
    """A fake S3 with one bucket, and an environment that leads to it."""
    with fake_s3.serve() as (fake, url):
        for name, value in {
            "ENDPOINT_URL_S3": url,
            "ACCESS_KEY_ID": "x",
            "SECRET_ACCESS_KEY": "x",
            "REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield fake


@pytest.fixture
def s3(bucket: type[FakeS3]) -> str:
    """A prefix in the bucket."""
    return "s3://bucket/weekly"
