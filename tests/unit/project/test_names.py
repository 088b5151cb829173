"""One meaning for each class name, short files, and small folders, so that a stranger finds things."""

from __future__ import annotations

import ast
import functools
from collections import Counter, defaultdict

from tests.conftest import ROOT

MAX_FILES_PER_FOLDER = 22
MAX_LINES_PER_FILE = 400
MODULES = [path for top in ("mailer", "api") for path in sorted((ROOT / top).rglob("*.py"))]


@functools.cache
def parse_modules() -> dict[str, ast.Module]:
    """Each module's tree by its path; not at import, because each parallel worker imports all tests."""
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def test_no_class_name_has_two_meanings() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in parse_modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_limit_is_defined_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in parse_modules().items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id.lstrip("_")
                if name.startswith(("MAX_", "MIN_")):
                    places[name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_folder_has_more_files_than_a_page_shows() -> None:
    sizes = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {str(folder): size for folder, size in sizes.items() if size > MAX_FILES_PER_FOLDER} == {}


def test_no_file_of_the_program_is_long() -> None:
    paths = [*MODULES, *sorted((ROOT / "bench").rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES_PER_FILE} == {}


def test_our_own_modules_are_not_renamed_on_import() -> None:
    renamed = [
        f"{path}: {ast.unparse(node)}"
        for path, tree in parse_modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("mailer", "api")
        for alias in node.names
        if alias.asname
    ]
    assert renamed == []
