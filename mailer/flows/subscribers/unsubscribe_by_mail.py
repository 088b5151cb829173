"""Leaving by a mail to POSTMERGE_UNSUBSCRIBE_ADDRESS. What counts is a signed token, never the sender's address alone.

- A token in the subject or in the recipient (the ``mailto:`` of List-Unsubscribe): the reader leaves.
- A reply that says so, quotes the link to leave of the very reader it comes from: the reader leaves.
- Somebody writes to leave and proves nothing: the address gets the link to its own page, within the limits of ``/reader``.
- Bounces and automatic answers are never answered, so that nothing goes round in circles.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.policy import Compat32
from email.utils import getaddresses, parseaddr
from enum import StrEnum

from mailer.core import addresses, log, tokens
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.subscribers import preferences, signup
from mailer.store.subscribers import subscribers

events = log.get("leave")

MAX_EMAIL_BYTES = 1024 * 1024  # what is behind them is not looked at
MAX_LINES = 20_000
MAX_BOUNDARIES = 20  # Python's parser compares each line with every open boundary
MAX_PARTS = 50
MAX_HEADER_CHARS = 4_000  # the parsers of parameters, encoded words and addresses take the square of a header's length
MAX_REQUEST_CHARS = 200  # of a line that may ask to unsubscribe
_SLOW_CHARSETS = ("punycode", "idna")  # they take the square of a text's length, and no text is written in them
_BOUNDARY = re.compile(rb"boundary\s*[*=]", re.IGNORECASE)
_REPLY = re.compile(r"((re|aw|sv|antw|tr|rv)\s*:\s*)+")
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_POLITE = re.compile(r"\b(please|bitte|svp|s.il vous plaît|por favor|me|mich|moi)\b|请")
_WORDS = {
    *("unsubscribe", "leave", "remove", "stop", "cancel subscription"),
    *("abmelden", "abbestellen", "austragen", "kündigen"),
    *("désabonner", "désabonnement", "désinscription", "désinscrire", "se désabonner"),
    *("baja", "darse de baja", "dar de baja", "cancelar suscripción"),
    *("退订", "取消订阅"),
}
_ROBOTS = ("mailer-daemon", "postmaster", "no-reply", "noreply")


class Outcome(StrEnum):
    """What a mail did; the value is the sentence for the log of whoever pipes mails in."""

    LEFT = "The reader has left."
    ALREADY = "The reader had left before."
    ASKED = "If a reader writes from this address, a mail with the link to their own page is on its way."
    AUTOMATIC = "Ignored: a bounce or an automatic answer."
    NO_WISH = "Ignored: there is no wish to leave in it."


@dataclass(frozen=True)
class _Mail:
    """What of a mail is looked at. ``words`` are the writer's own, ``quoted`` all of its text."""

    sender: str
    subject: str
    recipients: str
    answered_by_machine: bool
    sent_by_machine: bool
    words: tuple[str, ...]
    quoted: str


def take(database: Database, settings: Settings, raw: bytes) -> Outcome:
    """What one mail, as it came, asks for is done; twice does no harm. Raises Unavailable."""
    mail = _read(raw[:MAX_EMAIL_BYTES])
    if mail is None or mail.answered_by_machine:
        return _said(Outcome.AUTOMATIC)
    if token := _signed(settings, f"{mail.subject} {mail.recipients}"):
        return _leave(database, settings, token)
    if mail.sent_by_machine:
        return _said(Outcome.AUTOMATIC)
    if not any(_asks(line) for line in mail.words):
        return _said(Outcome.NO_WISH)
    if (token := _signed(settings, mail.quoted)) and _belongs(database, settings, token, mail.sender):
        return _leave(database, settings, token)
    try:
        preferences.ask_link(database, mail.sender)
    except BadInput:
        return _said(Outcome.NO_WISH)
    return _said(Outcome.ASKED)


def _leave(database: Database, settings: Settings, token: str) -> Outcome:
    done = signup.leave(database, settings, token, source="mail") is signup.Result.DONE
    return _said(Outcome.LEFT if done else Outcome.ALREADY)


