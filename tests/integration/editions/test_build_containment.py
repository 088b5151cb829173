"""No file from outside of the content folder gets into what a build makes, whatever a source asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.editions.test_editions import NewsletterFolder, newsletter

__all__ = ["newsletter"]
SECRET = "the-database-password"
RST = "Report\n######\n\n:date: 2026-11-24 09:00\n{field}\n\nBefore.\n\n{text}\n\nAfter.\n"
INSERTIONS = {
    "an include": ".. include:: {path}",
    "an include as code": ".. include:: {path}\n   :code: text",
    "a raw file": ".. raw:: html\n   :file: {path}",
    "raw HTML": ".. raw:: html\n\n   <!-- the-database-password -->",
    "a table of a file": ".. csv-table:: T\n   :file: {path}",
    "an embedded picture": ".. image:: {path}\n   :loading: embed",
    "an embedded drawing": ".. image:: {svg}\n   :loading: embed",
}


def everything(folder: Path) -> str:
    """All that a build wrote, its cache included."""
    return "\n".join(path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


def test_restructured_text_puts_no_file_into_a_page_a_feed_or_an_email(
    newsletter: NewsletterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, drawing = newsletter.folder / "secret.txt", newsletter.folder / "secret.svg"
    secret.write_text(SECRET)
    drawing.write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><text>{SECRET}</text></svg>')
    (newsletter.folder / "docutils.conf").write_text("[general]\nfile_insertion_enabled: yes\nraw_enabled: yes\n")
    with (newsletter.folder / "pelicanconf.py").open("a") as config:
        config.write('\nDOCUTILS_SETTINGS = {"file_insertion_enabled": True, "raw_enabled": True}\n')
    monkeypatch.chdir(newsletter.folder)
    (newsletter.folder / "content/pages").mkdir()
    for number, text in enumerate(INSERTIONS.values()):
        filled = text.format(path=secret, svg=drawing)
        for place in ("issues", "pages"):
            (newsletter.folder / f"content/{place}/bad-{number}.rst").write_text(RST.format(field="", text=filled))
    field = f":summary: |x|\n\n.. |x| image:: {drawing}\n   :loading: embed"
    (newsletter.folder / "content/issues/bad-field.rst").write_text(RST.format(field=field, text=""))
    (newsletter.folder / "content/issues/good.rst").write_text(RST.format(field="", text="A *text*."))
    report = newsletter.build()
    made = everything(newsletter.folder / "build")
    assert SECRET not in made
    assert "dGhlLWRhdGFiYXNl" not in made  # the secret's beginning in base64
    assert {edition.key for edition in report.editions} >= {"good"}


def test_a_static_file_page_or_folder_that_leads_out_is_named_and_not_published(newsletter: NewsletterFolder) -> None:
    content, outside = newsletter.folder / "content", newsletter.folder / "outside"
    (outside / "folder").mkdir(parents=True)
    for name in ("secret.txt", "secret.svg", "folder/secret.png", "secret.html"):
        (outside / name).write_text(f"<html><head><title>T</title></head><body>{SECRET}</body></html>")
    (content / "pages").mkdir()
    for name in ("secret.txt", "secret.svg"):
        (content / "images" / name).symlink_to(outside / name)
    (content / "images/folder").symlink_to(outside / "folder")
    (content / "pages/page.html").symlink_to(outside / "secret.html")
    (content / "images/inside.png").symlink_to("chart.png")
    with (newsletter.folder / "pelicanconf.py").open("a") as config:
        config.write('\nSTATIC_PATHS = ["images", "../outside/folder"]\n')
        config.write('EXTRA_PATH_METADATA = {"images/chart.png": {"path": "../../chart.png"}}\n')
    newsletter.write("linked.md", "Title: A\nDate: 2026-11-24\n", "[x]({static}../../outside/secret.txt)\n")
    report = newsletter.build()
    named = {one.path: one for one in report.findings if "leads out of the content folder" in one.message}
    assert sorted(named) == [
        "content/../outside/folder/secret.png", "content/../outside/secret.txt", "content/images/chart.png",
        "content/images/secret.svg", "content/images/secret.txt", "content/pages/page.html",
    ]  # fmt: skip
    assert {one.level for one in named.values()} == {"error"}
    assert SECRET not in everything(newsletter.folder / "build")
    assert not (newsletter.folder / "build/chart.png").exists()
    assert (newsletter.folder / "build/site/images/inside.png").is_file()


def test_a_link_to_a_folder_outside_or_around_itself_is_named_once_and_not_walked(newsletter: NewsletterFolder) -> None:
    content, outside = newsletter.folder / "content", newsletter.folder / "outside"
    outside.mkdir()
    for number in range(3):
        (outside / f"secret-{number}.md").write_text(f"Title: A\nDate: 2026-11-24\n\n{SECRET}\n")
    (content / "issues/outer").symlink_to(outside)
    (content / "images/around").symlink_to(content)
    (content / "again").mkdir()
    (content / "images/inside").symlink_to(content / "again")
    report = newsletter.build()
    named = [one.path for one in report.findings if "leads to a folder outside" in one.message]
    assert sorted(named) == ["content/images/around", "content/issues/outer"]
    assert not [one.path for one in report.findings if "secret-" in one.path]
    assert SECRET not in everything(newsletter.folder / "build")
