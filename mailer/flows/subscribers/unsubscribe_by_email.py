"""Unsubscribe by an email to POSTMERGE_UNSUBSCRIBE_ADDRESS. A signed token decides, never the sender's address alone.

- A token in the subject or the recipient (the ``mailto:`` of List-Unsubscribe): unsubscribed.
- A reply that asks to unsubscribe and quotes the sender's own unsubscribe link: unsubscribed.
- A request without proof: the address gets the link to its preferences, within the limits of ``/reader``.
- Bounces and automatic replies are never answered, to prevent loops.
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

logger = log.get("unsubscribe")

MAX_EMAIL_BYTES = 1024 * 1024  # the rest is ignored
MAX_LINES = 20_000
MAX_BOUNDARIES = 20  # Python's parser compares each line with every open boundary
MAX_PARTS = 50
MAX_HEADER_CHARS = 4_000  # parsing parameters, encoded words and addresses is quadratic
MAX_REQUEST_CHARS = 200  # of a line that may be a request
_SLOW_CHARSETS = ("punycode", "idna")  # decoding them is quadratic, and no real email uses them
_BOUNDARY = re.compile(rb"boundary\s*[*=]", re.IGNORECASE)
_REPLY = re.compile(r"((re|aw|sv|antw|tr|rv)\s*:\s*)+")
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{48})(?![A-Za-z0-9_-])")
_POLITE = re.compile(r"\b(please|bitte|svp|s.il vous plaît|por favor|me|mich|moi)\b|请")
_REQUESTS = {
    *("unsubscribe", "leave", "remove", "stop", "cancel subscription"),
    *("abmelden", "abbestellen", "austragen", "kündigen"),
    *("désabonner", "désabonnement", "désinscription", "désinscrire", "se désabonner"),
    *("baja", "darse de baja", "dar de baja", "cancelar suscripción"),
    *("退订", "取消订阅"),
}
_AUTOMATIC_SENDERS = ("mailer-daemon", "postmaster", "no-reply", "noreply")


class UnsubscribeEmailOutcome(StrEnum):
    """What an email did; the value is the log message for whoever pipes in emails."""

    UNSUBSCRIBED = "The subscriber is unsubscribed."
    ALREADY = "The subscriber was already unsubscribed."
    OTHER_ADDRESS = "Ignored: the email with this link went to an address that gets no emails any more."
    LINK_SENT = "If a subscriber has this address, an email with the link to their preferences is on its way."
    AUTOMATIC = "Ignored: a bounce or an automatic reply."
    NO_REQUEST = "Ignored: the email does not ask to unsubscribe."


@dataclass(frozen=True)
class _IncomingEmail:
    """The examined parts of an email. ``words`` are the writer's own, ``quoted`` is all of its text."""

    sender: str
    subject: str
    recipients: str
    answered_by_machine: bool
    sent_by_machine: bool
    words: tuple[str, ...]
    quoted: str


def process_email(database: Database, settings: Settings, raw: bytes) -> UnsubscribeEmailOutcome:
    """Process one raw email. Repeating it has no effect. Raises Unavailable."""
    email = _parse_safely(raw[:MAX_EMAIL_BYTES])
    if email is None or email.answered_by_machine:
        return _log_outcome(UnsubscribeEmailOutcome.AUTOMATIC)
    if token := _find_token(settings, f"{email.subject} {email.recipients}"):
        return _unsubscribe_by_token(database, settings, token)
    if email.sent_by_machine:
        return _log_outcome(UnsubscribeEmailOutcome.AUTOMATIC)
    if not any(_asks_to_unsubscribe(line) for line in email.words):
        return _log_outcome(UnsubscribeEmailOutcome.NO_REQUEST)
    if (token := _find_token(settings, email.quoted)) and _is_token_of_sender(database, settings, token, email.sender):
        return _unsubscribe_by_token(database, settings, token)
    try:
        preferences.request_link(database, email.sender)
    except BadInput:
        return _log_outcome(UnsubscribeEmailOutcome.NO_REQUEST)
    return _log_outcome(UnsubscribeEmailOutcome.LINK_SENT)


