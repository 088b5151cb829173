"""``postmerge import`` of feeds, WordPress and Ghost: what a post becomes, and what bad input becomes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests import archives
from tests.integration.publishing.test_import import bring, folder, run, written

__all__ = ["folder"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def save(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_wordpress_posts_keep_paragraphs_captions_dates_names_and_tags(folder: Path, tmp_path: Path) -> None:
    path = archives.write_zip(
        tmp_path / "site.zip",
        {"export.xml": archives.WORDPRESS, "wp-content/uploads/2020/01/a-300x200.jpg": PNG, "wp-content/uploads/x.php": "x"},
    )
    found = bring(folder, None, path, "--apply")
    assert found["tool"] == "WordPress"
    home = folder / "content"
    assert (home / "issues/2020-01-01-classic.md").read_text("utf-8") == (
        "Title: Classic & old\nDate: 2020-01-01 09:30\nSlug: classic\nFormerly: https://old.example/2020/01/classic/\n"
        "Authors: Anna Müller\nTags: News, Tag one\nSummary: The excerpt\nSend: no\n\n"
        "First line  \nsecond line\n\n"
        '![A]({static}/images/classic/a-300x200.jpg "The caption")\n\n'
        "<https://www.youtube.com/watch?v=abc>\n\n```python\nx = 1 < 2\n\ny = 2\n```\n\n-   one\n"
    )
    assert (home / "images/classic/a-300x200.jpg").read_bytes() == PNG
    blocks = (home / "issues/blocks-more.md").read_text("utf-8")
    assert blocks.startswith("Title: Blocks & more\n")
    assert blocks.endswith("Status: draft\n\nBlock text.\n")
    said = [one["message"] for one in found["remarks"]]
    assert "1 shortcode [gallery] removed." in said
    kinds = ("attachment", "page", "trash")
    assert all(f"1 of the kind {kind!r} left out: only posts become issues." in said for kind in kinds)
    assert bring(folder, None, path, "--apply")["written"] == 0


def test_a_feeds_entries_become_issues_with_absolute_links(folder: Path, tmp_path: Path) -> None:
    bring(folder, None, save(tmp_path / "atom.xml", archives.ATOM), "--apply")
    assert (folder / "content/issues/2021-05-01-atom-entry.md").read_text("utf-8") == (
        "Title: Atom entry\nDate: 2021-05-01 10:00\nSlug: atom-entry\nFormerly: https://old.example/posts/atom-entry.html\n"
        "Authors: Anna\nTags: python\nSend: no\n\nSee [that](https://old.example/other.html).\n"
    )
    assert run(folder, None, "build").returncode == 0
    assert (folder / "build/site/posts/atom-entry.html").is_file()


def test_ghosts_posts_keep_their_paywall_pictures_and_names(folder: Path, tmp_path: Path) -> None:
    text = archives.ghost(
        archives.GHOST_POST, {"title": "A page", "type": "page"}, {"title": "Emailed", "status": "sent", "html": "<p>x</p>"},
        tags=[{"id": "t", "name": "News"}, {"id": "h", "name": "#hidden"}], users=[{"id": "u", "name": "Anna"}],
        posts_tags=[{"post_id": "1", "tag_id": "t"}, {"post_id": "1", "tag_id": "h"}],
        posts_authors=[{"post_id": "1", "author_id": "u"}], posts_meta=[{"post_id": "1", "feature_image_alt": "Top"}],
    )  # fmt: skip
    path = archives.write_zip(tmp_path / "g.zip", {"ghost.json": text, "content/images/2023/03/top.png": PNG})
    found = bring(folder, None, path, "--apply")
    assert (folder / "content/issues/2023-03-01-from-ghost.md").read_text("utf-8") == (
        "Title: From Ghost\nDate: 2023-03-01 08:00\nSlug: from-ghost\nFormerly: /from-ghost/\nAuthors: Anna\nTags: News\n"
        "Summary: An excerpt\nAccess: premium\nSend: no\n\n![Top]({static}/images/from-ghost/top.png)\n\nFree.\n\n"
        "<!-- more -->\n\nPaid [link](/other/).\n\n[A bookmark](https://e.org/)\n"
    )
    assert "Status: draft" in (folder / "content/issues/emailed.md").read_text("utf-8")
    said = [one["message"] for one in found["remarks"]]
    assert "1 page left out: only posts become issues." in said
    assert "1 sign-up or product card removed." in said


BOMB = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]><rss version="2.0">{}</rss>'
FILE = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss version="2.0">{}</rss>'
ITEM = "<channel><item><title>T</title><description>&b;</description></item></channel>"
BAD: dict[str, tuple[str | bytes, str]] = {
    "an entity bomb": (BOMB.format(ITEM), "defines entities"),
    "an outside entity": (FILE.format(ITEM), "defines entities"),
    "an entity bomb in UTF-16": (BOMB.format(ITEM).encode("utf-16"), "defines entities"),
    "a feed without entries": ('<rss version="2.0"><channel></channel></rss>', "no entries"),
    "half a feed": (archives.ATOM[:-20], "damaged"),
    "no dates": ('<rss version="2.0"><channel><item><title>T</title><link>/a</link></item></channel></rss>', "no date"),
    "half of Ghost's JSON": (archives.ghost(archives.GHOST_POST)[:200], "not valid JSON"),
    "Ghost's JSON of another shape": ('{"db": [{"meta": 1, "data": {"posts": [1, null, {}]}}]}', "no text"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_a_line_of_the_report(folder: Path, tmp_path: Path, kind: str) -> None:
    content, line = BAD[kind]
    path = save(tmp_path / ("export.json" if "Ghost" in kind else "export.xml"), content)
    name = "ghost" if "Ghost" in kind else "feed"
    found = bring(folder, None, path, "--apply", "--from", name)
    assert any(line in one["message"] for one in found["remarks"]), found
    assert "root:" not in json.dumps(written(folder))


def test_an_empty_file_is_refused_or_reported(folder: Path, tmp_path: Path) -> None:
    for content in ("", "<?xml version='1.0'?>", "<rss/>"):
        done = run(folder, None, "import", str(save(tmp_path / "empty.xml", content)), "--from", "feed")
        assert "Would write 0 issues" in done.stdout
        assert "no entries in this file" in done.stdout


def test_damaged_exports_never_end_in_a_traceback(folder: Path, tmp_path: Path) -> None:
    random.seed(7)
    for text in (archives.WORDPRESS, archives.ATOM, archives.ghost(archives.GHOST_POST)):
        for _ in range(4):
            data = bytearray(text.encode())
            for _ in range(30):
                data[random.randrange(len(data))] = random.randrange(256)
            kind = "ghost" if text.startswith("{") else "feed"
            done = run(folder, None, "import", str(save(tmp_path / "x.json", bytes(data))), "--from", kind)
            assert "Traceback" not in done.stderr, done.stderr
            assert done.returncode in (0, 1)
