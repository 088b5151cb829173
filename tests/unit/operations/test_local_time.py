"""Times are shown in the site's zone, which is TIMEZONE in pelicanconf.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from api.common.render import _templates
from mailer.commands import cli_output
from mailer.commands.common import load_settings
from mailer.commands.operations import dev_stack
from mailer.core.errors import BadInput
from mailer.core.i18n import local_time
from mailer.core.settings import Settings
from mailer.editions import site_zone
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.sending.send_report_page import _format_clock, _load_template
from mailer.flows.sending.ses_quota import _day

SUMMER = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)  # 2 July in Berlin


@pytest.fixture(autouse=True)
def berlin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command or process does at its start, in a folder whose newsletter is in Berlin."""
    (tmp_path / "pelicanconf.py").write_text('TIMEZONE = "Europe/Berlin"\n')
    monkeypatch.chdir(tmp_path)
    load_settings()
    yield
    local_time.use_zone()


def test_the_development_stack_shows_times_in_the_sites_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    local_time.use_zone()
    monkeypatch.setattr(dev_stack, "_hold_lock", lambda place: contextlib.nullcontext())
    monkeypatch.setattr(dev_stack, "_run_services", lambda base, place, out: contextlib.nullcontext(base))
    monkeypatch.setattr(dev_stack, "_write_shell_files", lambda settings, place: contextlib.nullcontext())
    shown: list[str] = []

    def stop(settings: Settings, out: Console) -> None:
        shown.append(cli_output.moment(SUMMER))
        raise BadInput("This is enough.")

    monkeypatch.setattr(dev_stack, "_fill_database", stop)
    Path("content").mkdir()
    with pytest.raises(BadInput, match="enough"):
        dev_stack.run(None, 0, Path(".postmerge"), Console())
    assert shown == ["Thu 02 Jul 2026 00:30 CEST"]


def test_tables_pages_and_reports_show_times_in_the_sites_zone() -> None:
    assert cli_output.moment(SUMMER) == "Thu 02 Jul 2026 00:30 CEST"
    assert _templates().filters["moment"](SUMMER) == "02 Jul 2026, 00:30:00 CEST"
    assert _load_template().environment.filters["moment"](SUMMER) == "02 Jul 2026, 00:30:00 CEST"
    assert _format_clock(SUMMER, 5) == "00:30:05"
    assert _day(SUMMER, SUMMER.replace(hour=23)) == "00:30 CEST"
    assert _day(SUMMER, SUMMER.replace(hour=21)) == "Thu 02 Jul 00:30 CEST"


@pytest.mark.parametrize(("lang", "day", "clock"), [("en", "2 July 2026", "00:30 CEST"), ("de", "2. Juli 2026", "00:30 MESZ")])
def test_subscribers_read_the_day_and_time_that_it_is_where_the_newsletter_is(lang: str, day: str, clock: str) -> None:
    localizer = Localizer(lang)
    assert (localizer.day(SUMMER), localizer.clock(SUMMER)) == (day, clock)


@pytest.mark.parametrize("text", ["TIMEZONE = 'EST'", "TIMEZONE = 'Europe/Nowhere'", "TIMEZONE =", "SITENAME = 'x'"])
def test_without_a_usable_zone_times_are_shown_in_utc(tmp_path: Path, text: str) -> None:
    (tmp_path / "pelicanconf.py").write_text(text)
    assert site_zone(tmp_path / "pelicanconf.py") == "UTC"
    assert site_zone(tmp_path / "none.py") == "UTC"