def _said(outcome: Outcome) -> Outcome:
    events.info("leave.mail", outcome=outcome.name.lower())
    return outcome


def _signed(settings: Settings, text: str) -> str:
    """The first token to leave that we signed, or ''."""
    secret = settings.need_secret()
    return next((token for token in _TOKEN.findall(text)[:200] if tokens.read_leave(secret, token)), "")


def _belongs(database: Database, settings: Settings, token: str, sender: str) -> bool:
    claim = tokens.read_leave(settings.need_secret(), token)
    with database.transaction() as tx:
        reader = subscribers.find(tx, addresses.normal(sender))
    return claim is not None and reader is not None and reader.id == claim.subscriber_id


def _asks(line: str) -> bool:
    bare = line[: MAX_REQUEST_CHARS + 1].strip().lower()
    if len(bare) > MAX_REQUEST_CHARS:
        return False
    bare = bare.removeprefix(match[0] if (match := _REPLY.match(bare)) else "").rstrip(".!?…。！")
    return " ".join(_POLITE.sub(" ", bare).split()).strip(" ,") in _WORDS


def _read(raw: bytes) -> _Mail | None:
    """The mail, or None when it cannot be read or stands in for none."""
    try:
        return _parsed(raw)
    except Exception:  # what strangers send breaks the standard library's parser in ways of its own
        events.warning("leave.unreadable_mail")
        return None


class _ShortHeaders(Compat32):
    """Cuts the headers of an email and of its parts before anything parses them."""

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        """Called by the parser with the lines of one header."""
        name, value = super().header_source_parse(list(sourcelines))
        return name, value[:MAX_HEADER_CHARS]


def _parsed(raw: bytes) -> _Mail:
    """Raises whatever the standard library raises, and ValueError for more parts inside one another than any email has."""
    raw = b"\n".join(raw.split(b"\n", MAX_LINES)[:MAX_LINES])
    if len(_BOUNDARY.findall(raw)) > MAX_BOUNDARIES:
        raise ValueError("too many boundaries")
    found = message_from_bytes(raw, policy=_ShortHeaders())
    text = _text(found)
    sender = parseaddr(_header(found, "from"))[1]
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith((">", "<"))]
    to = getaddresses([_header(found, name) for name in ("to", "cc", "delivered-to", "x-original-to", "envelope-to")])
    return _Mail(
        sender=sender,
        subject=_header(found, "subject"),
        recipients=" ".join(re.sub(r"[+@=]", " ", address) for _, address in to),
        answered_by_machine=_is_answer_of_machine(found, sender),
        sent_by_machine=_is_of_machine(found),
        words=(_header(found, "subject"), *lines[:1]),
        quoted=text,
    )


def _is_answer_of_machine(mail: Message, sender: str) -> bool:
    name = sender.partition("@")[0].lower()
    returned = _header(mail, "return-path").replace(" ", "") == "<>"
    answered = _header(mail, "auto-submitted").lower().startswith("auto-replied")
    told = any(name in mail for name in ("x-autoreply", "x-autorespond", "x-failed-recipients"))
    return not name or name in _ROBOTS or returned or answered or told or mail.get_content_type() == "multipart/report"


def _is_of_machine(mail: Message) -> bool:
    submitted = _header(mail, "auto-submitted").lower() or "no"
    bulk = _header(mail, "precedence").lower() in ("bulk", "junk", "list", "auto_reply")
    return not submitted.startswith("no") or bulk or "list-id" in mail


def _header(mail: Message, name: str) -> str:
    value = " ".join(str(mail.get(name, "")).split())
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, MessageError):
        return value


def _text(mail: Message) -> str:
    parts = [part for _, part in zip(range(MAX_PARTS), mail.walk(), strict=False) if part.get_content_maintype() == "text"]
    plain_first = sorted(parts, key=lambda part: part.get_content_subtype() != "plain")
    return "\n".join(_decoded(part) for part in plain_first)


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    body = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset() or "utf-8"
    try:
        return body.decode("utf-8" if codecs.lookup(charset).name in _SLOW_CHARSETS else charset, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
