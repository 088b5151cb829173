from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailer.core import settings
from mailer.core.errors import BadInput
from tests.conftest import ROOT

LINES = {
    "POSTMERGE_SENDER=The Letter <letter@example.org>": "The Letter <letter@example.org>",
    "export POSTMERGE_SENDER=The Letter <letter@example.org>": "The Letter <letter@example.org>",
    " POSTMERGE_SENDER = The Letter <letter@example.org> ": "The Letter <letter@example.org>",
    "POSTMERGE_SENDER=The Letter <letter@example.org> # who writes": "The Letter <letter@example.org>",
    "POSTMERGE_SENDER=The Letter <letter@example.org>\r": "The Letter <letter@example.org>",
    'POSTMERGE_SENDER="The Letter <letter@example.org>"': "The Letter <letter@example.org>",
    "POSTMERGE_SENDER='The $1 `Letter` ${HOME} #1 <letter@example.org>'": "The $1 `Letter` ${HOME} #1 <letter@example.org>",
    "POSTMERGE_SENDER=The ${HOME} $(id) `id` <letter@example.org>": "The ${HOME} $(id) `id` <letter@example.org>",
    'POSTMERGE_SENDER="Letters, monthly" <letter@example.org>': '"Letters, monthly" <letter@example.org>',
    "POSTMERGE_SENDER='\"Letters, monthly\" <letter@example.org>'": '"Letters, monthly" <letter@example.org>',
    "POSTMERGE_SENDER=Ada's Letter <letter@example.org>": "Ada's Letter <letter@example.org>",
    "POSTMERGE_SENDER=Grüße aus Köln *bald* & mehr <letter@example.org>": "Grüße aus Köln *bald* & mehr <letter@example.org>",
    "\ufeffPOSTMERGE_SENDER=letter@example.org": "letter@example.org",
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("POSTMERGE_", "AWS_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("line", "sender"), LINES.items())
def test_a_line_of_the_environment_file_means_what_it_says(tmp_path: Path, line: str, sender: str) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(f"{line}\n# a comment\n\nPOSTMERGE_HOLD=1m\n".encode())
    read = settings.load(dotenv=file)
    assert (read.sender, read.hold.total_seconds()) == (sender, 60)


@pytest.mark.parametrize("line", ["POSTMERGE_SECRET='abc", 'POSTMERGE_SECRET="a" and b', "POSTMERGE SECRET=abc", "'"])
def test_a_line_that_cannot_be_read_is_named_and_not_skipped(tmp_path: Path, line: str) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"POSTMERGE_HOLD=1m\n{line}\n")
    with pytest.raises(BadInput, match=r"settings\.env:2 cannot be read"):
        settings.load(dotenv=file)


def test_a_file_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("POSTMERGE_SENDER=Köln <a@example.org>\n".encode("latin-1"))
    with pytest.raises(BadInput, match="cannot be read as text in UTF-8"):
        settings.load(dotenv=tmp_path / ".env")


def test_the_file_that_the_environment_names_is_read_instead_of_env_and_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("POSTMERGE_HOLD=1m\n")
    (tmp_path / "named.env").write_text("POSTMERGE_HOLD=2m\n")
    monkeypatch.setenv("POSTMERGE_ENV_FILE", str(tmp_path / "named.env"))
    assert settings.load(dotenv=tmp_path / ".env").hold.total_seconds() == 120
    monkeypatch.setenv("POSTMERGE_ENV_FILE", str(tmp_path / "missing.env"))
    with pytest.raises(BadInput, match=r"missing\.env cannot be read"):
        settings.load(dotenv=tmp_path / ".env")


def test_the_variables_of_aws_in_the_file_reach_aws_and_give_way_to_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("AWS_REGION=eu-north-1\nAWS_ACCESS_KEY_ID=file\nPOSTMERGE_HOLD=1m\n")
    monkeypatch.setattr(os, "environ", {**os.environ, "AWS_ACCESS_KEY_ID": "environment"})
    settings.load(dotenv=tmp_path / ".env")
    assert settings.aws_region() == "eu-north-1"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "environment"
    assert "POSTMERGE_HOLD" not in os.environ


def test_the_example_file_can_be_copied_as_it_is(tmp_path: Path) -> None:
    assert settings.load(dotenv=ROOT / ".env.example").transport == "outbox"


@pytest.mark.parametrize("sender", ["News", "News #1", "<>", "a@b@c"])
def test_a_sender_that_is_no_address_is_one_sentence(sender: str) -> None:
    with pytest.raises(BadInput, match=r"POSTMERGE_SENDER is .*: write it as Name <address@your.domain>"):
        settings.load({"POSTMERGE_SENDER": sender})


def test_what_runs_comes_before_the_file_and_after_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("POSTMERGE_DESK=on\nPOSTMERGE_HOLD=1m\nPOSTMERGE_SENDER=file@example.org\n")
    monkeypatch.setenv("POSTMERGE_SENDER", "process@example.org")
    running = {"POSTMERGE_HOLD": "0s", "POSTMERGE_SENDER": "running@example.org", "DATABASE_URL": "postgresql://running"}
    read = settings.load(dotenv=file, running=running)
    assert read.desk
    assert read.hold.total_seconds() == 0
    assert read.sender == "process@example.org"
    assert read.database_url == "postgresql://running"
