"""Read an email that somebody sent to us: who sent it, what they wrote themselves, and what they quote. No database.

Everything is bounded, because the standard library's parser is quadratic in several places.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.policy import Compat32
from email.utils import getaddresses, parseaddr
from html import unescape

from mailer.core import log

logger = log.get("incoming_email")

MAX_EMAIL_BYTES = 1024 * 1024  # the rest is ignored
MAX_LINES = 20_000
MAX_BOUNDARIES = 20  # Python's parser compares each line with every open boundary
MAX_PARTS = 50
MAX_HEADER_CHARS = 4_000  # parsing parameters, encoded words and addresses is quadratic
MAX_OWN_CHARS = 4_000  # of a person's own words
_SLOW_CHARSETS = ("punycode", "idna")  # decoding them is quadratic, and no real email uses them
_BOUNDARY = re.compile(rb"boundary\s*[*=]", re.IGNORECASE)
_AUTOMATIC_SENDERS = ("mailer-daemon", "postmaster", "no-reply", "noreply")

# Where the quoted email or the first link begins, in HTML: Gmail's and Outlook's marks, and any block quote.
_HTML_QUOTE = re.compile(
    r"""<blockquote|<a\s[^<>]*href|<[^<>]*\b(?:class|id)\s*=\s*["']?(?:gmail_quote|divRplyFwdMsg|appendonsend|OLK_SRC)""",
    re.IGNORECASE,
)
_HTML_HIDDEN = re.compile(r"<(style|script|head|title)\b", re.IGNORECASE)
_HTML_BREAK = re.compile(r"</?(?:br|p|div|tr|li|hr|h\d)\b[^<>]*>", re.IGNORECASE)
_HTML_TAG = re.compile(r"<[^<>]*>")
_QUOTED_HEADER = re.compile(r"(?:From|Von|De|Da|Van|发件人)\s?[:：].*@", re.IGNORECASE)  # as Outlook begins a quoted email
_DATE_OR_ADDRESS = re.compile(r"\d\d|@")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_FROM = re.compile(rb"^from[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"[^@\s<>()\[\],:;\"']+@[^@\s<>()\[\],:;\"']+")


@dataclass(frozen=True)
class IncomingEmail:
    """The examined parts of an email. ``own_words`` are the writer's own, ``everything`` is all of its text.

    ``sender`` is '' if several headers name one. ``names_one_author``: no program can read another address as the author's.
    """

    sender: str
    names_one_author: bool
    subject: str
    recipients: str
    answered_by_machine: bool
    sent_by_machine: bool
    own_words: str
    everything: str


def read_email(raw: bytes) -> IncomingEmail | None:
    """Parse an email; None if it cannot be parsed."""
    try:
        return _parse(raw[:MAX_EMAIL_BYTES])
    except Exception:  # the standard library's parser fails in unpredictable ways on malformed input
        logger.warning("incoming_email.unreadable")
        return None


class _ShortHeaders(Compat32):
    """Cuts the headers of an email and of its parts before anything parses them, and reads subjects in UTF-8 (RFC 6532)."""

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        """Called by the parser with the lines of one header."""
        name, value = super().header_source_parse(list(sourcelines))
        if name.lower() == "subject":
            value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return name, value[:MAX_HEADER_CHARS]


def _parse(raw: bytes) -> IncomingEmail:
    """Parse an email. Raises whatever the standard library raises, and ValueError for excessive nesting."""
    raw = b"\n".join(raw.split(b"\n", MAX_LINES)[:MAX_LINES])
    if len(_BOUNDARY.findall(raw)) > MAX_BOUNDARIES:
        raise ValueError("too many boundaries")
    found = message_from_bytes(raw, policy=_ShortHeaders())
    plain, html = _list_texts(found)
    to = getaddresses([_decode_header(found, name) for name in ("to", "cc", "delivered-to", "x-original-to", "envelope-to")])
    author = parseaddr(_flatten_header(found, "from"))[1]  # not decoded: encoded words are never part of an address
    return IncomingEmail(
        sender=author if len(found.get_all("from", [])) == 1 else "",
        names_one_author=_names_one_author(raw, found),
        subject=_decode_header(found, "subject"),
        recipients=" ".join(re.sub(r"[+@=]", " ", address) for _, address in to),
        answered_by_machine=_is_automatic_answer(found, author),
        sent_by_machine=_is_sent_automatically(found),
        own_words=_cut_quotes("\n".join(plain) if "".join(plain).strip() else _render_html("\n".join(html))),
        everything="\n".join((*plain, *html)),
    )


def _names_one_author(raw: bytes, email: Message) -> bool:
    """Return whether every way to read the header ``From:`` finds the same single address.

    The receiving server checks the domain that it reads there, and it may read it in another way than we do.
    """
    head = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    written = _flatten_header(email, "from")
    named = {address.lower() for text in (written, _decode_header(email, "from")) for address in _ADDRESS.findall(text)}
    is_whole = b"\r" not in head and b"\0" not in head and len(str(email.get("from", ""))) < MAX_HEADER_CHARS
    return is_whole and len(_FROM.findall(head)) == 1 and len(named) == 1


def _cut_quotes(text: str) -> str:
    """Return a text without what it quotes, its signature, and all from its first link on: footers have links."""
    return "\n".join(_iterate_own_lines(text.splitlines()))[:MAX_OWN_CHARS]


def _iterate_own_lines(lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if line.lstrip().startswith(">"):
            continue
        if _LINK.search(line) or line.rstrip() == "--":
            return
        if not _begins_quote(line):
            yield line
        elif not next((one for one in lines[number + 1 : number + 4] if one.strip()), "").lstrip().startswith(">"):
            return  # the rest is quoted, although no line is marked


def _begins_quote(line: str) -> bool:
    """Return whether a line comes before the quoted email: "-----Original Message-----", "On 24 November, Ada wrote:"."""
    bare = line.strip("* \t")[:400]
    if (bare.startswith("---") and bare.endswith("---")) or set(bare) == {"_"}:
        return True
    is_attribution = bare.endswith((":", "：")) and _DATE_OR_ADDRESS.search(bare) is not None
    return is_attribution or _QUOTED_HEADER.match(bare) is not None


def _render_html(html: str) -> str:
    """Return the text of an HTML email before what it quotes."""
    html = " ".join(_remove_hidden(html).split())
    match = _HTML_QUOTE.search(html)
    own = (html[: match.start()] if match else html)[: 20 * MAX_OWN_CHARS]
    return unescape(_HTML_TAG.sub("", _HTML_BREAK.sub("\n", own)))


def _remove_hidden(html: str) -> str:
    """Remove style sheets and scripts, in linear time."""
    shown, at = [], 0
    while match := _HTML_HIDDEN.search(html, at):
        shown.append(html[at : match.start()])
        end = re.compile(f"</{match[1]}", re.IGNORECASE).search(html, match.end())
        at = end.start() if end else len(html)
    return "".join(shown) + html[at:]


def _is_automatic_answer(email: Message, sender: str) -> bool:
    name = sender.partition("@")[0].lower()
    returned = _decode_header(email, "return-path").replace(" ", "") == "<>"
    answered = _decode_header(email, "auto-submitted").lower().startswith("auto-replied")
    marked = any(name in email for name in ("x-autoreply", "x-autorespond", "x-failed-recipients"))
    return (
        not name
        or name in _AUTOMATIC_SENDERS
        or returned
        or answered
        or marked
        or email.get_content_type() == "multipart/report"
    )


def _is_sent_automatically(email: Message) -> bool:
    submitted = _decode_header(email, "auto-submitted").lower() or "no"
    bulk = _decode_header(email, "precedence").lower() in ("bulk", "junk", "list", "auto_reply")
    return not submitted.startswith("no") or bulk or "list-id" in email


def _flatten_header(email: Message, name: str) -> str:
    return " ".join(str(email.get(name, "")).split())


def _decode_header(email: Message, name: str) -> str:
    value = _flatten_header(email, name)
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, MessageError):
        return value


def _list_texts(email: Message) -> tuple[list[str], list[str]]:
    """Return the plain and the HTML texts of an email."""
    parts = [part for _, part in zip(range(MAX_PARTS), email.walk(), strict=False) if part.get_content_maintype() == "text"]
    plain = [_decode_part(part) for part in parts if part.get_content_subtype() == "plain"]
    return plain, [_decode_part(part) for part in parts if part.get_content_subtype() != "plain"]


def _decode_part(part: Message) -> str:
    payload = part.get_payload(decode=True)
    body = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset() or "utf-8"
    try:
        return body.decode("utf-8" if codecs.lookup(charset).name in _SLOW_CHARSETS else charset, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
