"""What no importer may choke on: files of 2 GB, and paths and links that lead out. One line each, whatever the tool."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from mailer.archives import recognition
from mailer.archives.archive_files import ArchiveContents

# Where each tool's texts are.
DOCUMENTS = {
    "substack": "posts.csv", "ghost": "site.ghost.json", "jekyll": "_posts/2020-01-02-big.md", "hugo": "content/posts/big.md",
    "buttondown": "emails/big.md", "wordpress": "export.xml", "feed": "feed.xml",
}  # fmt: skip


def test_every_importer_is_tried() -> None:
    assert set(DOCUMENTS) == set(recognition.NAMES)


@pytest.mark.parametrize("tool", DOCUMENTS)
def test_a_text_of_two_gigabytes_is_left_out_with_one_line(tmp_path: Path, tool: str) -> None:
    path = tmp_path / "site" / DOCUMENTS[tool]
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(2_000_000_000)
    archive = recognition.read_posts(ArchiveContents(tmp_path / "site"), tool)
    assert archive.posts == []
    assert [one.message for one in archive.remarks] == ["This file is larger than 200 MB: left out."]


@pytest.mark.parametrize("tool", DOCUMENTS)
def test_paths_and_links_that_lead_out_are_left_out_with_one_line_each(tmp_path: Path, tool: str) -> None:
    path, link = tmp_path / "a.zip", zipfile.ZipInfo(DOCUMENTS[tool])
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr(f"../{DOCUMENTS[tool]}", "x")
        archive.writestr(f"/{DOCUMENTS[tool]}", "x")
    read = recognition.read_posts(ArchiveContents(path), tool)
    assert read.posts == []
    assert sorted(one.message for one in read.remarks) == [
        "This file is a symbolic link: left out.", *["This file leads out of the archive: left out."] * 2,
    ]  # fmt: skip
