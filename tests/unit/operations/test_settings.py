from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import get_type_hints

import pytest

from mailer.core import settings
from mailer.core.errors import BadInput

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTMERGE_TRANSPORT", "smtp"),
        ("POSTMERGE_HOLD", "ten minutes"),
        ("POSTMERGE_SITE_URL", "example.org"),
        ("POSTMERGE_CONNECTIONS", "0"),
        ("POSTMERGE_LOG", "loud"),
        ("POSTMERGE_CHALLENGE", "hook"),
        ("POSTMERGE_CHALLENGE_BITS", "40"),
        ("POSTMERGE_TRUSTED_PROXIES", "everybody"),
        ("POSTMERGE_UNSUBSCRIBE_ADDRESS", "leave@example.org, other@example.org"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadInput, match=name):
        settings.load({name: value})


SWITCHES = {
    "POSTMERGE_REQUIRE_REVIEW": "require_review",
    "POSTMERGE_CHECK_DNS": "check_dns",
    "POSTMERGE_METRICS": "metrics",
    "POSTMERGE_MONTHLY_REPORT": "monthly_report",
    "POSTMERGE_DESK": "desk",
}


@pytest.mark.parametrize(("name", "field"), SWITCHES.items())
def test_each_switch_takes_the_words_that_environment_files_use(name: str, field: str) -> None:
    for word in ("on", "ON", "1", "true", "True", "yes"):
        assert getattr(settings.load({name: word}), field) is True, word
    for word in ("off", "Off", "0", "false", "FALSE", "no"):
        assert getattr(settings.load({name: word}), field) is False, word
    assert getattr(settings.load({name: " "}), field) is getattr(settings.Settings(), field)
    with pytest.raises(
        BadInput, match=rf"^{name} is 'maybe': set it to on or off \(1, true and yes, or 0, false and no, work too\)\.$"
    ):
        settings.load({name: "maybe"})


def test_every_setting_that_is_on_or_off_is_read_by_the_one_function() -> None:
    code = (ROOT / "mailer" / "core" / "settings.py").read_text()
    switches = {name for name, of in get_type_hints(settings.Settings).items() if of is bool} - {"transport_given"}
    assert switches == set(re.findall(r"(\w+)=read_switch\(", code)) == set(SWITCHES.values())


def test_no_word_for_off_is_taken_for_the_folder_of_the_fence() -> None:
    assert {settings.load({"POSTMERGE_FENCE": word}).fence_place for word in ("off", "0", "false", "No")} == {""}
    assert settings.load({"POSTMERGE_FENCE": "/disk/fence"}).fence_place == "/disk/fence"


def test_durations_and_empty_values_are_read() -> None:
    read = settings.load({"POSTMERGE_HOLD": "1.5h", "POSTMERGE_SITE_URL": "", "POSTMERGE_API_URL": "https://x.org/"})
    assert (read.hold, read.site_url, read.api_url) == (timedelta(minutes=90), "", "https://x.org")


def test_a_file_of_development_is_read_under_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("POSTMERGE_SENDER=File <a@b.org>\nPOSTMERGE_HOLD=1m\n")
    monkeypatch.setenv("POSTMERGE_HOLD", "2m")
    monkeypatch.delenv("POSTMERGE_SENDER", raising=False)
    read = settings.load(dotenv=tmp_path / ".env")
    assert (read.sender, read.hold) == ("File <a@b.org>", timedelta(minutes=2))


def test_the_example_file_lists_every_setting() -> None:
    code = "".join((ROOT / "mailer" / "core" / f"{name}.py").read_text() for name in ("settings", "setting_values"))
    used = set(re.findall(r'"((?:POSTMERGE_|DATABASE_|REDIS_|SENTRY_|STRIPE_)[A-Z_]+)"', code))
    listed = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used == listed


def test_a_child_gets_the_same_settings_as_its_parent(tmp_path: Path) -> None:
    parent = settings.load({"POSTMERGE_SENDER": "A <a@b.org>", "POSTMERGE_HOLD": "90s", "POSTMERGE_SECRET": "x" * 20})
    child = settings.load(settings.environment(parent))
    assert (child.sender, child.hold, child.secret) == (parent.sender, parent.hold, parent.secret)


@pytest.mark.parametrize("text", ["", "short", f"{'x' * 32},short", f"short {'x' * 32}", " , "])
def test_a_missing_or_short_secret_among_several_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="POSTMERGE_SECRET"):
        settings.load({"POSTMERGE_SECRET": text}).need_secrets()


@pytest.mark.parametrize("separator", [",", " ", "\n", ", ", ",,"])
def test_several_secrets_are_separated_by_commas_or_whitespace(separator: str) -> None:
    assert settings.load({"POSTMERGE_SECRET": separator.join(["n" * 16, "o" * 16])}).need_secrets() == ("n" * 16, "o" * 16)
