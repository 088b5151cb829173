"""Signed tokens for links in mails and forms: short, URL-safe, checked in constant time, never stored.

A token is the unpadded base64url of a payload and 16 bytes of HMAC-SHA256 over purpose and payload, so that a token for one
purpose is worth nothing for another. Only the canonical spelling of a token is accepted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_bytes

_MAC = 16
Secrets = tuple[str, ...]  # the first signs, all of them verify


@dataclass(frozen=True)
class LeaveClaim:
    """Who may leave with this token, and from which send's mail (0: none)."""

    subscriber_id: int
    send_id: int


@dataclass(frozen=True)
class ConfirmClaim:
    """Who may confirm, through which transactional mail, issued when."""

    subscriber_id: int
    mail_id: int
    issued: datetime


def leave_token(secrets: Secrets, subscriber_id: int, send_id: int = 0) -> str:
    """A token for leaving; it holds for ever, as mails do. 43 characters."""
    return _sign(secrets, b"leave", struct.pack(">qq", subscriber_id, send_id))


def read_leave(secrets: Secrets, token: str) -> LeaveClaim | None:
    """What a leave token says, or None when it was not signed by us."""
    payload = _open(secrets, b"leave", token, 16)
    return LeaveClaim(*struct.unpack(">qq", payload)) if payload else None


def confirm_token(secrets: Secrets, subscriber_id: int, mail_id: int, issued: datetime) -> str:
    """A token for confirming, dated ``issued``. 54 characters."""
    return _sign(secrets, b"confirm", struct.pack(">qqq", subscriber_id, mail_id, int(issued.timestamp() * 1000)))


