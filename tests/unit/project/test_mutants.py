"""The list of small changes that the tests must notice stays true: each is where it says, and its tests are there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench import mutants
from bench.mutants import Change, applied, read
from tests.conftest import ROOT

CHANGES = read()


def test_each_change_is_where_it_says_and_makes_a_program_that_can_be_read() -> None:
    for one in CHANGES:
        before = (ROOT / one.file).read_text(encoding="utf-8")
        after = applied(one, before)
        assert after != before
        ast.parse(after, one.file)  # what cannot be read would be noticed by any test
    assert len({(one.file, one.before, one.after) for one in CHANGES}) == len(CHANGES)


def test_each_test_that_must_notice_a_change_is_there() -> None:
    for test in {test for one in CHANGES for test in one.tests}:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not name or name in found, test


def test_a_change_out_of_date_stops_the_run() -> None:
    one = Change("a.py", "x = 1", "x = 2", ("tests",))
    assert applied(one, "x = 1\ny = 1\n") == "x = 2\ny = 1\n"
    for text in ("x = 3\n", "x = 1\nx = 1\n"):
        with pytest.raises(ValueError, match="out of date"):
            applied(one, text)


def test_a_change_has_tests_or_a_reason_why_none_can_notice_it(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    for more in ("", 'tests = ["a"]\nequivalent = "so"\n'):
        path.write_text(f'[[change]]\nfile = "a"\nbefore = "b"\nafter = "c"\n{more}')
        with pytest.raises(ValueError, match="either tests or a reason"):
            read(path)


@pytest.mark.parametrize(("survivors", "code"), [(0, 0), (5, 0), (6, 1)])
def test_a_run_fails_when_less_than_95_of_a_hundred_are_noticed(survivors: int, code: int) -> None:
    one = Change("a.py", "x = 1", "x = 2", ("tests",))
    assert mutants._summary([one] * 100, [one] * survivors, 3) == code
