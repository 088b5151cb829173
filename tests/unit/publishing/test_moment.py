"""The times of ``Send:``: zones, offsets and summer time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailer.core.errors import BadInput
from mailer.editions.source import front_matter


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-12-01 09:00 Europe/Berlin", "2026-12-01 08:00"),  # winter
        ("2026-07-01 09:00 Europe/Berlin", "2026-07-01 07:00"),  # summer
        ("2027-03-28 01:59 Europe/Berlin", "2027-03-28 00:59"),  # the last minute of winter time
        ("2027-03-28 03:00 Europe/Berlin", "2027-03-28 01:00"),  # the first of summer time
        ("2026-10-25 02:30 Europe/Berlin", "2026-10-25 00:30"),  # an hour that comes twice: its first time
        ("2026-12-01 09:00 America/New_York", "2026-12-01 14:00"),
        ("2026-12-01 09:00 Asia/Kathmandu", "2026-12-01 03:15"),
        ("2026-12-01 09:00 +05:30", "2026-12-01 03:30"),
        ("2026-12-01T09:00:30 -0800", "2026-12-01 17:00:30"),
        ("2026-12-01 09:00 UTC", "2026-12-01 09:00"),
        ("2026-12-01 09:00Z", "2026-12-01 09:00"),
    ],
)
def test_a_moment_is_that_of_its_zone(written: str, utc: str) -> None:
    assert front_matter.moment(written).astimezone(UTC) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "written", ["2027-03-28 02:30 Europe/Berlin", "2026-02-30 09:00 Europe/Berlin", "2026-12-01 09:00 Mars/X"]
)
def test_a_time_or_zone_that_does_not_exist_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match=r"(doesn't exist|is not a time zone): write"):
        front_matter.moment(written)