def read_confirm(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> ConfirmClaim | None:
    """What a confirm token says, or None when it is forged or older than ``expiry``."""
    return _dated(secrets, b"confirm", token, now, expiry)


def _dated(secrets: Secrets, purpose: bytes, token: str, now: datetime, expiry: timedelta) -> ConfirmClaim | None:
    payload = _open(secrets, purpose, token, 24)
    if payload is None:
        return None
    subscriber_id, mail_id, millis = struct.unpack(">qqq", payload)
    issued = datetime.fromtimestamp(millis / 1000, UTC)
    return ConfirmClaim(subscriber_id, mail_id, issued) if now - issued <= expiry else None


def paid_token(secrets: Secrets, subscriber_id: int, epoch: int = 0) -> str:
    """A token for a reader's own page (``epoch`` 0) or for what they paid for (their links' epoch). 43 characters."""
    return _sign(secrets, b"paid", struct.pack(">qq", subscriber_id, epoch))


def read_paid(secrets: Secrets, token: str) -> tuple[int, int] | None:
    """The subscriber and the epoch that a token is for, or None when it was not signed by us."""
    payload = _open(secrets, b"paid", token, 16)
    return struct.unpack(">qq", payload) if payload else None


def gift_token(secrets: Secrets, gift_id: int) -> str:
    """A token for accepting a gift. 32 characters."""
    return _sign(secrets, b"gift", struct.pack(">q", gift_id))


def read_gift(secrets: Secrets, token: str) -> int | None:
    """The gift that a token is for, or None when it was not signed by us."""
    payload = _open(secrets, b"gift", token, 8)
    return int(struct.unpack(">q", payload)[0]) if payload else None


def page_token(secrets: Secrets, subscriber_id: int, issued: datetime) -> str:
    """A token for a reader's own page with everything on it, dated ``issued``. 43 characters."""
    return _sign_dated(secrets, b"page", subscriber_id, issued)


def read_page(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> int | None:
    """Whose page a token opens, or None when it is forged or older than ``expiry``."""
    return _open_dated(secrets, b"page", token, now, expiry)


def export_token(secrets: Secrets, export_id: int, issued: datetime) -> str:
    """A token for fetching an export, dated ``issued``. 43 characters."""
    return _sign_dated(secrets, b"export", export_id, issued)


def read_export(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> int | None:
    """Which export a token fetches, or None when it is forged or older than ``expiry``."""
    return _open_dated(secrets, b"export", token, now, expiry)


def address_token(secrets: Secrets, subscriber_id: int, mail_id: int, issued: datetime) -> str:
    """A token for saying yes to a new address, dated ``issued``. 54 characters."""
    return _sign(secrets, b"address", struct.pack(">qqq", subscriber_id, mail_id, int(issued.timestamp() * 1000)))


def read_address(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> ConfirmClaim | None:
    """Who says yes to a new address, through which mail, or None when the token is forged or older than ``expiry``."""
    return _dated(secrets, b"address", token, now, expiry)


def canary_token(secrets: Secrets, subscriber_id: int, mail_id: int) -> str:
    """A token for the hidden link of a mail: it can do nothing. 43 characters."""
    return _sign(secrets, b"canary", struct.pack(">qq", subscriber_id, mail_id))


def read_canary(secrets: Secrets, token: str) -> tuple[int, int] | None:
    """The reader and the mail whose hidden link somebody opened, or None when it is not ours."""
    payload = _open(secrets, b"canary", token, 16)
    return struct.unpack(">qq", payload) if payload else None


def form_token(secrets: Secrets, now: datetime) -> str:
    """A token for a form shown ``now``; no two the same, so that what two people send is never taken for one."""
    return _sign(secrets, b"form", struct.pack(">q6s", int(now.timestamp()), token_bytes(6)))


def check_form(secrets: Secrets, token: str, now: datetime, least: timedelta, most: timedelta) -> bool:
    """Was the form shown by us, at least ``least`` and at most ``most`` ago?"""
    payload = _open(secrets, b"form", token, 14)
    if payload is None:
        return False
    age = now - datetime.fromtimestamp(struct.unpack(">q6s", payload)[0], UTC)
    return least <= age <= most


def work_token(secrets: Secrets, now: datetime, bits: int) -> str:
    """A sum for a browser, asked ``now``; each of ``bits`` doubles the work. 42 characters, no two the same."""
    return _sign(secrets, b"work", struct.pack(">qB6s", int(now.timestamp()), bits, token_bytes(6)))


def read_work(secrets: Secrets, answer: str, now: datetime, most: timedelta) -> str | None:
    """The sum that ``answer`` (sum:number) solves, or None: not ours, older than ``most``, or not solved.

    Solved means that the SHA-256 of the whole answer begins with the sum's number of zero bits.
    """
    token, _, number = answer.partition(":")
    payload = _open(secrets, b"work", token, 15)
    if payload is None or not re.fullmatch(r"[0-9]{1,12}", number):
        return None
    asked, bits, _ = struct.unpack(">qB6s", payload)
    if not timedelta(0) <= now - datetime.fromtimestamp(asked, UTC) <= most:
        return None
    digest = int.from_bytes(hashlib.sha256(answer.encode()).digest())
    return token if digest >> (256 - bits) == 0 else None


def _sign(secrets: Secrets, purpose: bytes, payload: bytes) -> str:
    return base64.urlsafe_b64encode(payload + _mac(secrets[0], purpose, payload)).rstrip(b"=").decode()


def _open(secrets: Secrets, purpose: bytes, token: str, size: int) -> bytes | None:
    if len(token) > 100 or not token.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    payload, mac = raw[:-_MAC], raw[-_MAC:]
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == token
    good = any(hmac.compare_digest(mac, _mac(secret, purpose, payload)) for secret in secrets)
    return payload if good and canonical and len(payload) == size else None


def _sign_dated(secrets: Secrets, purpose: bytes, number: int, issued: datetime) -> str:
    return _sign(secrets, purpose, struct.pack(">qq", number, int(issued.timestamp() * 1000)))


def _open_dated(secrets: Secrets, purpose: bytes, token: str, now: datetime, expiry: timedelta) -> int | None:
    payload = _open(secrets, purpose, token, 16)
    if payload is None:
        return None
    number, millis = struct.unpack(">qq", payload)
    return int(number) if now - datetime.fromtimestamp(millis / 1000, UTC) <= expiry else None


def _mac(secret: str, purpose: bytes, payload: bytes) -> bytes:
    return hmac.new(secret.encode(), b"postmerge." + purpose + b"\0" + payload, hashlib.sha256).digest()[:_MAC]
