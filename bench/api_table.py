"""Make ``api/v1/common/shapes.json`` and the table in ``docs/reference/api.md`` from the contract and our own description.

python -m bench.api_table            writes both
python -m bench.api_table --check    says what is not true any more, and fails
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.data import buttondown

ROOT = Path(__file__).parent.parent
SHAPES = ROOT / "api" / "v1" / "common" / "shapes.json"
GUIDE = ROOT / "docs" / "reference" / "api.md"
BEGIN, END = "<!-- table: python -m bench.api_table -->", "<!-- end of the table -->"
METHODS = ("get", "post", "put", "patch", "delete")


@cache
def contract() -> dict[str, Any]:
    """The shapes of Buttondown's description."""
    found: dict[str, Any] = json.loads(buttondown.TARGET.read_text(encoding="utf-8"))
    return found


@cache
def ours() -> dict[str, Any]:
    """Our own, read from the app's routes."""
    from fastapi import FastAPI

    from api import v1

    app = FastAPI(title="The API", version="1")
    v1.include_routes(app)
    v1.install_api(app)
    return app.openapi()


def operations(described: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path (parameters without names) and description of each operation."""
    for path, item in described["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), _plain(path.removeprefix(prefix)), item[method]


def states() -> list[tuple[str, str, str]]:
    """Each operation of the contract and its state here."""
    have = {(method, path): facts for method, path, facts in operations(ours(), "/v1")}
    return [(method, path, _state(have.get((method, path)))) for method, path, _ in operations(contract())]


def contract_operation(method: str, path: str) -> dict[str, Any]:
    """The contract's description of an operation; parameters in ``path`` are ``{}``."""
    return next(facts for one, plain, facts in operations(contract()) if (one, plain) == (method, path))


def table() -> str:
    """The table in Markdown, with sums."""
    rows = states()
    kinds = sorted({_kind(state) for _, _, state in rows})
    sums = ", ".join(f"{sum(_kind(state) == kind for _, _, state in rows)} {kind}" for kind in kinds)
    lines = [f"{len(rows)} operations: {sums}.", "", "| operation | state |", "|---|---|"]
    lines += [f"| `{method} {path}` | {state} |" for method, path, state in rows]
    return "\n".join(lines)


def shapes(described: dict[str, Any]) -> dict[str, Any]:
    """The contract's schemas that our description refers to, and those that they refer to."""
    theirs = contract()["components"]["schemas"]
    wanted, found = set(_refs(described)) & set(theirs), {}
    while wanted:
        name = wanted.pop()
        found[name] = theirs[name]
        wanted |= set(_refs(found[name])) - set(found)
    return dict(sorted(found.items()))


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for one in value.values():
            yield from _refs(one)
    elif isinstance(value, list):
        for one in value:
            yield from _refs(one)


def _plain(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _state(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "missing: 404"
    tags = facts.get("tags", [])
    if "Kept in git" in tags:
        return f"kept in git: 403. {facts['description']}"
    if "Not supported" in tags:
        return f"not supported: {'an empty list' if 'Always empty' in facts['description'] else '404. ' + facts['description']}"
    if "400" in facts["responses"] and "200" not in facts["responses"] and not {"201", "204"} & set(facts["responses"]):
        return f"refused: 400. {facts['description']}"
    return "works"


def _kind(state: str) -> str:
    return {
        "works": "work",
        "missing": "missing",
        "kept in git": "kept in git",
        "not supported": "not supported",
        "refused": "refused",
    }[state.partition(":")[0]]


def main() -> None:
    """Write both files, or check them."""
    text = GUIDE.read_text(encoding="utf-8") if GUIDE.exists() else f"{BEGIN}\n{END}\n"
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    made = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    whole = json.dumps(shapes(ours()), indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        stale = [str(path) for path, now in ((GUIDE, made), (SHAPES, whole)) if path.read_text(encoding="utf-8") != now]
        sys.exit(f"Not true any more: {', '.join(stale)}; run `python -m bench.api_table`." if stale else 0)
    GUIDE.write_text(made, encoding="utf-8")
    SHAPES.write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    main()
