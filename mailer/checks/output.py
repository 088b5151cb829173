"""Remarks in formats for machines: JSON, SARIF 2.1.0, GitHub's workflow commands, GitLab's code quality report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mailer.checks.registry import CHECKS, Remark

FORMATS = ("text", "json", "sarif", "github", "gitlab")
_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}
_GITLAB = {"error": "major", "warning": "minor", "note": "info"}
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def facts(remark: Remark) -> dict[str, Any]:
    """Return a remark as plain data."""
    return {
        "id": remark.id, "level": remark.level, "path": remark.path, "line": remark.line, "column": remark.column,
        "message": remark.message, "fixable": bool(remark.fixes),
    }  # fmt: skip


def as_json(remarks: Sequence[Remark], files: int, seconds: float) -> str:
    """Format as JSON."""
    counts = Counter(one.level for one in remarks)
    whole = {"files": files, "seconds": round(seconds, 2), "counts": dict(counts), "findings": [facts(one) for one in remarks]}
    return json.dumps(whole, indent=2, ensure_ascii=False)


def as_sarif(remarks: Iterable[Remark]) -> str:
    """Format as SARIF 2.1.0 (OASIS), for code scanning."""
    rules = [
        {"id": one.id, "shortDescription": {"text": one.about}, "defaultConfiguration": {"level": one.level}}
        for one in CHECKS.values()
    ]
    run = {
        "tool": {"driver": {"name": "postmerge check", "informationUri": "https://sarifweb.azurewebsites.net", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_make_result(one) for one in remarks],
    }
    return json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def as_github(remarks: Iterable[Remark]) -> str:
    """Format as workflow commands that GitHub shows beside the changed lines."""
    return "\n".join(
        f"::{_GITHUB[one.level]} file={_escape_property(one.path)},line={one.line},col={one.column},title={one.id}"
        f"::{_escape_data(one.message)}"
        for one in remarks
    )


def as_gitlab(remarks: Iterable[Remark]) -> str:
    """Format as GitLab's code quality report, for ``artifacts: reports: codequality``."""
    seen: Counter[str] = Counter()
    report = []
    for one in remarks:
        told = f"{one.path}\0{one.id}\0{one.message}"
        seen[told] += 1
        report.append(
            {
                "description": one.message,
                "check_name": one.id,
                "fingerprint": hashlib.sha256(f"{told}\0{seen[told]}".encode()).hexdigest(),
                "severity": _GITLAB[one.level],
                "location": {"path": one.path, "lines": {"begin": one.line}},
            }
        )
    return json.dumps(report, indent=2, ensure_ascii=False)


def _make_result(one: Remark) -> dict[str, Any]:
    region = {"startLine": one.line, "startColumn": one.column}
    place = {"artifactLocation": {"uri": one.path.replace("\\", "/")}, "region": region}
    return {
        "ruleId": one.id,
        "ruleIndex": list(CHECKS).index(one.id),
        "level": one.level,
        "message": {"text": one.message},
        "locations": [{"physicalLocation": place}],
    }


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
