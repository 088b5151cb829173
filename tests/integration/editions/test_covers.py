"""The cover of an issue: in lists, in feeds, on its share card and in the API."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from mailer.core.edition import Edition
from tests.integration.editions.test_builds import QUICK
from tests.integration.editions.test_editions import SITE, NewsletterFolder
from tests.integration.editions.test_gfm_builds import choose
from tests.integration.editions.test_issue_pictures import shown

HEAD = "Title: {name}\nDate: 2026-11-0{day} 09:00\nSlug: {name}\n"
QUIET = '\nTIMEZONE = "Europe/Berlin"\nPOSTMERGE_SEARCH = False\n'
CARD = re.compile(r'<meta property="og:image" content="([^"]*)">')
GREEN = (20, 160, 60)


@pytest.fixture(scope="module")
def newsletter(tmp_path_factory: pytest.TempPathFactory) -> NewsletterFolder:
    """Three issues, the first two with a cover, and a translation of the second."""
    made = NewsletterFolder(tmp_path_factory.mktemp("covers"))
    choose(made, QUIET)
    Image.new("RGB", (1300, 650), GREEN).save(made.folder / "content/images/harbour.jpg")
    for day, name in enumerate(("first", "second", "third"), 1):
        cover = "" if name == "third" else "Cover: images/harbour.jpg\nCover-Alt: Ships in “fog” & rain"
        made.write(f"{name}.md", HEAD.format(name=name, day=day) + cover)
    made.write("second.de.md", "Title: Zweite\nDate: 2026-11-02 09:00\nLang: de\nSlug: second")
    return made


@pytest.fixture(scope="module")
def editions(newsletter: NewsletterFolder) -> dict[str, Edition]:
    report = newsletter.build()
    assert not report.findings
    return {one.key: one for one in report.editions}


def test_lists_show_a_small_copy_with_its_size_and_its_text(newsletter: NewsletterFolder, editions: dict[str, Edition]) -> None:
    for page in ("index.html", "archive/index.html"):
        html = newsletter.page(page)
        found = [one for one in shown(html) if "/pictures/" in one[0]]
        assert [size for _, *size in found] == [["160", "80"], ["160", "80"]], page
        assert html.count('alt="Ships in “fog” &amp; rain"') == 2
        small = Image.open(newsletter.folder / "build/site" / found[0][0].removeprefix(f"{SITE}/"))
        assert small.size == (320, 160)
    assert re.fullmatch(rf"{SITE}/pictures/[0-9a-f]{{20}}\.jpg", editions["second"].image)
    assert "/cards/" in editions["third"].image
    assert "/pictures/" not in editions["second"].html


@pytest.mark.usefixtures("editions")
def test_feeds_name_the_cover(newsletter: NewsletterFolder) -> None:
    items = json.loads(newsletter.page("feeds/all.json"))["items"]
    assert ["image" in one for one in items] == [False, True, True]
    for name in ("feeds/all.atom.xml", "feeds/all.rss.xml"):
        thumbnail = f'<media:thumbnail url="{items[1]["image"]}" height="300" width="600"/>'
        assert newsletter.page(name).count(thumbnail) == 2


@pytest.mark.usefixtures("editions")
def test_the_share_card_is_the_cover_cut_to_its_size(newsletter: NewsletterFolder) -> None:
    page = newsletter.page("issues/second/index.html")
    [card] = CARD.findall(page)
    assert '<meta property="og:image:alt" content="Ships in “fog” &amp; rain">' in page
    with Image.open(newsletter.folder / "build/site" / card.removeprefix(f"{SITE}/")) as image:
        assert (image.format, image.size) == ("JPEG", (1200, 630))
        assert list(image.resize((1, 1)).tobytes()) == pytest.approx(GREEN, abs=6)
    [translated], [plain] = (CARD.findall(newsletter.page(f"issues/{one}/index.html")) for one in ("second/de", "third"))
    assert (Path(translated).suffix, Path(plain).suffix) == (".jpg", ".png")


def test_without_cards_pages_name_the_cover_itself_and_the_newest_is_shown_large(tmp_path: Path) -> None:
    newsletter = NewsletterFolder(tmp_path)
    choose(newsletter, f"{QUIET}POSTMERGE_CARDS = False")
    Image.new("RGB", (1300, 650), GREEN).save(tmp_path / "content/images/harbour.jpg")
    newsletter.write("a.md", HEAD.format(name="a", day=1) + "Cover: images/harbour.jpg")
    newsletter.build()
    page = newsletter.page("issues/a/index.html")
    assert re.search(rf'og:image" content="{SITE}/pictures/\w+\.jpg">\n<meta property="og:image:width" content="600">', page)
    assert ["600", "300"] in [size for _, *size in shown(newsletter.page("index.html"))]


def test_a_cover_that_is_no_picture_of_ours_is_one_sentence_at_its_line(tmp_path: Path) -> None:
    newsletter = NewsletterFolder(tmp_path)
    choose(newsletter, QUICK)
    (tmp_path / "content/images/none.png").write_bytes(b"none")
    names = ["images/gone.jpg", "../../pelicanconf.py", "https://x.example/a.jpg", "%00", "a" * 300, "../images/none.png"]
    for number, name in enumerate(names):
        newsletter.write(f"{number}.md", HEAD.format(name=number, day=number + 1) + f"Cover: {name}")
    report = newsletter.build()
    how = "is not a file: put it into content/images/ and write `Cover: images/name.jpg`."
    unread = "none.png cannot be read as a picture: save it again as PNG or JPEG."
    said = [*(f"`Cover: {name[:60]}` {how}" for name in names[:-1]), unread]
    assert [(one.level, one.line, one.message) for one in report.findings] == [("warning", 4, one) for one in said]
    assert len(report.editions) == len(names)
    assert "none.png" not in newsletter.page("index.html")
