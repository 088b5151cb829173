"""Each importer with each fault: a line of the report says it, the good post still comes along, nothing is outside or half."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from mailer.archives import archive_files, recognition
from mailer.archives.archive_files import ArchiveContents
from mailer.archives.import_layout import ArchiveImport, plan_import
from mailer.archives.import_writer import write_files
from mailer.editions.source import site_config
from mailer.editions.source.site_config import Site
from tests import archives

Post = Mapping[str, str]  # title, slug, date, html
GOOD = {"title": "Good", "slug": "good", "date": "2024-01-05T10:00:00Z", "html": "<p>A good text.</p>"}


def substack(posts: list[Post]) -> dict[str, str]:
    names = [f"{number}.{post['slug']}" for number, post in enumerate(posts, 1)]
    rows = [archives.substack_row(name, post["title"], post["date"]) for name, post in zip(names, posts, strict=True)]
    texts = {f"posts/{name.replace('/', '-')}.html": post["html"] for name, post in zip(names, posts, strict=True)}
    return {"posts.csv": archives.write_table(rows), **texts}


def ghost(posts: list[Post]) -> dict[str, str]:
    return {"site.ghost.json": archives.ghost(*[{**post, "published_at": post["date"]} for post in posts])}


def buttondown(posts: list[Post]) -> dict[str, str]:
    return {f"emails/{number}.md": _front(post, "subject", "publish_date") for number, post in enumerate(posts, 1)}


def buttondown_export(posts: list[Post]) -> dict[str, str]:
    rows = [
        {"subject": post["title"], "body": post["html"], "publish_date": post["date"], "slug": post["slug"]} for post in posts
    ]
    return {"emails.json": json.dumps(rows)}


def hugo(posts: list[Post]) -> dict[str, str]:
    texts = {f"content/post/{number}.html": _front(post, "title", "date") for number, post in enumerate(posts, 1)}
    return {"hugo.toml": "", **texts}


def jekyll(posts: list[Post]) -> dict[str, str]:
    dated = [(post["date"][:10], post) for post in posts]
    return {
        f"_posts/{day + '-' if day else ''}{number}.html": _front(post, "title", "")
        for number, (day, post) in enumerate(dated, 1)
    }


def wordpress(posts: list[Post]) -> dict[str, str]:
    items = "".join(
        f"<item><title>{escape(post['title'])}</title><link>https://old.example/{escape(post['slug'])}/</link>"
        f"<content:encoded>{escape(post['html'])}</content:encoded><wp:post_name>{escape(post['slug'])}</wp:post_name>"
        f"<wp:post_date_gmt>{post['date'][:19].replace('T', ' ')}</wp:post_date_gmt><wp:post_type>post</wp:post_type>"
        "<wp:status>publish</wp:status></item>"
        for post in posts
    )
    return {"export.xml": f"{archives.WORDPRESS.partition('<item>')[0]}{items}</channel></rss>"}


CONTENT = "http://purl.org/rss/1.0/modules/content/"


def feed(posts: list[Post]) -> dict[str, str]:
    items = "".join(
        f"<item><title>{escape(post['title'])}</title><link>https://old.example/{escape(post['slug'])}/</link>"
        f"<content:encoded>{escape(post['html'])}</content:encoded><pubDate>{post['date']}</pubDate></item>"
        for post in posts
    )
    return {"feed.xml": f'<?xml version="1.0"?><rss version="2.0" xmlns:content="{CONTENT}"><channel>{items}</channel></rss>'}


def _front(post: Post, title: str, date: str) -> str:
    head = {title: post["title"], date: post["date"], "slug": post["slug"], "permalink": f"/{post['slug']}/"}
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items() if name and value)
    return f"---\n{lines}---\n{post['html']}\n"


TOOLS: dict[str, tuple[str, Callable[[list[Post]], dict[str, str]]]] = {
    "substack": ("substack", substack), "ghost": ("ghost", ghost), "buttondown": ("buttondown", buttondown),
    "buttondown's export": ("buttondown", buttondown_export), "hugo": ("hugo", hugo), "jekyll": ("jekyll", jekyll),
    "wordpress": ("wordpress", wordpress), "feed": ("feed", feed),
}  # fmt: skip
OTHER = {"title": "Other", "slug": "other", "date": "2024-02-05T10:00:00Z", "html": "<p>Other text.</p>"}
# A second post with its fault, the lines that say it, and the names of the files after an import.
FAULTS: dict[str, tuple[Post, tuple[str, ...], list[str]]] = {
    "broken HTML": (
        {**OTHER, "html": "<div><b>Other</p> text.</span><<table><td>&#xD800;"},
        (r"Its HTML is broken \(.*\) and was repaired: look at the page\.",),
        ["2024-01-05-good.md", "2024-02-05-other.md"],
    ),
    "two posts of one address": (
        {**OTHER, "slug": "good"},
        (
            r"The address .*/good.* belongs to .* too, which keeps it\.",
            r"The address 'good' is taken, so this post is at 'good-2'\.",
        ),
        ["2024-01-05-good.md", "2024-02-05-good-2.md"],
    ),
    "no date": ({**OTHER, "date": ""}, (r"It has no date, and became a draft\.",), ["2024-01-05-good.md", "other.md"]),
    "a date that is none": (
        {**OTHER, "date": "9999-99-99T"}, (r"It has no date, and became a draft\.",), ["2024-01-05-good.md", "other.md"],
    ),
    "a name with slashes": (
        {**OTHER, "slug": "../../etc/passwd"},
        (r"Its name '\.\./\.\./etc/passwd' has a slash, so this post is at 'etc-passwd'\.",),
        ["2024-01-05-good.md", "2024-02-05-etc-passwd.md"],
    ),
    "a title with slashes": ({**OTHER, "title": "../a\\b/c"}, (), ["2024-01-05-good.md", "2024-02-05-other.md"]),
    "a very deep text": (
        {**OTHER, "html": "<div>" * 500 + "x" + "</div>" * 500},
        (r"Its elements are too deep inside one another: only the text was kept\.",),
        ["2024-01-05-good.md", "2024-02-05-other.md"],
    ),
}  # fmt: skip
# What the tools' natures change: a text without a date is a page to Hugo and no post to Jekyll; a feed has no names.
PAGE = r"1 text without a date left out, as pages are\."
UNDATED = r"Its name has no date, so Jekyll did not publish it; it became a draft\."
OWN: dict[tuple[str, str], tuple[tuple[str, ...], list[str]]] = {
    ("hugo", "no date"): ((PAGE,), ["2024-01-05-good.md"]),
    ("hugo", "a date that is none"): ((PAGE,), ["2024-01-05-good.md"]),
    ("jekyll", "no date"): ((UNDATED,), ["2024-01-05-good.md", "other.md"]),
    ("feed", "a name with slashes"): ((), ["2024-01-05-good.md", "2024-02-05-passwd.md"]),
    ("feed", "two posts of one address"): (
        FAULTS["two posts of one address"][1][:1],
        ["2024-01-05-good.md", "2024-02-05-other.md"],
    ),
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "news" / "content" / "issues").mkdir(parents=True)
    (tmp_path / "news" / "pelicanconf.py").write_text("from mailer.defaults import *\nSITENAME = 'News'\nTIMEZONE = 'UTC'\n")
    return site_config.read(tmp_path / "news" / "content", tmp_path / "news" / "pelicanconf.py")


def bring(path: Path, site: Site, tool: str) -> ArchiveImport:
    """Plan and write an import; nothing else appears beside the content folder, and a second import finds nothing new."""
    before = {one for one in path.parent.rglob("*") if not one.is_relative_to(site.root)}
    files = ArchiveContents(path)
    plan = plan_import(recognition.read_posts(files, tool), site)
    write_files(plan, files, site.root)
    assert {one for one in path.parent.rglob("*") if not one.is_relative_to(site.root)} == before
    again = ArchiveContents(path)
    assert plan_import(recognition.read_posts(again, tool), site).files == []
    return plan


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_fault_is_a_line_of_the_report(tmp_path: Path, site: Site, tool: str, fault: str) -> None:
    name, write = TOOLS[tool]
    post, lines, names = FAULTS[fault]
    lines, names = OWN.get((tool, fault), (lines, names))
    plan = bring(archives.write_zip(tmp_path / "a.zip", write([GOOD, post])), site, name)
    said = [one.message for one in plan.remarks]
    assert len(said) == len(lines), said
    assert all(any(re.fullmatch(line, message) for message in said) for line in lines), said
    assert sorted(path.name for path in (site.root / "issues").iterdir()) == sorted(names)


@pytest.mark.parametrize("declared", ["its size", "a small size"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_bomb_is_a_line_of_the_report(
    tmp_path: Path, site: Site, tool: str, declared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_files, "MAX_DOCUMENT_BYTES", 1_000_000)
    name, write = TOOLS[tool]
    files = write([GOOD, {**OTHER, "html": "<p>" + "0" * 2_000_000}])
    path = archives.write_zip(tmp_path / "a.zip", files)
    [size] = [len(content.encode()) for content in files.values() if len(content) > 1_000_000]
    if declared != "its size":
        path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (99).to_bytes(4, "little")))
    line = r"This file (is larger than 1 MB|cannot be read \(Bad CRC-32 .*\)): left out\."
    said = [one.message for one in bring(path, site, name).remarks if "The text of this post is not in" not in one.message]
    assert len(said) == 1
    assert re.fullmatch(line, said[0]), said


# Where each tool's texts are.
DOCUMENTS = {
    "substack": "posts.csv", "ghost": "site.ghost.json", "jekyll": "_posts/2020-01-02-big.md", "hugo": "content/posts/big.md",
    "buttondown": "emails/big.md", "wordpress": "export.xml", "feed": "feed.xml",
}  # fmt: skip


def test_every_importer_is_tried() -> None:
    assert set(DOCUMENTS) == {name for name, _write in TOOLS.values()} == set(recognition.NAMES)


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
