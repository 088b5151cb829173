"""Compare the public copies of an issue with the receipt of its send: the page, its feed entry, an email."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson
from lxml import etree
from lxml.html import HtmlElement, document_fromstring

from mailer.core.errors import BadInput, Unavailable
from mailer.core.net import http_client
from mailer.exchange.receipt import hash_part, read_receipt

_TIMEOUT_SECONDS = 20.0
_MAX_BYTES = 20_000_000
_BODY = re.compile(rb'<div\b[^>]*\bdata-receipt="([^">]+)"[^>]*\bdata-digest="([0-9a-f]{64})">')
_NO_RECEIPT = "The newsletter has no receipt for this page: it was not sent by email, or not by a version with receipts."


@dataclass(frozen=True)
class CopyCheck:
    """One comparison: ``outcome`` is ``same``, ``differs`` or ``unknown``."""

    what: str
    outcome: str
    sentence: str


@dataclass(frozen=True)
class _IssuePage:
    url: str
    head: HtmlElement
    receipt: str
    digest: str
    has_text: bool  # its text has the digest that it names

    def find_link(self, *attributes: str) -> str:
        """Return the first link in the head with one of these ``rel`` or ``type``; empty if there is none."""
        for wanted in attributes:
            for link in self.head.iter("link"):
                if wanted in (link.get("rel"), link.get("type")) and link.get("href"):
                    return urljoin(self.url, str(link.get("href")))
        return ""


def check_copies(url: str, email: bytes | None, key: str) -> list[CopyCheck]:
    """Compare all copies. Raises BadInput if there is no receipt, or a wrong one, and Unavailable if nothing answers."""
    page = _read_page(url)
    facts = read_receipt(_fetch(page.receipt, _NO_RECEIPT))
    checks = [_check_signature(facts, page.receipt, key), _check_page(page, facts), _check_feed(page, facts)]
    return [*checks, *([_check_email(email, facts)] if email is not None else [])]


def _check_signature(facts: dict[str, Any], receipt_url: str, key: str) -> CopyCheck:
    known = (
        [key] if key else orjson.loads(_fetch(urljoin(receipt_url, "keys.json"), "The newsletter publishes no keys."))["keys"]
    )
    if facts["key"] not in known:
        whose = "another key than the one you gave" if key else "a key that the newsletter does not publish"
        return CopyCheck("receipt", "differs", f"It is signed with {whose}.")
    sent = f"{sum(facts['outcomes'].values()):,} emails, {facts['state']}, begun at {facts['started_at']}"
    commit = f", commit {facts['commit'][:12]}" if facts["commit"] else ""
    return CopyCheck("receipt", "same", f"The signature is valid: {sent}{commit}.")


def _check_page(page: _IssuePage, facts: dict[str, Any]) -> CopyCheck:
    if not page.has_text:
        return CopyCheck("page", "differs", "Its text does not have the digest that it names.")
    if page.digest not in {one["digest"] for one in facts["texts"]}:
        return CopyCheck("page", "differs", f"It was edited since it was sent: the sent text has the digest {facts['digest']}.")
    return CopyCheck("page", "same", f"It has the text that was sent, with the digest {page.digest}.")


def _check_feed(page: _IssuePage, facts: dict[str, Any]) -> CopyCheck:
    feed = page.find_link("application/feed+json", "application/atom+xml", "application/rss+xml")
    if not feed:
        return CopyCheck("feed", "unknown", "The page names no feed.")
    wanted = {one["digest"] for one in facts["texts"]} | {page.digest}
    found = dict(_list_entries(_fetch(feed, "The feed that the page names does not exist."), feed))
    body = found.get(page.url) or found.get(facts["url"])
    if body is None:
        return CopyCheck("feed", "unknown", f"The issue is no longer among the newest ones in {feed}.")
    digest = hashlib.sha256(body.encode()).hexdigest()
    if digest not in wanted:
        return CopyCheck("feed", "differs", f"Its entry in {feed} has another text.")
    return CopyCheck("feed", "same", f"Its entry in {feed} has the text of the page.")


def _check_email(raw: bytes, facts: dict[str, Any]) -> CopyCheck:
    message = _find_email(raw)
    digest = str(message["X-Postmerge-Digest"] or "").strip()
    sent = next((one for one in facts["texts"] if one["digest"] == digest), None)
    if sent is None:
        return CopyCheck("email", "differs", "It is not an email of this send.")
    own = re.search(r"<(https?:[^<>\s]+)>", str(message["List-Unsubscribe"] or ""))
    link = own[1] if own else ""
    for html_part, text in _list_readings(message):
        if (hash_part(html_part, html.escape(link)), hash_part(text, link)) == (sent["html_sha256"], sent["text_sha256"]):
            break
    else:
        return CopyCheck(
            "email", "differs", "It was changed on its way: links that were rewritten, an added footer, another text."
        )
    if str(message["Subject"]).strip() != sent["subject"]:
        return CopyCheck("email", "differs", f"Its subject was changed: “{sent['subject']}” was sent.")
    return CopyCheck("email", "same", "It has exactly the text that was sent; only your unsubscribe link is your own.")


def _find_email(raw: bytes) -> EmailMessage:
    """Return our email in a file: as it is, or as an attachment of the one that forwarded it.

    Apple Mail's ``.emlx`` begins with a line that is the email's length; some editors put a byte-order mark before it.
    """
    message = _parse_email(re.sub(rb"\A(\xef\xbb\xbf)?(\d+[ \t]*\r?\n)?", b"", raw, count=1))
    attached = [part for part in message.walk() if isinstance(part, EmailMessage)]
    files = [_parse_email(_read_bytes(part)) for part in attached if (part.get_filename() or "").lower().endswith(".eml")]
    return next((part for part in [*attached, *files] if part["X-Postmerge-Digest"]), message)


def _list_readings(message: EmailMessage) -> Iterator[tuple[str, str]]:
    """Yield the HTML and the text, and again without the ``>`` that mailboxes put before a line's ``From ``."""
    html_part, text = (_read_bytes(message.get_body((kind,))).decode("utf-8", "replace") for kind in ("html", "plain"))
    yield html_part, text
    quoted = re.compile(r"^>(>*From )", re.MULTILINE)
    yield quoted.sub(r"\1", html_part), quoted.sub(r"\1", text)


