"""Find functions, classes and constants of modules that nothing but tests uses. `make check` fails on any.

vulture compares bare names, so it misses a dead ``add`` while another module's ``add`` is used. Here imports are resolved.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCT = ("mailer", "api")
CALLED_BY_OTHERS = {
    "mailer.editions.plugin.register",  # Pelican's entry point
    "mailer.transports.conformance.TransportConformance",  # packages with a transport of their own
}
_READ_BY_OTHERS = ("mailer.defaults",)  # by the configurations of newsletters
_HARMLESS = ("dataclass", "cache", "lru_cache", "contextmanager", "asynccontextmanager", "runtime_checkable")

Trees = dict[str, ast.Module]


def main() -> int:
    """Print each unused definition; return 1 when there is any."""
    product = parse_modules(ROOT, PRODUCT)
    users = product | parse_modules(ROOT, ("bench",))
    used = {name for module, tree in users.items() for name in find_uses(module, tree)}
    defined = {
        name for module, tree in product.items() if module not in _READ_BY_OTHERS for name in find_definitions(module, tree)
    }
    dead = sorted(defined - used - CALLED_BY_OTHERS)
    for name in dead:
        print(f"{name} is not used: remove it.")
    return int(bool(dead))


def parse_modules(root: Path, folders: tuple[str, ...]) -> Trees:
    """The syntax tree of each module, by its dotted name."""
    files = [file for folder in folders for file in (root / folder).rglob("*.py")]
    names = {file: ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files}
    return {name: ast.parse(file.read_text(encoding="utf-8")) for file, name in names.items()}


def find_definitions(module: str, tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants, except those that a decorator registers somewhere."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if all(_last_name(decorator) in _HARMLESS for decorator in node.decorator_list):
                yield f"{module}.{node.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            yield from (f"{module}.{name}" for name in names if not name.startswith("__"))


def find_uses(module: str, tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module imports, or reads from itself or from a module that it imports."""
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                imported[alias.asname or alias.name] = whole = f"{node.module}.{alias.name}"
                yield whole
        elif isinstance(node, ast.Import):
            imported.update({alias.asname: alias.name for alias in node.names if alias.asname})
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield f"{module}.{node.id}"
        elif isinstance(node, ast.Attribute):
            start, *rest = ast.unparse(node).split(".")
            yield ".".join((imported.get(start, start), *rest))


def _last_name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).rpartition(".")[2]


if __name__ == "__main__":
    sys.exit(main())