def _unsubscribe_by_token(database: Database, settings: Settings, token: str) -> UnsubscribeEmailOutcome:
    result = signup.unsubscribe(database, settings, token, source="mail")
    if result is signup.TokenResult.OTHER_ADDRESS:
        return _log_outcome(UnsubscribeEmailOutcome.OTHER_ADDRESS)
    done = result is signup.TokenResult.DONE
    return _log_outcome(UnsubscribeEmailOutcome.UNSUBSCRIBED if done else UnsubscribeEmailOutcome.ALREADY)


def _log_outcome(outcome: UnsubscribeEmailOutcome) -> UnsubscribeEmailOutcome:
    logger.info("unsubscribe.email", outcome=outcome.name.lower())
    return outcome


def _find_token(settings: Settings, text: str) -> str:
    """Return the first unsubscribe token that we signed, or ''."""
    secret = settings.need_secrets()
    return next((token for token in _TOKEN.findall(text)[:200] if tokens.read_unsubscribe(secret, token)), "")


def _is_token_of_sender(database: Database, settings: Settings, token: str, sender: str) -> bool:
    claim = tokens.read_unsubscribe(settings.need_secrets(), token)
    with database.transaction() as tx:
        subscriber = subscribers.find(tx, addresses.normal(sender))
    return claim is not None and subscriber is not None and subscriber.id == claim.subscriber_id


def _asks_to_unsubscribe(line: str) -> bool:
    bare = line[: MAX_REQUEST_CHARS + 1].strip().lower()
    if len(bare) > MAX_REQUEST_CHARS:
        return False
    bare = bare.removeprefix(match[0] if (match := _REPLY.match(bare)) else "").rstrip(".!?…。！")
    return " ".join(_POLITE.sub(" ", bare).split()).strip(" ,") in _REQUESTS


def _parse_safely(raw: bytes) -> _IncomingEmail | None:
    """Parse an email; None if it cannot be parsed."""
    try:
        return _parse_email(raw)
    except Exception:  # the standard library's parser fails in unpredictable ways on malformed input
        logger.warning("unsubscribe.unreadable_email")
        return None


class _ShortHeaders(Compat32):
    """Cuts the headers of an email and of its parts before anything parses them."""

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        """Called by the parser with the lines of one header."""
        name, value = super().header_source_parse(list(sourcelines))
        return name, value[:MAX_HEADER_CHARS]


def _parse_email(raw: bytes) -> _IncomingEmail:
    """Parse an email. Raises whatever the standard library raises, and ValueError for excessive nesting."""
    raw = b"\n".join(raw.split(b"\n", MAX_LINES)[:MAX_LINES])
    if len(_BOUNDARY.findall(raw)) > MAX_BOUNDARIES:
        raise ValueError("too many boundaries")
    found = message_from_bytes(raw, policy=_ShortHeaders())
    text = _join_text(found)
    sender = parseaddr(_decode_header(found, "from"))[1]
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith((">", "<"))]
    to = getaddresses([_decode_header(found, name) for name in ("to", "cc", "delivered-to", "x-original-to", "envelope-to")])
    return _IncomingEmail(
        sender=sender,
        subject=_decode_header(found, "subject"),
        recipients=" ".join(re.sub(r"[+@=]", " ", address) for _, address in to),
        answered_by_machine=_is_automatic_answer(found, sender),
        sent_by_machine=_is_sent_automatically(found),
        words=(_decode_header(found, "subject"), *lines[:1]),
        quoted=text,
    )


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


def _decode_header(email: Message, name: str) -> str:
    value = " ".join(str(email.get(name, "")).split())
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, MessageError):
        return value


def _join_text(email: Message) -> str:
    parts = [part for _, part in zip(range(MAX_PARTS), email.walk(), strict=False) if part.get_content_maintype() == "text"]
    plain_first = sorted(parts, key=lambda part: part.get_content_subtype() != "plain")
    return "\n".join(_decode_part(part) for part in plain_first)


def _decode_part(part: Message) -> str:
    payload = part.get_payload(decode=True)
    body = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset() or "utf-8"
    try:
        return body.decode("utf-8" if codecs.lookup(charset).name in _SLOW_CHARSETS else charset, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