def _parse_email(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _read_bytes(part: Any) -> bytes:
    data = part.get_payload(decode=True) if part is not None else b""
    return data if isinstance(data, bytes) else b""  # an attached message has no bytes of its own


def _read_page(url: str) -> _IssuePage:
    if urlsplit(url).scheme not in ("http", "https"):
        raise BadInput(f"{url!r} is not the address of a page: use the form https://example.org/issues/hello/.")
    data = _fetch(url, "There is no such page: check the address.")
    found = _BODY.search(data)
    if not found:
        raise BadInput("This page names no receipt: give the address of an issue's page, made by Postmerge 0.3 or later.")
    address, digest = html.unescape(found[1].decode("utf-8", "replace")), found[2].decode()
    base, mark, query = address.partition("?")
    return _IssuePage(
        url,
        document_fromstring(data),
        urljoin(url, f"{base}.json{mark}{query}"),
        digest,
        _has_body(data[found.end() :], digest),
    )


def _has_body(rest: bytes, digest: str) -> bool:
    """Whether what follows the opening tag has this digest, up to one of the ``</div>`` in it."""
    seen, start = hashlib.sha256(), 0
    for end in (match.start() for match in re.finditer(rb"</div>", rest)):
        seen.update(rest[start:end])
        start = end
        if seen.hexdigest() == digest:
            return True
    return False


def _list_entries(data: bytes, feed: str) -> Iterator[tuple[str, str]]:
    """Yield the address and the text of each entry in a JSON, Atom or RSS feed. Raises BadInput."""
    try:
        if data.lstrip()[:1] == b"{":
            yield from ((one["url"], one["content_html"]) for one in orjson.loads(data)["items"])
            return
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except (ValueError, KeyError, TypeError, etree.XMLSyntaxError) as error:
        raise BadInput(f"{feed} is not a feed that can be read.") from error
    for entry in root.iter("{*}entry", "item"):
        link = entry.find("{http://www.w3.org/2005/Atom}link")
        text = entry.find("{*}content") if link is not None else entry.find("{*}encoded")
        address = link.get("href") if link is not None else entry.findtext("link")
        if address and text is not None:
            yield address, text.text or ""


def _fetch(url: str, missing: str) -> bytes:
    """Return what is at an address. Raises BadInput with ``missing`` if there is nothing, Unavailable without an answer."""
    try:
        response = http_client.get(url, seconds=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES + 1, follow=lambda _url: True)
    except http_client.NoResponse as error:
        raise Unavailable(f"{url} does not respond ({error}): check the address, and try again.") from error
    if response.status in (404, 410):
        raise BadInput(missing)
    if response.status != 200:
        raise Unavailable(f"{url} responds with {response.status}: try again later.")
    data = response.body
    if len(data) > _MAX_BYTES:
        raise BadInput(f"{url} is longer than {_MAX_BYTES // 1_000_000} MB: it is not a page of an issue.")
    return data
