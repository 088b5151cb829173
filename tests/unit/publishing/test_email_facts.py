"""Facts about an email in the report on a change: size, links, and what email programs do not support."""

from __future__ import annotations

import re
from datetime import timedelta

from mailer.workbench import email_support
from mailer.workbench.email_facts import compare_links, describe_size, find_last_issue, list_unsupported
from mailer.workbench.review import Change, Review, render_review
from tests.factories import NOW, edition, old

HTML = '<html><head><style>@media (x) {{ p {{ gap: 1px }} }}</style></head><body style="{}">{}</body></html>'
ROUND = HTML.format("border-radius:4px; DISPLAY: flex", '<picture><img src="https://x.org/a.webp?b"></picture>')


def test_what_programs_do_not_support_is_named_with_the_programs() -> None:
    found = email_support.list_unsupported(ROUND)
    assert found["border-radius"] == ("Outlook for Windows",)
    assert {"gap", "display:flex", "<picture>", "webp", "@media"} <= set(found)
    assert "display:block" not in email_support.list_unsupported(HTML.format("display:block", ""))
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", email_support.get_date())


def test_what_the_last_issue_had_too_is_only_counted() -> None:
    last = old(html=HTML.format("border-radius:1px", ""))
    new, same = list_unsupported(edition(html=ROUND), last)
    assert any(one.startswith("`webp` (") for one in new)
    assert not any("border-radius" in one for one in new)
    assert same == len(email_support.list_unsupported(last.html))


def test_the_last_issue_is_the_newest_older_one() -> None:
    now, before = edition(), edition("before", dated=NOW - timedelta(days=7))
    assert find_last_issue(now, [before, old(), now]) == before
    assert find_last_issue(now, [edition("later", dated=NOW + timedelta(days=1)), now]) is None


def test_links_that_came_and_went_are_listed() -> None:
    now = edition(body='<p><a href="https://a.org/">a</a> <a class="x" href="https://b.org/">b</a></p>')
    before = edition(body='<p><a href="https://b.org/">b</a> <a href="https://c.org/">c</a></p>')
    assert compare_links(now, before) == (["https://a.org/"], ["https://c.org/"])
    assert compare_links(now, None) == (["https://a.org/", "https://b.org/"], [])
    assert compare_links(edition(body='<a href="https://a.org/?b=1&amp;c=2">a</a>'), None)[0] == ["https://a.org/?b=1&c=2"]


def test_the_report_has_them_in_a_table() -> None:
    now, last = edition(body='<p><a href="https://a.org/">a</a></p>', html=ROUND), old(html=HTML.format("", ""))
    change = Change("content/issues/a.md", now, None)
    said = render_review(Review([change], [], None, "", "UTC", timedelta(0), "main", issues=[last, now]))
    assert f"| Size | {describe_size(now, last)} |" in said
    assert "(last issue: 0 KB, " in said
    assert "| Links | + `https://a.org/` |" in said
    assert re.search(r"\| Not supported everywhere \| .*`border-radius` \(Outlook for Windows\).* as in the last issue", said)
