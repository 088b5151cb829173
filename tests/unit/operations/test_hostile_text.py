"""Text made to be slow for a parser: each parser of what others write takes a time that grows with the text's length alone.

A pattern that tries each place of a long run takes the square of its length: minutes of CPU for what is measured here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml.etree import LxmlError

from mailer.checks import CHECKS, Context, Document, word_list
from mailer.core import addresses, audience, i18n, message, public_ids, tokens
from mailer.core.characters import without_addresses
from mailer.core.errors import BadInput, PostmergeError
from mailer.editions.images import svg_sanitizer
from mailer.editions.mail import components, issue_renderer, plain_text
from mailer.editions.mail.canonical_html import Body, canonical, parse_fragment
from mailer.editions.source import front_matter, page_extras, paid_leaks, paid_sections, vague_links
from mailer.exchange import cell_values, list_files
from mailer.flows.publishing import issue_identity
from mailer.payments import webhook
from mailer.transports.ses import classify_response
from mailer.webhooks import ses_events, ses_inbound, signed_post, sns
from tests.machine import measure_slowness

MAX_SECONDS = 1.0  # of CPU, for what takes some hundredths
SIZE = 30_000  # characters
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SECRETS = ("s" * 32,)
URL = "https://news.example.org/"
LEAKS = paid_leaks.LeakDetector([paid_leaks.Secret("a.md", "one two three four five")])

UNITS = (
    *("a", "1", " ", "\t", "\n", "é", "中", "\u0301", "\xad", "\0", "…", "@", "a@", "@ ", "a.", "../", "%2"),
    *("\\", "\\u0", "&#", "<!DOCTYPE"),
    *("(", "(a", '"', "'", '"a', "=", "a=", ":", ": ", "a: b\n", "    a\n", "- a\n", ",", ";", "xn--", "not ", "a or ", "&a"),
    *("[", "[a", "[a]", "[](", "[](\t", "[](a ", "](http://a ", "](http://a\n", "[a][", "][", "![", "[a]: ", "\n[a]:\t"),
    *("[^", "[^a", "[^a]", "[^a]:\n", "<", "<a", "<a ", "<a href", "<a\nhref", "<a>", "<b>", "<!--", "<!-- -->", "<![", "<p>"),
    *("<div>", '<p class="locked">', '<h2 id="a">', "<h2 <h2", "<script></script>a", "<?a?>", "`", "``a`", "~", "\n```\n"),
    *("*", "**a\n\n", "_", "-", "--- ", "|", "|-", "#", "# ", "\n# a  ", "\n===", ":::", "::: ", "::: x\n", ":::premium\n"),
    *("> ", "TK", "{{", "{%", "{static}a ", "http:", "metadata."),
)  # fmt: skip


@contextmanager
def quick() -> Iterator[None]:
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < MAX_SECONDS or took < MAX_SECONDS * measure_slowness()


def source(content: str) -> front_matter.Source:
    return front_matter.split("content/issues/a.md", content.encode("utf-8", "replace"))


def asked(field: str) -> Callable[[str], object]:
    def read(value: str) -> None:
        found = front_matter.Source("a.md", fields={field: value})
        front_matter.asked(found)
        front_matter.date(found, value, "UTC")

    return read


def cut(access: str) -> Callable[[str], object]:
    def read(content: str) -> object:
        found = source(f"Title: a\nAccess: {access}\n\n{content}")
        return paid_sections.cut(found, found.fields, NOW, "/join")

    return read


def extra(field: str) -> Callable[[str], object]:
    fields = {"audio": URL + "a.mp3", "audio-size": "1"}
    return lambda value: page_extras.read(front_matter.Source("a.md"), {**fields, field: value}, Path("/nowhere"), URL)


def made(content: str) -> object:
    body = canonical(content, URL).html
    issue_renderer.list_headings(body)
    issue_identity.sketch(body)
    root = parse_fragment(body)
    text = plain_text.plain(root)
    issue_renderer._beginning(root)
    return text, components.for_email(body)


def event(part: str) -> str:
    answer = {"timestamp": NOW.isoformat(), "smtpResponse": part}
    email = {"messageId": part, "timestamp": NOW.isoformat(), "tags": {"send": [part]}}
    return json.dumps({"eventType": "Delivery", "mail": email, "delivery": answer})


def inbound(part: str) -> str:
    headers = [{"name": part, "value": part}]
    return json.dumps({"notificationType": "Received", "mail": {"headers": headers}})


PARSERS: dict[str, Callable[[str], object]] = {
    "an address": addresses.check,
    "an address of a list": lambda given: addresses.Bulk().check(given),
    "a domain": lambda given: addresses.check(f"a@{given}"),
    "an address for a header": message.mailable,
    "an address's normal form": addresses.normal,
    "a suggestion": addresses.suggestion,
    "an audience rule": audience.parse,
    "an audience rule with a second part": lambda given: audience.parse(f"a {given}"),
    "front matter": source,
    "a field": lambda given: source(f"Title: a{given}"),
    "front matter as YAML": lambda given: source(f"---\ntitle: {given}\n---\n"),
    "send": asked("send"),
    "date": asked("date"),
    "edition": asked("edition"),
    "paid parts": cut("open"),
    "a paid issue": cut("premium"),
    "former names": extra("formerly"),
    "a correction": extra("corrected"),
    "the length of a recording": extra("audio-duration"),
    "the size of a recording": extra("audio-size"),
    "a slug": front_matter.slugify,
    "the words of a link": lambda given: vague_links.says_nothing(given, "en"),
    "the words of paid text": paid_leaks.shingles,
    "a page that may leak": lambda given: LEAKS.find("a", given),
    "HTML": made,
    "headings": issue_renderer.list_headings,
    "an SVG": lambda given: svg_sanitizer.clean(b"<svg>" + given.encode("utf-8", "replace") + b"</svg>"),
    "a comment of an SVG": lambda given: svg_sanitizer.clean(
        f"<svg><!--{given.replace('-', '')}--></svg>".encode("utf-8", "replace")
    ),
    "a date of a list": cell_values.parse_moment,
    "yes or no": cell_values.parse_flag,
    "tags of a list": cell_values.parse_tags,
    "metadata of a list": cell_values.parse_metadata,
    "a state of a list": cell_values.parse_state,
    "Accept-Language": lambda given: (i18n.choose(header=given), i18n.read_by(given, header=given)),
    "a token": lambda given: tokens.read_unsubscribe(SECRETS, given),
    "a solved challenge": lambda given: tokens.read_work(SECRETS, given, NOW, timedelta(1)),
    "an id": lambda given: public_ids.number("sub", given),
    "an event": ses_events.read_event,
    "parts of an event": lambda given: ses_events.read_event(event(given)),
    "a message of SNS": sns.parse_envelope,
    "an email in a notification": ses_inbound.read_email,
    "headers in a notification": lambda given: ses_inbound.read_email(inbound(given)),
    "an answer of SES": lambda given: classify_response("a", 400, given),
    "an SMTP answer": without_addresses,
    "an event of Stripe": lambda given: webhook.verify_event("whsec_a", given, given.encode("utf-8", "replace")),
    "the address of a webhook": lambda given: signed_post.check_target(f"https://{given}", []),
}  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_of_outside_text_is_not_slowed_by_what_it_says(name: str) -> None:
    for unit in UNITS:
        for whole in (unit * (SIZE // len(unit)), f"a{unit * (SIZE // len(unit))}\0!"):
            with quick(), suppress(PostmergeError, ValueError, LxmlError):
                PARSERS[name](whole)


@pytest.mark.parametrize("start", ["", "\n```\na\n```\n[a]: b\n\n"])
def test_checks_of_an_issue_are_not_slowed_by_what_it_says(start: str) -> None:
    ctx = Context(Path("/nowhere"), words=word_list("GitHub\nfoo, bar => Foo"))
    for unit in UNITS:
        content = f"Title: a\nSend: yes\n\n{start}{unit * (10_000 // len(unit))}\0!"
        with quick():
            doc = Document(Path("/nowhere/a.md"), "a.md", content.encode("utf-8", "replace"))
            assert [found for one in CHECKS.values() for found in one.look(doc, ctx)]


def test_a_file_of_many_megabytes_is_left_out_and_named() -> None:
    data = b"Title: a\n\n" + b"<a " * 2_000_000
    with quick():
        found = front_matter.split("a.md", data)
        doc = Document(Path("/nowhere/a.md"), "a.md", data)
        assert not doc.links
    assert found.broken
    assert "larger than 4 MB" in found.findings[0].message


@pytest.mark.parametrize("head", ["{}", "---\n{}---\n"])
@pytest.mark.parametrize("line", ["name{}: a\n", "a: b\n    more{}\n", "titl{}: a\n"])
def test_a_head_without_end_is_an_error(head: str, line: str) -> None:
    content = head.format("".join(line.format(number) for number in range(50_000))) + "\nText.\n"
    with quick():
        found = front_matter.split("a.md", content.encode())
    assert [one.message for one in found.findings if "more than 500 lines" in one.message]


@pytest.mark.parametrize("depth", [200, 900, 5_000])
def test_json_of_any_depth_is_refused_or_read(depth: int) -> None:
    for deep in ('{"a":' * depth + "1" + "}" * depth, "[" * depth + "]" * depth, "[" * depth):
        for parse in (
            ses_events.read_event,
            sns.parse_envelope,
            ses_inbound.read_email,
            cell_values.parse_metadata,
            cell_values.parse_tags,
        ):
            for given in (deep, f'{{"a": {deep}}}', event("X").replace('"X"', deep), inbound("X").replace('"X"', deep)):
                with quick(), suppress(PostmergeError):
                    parse(given)


def listed(tmp_path: Path, content: str) -> list[list_files.ListLine]:
    path = tmp_path / "list.csv"
    path.write_text(content, encoding="utf-8")
    with list_files.open_list(path) as sheet:
        return list(sheet.lines)


LISTS = {
    "a field": "email\n" + "a" * 900_000,
    "quotes": "email\n" + '"' * 900_000,
    "commas": "email,name\na" + ",a" * 400_000,
    "dates": "email,created_at\n" + ("a@b.example," + "1" * 9_000 + "\n") * 50,
    "tags": "email,tags\n" + ("a@b.example,[" + "-" * 9_000 + "1]\n") * 50,
    "columns": "email," + "," * 900 + "\n" + "a@b.example\n" * 2_000,
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_not_slowed_by_what_it_says(name: str, tmp_path: Path) -> None:
    with quick():
        assert listed(tmp_path, LISTS[name])


def test_a_list_that_is_one_open_quote_is_refused(tmp_path: Path) -> None:
    with quick(), pytest.raises(BadInput, match="The quote that opens in line 2 "):
        listed(tmp_path, 'email\n"' + "a\n" * 505_000)


def test_a_list_of_very_many_columns_is_refused(tmp_path: Path) -> None:
    with quick(), pytest.raises(BadInput, match="columns"):
        listed(tmp_path, "email" + ",a" * 100_000 + "\n" + "a@b.example\n" * 100_000)


def test_numbers_of_thousands_of_digits_break_nothing() -> None:
    long = "9" * 5_000
    assert plain_text.plain(parse_fragment(f'<ol start="{long}"><li>a</li></ol>')) == "1. a\n"
    assert extra("audio-size")(long) == page_extras.Extras()
    assert extra("audio-duration")(f"{long}:00:00") != page_extras.Extras()
    doc = Document(Path("/nowhere/a.md"), "a.md", f"Title: a\nSend: yes\nEdition: {long}\n\nText.\n".encode())
    ctx = Context(Path("/nowhere"))
    assert [found for one in CHECKS.values() for found in one.look(doc, ctx)]


def test_elements_inside_one_another_are_bounded() -> None:
    with pytest.raises(ValueError, match="nested more than"):
        canonical("<b>" * 250 + "a", URL)
    assert canonical("<b>" * 90 + "a", URL) == Body("<b>" * 90 + "a" + "</b>" * 90 + "\n", ())


def test_the_text_after_an_omitted_part_of_a_body_is_kept() -> None:
    given = "<p>a<script>1</script>b<!-- c -->d<iframe><b>e</b></iframe>f</p><!-- g -->h<script></script>"
    assert canonical(given, URL) == Body("<p>abdf</p>h\n", ("<script>", "<iframe>"))


def test_a_longer_rule_is_no_deeper_one() -> None:
    rule = audience.parse(" or ".join(f"t{number}" for number in range(1_000)))
    assert len(audience.tags(rule)) == 1_000
    assert audience.of_issue(rule, "a") == rule
