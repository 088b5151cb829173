"""The build reads nothing from outside of its folders, and issues hold no placeholder of the email template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL, has_placeholder
from mailer.editions.source import containment, front_matter

HEAD = "Title: A\nDate: 2026-11-24 09:00\n"
PERCENT = "".join(f"%{ord(newsletter):02X}" for newsletter in UNSUBSCRIBE_URL)
ENTITIES = "".join(f"&#{ord(newsletter)};" for newsletter in UNSUBSCRIBE_URL)
SPELLINGS = {
    "plain": UNSUBSCRIBE_URL,
    "small letters": UNSUBSCRIBE_URL.lower(),
    "percent": PERCENT,
    "percent twice": PERCENT.replace("%", "%25"),
    "entities": ENTITIES,
    "entities in percent": ENTITIES.replace("&", "%26").replace("#", "%23"),
    "full width": "".join(chr(ord(newsletter) + 0xFEE0) for newsletter in UNSUBSCRIBE_URL),
    "zero width": "\u200b".join(UNSUBSCRIBE_URL),
    "soft hyphens": UNSUBSCRIBE_URL.replace("0", "0&shy;"),
    "tags": UNSUBSCRIBE_URL.replace("0", "<b></b>0"),
    "a comment": UNSUBSCRIBE_URL.replace("0", "0<!-- x -->"),
    "escapes of CSS": UNSUBSCRIBE_URL.replace("0", "\\30 "),
    "emphasis": UNSUBSCRIBE_URL.replace("0", "**0**"),
    "lines": UNSUBSCRIBE_URL.replace("0", "0\n"),
}


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize("where", ["![]({}.png)", "![{}](a.png)", "[a](https://evil.example/?u={})", "Text {} text."])
def test_the_unsubscribe_links_placeholder_is_refused_however_it_is_spelled(how: str, where: str) -> None:
    source = front_matter.split("content/a.md", f"{HEAD}\n{where.format(SPELLINGS[how])}\n".encode())
    [error] = source.findings
    assert error.level == "error"
    assert "becomes each subscriber's own unsubscribe link" in error.message


@pytest.mark.parametrize(
    "field", ["Title", "Subject", "Preheader", "Summary", "Slug", "Lang", "Tags", "Audio", "Teaser", "Anything"]
)
def test_the_unsubscribe_links_placeholder_is_refused_in_each_field_at_its_line(field: str) -> None:
    source = front_matter.split("content/a.md", f"{HEAD}{field}: a {UNSUBSCRIBE_URL}\n\nText.\n".encode())
    assert [(error.level, error.line) for error in source.findings if "unsubscribe link" in error.message] == [("error", 3)]


def test_the_unsubscribe_links_placeholder_is_refused_in_a_files_name() -> None:
    assert front_matter.split(f"content/{UNSUBSCRIBE_URL}.md", f"{HEAD}\nText.\n".encode()).broken


def test_a_text_about_unsubscribing_holds_no_placeholder() -> None:
    assert not has_placeholder("Postmerge 0: leave at any URL, with {{ unsubscribe_url }} &amp; 100 % of \\30 subscribers.")


@pytest.mark.parametrize(
    "name", ["pymdownx.snippets", "pymdownx.snippets:SnippetExtension", "pymdownx.b64", "markdown_include.include"]
)
def test_a_markdown_extension_that_inserts_files_stops_the_build(name: str) -> None:
    with pytest.raises(BadInput, match=re.escape(f"MARKDOWN loads {name}, which inserts files")):
        containment.check_markdown({"extensions": ["markdown.extensions.extra", name]})
    with pytest.raises(BadInput, match="which inserts files"):
        containment.check_markdown({"extensions": ["markdown.extensions.extra"], "extension_configs": {name: {}}})
    containment.check_markdown({"extension_configs": {"markdown.extensions.extra": {}, "pymdownx.superfences": {}}})


def test_a_static_file_of_the_theme_that_leads_out_of_it_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    static = tmp_path / "theme/static"
    static.mkdir(parents=True)
    settings = {"THEME": str(tmp_path / "theme"), "THEME_STATIC_PATHS": ["static"]}
    containment.check_theme(settings)
    (static / "a.css").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match=re.escape("The theme's file static/a.css leads out of the theme")):
        containment.check_theme(settings)
    with pytest.raises(BadInput, match=re.escape("The theme's file .. leads out of the theme")):
        containment.check_theme({**settings, "THEME_STATIC_PATHS": [".."]})
