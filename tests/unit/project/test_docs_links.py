"""Every page of the documentation is linked from its index, and every link, setting and option in it exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

INDEX = ROOT / "docs" / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "mailer" / "README.md"])
SOURCES = [path for folder in ("mailer", "api", "theme", "tests/browser") for path in (ROOT / folder).rglob("*.*")]


def strip_code(text: str) -> str:
    """Return the prose of a page, without code blocks and code spans."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^ *(```|~~~~)\w*\n.*?^ *\1$", "", text, flags=re.DOTALL | re.MULTILINE))


def list_links(page: Path) -> list[tuple[Path, str]]:
    """Return the relative links of a page as files and anchors."""
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", strip_code(page.read_text(encoding="utf-8"))) if ":" not in link]
    parts = [link.partition("#") for link in links]
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in parts]


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, in GitHub's form."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_resolves(page: Path) -> None:
    broken = [
        f"{file}#{anchor}"
        for file, anchor in list_links(page)
        if not file.exists() or (anchor and anchor not in list_anchors(file))
    ]
    assert broken == []


def test_every_page_of_the_documentation_is_linked_from_its_index() -> None:
    seen, pending = set(), [INDEX]
    while pending:
        page = pending.pop()
        seen.add(page)
        pending += [
            file for file, _ in list_links(page) if file.name.endswith(".md") and file not in seen and page.name == "README.md"
        ]
    assert [page for page in ROOT.glob("docs/**/*.md") if page not in seen] == []


def test_every_setting_that_a_page_names_exists() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCES if path.suffix in (".py", ".html"))
    hooks = [ROOT / "hooks" / "post-receive", *(ROOT / "mailer" / "scaffold").glob("*.yml")]
    code += "".join(path.read_text(encoding="utf-8") for path in hooks)
    known = set(re.findall(r"\b(?:POSTMERGE|STRIPE)_[A-Z_]*[A-Z]\b", code))
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"\b(?:POSTMERGE|STRIPE)_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))
    }
    assert {(page, name) for page, name in named if name not in known} == set()


def test_every_benchmark_that_a_page_quotes_has_its_options() -> None:
    quoted = {
        (module, option)
        for page in PAGES
        for module, rest in re.findall(r"python -m (bench\.\w+)([^`\n]*)", page.read_text(encoding="utf-8"))
        for option in re.findall(r"--[a-z-]+", rest)
    }
    assert len(quoted) > 10
    missing = {
        (module, option)
        for module, option in quoted
        if f'"{option}"' not in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    }
    assert missing == set()
