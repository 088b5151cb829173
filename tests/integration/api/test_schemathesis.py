"""schemathesis plays our own description against the API: no 5xx, no status and no shape that is not described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from tests import web

pytestmark = pytest.mark.slow

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROOT = Path(__file__).parents[3]
FEW, MANY = 2, int(os.environ.get("POSTMERGE_TRIES", "8"))  # requests for each operation


@pytest.fixture
def described(database: Database, tmp_path: Path) -> Any:
    newsletter = web.make(tmp_path, database)
    newsletter.send(2)
    key = api_keys.create_key(database, "schemathesis", per_minute=0)
    schema = schemathesis.openapi.from_asgi("/openapi.json", newsletter.app())
    return schema, key


def _told(error: BaseException) -> str:
    inner = getattr(error, "exceptions", ())
    return " | ".join(_told(one) for one in inner) if inner else str(error)[:700]


def _becomes_text(schema: Any, case: Any) -> bool:
    """Whether a query's parameter for text has another type, which a URL cannot say: ``{}`` is absent there, 1 is ``"1"``."""
    parameters = schema.raw_schema["paths"][case.path][case.method.lower()].get("parameters", [])
    texts = {one["name"] for one in parameters if one["in"] == "query" and '"string"' in json.dumps(one["schema"])}
    return any(name in texts and not isinstance(value, str) for name, value in (case.query or {}).items())


@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_nothing_breaks_and_nothing_is_undescribed(described: Any, mode: GenerationMode, tries: int) -> None:
    """With what our description allows, and with what it does not: the same requests in every run."""
    schema, key = described
    problems: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=tries,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def play(case: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Token {key}"}
            must_be_refused = mode is GenerationMode.NEGATIVE and not _becomes_text(schema, case)
            case.call_and_validate(checks=CHECKS + ([negative_data_rejection] if must_be_refused else []))

        try:
            play()
        except Unsatisfiable:  # an operation that takes nothing: there is nothing wrong to send
            assert mode is GenerationMode.NEGATIVE
            assert not operation.definition.raw.get("parameters"), operation.path
        except (Exception, BaseExceptionGroup) as error:
            problems.append(f"{operation.method.upper()} {operation.path}: {_told(error)}")
    assert not problems, "\n\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_its_own_program_finds_nothing_with_all_checks(database: Database, tmp_path: Path, seed: int) -> None:
    """With the reasons in schemathesis.toml. The phase of 7,000 combinations takes minutes: CONTRIBUTING.md has its command."""
    port = find_free_port()
    newsletter = web.make(tmp_path, database, api_url=f"http://127.0.0.1:{port}")
    newsletter.send(2)
    key = api_keys.create_key(database, "schemathesis", per_minute=0)
    asked = ["--checks", "all", "--phases", "examples,fuzzing", "--max-examples", "2", "--seed", str(seed), "--no-color"]
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml"), "run"]
    with web.served(newsletter.app(), port) as url:
        done = subprocess.run(
            [*program, f"{url}/openapi.json", "-H", f"Authorization: Token {key}", *asked],
            cwd=tmp_path, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert "Tested: 1" in done.stdout, done.stdout[-2000:]
