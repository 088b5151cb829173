"""``postmerge adopt --compare`` says what would change for a site before it switches; plugins that read files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer import editions
from mailer.core.errors import BadInput
from mailer.editions.site.stock_comparison import PageDifference, compare_with_stock
from tests import commands, factories
from tests.integration.editions.test_adopted_sites import HEAD, lay_out
from tests.processes import environment

FILES = {"a.md": f"{HEAD}Tags: x\n", "b.md": "Title: Script\nDate: 2020-01-03\n\n<script>x</script>\n"}
TEMPLATING = """
from pelican import signals
from THE_MODULE import MarkdownReader


class Templated(MarkdownReader):
    def read(self, source_path):
        content, metadata = super().read(source_path)
        return content.replace("{{ name }}", "Ada"), metadata


def add(formats):
    formats.reader_classes["md"] = Templated


def register():
    signals.readers_init.connect(add)
"""


def test_an_adopted_site_loses_nothing_and_every_difference_has_a_reason(tmp_path: Path) -> None:
    options = lay_out(tmp_path, 'FEED_ALL_RSS = "rss.xml"', FILES)
    editions.build(options)
    found = compare_with_stock(options)
    assert found.lost == []
    assert (found.files - found.same, found.feeds) == (sum(one.kind != "extra" for one in found.differences), 6)
    assert {one.path for one in found.differences if one.kind == "extra"} == {
        "robots.txt",
        "sitemap.xml",
        "theme/js/subscribe.js",
    }
    said = "its words differ: “A text of more than five words, in” instead of “x A text of more than five words,”"
    assert PageDifference("text", "script.html", said) in found.differences


def test_lost_pages_and_ids_are_named_and_the_command_fails(tmp_path: Path) -> None:
    lay_out(tmp_path, 'POSTMERGE_ADDRESSES = "files"\nFEED_ALL_ATOM = "feed.xml"', FILES)
    environ = environment(factories.settings(tmp_path), {})
    done = commands.run(tmp_path, environ, "adopt", "--compare")
    assert done.returncode == 1, done.stdout
    assert "  hello-world.html: Pelican writes it, and Postmerge does not" in done.stdout
    assert "  feed.xml: it is rss20 instead of atom10" in done.stdout
    assert "would be lost or shown as new" in done.stderr


def test_a_site_that_pelican_cannot_build_is_said_to_be_one(tmp_path: Path) -> None:
    options = lay_out(tmp_path, "", FILES)
    editions.build(options)
    (tmp_path / "pelicanconf.py").write_text("PLUGINS = ['mailer.editions.plugin']\nTHEME = 'none-such'\n")
    with pytest.raises(BadInput, match="Pelican alone cannot build this site"):
        compare_with_stock(options)


@pytest.mark.parametrize("order", ['["templating", "mailer.editions.plugin"]', '["mailer.editions.plugin", "templating"]'])
def test_what_a_plugin_makes_of_a_file_is_on_the_page_and_in_the_email(tmp_path: Path, order: str) -> None:
    (tmp_path / "templating.py").write_text(TEMPLATING.replace("THE_MODULE", "pelican.readers"))
    lay_out(tmp_path, "", FILES)
    (tmp_path / "content" / "named.md").write_text("Title: Named\nDate: 2020-01-02\n\nHello {{ name }}.\n")
    with (tmp_path / "pelicanconf.py").open("a") as file:
        file.write(f"PLUGIN_PATHS = [{str(tmp_path)!r}]\nPLUGINS = {order}\n")
    environ = environment(factories.settings(tmp_path), {})
    done = commands.run(tmp_path, environ, "build")
    assert done.returncode == 0, done.stderr
    [named] = [one for one in editions.load(tmp_path / "build" / "editions").editions if one.key == "named"]
    assert "Hello Ada." in named.text
    assert "Hello Ada." in (tmp_path / "build" / "site" / "named.html").read_text("utf-8")
    paid = "Title: Named\nDate: 2020-01-02\n\nFree.\n\n:::premium\nNobody may read this sentence for free.\n:::\n"
    (tmp_path / "content" / "named.md").write_text(paid)
    refused = commands.run(tmp_path, environ, "build")
    assert refused.returncode == 1
    assert "content/named.md:1: error: The plugin templating reads this file itself, so its paid text would" in refused.stderr
    pages = (tmp_path / "build" / "site").rglob("*.*")
    assert not any("Nobody may read this" in page.read_text("utf-8", "replace") for page in pages if page.is_file())
