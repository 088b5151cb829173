"""docs/explanation/security.md is true: each test that it names exists, and `make check` looks at what it says."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
ROWS = [row.split("|")[1:-1] for row in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)]
THREATS = [[cell.strip() for cell in row] for row in ROWS if not row[0].startswith(("-", " threat", " purpose"))]


def test_each_threat_has_a_test_and_each_test_exists() -> None:
    assert len(THREATS) >= 35
    for threat, *holds, played in THREATS:
        assert threat
        assert all(holds)
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", played)
        assert named, threat
        assert not re.sub(r"`[^`]+`|[, ]", "", played), threat
        for path, name in named:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in found, f"{path}::{name}"


def test_every_purpose_of_a_token_is_on_the_page() -> None:
    code = (ROOT / "mailer" / "core" / "tokens.py").read_text(encoding="utf-8")
    purposes = set(re.findall(r'secrets, b"([\w.]+)"', code))
    assert len(purposes) >= 12
    assert {name for name in purposes if f"`{name}`" not in PAGE} == set()


def test_no_test_of_security_is_left_out_of_the_page() -> None:
    tree = ast.parse((ROOT / "tests/integration/operations/test_security.py").read_text(encoding="utf-8"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    unnamed = tests - set(re.findall(r"::(test_\w+)", PAGE))
    assert unnamed <= {
        "test_without_trusted_proxies_no_header_is_believed",
        "test_a_network_that_cannot_be_read_is_refused_at_the_start",
        "test_the_api_refuses_domains_without_email_as_the_form_does",
    }


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_is_final_and_has_hashes(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) > 20
    for line in lines:
        pin = Requirement(line.partition("--hash")[0].strip())
        [exact] = pin.specifier
        assert (exact.operator, pin.url) == ("==", None), line[:80]
        assert not exact.prereleases, line[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line[:80]


def test_the_checks_that_the_page_names_are_run() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in ruff["select"]
    assert {rule for rule in ruff["ignore"] if rule.startswith("S")} == set(re.findall(r"\bS\d{3}\b", PAGE))
    check = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert "ruff check ." in check
    assert "pip check" in check
