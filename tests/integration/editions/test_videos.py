"""An address of a video alone on a line: a picture with a play mark that leads to it, on the page and in the email."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mailer.checks import videos
from mailer.checks.document import Document
from mailer.core.net.http_client import find_addresses
from mailer.editions.images.videos import draw_thumbnail, find_video
from tests.fakes.videos import FakeVideos, serve_videos
from tests.integration.editions.test_builds import QUICK
from tests.integration.editions.test_editions import SITE, NewsletterFolder
from tests.integration.editions.test_gfm_builds import choose

YOUTUBE = "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=42s"
PEERTUBE_ID = "9c9de5e8-0a1e-484a-b099-e80766180a6d"
HEAD = "Title: Seen\nDate: 2026-11-01 09:00"
TEXT = f"Watch this:\n{YOUTUBE}\nIt is short.\n\nNot this: {YOUTUBE}\n\n```\n{YOUTUBE}\n```\n"


@pytest.fixture
def fake() -> Iterator[FakeVideos]:
    with serve_videos() as made:
        yield made


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (YOUTUBE, "youtube-dQw4w9WgXcQ"),
        ("https://youtu.be/dQw4w9WgXcQ?si=x", "youtube-dQw4w9WgXcQ"),
        ("https://m.youtube.com/shorts/dQw4w9WgXcQ", "youtube-dQw4w9WgXcQ"),
        ("https://vimeo.com/76979871", "vimeo-76979871"),
        ("https://player.vimeo.com/video/76979871?h=8272103f6e", "vimeo-76979871"),
        ("https://framatube.org/w/kkGMgK9ZtnKfYAgnEtQxbv", "peertube-framatube.org-kkGMgK9ZtnKfYAgnEtQxbv"),
        (f"https://framatube.org/videos/watch/{PEERTUBE_ID}", f"peertube-framatube.org-{PEERTUBE_ID}"),
        ("https://www.youtube.com/@channel", ""),
        ("https://www.youtube.com/watch?v=../../../x", ""),
        ("https://vimeo.com/about", ""),
        ("https://example.org/w/about", ""),
        ("https://[::1/w/kkGMgK9ZtnKfYAgnEtQxbv", ""),
    ],
)
def test_addresses_of_videos_are_recognised(url: str, name: str) -> None:
    found = find_video(url)
    assert (found.name if found else "") == name


def test_the_play_mark_is_in_the_middle_of_a_picture_of_16_to_9(fake: FakeVideos, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(draw_thumbnail(fake.picture))
    with Image.open(path) as image:
        assert image.size == (480, 270)
        assert image.getpixel((240, 135)) == pytest.approx((255, 255, 255), abs=12)
        assert image.getpixel((20, 20)) == pytest.approx((200, 30, 30), abs=12)


@pytest.mark.parametrize("dialect", ["gfm", ""])
def test_an_address_alone_on_a_line_becomes_its_picture_without_a_network(
    tmp_path: Path, fake: FakeVideos, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    newsletter = NewsletterFolder(tmp_path)
    choose(newsletter, f'{QUICK}POSTMERGE_MARKDOWN = "{dialect}"')
    newsletter.write("seen.md", HEAD, TEXT)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("the build asked the network"))
    report = newsletter.build()
    link = '<a href="https://www.youtube.com/watch?v=dQw4w9WgXcQ&amp;t=42s">'
    assert [(one.level, one.line, one.message) for one in report.findings] == [
        ("warning", 5, f"The picture of {YOUTUBE} is missing: `postmerge check --fix` fetches it.")
    ]
    assert f"<p>Watch this:\n{link}https" in report.editions[0].body
    folder = tmp_path / "content/images/videos"
    folder.mkdir()
    (folder / "youtube-dQw4w9WgXcQ.jpg").write_bytes(draw_thumbnail(fake.picture))
    (folder / "youtube-dQw4w9WgXcQ.txt").write_text("Never & co\n")
    report = newsletter.build()
    assert not report.findings
    [edition] = report.editions
    picture = f"{SITE}/images/videos/youtube-dQw4w9WgXcQ.jpg"
    for html in (edition.body, edition.html, newsletter.page("issues/seen/index.html")):
        [tag] = re.findall(r"<a [^<>]*><img\b[^<]*></a>", html)
        assert 'href="https://www.youtube.com/watch?v=dQw4w9WgXcQ&amp;t=42s"' in tag
        for part in (f'src="{picture}"', 'alt="▶ Never &amp; co"', 'width="480"', 'height="270"'):
            assert part in tag
    assert re.search(rf"<p>Watch this:</p>\n<p>{re.escape(link)}<img.*</a></p>\n<p>It is short.</p>", edition.body)
    assert "▶ Never & co" in edition.text
    assert YOUTUBE in edition.text
    assert (tmp_path / "build/site/images/videos/youtube-dQw4w9WgXcQ.jpg").is_file()


def issue(root: Path, *urls: str) -> Document:
    path = root / "issue.md"
    data = (HEAD + "\n\n" + "\n\n".join(urls)).encode()
    path.write_bytes(data)
    return Document(path, "content/issue.md", data)


def test_the_picture_and_the_title_are_fetched_once(tmp_path: Path, fake: FakeVideos) -> None:
    own = f"{fake.url}/w/kkGMgK9ZtnKfYAgnEtQxbv"
    fake.titles = {YOUTUBE: "  A\ntitle ", own: "Ours"}
    fetcher = videos.ThumbnailFetcher(tmp_path, {"youtube": f"{fake.url}/services/oembed"}, find_addresses)
    doc = issue(tmp_path, YOUTUBE, own, own)
    made = ["youtube-dQw4w9WgXcQ", f"peertube-127.0.0.1-{fake.url.rpartition(':')[2]}-kkGMgK9ZtnKfYAgnEtQxbv"]
    said = [f"{tmp_path.name}/images/videos/{name}.jpg: fetched." for name in made]
    assert list(fetcher.fetch_missing([doc])) == said
    folder = tmp_path / "images/videos"
    assert [(folder / f"{name}.txt").read_text() for name in made] == ["A title\n", "Ours\n"]
    assert all(Image.open(folder / f"{name}.jpg").size == (480, 270) for name in made)
    assert fake.asked[:3] == ["/services/oembed", "/vi/1/maxresdefault.jpg", "/vi/1/hqdefault.jpg"]
    asked = len(fake.asked)
    assert list(fetcher.fetch_missing([doc])) == []
    assert len(fake.asked) == asked


@pytest.mark.parametrize(
    ("title", "picture", "why"),
    [
        (None, b"", "its server answers 404"),
        ("A title", b"no picture", "it cannot be read as a picture"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(
    tmp_path: Path, fake: FakeVideos, title: str | None, picture: bytes, why: str
) -> None:
    own = f"{fake.url}/w/kkGMgK9ZtnKfYAgnEtQxbv"
    fake.titles, fake.picture = {own: title} if title else {}, picture
    [said] = videos.ThumbnailFetcher(tmp_path, {}, find_addresses).fetch_missing([issue(tmp_path, own)])
    assert said.endswith(f".jpg cannot be fetched ({why}): try again, or put a picture there.")
    assert not list(tmp_path.glob("images/videos/*.jpg"))


def test_a_server_of_a_private_network_is_never_asked(tmp_path: Path, fake: FakeVideos) -> None:
    own = f"{fake.url}/w/kkGMgK9ZtnKfYAgnEtQxbv"
    [said] = videos.ThumbnailFetcher(tmp_path).fetch_missing([issue(tmp_path, own)])
    assert "(its server is in a private network)" in said
    assert not fake.asked
