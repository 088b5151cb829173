"""Dates as people write them: the whole list decides the order of day and month, and no date or zone is guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core.errors import BadInput
from mailer.editions.source import front_matter, site_config
from mailer.editions.source.front_matter import Source
from mailer.exchange.dates import DayOrder, parse_date, parse_zone
from mailer.exchange.list_files import ListLine, open_list

DAY, MONTH = DayOrder.DAY_FIRST, DayOrder.MONTH_FIRST


def read(path: Path, *dates: str, order: DayOrder | None = None, column: str = "created_at") -> list[ListLine]:
    path.write_text(f"email,{column}\n" + "".join(f"r{number}@example.org,{date}\n" for number, date in enumerate(dates)))
    with open_list(path, order=order) as found:
        return list(found.lines)


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (("03/04/2020", "13/04/2020"), datetime(2020, 4, 3)),
        (("03/04/2020", "04/13/2020"), datetime(2020, 3, 4)),
        (("3-4-20", "31-12-19"), datetime(2020, 4, 3)),
        (("03/04/2020 5:30 PM", "12/31/2019 9:00 AM"), datetime(2020, 3, 4, 17, 30)),
        (("03.04.2020", "04.05.2020"), datetime(2020, 4, 3)),
        (("03.04.2020 09.30", "x"), datetime(2020, 4, 3, 9, 30)),
        (("04/04/2020", "05/05/2020"), datetime(2020, 4, 4)),
        (("2020/03/04", "2020/04/13"), datetime(2020, 3, 4)),
        (("4 March 2020", "Mar 5, 2020"), datetime(2020, 3, 4)),
    ],
)
def test_the_whole_column_decides_whether_day_or_month_comes_first(
    tmp_path: Path, dates: tuple[str, ...], first: datetime
) -> None:
    assert read(tmp_path / "a", *dates)[0].created_at == first.replace(tzinfo=UTC)


@pytest.mark.parametrize("column", ["created_at", "unsubscribed_at", "confirmed_at", "unsubscribed"])
def test_a_column_that_decides_nothing_is_asked_about(tmp_path: Path, column: str) -> None:
    with pytest.raises(BadInput, match=r"Is 03/04/2020 in line 3 day-first or month-first\?.*--dates day-first"):
        read(tmp_path / "a", "2020-01-01", "03/04/2020", "05/06/2020", column=column)
    for order, month in ((DAY, 4), (MONTH, 3)):
        line = read(tmp_path / "a", "2020-01-01", "03/04/2020", order=order, column=column)[1]
        when = line.created_at or line.unsubscribed_at or line.confirmed_at
        assert when
        assert when.month == month


def test_dates_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    dates = ("03/04/2020", "13/04/2020", "04/13/2020")
    with pytest.raises(BadInput, match=r"day-first in line 3 \(13/04/2020\) and month-first in line 4 \(04/13/2020\)"):
        read(tmp_path / "a", *dates)
    lines = read(tmp_path / "a", *dates, order=MONTH)
    assert lines[0].created_at == datetime(2020, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["10/11", "5", "Monday", "9:30", "45291", "1606122030", "2020-13-01", "04.13.2020", "32/01/2020", "0001-01-01",
     "9999-12-31", "24 Nov", "2020-01-01 00:00 +9999", "tomorrow"],
)  # fmt: skip
def test_what_is_no_whole_date_is_not_completed_from_today(text: str) -> None:
    with pytest.raises(BadInput, match="is not a date"):
        parse_date(text)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2026-07-01 09:00 Europe/Berlin", 2),
        ("1 July 2026 9am America/New_York", -4),
        ("2026-07-01 09:00 GMT+3", 3),
        ("2026-07-01 09:00 -0500", -5),
        ("2026-07-01 09:00:00 +0000 UTC", 0),
        ("Wed, 01 Jul 2026 09:00:00 GMT", 0),
    ],
)
def test_a_date_with_a_zone_or_an_offset_is_that_moment(text: str, hours: int) -> None:
    found = parse_date(text)
    assert (found.replace(tzinfo=None), found.utcoffset()) == (datetime(2026, 7, 1, 9), timedelta(hours=hours))


@pytest.mark.parametrize(
    ("zone", "example"),
    [("EST", "America/New_York"), ("PST", "America/Los_Angeles"), ("cet", "Europe/Berlin"), ("IST", "Asia/Kolkata"),
     ("localtime", "Europe/Berlin"), ("EST5EDT", "America/New_York"), ("posix/Europe/Berlin", "Europe/Berlin"),
     ("Mars/Olympus", "Europe/Berlin"), ("../etc/passwd", "Europe/Berlin")],
)  # fmt: skip
def test_an_abbreviation_is_not_a_time_zone_and_the_error_names_what_to_write(zone: str, example: str) -> None:
    with pytest.raises(BadInput, match=f"is not a time zone: write a name such as {example}"):
        parse_zone(zone)
    for field in ("Date", "Modified"):
        source = Source("a.md")
        assert front_matter.date(source, f"2026-07-01 09:00 {zone}", "UTC", field.lower()) is None
        assert f"`{field}: 2026-07-01 09:00 {zone}` is not a valid date" in source.findings[0].message
    with pytest.raises(BadInput, match="Send: 2026-07-01 09:00"):
        front_matter.moment(f"2026-07-01 09:00 {zone}")


def test_front_matter_reads_a_date_as_a_list_does(tmp_path: Path) -> None:
    good, bad = Source("a.md"), Source("b.md")
    found = front_matter.date(good, "03.04.2026 09:30", "Europe/Berlin")
    assert found
    assert found.isoformat() == "2026-04-03T09:30:00+02:00"
    assert front_matter.date(bad, "03/04/2026", "UTC") is None
    assert "may be day-first or month-first: write it as 2026-11-24" in bad.findings[0].message


@pytest.mark.parametrize(("zone", "is_refused"), [("EST", True), ("localtime", True), ("PST", True), ("Europe/Berlin", False)])
def test_the_sites_time_zone_is_a_name_with_its_own_rules(tmp_path: Path, zone: str, is_refused: bool) -> None:
    (tmp_path / "content").mkdir()
    config = tmp_path / "pelicanconf.py"
    config.write_text(f'SITENAME = "S"\nSITEURL = "https://example.org"\nTIMEZONE = "{zone}"\n')
    if not is_refused:
        assert site_config.read(tmp_path / "content", config).zone == zone
        return
    with pytest.raises(BadInput, match=r"TIMEZONE in pelicanconf\.py is not usable: .* write a name such as"):
        site_config.read(tmp_path / "content", config)
