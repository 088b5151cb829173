"""A build of many issues in a zone of its own: what is in the feeds, what is not sent, what is published."""

from __future__ import annotations

import itertools
import json
from calendar import timegm
from datetime import UTC, datetime
from pathlib import Path

import feedparser
import pytest
from lxml import etree

from mailer import editions
from mailer.core.errors import Refused
from mailer.editions.source import paid_sections
from mailer.editions.source.front_matter import Source, date, split
from tests.integration.editions.test_editions import NewsletterFolder

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET = "The ledger of the second winter names eleven cellars under the old brewery yard"
FEEDS = ("feeds/all", "feeds/tag/python")
QUICK = '\nTIMEZONE = "Europe/Berlin"\nPOSTMERGE_CARDS = False\nPOSTMERGE_SEARCH = False\n'


@pytest.fixture
def newsletter(tmp_path: Path) -> NewsletterFolder:
    made = NewsletterFolder(tmp_path)
    conf = made.folder / "pelicanconf.py"
    conf.write_text(conf.read_text() + QUICK)
    return made


def write(newsletter: NewsletterFolder, day: int, more: str = "", name: str = "") -> str:
    name = name or f"issue-{day:02}"
    newsletter.write(
        f"{name}.md", f"Title: {name}\nDate: 2026-11-{day:02} 09:00\nTags: python\n{more}", f"The text of {name}.\n"
    )
    return name


def entries(newsletter: NewsletterFolder, feed: str) -> dict[str, list[tuple[str, str]]]:
    """Title and moment of each entry, by kind of feed."""
    found = {"json": [(one["title"], one["date_published"]) for one in json.loads(newsletter.page(f"{feed}.json"))["items"]]}
    for kind in ("rss", "atom"):
        read = feedparser.parse(newsletter.page(f"{feed}.{kind}.xml"))
        found[kind] = [
            (one.title, datetime.fromtimestamp(timegm(one.published_parsed), UTC).isoformat()) for one in read.entries
        ]
    return found


def test_a_feed_has_the_newest_twenty_issues_newest_first_at_their_own_moment(newsletter: NewsletterFolder) -> None:
    names = [write(newsletter, day) for day in range(1, 23)]
    for number, status in enumerate(("hidden", "draft", "Hidden", "DRAFT"), 23):
        write(newsletter, number, f"Status: {status}\nSend: yes", f"not-shown-{number}")
    report = newsletter.build()
    assert sorted(one.key for one in report.editions) == names
    for feed in FEEDS:
        for found in entries(newsletter, feed).values():
            assert [title for title, _ in found] == names[:1:-1]
            moments = [datetime.fromisoformat(at).astimezone(UTC) for _, at in found]
            assert moments == [datetime(2026, 11, day, 8, tzinfo=UTC) for day in range(22, 2, -1)]
        rss = etree.fromstring(newsletter.page(f"{feed}.rss.xml").encode())
        assert {guid.get("isPermaLink") for guid in rss.iter("guid")} == {"false"}
        assert all(str(guid.text).startswith("tag:") for guid in rss.iter("guid"))
    assert "not-shown" not in newsletter.page("sitemap.xml") + newsletter.page("index.html")


@pytest.mark.parametrize("send", ["yes", "no"])
@pytest.mark.parametrize("status", ["hidden", "draft", "published", ""])
def test_only_what_is_published_is_mailed(newsletter: NewsletterFolder, status: str, send: str) -> None:
    write(newsletter, 1, f"Send: {send}\nStatus: {status}" if status else f"Send: {send}")
    report = newsletter.build()
    assert [one.key for one in report.editions] == (["issue-01"] if status in ("published", "") else [])


