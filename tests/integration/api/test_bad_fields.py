"""Each field of each request, wrong in type, size, sign or meaning: never a 5xx, and a sentence that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fastapi.testclient import TestClient

from bench import api_table
from mailer.core.db import Database
from mailer.flows.operations import api_keys
from tests import web

Value = TypeVar("Value")
WRONG: tuple[tuple[str, Any], ...] = (
    ("number", 17),
    ("text", "x" * 25_000),
    ("list", [[{}]]),
    ("object", {"x": {"y": []}}),
    ("flag", True),
    ("NUL", "a\0b"),
    ("null", None),
)
TEXTS = ("x" * 5000, "-1", "1e9", "2026-99-99", "a\0b", "' OR 1=1 --", "%FF")
FULL = pytest.mark.parametrize("number", [2, pytest.param(7, marks=pytest.mark.slow)], ids=["two of the values", "all values"])
HALF = b'{"%s": "a\\ud800"}'  # half of a surrogate pair


@pytest.fixture
def api(database: Database, tmp_path: Path) -> TestClient:
    newsletter = web.make(tmp_path, database)
    newsletter.send(1)
    api_keys.create_key(database, "the one that the paths mean")
    return newsletter.holder(raise_server_exceptions=False)


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in given:
        found: dict[str, Any] = api_table.ours()["components"]["schemas"][given["$ref"].rpartition("/")[2]]
        return found
    return given


def _bodies() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Method, path, field and its schema, for each field of each JSON body."""
    for path, item in api_table.ours()["paths"].items():
        for method, facts in item.items():
            content = facts.get("requestBody", {}).get("content", {}).get("application/json")
            if content and not path.startswith("/v1/emails"):  # refused without a repository, see test_drafts.py
                for field, schema in _schema(content["schema"]).get("properties", {}).items():
                    yield method.upper(), path, field, schema


def _queries() -> Iterator[tuple[str, str, str]]:
    for path, item in api_table.ours()["paths"].items():
        for method, facts in item.items():
            for one in facts.get("parameters", []):
                if one["in"] == "query":
                    yield method.upper(), path, one["name"]


def _address(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "1", path)


def _named(answer: Any, field: str) -> bool:
    """Does the answer name the field, in its place or in its sentence?"""
    body = answer.json()
    if answer.status_code == 422:
        return any(field in map(str, one["loc"]) or field in one["msg"] for one in body["detail"])
    return field in body["detail"] or field.partition("_")[0].rstrip("s") in f"{body['code']} {body['detail']}".lower()


def _sentences(answer: Any) -> list[str]:
    detail = answer.json()["detail"]
    return [one["msg"] for one in detail] if isinstance(detail, list) else [detail]


def _turn(values: tuple[Value, ...], at: int, number: int) -> tuple[Value, ...]:
    """So many of the values, others at each place."""
    return (values * 3)[at % len(values) :][:number]


@FULL
def test_each_field_of_each_body_is_refused_by_name(api: TestClient, number: int) -> None:
    found, problems = list(_bodies()), []
    assert len(found) > 50
    for at, (method, path, field, _) in enumerate(found):
        for what, value in _turn(WRONG, at, number):
            answer = api.request(method, _address(path), json={field: value})
            place = f"{method} {path} {field}: {what}: {answer.status_code} {answer.text[:200]}"
            if answer.status_code >= 500:
                problems.append(place)
            elif answer.status_code in (400, 422) and not all(one.endswith((".", "?")) for one in _sentences(answer)):
                problems.append(f"no sentence: {place}")
            elif answer.status_code == 403:
                problems.append(f"nothing was looked at: {place}")
        half = api.request(method, _address(path), content=HALF % field.encode(), headers={"Content-Type": "application/json"})
        if half.status_code != 400 or "NUL" not in half.json()["detail"]:
            problems.append(f"{method} {path} {field}: half a pair: {half.status_code}")
    assert not problems, "\n".join(problems[:40])


def test_what_no_type_allows_is_refused_by_the_fields_name(api: TestClient) -> None:
    """A list of lists of objects fits no field, but those that hold any JSON at all."""
    problems = []
    for method, path, field, schema in _bodies():
        if "additionalProperties" in str(schema) or schema.get("type") == "object":
            continue
        answer = api.request(method, _address(path), json={field: [[{}]]})
        if answer.status_code not in (400, 404, 422, 403) or (answer.status_code == 422 and not _named(answer, field)):
            problems.append(f"{method} {path} {field}: {answer.status_code} {answer.text[:200]}")
    assert not problems, "\n".join(problems[:40])


@FULL
def test_each_parameter_of_each_query_is_refused_by_name_or_harmless(api: TestClient, number: int) -> None:
    found, problems = list(_queries()), []
    assert len(found) > 80
    for at, (method, path, name) in enumerate(found):
        for value in _turn(TEXTS, at, number):
            answer = api.request(method, _address(path), params={name: value})
            place = f"{method} {path}?{name}={value[:20]!r}: {answer.status_code} {answer.text[:200]}"
            if answer.status_code >= 500:
                problems.append(place)
            elif answer.status_code == 422 and not _named(answer, name) and path != "/v1/previews":  # its body is missing
                problems.append(f"not named: {place}")
    assert not problems, "\n".join(problems[:40])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"email_address": "a\\ud800@x.org"}', b'{"tags": ' + b"[" * 5000, b"1" * 5000],
)
def test_a_body_that_is_no_object_is_refused_with_a_sentence(api: TestClient, body: bytes) -> None:
    answer = api.post("/v1/subscribers", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert all(one.endswith(".") for one in _sentences(answer))


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 309 + ".0", "9" * 300 + "e9"])
def test_a_number_that_is_none_is_refused_and_nobody_is_half_written(api: TestClient, number: str) -> None:
    body = f'{{"email_address": "nan@example.org", "metadata": {{"a": {number}}}}}'
    answer = api.post("/v1/subscribers", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "invalid_input"
    assert "number" in answer.json()["detail"]
    assert api.get("/v1/subscribers/nan@example.org").status_code == 404


@pytest.mark.parametrize("value", ["NaN", '"a\\u0000b"', '"\\ud800"', "1e999"])
def test_what_cannot_be_kept_is_refused_beside_a_file_too(api: TestClient, value: str) -> None:
    form = {"metadata": f'{{"evidence": {value}}}'}
    answer = api.post("/v1/imports", files={"file": ("list.csv", b"email\nada@example.org\n")}, data=form)
    assert answer.status_code == 422, answer.text
    assert "JSON object" in answer.text


def test_a_file_with_a_long_name_in_any_script_is_taken(api: TestClient) -> None:
    answer = api.post("/v1/imports", files={"file": ("读" * 120 + ".csv", b"email\nada@example.org\n")})
    assert answer.status_code == 201, answer.text
