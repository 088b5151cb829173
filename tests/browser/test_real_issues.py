"""Five issues of a real weekly, from 2013 to 2026: no page is wider than its window, and axe finds nothing wrong.

Headings that jump a level are excepted: they are what the author wrote, and a page carries the text of the email unchanged.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources

import pytest
from playwright.sync_api import Browser

from tests.browser.test_site import MODES, Mode, Site, opened, overflow, served
from tests.conftest import REAL_ARCHIVE, ROOT

pytestmark = pytest.mark.real_archive


@pytest.fixture(scope="module")
def real_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    content = tmp_path_factory.mktemp("real") / "content"
    shutil.copytree(ROOT / "content" / "pages", content / "pages")
    files = sorted(path for path in REAL_ARCHIVE.glob("*.m*") if path.name[:4].isdecimal())
    for path in files[:: len(files) // 4 - 1][:5]:
        shutil.copy(path, content)
    yield from served(content, tmp_path_factory.mktemp("real-site"), clean=False)


@pytest.mark.parametrize(
    ("width", "mode"),
    [
        (360, MODES[1]),
        (1280, MODES[0]),
        pytest.param(360, MODES[0], marks=pytest.mark.slow),
        pytest.param(1280, MODES[1], marks=pytest.mark.slow),
    ],
)
def test_a_real_issue_is_accessible_and_fits(browser: Browser, real_site: Site, width: int, mode: Mode) -> None:
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    assert len(real_site.editions) == 5
    page = opened(browser, real_site.url, mode, width)
    for url in [edition.url for edition in real_site.editions]:
        page.goto(url)
        assert overflow(page) <= 0, url
        page.evaluate(axe)
        violations = page.evaluate("axe.run({rules: {'heading-order': {enabled: false}}}).then(found => found.violations)")
        assert [(url, one["id"], [node["html"][:150] for node in one["nodes"]][:4]) for one in violations] == []
    page.context.close()