def test_after_a_refused_build_the_last_editions_are_still_the_ones_to_publish(newsletter: NewsletterFolder) -> None:
    write(newsletter, 1)
    newsletter.build()
    write(newsletter, 2, "Send: yes", "teller")
    (newsletter.issues / "teller.md").write_text((newsletter.issues / "teller.md").read_text() + f"\n{SECRET}.\n")
    newsletter.write("winter.md", "Title: Winter\nDate: 2026-11-03 09:00\nSend: yes", f"Free.\n\n:::premium\n{SECRET}.\n:::\n")
    with pytest.raises(Refused, match="Paid text would become public"):
        newsletter.build()
    kept = editions.load(newsletter.folder / "build" / "editions")
    assert [one.key for one in kept.editions] == ["issue-01"]
    text = "".join(path.read_text() for path in (newsletter.folder / "build" / "editions").rglob("*.json"))
    assert "eleven cellars" not in text


ZONES = [
    ("UTC", "2026-11-24 09:00", "2026-11-24T09:00+00:00"),
    ("Europe/Berlin", "2026-11-24 09:00", "2026-11-24T08:00+00:00"),
    ("Europe/Berlin", "2026-07-24 09:00", "2026-07-24T07:00+00:00"),
    ("Europe/Berlin", "2026-11-24", "2026-11-23T23:00+00:00"),
    ("America/New_York", "2026-11-24 09:00:30", "2026-11-24T14:00:30+00:00"),
    ("Asia/Kolkata", "24 November 2026 09:00", "2026-11-24T03:30+00:00"),
    ("Europe/Berlin", "2026-11-24T09:00:00Z", "2026-11-24T09:00+00:00"),
    ("Europe/Berlin", "2026-11-24 09:00 -0500", "2026-11-24T14:00+00:00"),
]


@pytest.mark.parametrize(("zone", "text", "moment"), ZONES)
def test_a_date_is_in_the_sites_zone_unless_it_names_its_own(zone: str, text: str, moment: str) -> None:
    source = Source("a.md")
    found = date(source, text, zone)
    assert found
    assert found.astimezone(UTC) == datetime.fromisoformat(moment)
    assert source.findings == []


def cut(body: str, head: str = "Title: x") -> tuple[Source, paid_sections.Cut]:
    source = split("issues/a.md", f"{head}\n\n{body}".encode())
    return source, paid_sections.cut(source, source.fields, NOW, "https://news.example.org/join")


CLOSED = {"nothing": "", "a paid block": ":::premium\nPaid.\n:::\n\n", "a free block": ":::free\nFree.\n:::\n\n"}


@pytest.mark.parametrize("kind", ["premium", "free"])
@pytest.mark.parametrize("before", list(itertools.product(CLOSED, CLOSED)), ids=" and ".join)
def test_a_block_that_is_never_closed_is_an_error_at_its_line_whatever_stands_before_it(
    kind: str, before: tuple[str, str]
) -> None:
    text = "".join(CLOSED[name] for name in before)
    source, _ = cut(f"{text}:::{kind}\n{SECRET}.\n")
    assert source.broken
    [found] = source.findings
    assert (found.line, f"`:::{kind}` is never closed" in found.message) == (3 + text.count("\n"), True)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_closed_block_is_taken_out_of_the_free_text(number: int) -> None:
    source, found = cut("".join(f"Free {at}.\n\n:::premium\nPaid {at}.\n:::\n\n" for at in range(number)))
    assert not source.broken
    assert found.premium
    assert "Paid" not in found.free
    assert [f"Paid {at}." in found.premium and f"Free {at}." in found.free for at in range(number)] == [True] * number
    assert found.secrets == tuple(f"Paid {at}." for at in range(number))


@pytest.mark.parametrize(
    ("free_from", "is_free"),
    [("2026-11-24 11:59 UTC", True), ("2026-11-24 12:00 UTC", True), ("2026-11-24 12:01 UTC", False),
     ("2026-11-24 13:00 Europe/Berlin", True), ("2026-11-24 13:01 Europe/Berlin", False), ("2026-11-24 07:01 -05:00", False)],
)  # fmt: skip
def test_an_early_issue_is_free_from_the_very_minute(free_from: str, is_free: bool) -> None:
    _, found = cut(f"{SECRET}.\n", f"Title: x\nAccess: early\nFree-From: {free_from}")
    assert (found.premium is None) is is_free
    assert (SECRET in found.free) is is_free
