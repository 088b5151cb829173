"""Generators of clients build every operation of our OpenAPI description."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.v1.common import paging
from bench.api_table import contract, operations, ours
from tests.programs import install_from_npm, install_from_pypi

NUMBER = len(list(operations(ours(), "/v1")))
IMPORT_ALL = """
import importlib, pkgutil, made
for one in pkgutil.walk_packages(made.__path__, "made."):
    importlib.import_module(one.name)
"""


@pytest.fixture
def description(tmp_path: Path) -> Path:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(ours()), encoding="utf-8")
    return file


def test_no_two_parameters_of_an_operation_make_one_identifier() -> None:
    """Else openapi-python-client leaves the operation out."""
    for method, path, facts in operations(ours()):
        names = [re.sub(r"[^a-z0-9]+", "_", one["name"].lower()).strip("_") for one in facts.get("parameters", ())]
        assert len(names) == len(set(names)), f"{method} {path}: {names}"


def test_every_list_takes_the_filters_of_the_contract() -> None:
    """A filter that is unknown is refused, also on a list that is always empty."""
    found = {(method, path): facts for method, path, facts in operations(ours(), "/v1")}
    for method, path, facts in operations(contract()):
        known = query_names(found[method, path])
        known |= {name.replace("not_", "-", 1) for name in known} | paging.IGNORED_WORDS
        assert query_names(facts) <= known or path == "/newsletters/{}/sending-domain", f"{method} {path}"


def query_names(facts: dict[str, Any]) -> set[str]:
    return {one["name"] for one in facts.get("parameters", ()) if one["in"] == "query"}


@pytest.mark.parametrize("path", ["subscribers", "emails", "forms"])
def test_both_names_of_a_negation_mean_the_same(api: TestClient, path: str) -> None:
    for name, tag in (("ada", "odd"), ("ben", "even"), ("cem", "")):
        given = {"email_address": f"{name}@example.org", "type": "regular", "tags": [tag] if tag else []}
        assert api.post("/v1/subscribers", json=given).status_code == 201
    word, value = ("tag", "odd") if path == "subscribers" else ("status", "active" if path == "forms" else "sent")
    theirs, ours_ = (api.get(f"/v1/{path}?{name}={value}").json() for name in (f"-{word}", f"not_{word}"))
    assert theirs == {**ours_, "next": None}
    assert theirs["count"] == {"subscribers": 2, "emails": 0, "forms": 0}[path]
    if path == "subscribers":
        assert api.get("/v1/subscribers?-tag=odd&not_tag=even").json()["count"] == 1


@pytest.mark.slow
def test_openapi_python_client_builds_every_operation(description: Path, tmp_path: Path) -> None:
    programs = install_from_pypi(tmp_path / "env", "openapi-python-client==0.29.1")
    environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    generate = ["openapi-python-client", "generate", "--path", str(description), "--output-path", "made", "--meta", "none"]
    done = subprocess.run(generate, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "WARNING" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
    made = [path for path in (tmp_path / "made" / "api").rglob("*.py") if "def sync_detailed" in path.read_text("utf-8")]
    assert len(made) == NUMBER
    subprocess.run([programs / "python", "-c", IMPORT_ALL], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_openapi_typescript_builds_every_operation(description: Path, tmp_path: Path) -> None:
    programs = install_from_npm(tmp_path / "npm", "openapi-typescript@7.13.0")
    made = tmp_path / "made.ts"
    subprocess.run([programs / "openapi-typescript", description, "-o", made], capture_output=True, check=True)
    assert len(re.findall(r"^ {8}(?:get|put|post|delete|patch): operations\[", made.read_text("utf-8"), re.M)) == NUMBER
    subprocess.run([programs / "tsc", "--noEmit", "--strict", made], check=True)
