"""Emails and requests made to be slow or to break a parser: each is answered within a second of CPU, and never with a 5xx."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer.core.audience import Tag
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.subscribers import segment_admin, segment_rules
from mailer.flows.subscribers.unsubscribe_by_email import UnsubscribeEmailOutcome, process_email
from mailer.webhooks.incoming_email import MAX_EMAIL_BYTES
from tests import web
from tests.machine import measure_slowness
from tests.web import Web

MAX_SECONDS = 3.0  # of CPU, for what takes some hundredths: collecting the garbage of a long test run alone takes one
TEXT = "Content-Type: text/plain; charset=utf-8\n\n"
NESTED = "".join(f"Content-Type: multipart/mixed; boundary=a{level}\n\n--a{level}\n" for level in range(300))
EMAILS = {
    "full stops": TEXT + "unsubscribe" + "." * 60_000 + "x",
    "full stops in short lines": TEXT + ("." * 70 + "x\n") * 10_000,
    "replies to replies": TEXT + "re: " * 20_000 + "x",
    "encoded words": "Subject: " + "=?utf-8?q?a?= " * 20_000 + "\n" + TEXT,
    "half an encoded word": "Subject: " + "=?a?q?" * 40_000 + "\n" + TEXT,
    "a broken encoded word": "Subject: =?utf-8?b?a?=\n" + TEXT + "unsubscribe",
    "comments inside one another": "To: " + "(" * 100_000 + "\n" + TEXT,
    "many recipients": "To: " + "a@b.example, " * 20_000 + "\n" + TEXT,
    "only @": "To: " + "@" * 100_000 + "\n" + TEXT,
    "parameters": "Content-Type: text/plain; " + 'a="' * 100_000 + "\n\n",
    "numbered parameters": "Content-Type: text/plain; " + "".join(f"a*{n}=b; " for n in range(20_000)) + "\n\n",
    "a slow charset": "Content-Type: text/plain; charset=punycode\n\n" + "a" * 900_000,
    "an unknown charset": "Content-Type: text/plain; charset=" + "a" * 50_000 + "\n\nunsubscribe",
    "parts inside one another": NESTED + "\n" * 500_000,
    "many parts": "Content-Type: multipart/mixed; boundary=a\n\n" + "--a\n\na\n" * 100_000,
    "many headers": "a: b\n" * 200_000 + "\n",
    "a folded header": "Subject: a\n" + " b\n" * 300_000 + "\n",
    "empty lines": TEXT + "\n" * 1_000_000,
    "carriage returns": TEXT + "\r" * 1_000_000,
    "half a page": "Content-Type: text/html\n\n" + "<a " * 300_000,
    "style sheets without an end": "Content-Type: text/html\n\n" + "<style>" * 140_000,
    "style sheets": "Content-Type: text/html\n\n" + "<style></style>" * 60_000,
    "attributes": "Content-Type: text/html\n\n<a " + "class = " * 120_000,
    "dashes": TEXT + ("-" * 400 + "x\n") * 2_000,
    "attributions": TEXT + ("12@" * 130 + ":\n> a\n") * 2_000,
    "token letters": TEXT + "a" * 1_000_000,
}


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.fixture
def api(newsletter: Web) -> TestClient:
    return newsletter.holder(raise_server_exceptions=False)


@contextmanager
def quick() -> Iterator[None]:
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < MAX_SECONDS or took < MAX_SECONDS * measure_slowness()


@pytest.mark.parametrize("name", EMAILS)
def test_a_hostile_email_is_read_within_a_second_and_unsubscribes_nobody(newsletter: Web, name: str) -> None:
    raw = ("From: stranger@example.org\nMessage-ID: <1@example.org>\n" + EMAILS[name]).encode()[:MAX_EMAIL_BYTES]
    with quick():
        outcome = process_email(newsletter.database, newsletter.settings, raw)
    assert outcome in (UnsubscribeEmailOutcome.KEPT, UnsubscribeEmailOutcome.AUTOMATIC, UnsubscribeEmailOutcome.LINK_SENT)
    assert newsletter.counted("transactional_emails") == 0


def nested(depth: int, inside: str = "1") -> str:
    return '{"a":' * depth + inside + "}" * depth


DEEP = ["[" * 30_000, *(nested(depth) for depth in (100, 300, 900, 5_000)), "[" * 900 + "]" * 900]
PLACES = [
    ("POST", "/v1/subscribers", '{"email_address": "ada@example.org", "metadata": %s}'),
    ("POST", "/v1/subscribers", '{"email_address": "ada@example.org", "metadata": {"a": %s}}'),
    ("POST", "/v1/segments", '{"name": "a", "filters": %s}'),
    ("POST", "/v1/bulk_actions", '{"type": "apply_metadata", "metadata": {"ids": ["a"], "metadata": {"a": %s}}}'),
    ("POST", "/v1/bulk_actions", '{"type": "apply_tags", "metadata": %s}'),
    ("POST", "/v1/tags", '{"name": %s}'),
    ("POST", "/v1/webhooks", '{"url": %s}'),
    ("POST", "/v1/publish", "%s"),
    ("POST", "/v1/publish/missing", '{"editions": %s}'),
    ("PATCH", "/v1/imports/sub_imp_1", '{"metadata": %s}'),
    ("POST", "/webhooks/ses", "%s"),
    ("POST", "/webhooks/stripe", "%s"),
]


@pytest.mark.parametrize(("method", "path", "body"), PLACES)
def test_json_of_any_depth_is_the_clients_fault(api: TestClient, method: str, path: str, body: str) -> None:
    for deep in DEEP:
        for text in (body % deep, body % f'"\\ud800", "b": {deep}'):
            with quick():
                answer = api.request(method, path, content=text, headers={"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, (text[:80], len(text), answer.text[:200])


def test_digits_without_end_are_searched_once(api: TestClient) -> None:
    body = json.dumps({"editions": ["1" * 308 + "a"] * 18_000})
    with quick():
        answer = api.post("/v1/publish/missing", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500


RULES = {
    "or": " or ".join(["a"] * 12_000),
    "and": " and ".join(["a"] * 10_000),
    "one more term than allowed": " or ".join(["a"] * 1_001),
    "brackets": "(" * 9_000 + "a" + ")" * 9_000,
    "nots": "not " * 4_000 + "a",
    "spaces": "a" + " " * 19_000 + "b",
    "quotes": '"a" ' * 4_000 + '"',
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_of_any_length_is_refused_in_one_sentence(api: TestClient, name: str) -> None:
    change = {"type": "apply_tags", "metadata": {"rule": RULES[name], "tags": ["b"]}}
    with quick():
        answer = api.post("/v1/bulk_actions", json=change)
    assert answer.status_code == 422, answer.text[:300]
    [problem] = answer.json()["detail"]
    assert problem["msg"].startswith("The audience ")
    assert len(problem["msg"]) < 1_000


def group(depth: int) -> str:
    return '{"filters": [], "predicate": "or", "groups": [' * depth + "]}" * depth


@pytest.mark.parametrize("depth", [10, 60, 120, 240, 300, 600])
def test_groups_of_filters_inside_one_another_break_nothing(api: TestClient, depth: int) -> None:
    body = f'{{"name": "deep", "filters": {group(depth)}}}'
    with quick():
        answer = api.post("/v1/segments", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text[:300]


def test_filters_of_a_segment_that_say_too_much_are_refused(api: TestClient) -> None:
    one = {"field": "subscriber.audience", "operator": "equals", "value": " or ".join(["a"] * 400)}
    filters = {"filters": [one] * 30, "groups": [], "predicate": "or"}
    with quick():
        answer = api.post("/v1/segments", json={"name": "much", "filters": filters})
    assert 400 <= answer.status_code < 500


def segment(newsletter: Web, name: str, rule: str) -> None:
    segment_admin.create_segment(
        newsletter.database, {"name": name, "description": "", "filters": segment_rules.build_filters(rule)}
    )


def test_segments_inside_one_another_are_bounded(newsletter: Web) -> None:
    segment(newsletter, "s0", "a")
    for number in range(1, 10):
        segment(newsletter, f"s{number}", f'segment "s{number - 1}"')
    with newsletter.database.transaction() as tx:
        assert segment_rules.read_rule(tx, 'segment "s9"') == Tag("a")
    with pytest.raises(BadInput, match="nested segments"):
        segment(newsletter, "s10", 'segment "s9"')


def test_a_rule_and_its_segments_have_no_more_terms_than_one_rule_may_have(newsletter: Web) -> None:
    for number in range(3):
        segment(newsletter, f"s{number}", " or ".join(f"t{n}" for n in range(300)))
    with newsletter.database.transaction() as tx:
        assert segment_rules.read_rule(tx, 'segment "s0" or segment "s1" or segment "s2"')
        with quick(), pytest.raises(BadInput, match="more than 1,000 terms"):
            segment_rules.read_rule(tx, " or ".join(['segment "s0"'] * 4))


@pytest.mark.parametrize("unit", ["%", "_", "a", "@", "a@", "a.", "xn--", "\\", "é"])
def test_what_is_searched_for_may_be_long(api: TestClient, unit: str) -> None:
    for name in ("email_address", "tag", "referrer_url", "domain"):
        with quick():
            answer = api.get("/v1/subscribers", params={name: unit * (9_000 // len(unit.encode()))})
        assert answer.status_code < 500


HEADERS = {
    "Accept-Language": "a;q=1,",
    "Cookie": 'a="',
    "If-None-Match": '"a",',
    "Range": "bytes=" + "0-1,",
    "X-Forwarded-For": "[",
    "Forwarded": "for=",
    "Referer": "http://",
    "Content-Length": "9",
    "Stripe-Signature": "t=1,v1=",
    "Idempotency-Key": "a",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_may_be_long(newsletter: Web, name: str) -> None:
    client = TestClient(newsletter.app(), raise_server_exceptions=False)
    value = HEADERS[name] * (60_000 // len(HEADERS[name]))
    for method, path in (("GET", "/subscribe"), ("GET", "/"), ("POST", "/subscribe"), ("POST", "/webhooks/stripe")):
        with quick():
            answer = client.request(method, path, headers={name: value})
        assert answer.status_code < 500, (method, path, answer.status_code)


FORMS = {
    "fields": ("application/x-www-form-urlencoded", "a=1&" * 15_000),
    "signs": ("application/x-www-form-urlencoded", "%" * 60_000),
    "parts": ("multipart/form-data; boundary=a", "--a\r\n" * 12_000),
    "nearly a boundary": ("multipart/form-data; boundary=a", "--a\r\n\r\n" + "\r\n--" * 15_000),
    "part headers": ("multipart/form-data; boundary=a", "--a\r\n" + "a: b\r\n" * 10_000),
    "parameters": ("multipart/form-data; boundary=a; " + 'a="\\' * 15_000, "--a\r\n"),
    "a name": ("multipart/form-data; boundary=a", '--a\r\nContent-Disposition: form-data; name="' + '\\"' * 30_000),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_any_shape_is_read_quickly(newsletter: Web, name: str) -> None:
    client = TestClient(newsletter.app(), raise_server_exceptions=False)
    kind, body = FORMS[name]
    with quick():
        answer = client.post("/subscribe", content=body, headers={"Content-Type": kind})
    assert answer.status_code < 500


@pytest.mark.parametrize("path", [f"/receipts/{'a' * 64}", f"/receipts/{'a' * 64}.json", "/subscribe", "/reader", "/join"])
@pytest.mark.parametrize("text", ["%00", "a%00b", "%ed%a0%80"])
def test_a_character_that_cannot_be_stored_is_the_clients_fault(newsletter: Web, path: str, text: str) -> None:
    client = TestClient(newsletter.app(), base_url="http://127.0.0.1", raise_server_exceptions=False)
    query = "&".join(f"{name}={text}" for name in ("page", "lang", "tag", "plan", "giver", "sure"))
    assert client.get(f"{path}?{query}").status_code < 500
    form = f"{query}&email=ada{text}@example.org&token={newsletter.form_token()}"
    answer = client.post(path, content=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code < 500


@pytest.mark.parametrize("token", ["a" * 60_000, "%00" * 5_000, "." * 60_000])
@pytest.mark.parametrize("path", ["/leave/", "/confirm/", "/reader/", "/files/", "/"])
def test_a_token_or_a_path_may_be_long(newsletter: Web, path: str, token: str) -> None:
    client = TestClient(newsletter.app(), raise_server_exceptions=False)
    with quick():
        answer = client.get(path + token)
    assert answer.status_code < 500
