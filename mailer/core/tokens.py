"""Signed tokens for links in emails and forms: short, URL-safe, checked in constant time, never stored.

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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_bytes

_MAC_BYTES = 16
_TAG = 4  # bytes
PREVIEW_ID_CHARS = 43
_LINK = struct.Struct(f">qI{_TAG}sI")  # subscriber, epoch, address tag, reference
_DATED_LINK = struct.Struct(f">qI{_TAG}sIq")  # and the milliseconds since 1970 when it was issued
_FIRST_UNSUBSCRIBE = struct.Struct(">qq")  # subscriber, send
Secrets = tuple[str, ...]  # the first signs, all of them verify


@dataclass(frozen=True)
class Recipient:
    """Whom a private link is for: the subscriber, the normalized address it is sent to, and the epoch of their links."""

    subscriber_id: int
    email_normal: str
    link_epoch: int = 1


@dataclass(frozen=True)
class LinkClaim:
    """What a private link says about itself; the subscriber's row decides what it is still worth (``private_links``).

    ``reference`` is the send, email or gift it belongs to (0: none). ``address_tag`` is a keyed hash of the address it was sent
    to, None in links of the first format.
    """

    subscriber_id: int
    epoch: int
    reference: int = 0
    issued: datetime | None = None
    address_tag: bytes | None = field(default=None, repr=False)
    secret: str = field(default="", repr=False)

    def was_sent_to(self, email_normal: str) -> bool:
        """Return whether the link was sent to this address; False for the first format, which does not say."""
        return self.address_tag is not None and hmac.compare_digest(self.address_tag, _tag(self.secret, email_normal))

    def is_current(self, recipient: Recipient) -> bool:
        """Return whether the link was sent to the recipient's present address and their links were not renewed since."""
        same = (self.subscriber_id, self.epoch) == (recipient.subscriber_id, recipient.link_epoch)
        return same and self.was_sent_to(recipient.email_normal)


def unsubscribe_token(secrets: Secrets, recipient: Recipient, send_id: int = 0) -> str:
    """Sign a token for unsubscribing this address; it never expires, as emails don't. 48 characters."""
    return _sign_link(secrets, b"leave.2", recipient, send_id)


def read_unsubscribe(secrets: Secrets, token: str) -> LinkClaim | None:
    """Read an unsubscribe token, also of the first format; None if it is not ours."""
    if claim := _open_link(secrets, b"leave.2", token):
        return claim
    opened = _open(secrets, b"leave", token, _FIRST_UNSUBSCRIBE.size)
    if opened is None:
        return None
    subscriber_id, send_id = _FIRST_UNSUBSCRIBE.unpack(opened[0])
    return LinkClaim(subscriber_id, epoch=1, reference=send_id)


def reading_token(secrets: Secrets, recipient: Recipient) -> str:
    """Sign a token for paid issues and the private feed, until the links are renewed. 48 characters."""
    return _sign_link(secrets, b"reading", recipient)


def read_reading(secrets: Secrets, token: str) -> LinkClaim | None:
    """Read a token for paid issues; None if it is not ours."""
    return _open_link(secrets, b"reading", token)


def gift_token(secrets: Secrets, recipient: Recipient, gift_id: int) -> str:
    """Sign a token for accepting a gift. 48 characters."""
    return _sign_link(secrets, b"gift.2", recipient, gift_id)


def read_gift(secrets: Secrets, token: str) -> LinkClaim | None:
    """Read a token for accepting a gift; None if it is not ours."""
    return _open_link(secrets, b"gift.2", token)


def page_token(secrets: Secrets, recipient: Recipient, issued: datetime) -> str:
    """Sign a token for the preferences page with everything on it. 59 characters."""
    return _sign_dated_link(secrets, b"page.2", recipient, 0, issued)


