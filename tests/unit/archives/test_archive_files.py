"""An archive is read inside its limits: no bomb, no path that leads out, no link."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from mailer.archives import archive_files
from mailer.archives.archive_files import ArchiveContents
from mailer.core.errors import BadInput
from tests.archives import write_zip


def said(files: ArchiveContents) -> list[str]:
    return [f"{one.where}: {one.message}" for one in files.remarks]


def test_paths_and_links_that_lead_out_of_a_zip_are_left_out_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../up.txt", "/etc/passwd", "a/../../up.txt", "..\\up.txt", "C:\\x.txt", "fine/./a.txt"):
            archive.writestr(name, "x")
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    files = ArchiveContents(path)
    assert files.names == ["fine/a.txt"]
    assert len(said(files)) == 6
    assert "link.txt: This file is a symbolic link: left out." in said(files)


def test_links_in_a_folder_are_left_out_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (folder / "a.md").write_text("a")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "out").symlink_to(tmp_path)
    files = ArchiveContents(folder)
    assert files.names == ["a.md"]
    assert len(said(files)) == 2


def test_a_bomb_ends_at_the_limit_whatever_size_it_declares(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"posts.csv": b"0" * 20_000_000, "small.txt": "x"})
    data = path.read_bytes().replace((20_000_000).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    path.write_bytes(data)
    files = ArchiveContents(path)
    assert files.read("posts.csv", limit=1_000_000) is None
    assert files.read("small.txt") == b"x"
    assert len(said(files)) == 1


def test_a_file_of_two_gigabytes_is_left_out_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)
    files = ArchiveContents(path)
    assert files.read("feed.xml") is None
    assert said(files) == ["feed.xml: This file is larger than 200 MB: left out."]


def test_an_archive_is_not_read_beyond_its_whole_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "MAX_ARCHIVE_BYTES", 100)
    files = ArchiveContents(write_zip(tmp_path / "a.zip", {str(number): "x" * 30 for number in range(9)}))
    with pytest.raises(BadInput, match="import it in parts"):
        [files.read(name) for name in files.names]


def test_a_picture_is_found_by_the_end_of_its_old_address(tmp_path: Path) -> None:
    names = {"site/wp-content/uploads/2020/a b.PNG": "x", "content/images/c.jpg": "x", "d.gif": "x"}
    files = ArchiveContents(write_zip(tmp_path / "a.zip", names))
    assert files.find_picture("https://e.org/wp-content/uploads/2020/a%20b.png?w=100") == "site/wp-content/uploads/2020/a b.PNG"
    assert files.find_picture("__GHOST_URL__/content/images/c.jpg") == "content/images/c.jpg"
    assert files.find_picture("d.gif") == "d.gif"
    assert files.find_picture("https://other.example/d.gif") == ""
    assert files.find_picture("http://[broken") == ""
