"""What ``plan`` and ``publish`` print as JSON keeps to its published schema, with and without a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mailer.core.db import Database
from tests import commands, factories
from tests.conftest import ROOT
from tests.integration.publishing.test_remote_publish import newsletter, url, with_key
from tests.processes import environment
from tests.web import Web

__all__ = ["newsletter", "url"]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "plan.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content" / "issues").mkdir(parents=True)
    for name in ("theme", "pelicanconf.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "content" / "issues" / "old.md").write_text("Title: Old\nDate: 2020-01-01\n\nText.\n")
    return tmp_path


def write(folder: Path, *fields: str) -> None:
    head = "\n".join(["Title: New", f"Date: {date.today()}", "Send: yes", *fields])
    body = "What nobody has written before, in a sentence of its own."
    (folder / "content" / "issues" / "new.md").write_text(f"{head}\n\n{body}\n")


def run(folder: Path, database: Database, redis_url: str, *words: str, **more: str) -> dict[str, Any]:
    environ = {**environment(factories.settings(folder, database.url, redis_url), {}), **more}
    done = commands.run(folder, environ, *words, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    VALIDATOR.validate(found)
    assert set(found) <= set(SCHEMA["properties"]), "the schema lacks a field"
    for step in found["steps"]:
        assert set(step) <= set(SCHEMA["properties"]["steps"]["items"]["properties"]), "the schema lacks a field"
    return found


def test_plan_and_publish_keep_to_the_schema(folder: Path, database: Database, redis_url: str) -> None:
    factories.add_subscribers(database, 3)
    assert run(folder, database, redis_url, "publish")["first"] is True
    write(folder, "Audience: nobody-has-it")
    refused = run(folder, database, redis_url, "plan", "--no-gate")
    assert refused["refusals"][0]["check"] == "unknown-tag"
    write(folder)
    [step] = run(folder, database, redis_url, "plan", "--no-gate")["steps"]
    assert (step["action"], step["subscribers"]) == ("send", 3)
    assert len(run(folder, database, redis_url, "publish", "--no-gate")["sends"]) == 1


def test_with_a_server_they_keep_to_the_same_schema(folder: Path, newsletter: Web, url: str, redis_url: str) -> None:
    factories.add_subscribers(newsletter.database, 3)
    key = with_key(newsletter, url, "publish")._key
    given = {"POSTMERGE_API_KEY": key, "POSTMERGE_SITE_URL": newsletter.settings.site_url}
    words = ("--server", url, "--no-gate")
    assert run(folder, newsletter.database, redis_url, "publish", *words, **given)["uploaded"] == 1
    write(folder)
    planned = run(folder, newsletter.database, redis_url, "plan", *words, **given)
    assert ([step["action"] for step in planned["steps"]], planned["refusals"]) == (["send"], [])
    assert len(run(folder, newsletter.database, redis_url, "publish", *words, **given)["sends"]) == 1


@pytest.mark.parametrize("name", ["PublishOutlook", "PublishResult"])
def test_the_examples_of_the_api_keep_to_the_schema_too(name: str) -> None:
    example = json.loads((ROOT / "api" / "v1" / "common" / "examples.json").read_text("utf-8"))[name]
    steps = {"type": "array", "minItems": 1, "items": SCHEMA["properties"]["steps"]["items"] | {"additionalProperties": False}}
    jsonschema.Draft202012Validator(steps).validate(example["steps"])


@pytest.mark.parametrize(
    ("scope", "words", "needed"),
    [
        ("review", ("publish",), "publish or admin"),
        ("read", ("plan",), "publish or admin"),
        ("subscribers", ("publish", "--preview", "--branch", "draft"), "publish or admin"),
        ("publish", ("test", "hello"), "review or admin"),
    ],
)
def test_a_key_that_may_not_is_refused_before_anything_is_built_or_uploaded(
    folder: Path, newsletter: Web, url: str, scope: str, words: Sequence[str], needed: str
) -> None:
    write(folder)
    given = {"POSTMERGE_API_KEY": with_key(newsletter, url, scope)._key, "POSTMERGE_SITE_URL": newsletter.settings.site_url}
    environ = {**environment(factories.settings(folder, newsletter.database.url, ""), {}), **given}
    done = commands.run(folder, environ, *words, "--server", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f"error: A key with the scope {scope} cannot do this: use one with {needed}."
    assert not (folder / "build").exists()
    assert newsletter.counted("uploaded_editions") == 0


def test_a_plan_names_the_errors_in_what_is_not_sent(folder: Path, database: Database) -> None:
    environ = environment(factories.settings(folder, database.url, ""), {})
    assert commands.run(folder, environ, "adopt").returncode == 0
    welcome = folder / "content" / "sequences" / "welcome"
    welcome.mkdir(parents=True)
    (welcome / "sequence.toml").write_text('trigger = "confirmed"\n')
    (welcome / "01-hello.md").write_text("Title: Hello\nAfter: 0\n\nThank you.\n")
    (welcome / "02-more.md").write_text("Title: More\nAfter: 5s\n\nThe best ones.\n")
    (folder / "content" / "issues" / "broken.md").write_text("Date: 2020-01-02\n\nNo title.\n")
    done = commands.run(folder, environ, "plan", "--no-gate")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-2:] == [
        "1 error in issues that are not to be sent (content/issues/broken.md): `postmerge check` shows them.",
        "1 error in sequences, which stay as they are until these files are corrected"
        " (content/sequences/welcome/02-more.md): `postmerge check` shows them.",
    ]