def read_page(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> LinkClaim | None:
    """Read a token for the preferences page; None if it is not ours or older than ``expiry``."""
    return _open_dated_link(secrets, b"page.2", token, now, expiry)


def paid_token(secrets: Secrets, recipient: Recipient, issued: datetime) -> str:
    """Sign a token for the page about payments; its age decides what it allows. 59 characters."""
    return _sign_dated_link(secrets, b"paid.2", recipient, 0, issued)


def read_paid(secrets: Secrets, token: str) -> LinkClaim | None:
    """Read a token for the page about payments, of any age; None if it is not ours."""
    return _open_dated_link(secrets, b"paid.2", token, datetime.now(UTC), timedelta.max)


def confirm_token(secrets: Secrets, recipient: Recipient, email_id: int, issued: datetime) -> str:
    """Sign a token for confirming a subscription or topics. 59 characters."""
    return _sign_dated_link(secrets, b"confirm.2", recipient, email_id, issued)


def read_confirm(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> LinkClaim | None:
    """Read a token for confirming; None if it is not ours or older than ``expiry``."""
    return _open_dated_link(secrets, b"confirm.2", token, now, expiry)


def address_token(secrets: Secrets, recipient: Recipient, email_id: int, issued: datetime) -> str:
    """Sign a token for confirming a new address; ``recipient`` has the address that it replaces. 59 characters."""
    return _sign_dated_link(secrets, b"address.2", recipient, email_id, issued)


def read_address(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> LinkClaim | None:
    """Read a token for confirming a new address; None if it is not ours or older than ``expiry``."""
    return _open_dated_link(secrets, b"address.2", token, now, expiry)


def export_token(secrets: Secrets, export_id: int, key_id: int, issued: datetime) -> str:
    """Sign a token for downloading an export as the API key ``key_id`` may, dated ``issued``. 54 characters."""
    return _sign(secrets, b"export", struct.pack(">qqq", export_id, key_id, int(issued.timestamp() * 1000)))


def read_export(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> tuple[int, int] | None:
    """Return the ids of a token's export and API key, or None when it is forged or older than ``expiry``."""
    opened = _open(secrets, b"export", token, 24)
    if opened is None:
        return None
    export_id, key_id, millis = struct.unpack(">qqq", opened[0])
    return (export_id, key_id) if now - datetime.fromtimestamp(millis / 1000, UTC) <= expiry else None


def reviewer_token(secrets: Secrets, reviewer_id: int, issued: datetime) -> str:
    """Sign a token for confirming that an address gets test emails. 43 characters."""
    return _sign(secrets, b"reviewer", struct.pack(">qq", reviewer_id, int(issued.timestamp() * 1000)))


def read_reviewer(secrets: Secrets, token: str, now: datetime, expiry: timedelta) -> int | None:
    """Return the reviewer whose address a token proves; None if it is not ours or older than ``expiry``."""
    opened = _open(secrets, b"reviewer", token, 16)
    if opened is None:
        return None
    reviewer_id, millis = struct.unpack(">qq", opened[0])
    return int(reviewer_id) if now - datetime.fromtimestamp(millis / 1000, UTC) <= expiry else None


def preview_ids(secrets: Secrets, branch: str) -> tuple[str, ...]:
    """Return the unguessable names of a branch's preview, by the newest secret first. 43 characters each."""
    payload = hashlib.sha256(branch.encode()).digest()[:16]
    return tuple(_sign((secret,), b"preview", payload) for secret in secrets)


def preview_reading_token(secrets: Secrets, preview_id: str) -> str:
    """Sign a token for the paid text in a preview. 43 characters."""
    return _sign(secrets, b"preview.reading", hashlib.sha256(preview_id.encode()).digest()[:16])


def opens_preview(secrets: Secrets, token: str, preview_id: str) -> bool:
    """Return whether a token is for the paid text in this preview."""
    opened = _open(secrets, b"preview.reading", token, 16)
    return opened is not None and opened[0] == hashlib.sha256(preview_id.encode()).digest()[:16]


def canary_token(secrets: Secrets, subscriber_id: int, email_id: int) -> str:
    """Sign a token for the hidden link of an email: it changes nothing. 43 characters."""
    return _sign(secrets, b"canary", struct.pack(">qq", subscriber_id, email_id))


def read_canary(secrets: Secrets, token: str) -> tuple[int, int] | None:
    """Return the subscriber and the email whose hidden link was opened; None if it is not ours."""
    opened = _open(secrets, b"canary", token, 16)
    return struct.unpack(">qq", opened[0]) if opened else None


def form_token(secrets: Secrets, now: datetime) -> str:
    """Sign a token for a form shown ``now``; no two are the same, so that two submissions are never mistaken for one."""
    return _sign(secrets, b"form", struct.pack(">q6s", int(now.timestamp()), token_bytes(6)))


def check_form(secrets: Secrets, token: str, now: datetime, least: timedelta, most: timedelta) -> bool:
    """Did we show the form, at least ``least`` and at most ``most`` ago?"""
    opened = _open(secrets, b"form", token, 14)
    if opened is None:
        return False
    age = now - datetime.fromtimestamp(struct.unpack(">q6s", opened[0])[0], UTC)
    return least <= age <= most


def work_token(secrets: Secrets, now: datetime, bits: int) -> str:
    """Sign a unique proof-of-work challenge, asked ``now``; each of ``bits`` doubles the work. 42 characters."""
    return _sign(secrets, b"work", struct.pack(">qB6s", int(now.timestamp()), bits, token_bytes(6)))


def read_work(secrets: Secrets, answer: str, now: datetime, most: timedelta) -> str | None:
    """Return the challenge that ``answer`` (challenge:number) solves; None if not ours, older than ``most``, or not solved.

    Solved means that the SHA-256 of the whole answer begins with the challenge's number of zero bits.
    """
    token, _, number = answer.partition(":")
    opened = _open(secrets, b"work", token, 15)
    if opened is None or not re.fullmatch(r"[0-9]{1,12}", number):
        return None
    asked, bits, _ = struct.unpack(">qB6s", opened[0])
    if not timedelta(0) <= now - datetime.fromtimestamp(asked, UTC) <= most:
        return None
    digest = int.from_bytes(hashlib.sha256(answer.encode()).digest())
    return token if digest >> (256 - bits) == 0 else None


def _sign(secrets: Secrets, purpose: bytes, payload: bytes) -> str:
    return base64.urlsafe_b64encode(payload + _mac(secrets[0], purpose, payload)).rstrip(b"=").decode()


def _sign_link(secrets: Secrets, purpose: bytes, to: Recipient, reference: int = 0) -> str:
    payload = _LINK.pack(to.subscriber_id, to.link_epoch, _tag(secrets[0], to.email_normal), reference)
    return _sign(secrets, purpose, payload)


def _open_link(secrets: Secrets, purpose: bytes, token: str) -> LinkClaim | None:
    opened = _open(secrets, purpose, token, _LINK.size)
    if opened is None:
        return None
    subscriber_id, epoch, tag, reference = _LINK.unpack(opened[0])
    return LinkClaim(subscriber_id, epoch, reference, None, tag, opened[1])


def _sign_dated_link(secrets: Secrets, purpose: bytes, to: Recipient, reference: int, issued: datetime) -> str:
    millis, tag = int(issued.timestamp() * 1000), _tag(secrets[0], to.email_normal)
    return _sign(secrets, purpose, _DATED_LINK.pack(to.subscriber_id, to.link_epoch, tag, reference, millis))


def _open_dated_link(secrets: Secrets, purpose: bytes, token: str, now: datetime, expiry: timedelta) -> LinkClaim | None:
    opened = _open(secrets, purpose, token, _DATED_LINK.size)
    if opened is None:
        return None
    subscriber_id, epoch, tag, reference, millis = _DATED_LINK.unpack(opened[0])
    issued = datetime.fromtimestamp(millis / 1000, UTC)
    return LinkClaim(subscriber_id, epoch, reference, issued, tag, opened[1]) if now - issued <= expiry else None


def _tag(secret: str, email_normal: str) -> bytes:
    """Return a short keyed hash of an address: who has a link cannot test guesses of the address with it."""
    return _mac(secret, b"address tag", email_normal.encode())[:_TAG]


def _open(secrets: Secrets, purpose: bytes, token: str, size: int) -> tuple[bytes, str] | None:
    """Return a token's payload and the secret that signed it, or None."""
    if len(token) > 100 or not token.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == token
    if not canonical or len(payload) != size:
        return None
    return next(((payload, one) for one in secrets if hmac.compare_digest(mac, _mac(one, purpose, payload))), None)


def _mac(secret: str, purpose: bytes, payload: bytes) -> bytes:
    return hmac.new(secret.encode(), b"postmerge." + purpose + b"\0" + payload, hashlib.sha256).digest()[:_MAC_BYTES]
