"""Amazon SNS over HTTPS: is a message from our topic, genuine, and fresh? No database and no network of its own.

Rules from AWS's "Verifying the signatures of Amazon SNS messages": signature version 2 is SHA-256 with RSA over named fields in
a fixed order; the certificate comes from SNS's own host, whose whole address is matched before it is fetched.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from mailer.core.errors import BadInput, Refused

HOST = r"https://sns\.[a-z]{2}(?:-[a-z]+)+-[0-9]\.amazonaws\.com(?:\.cn)?"
CERTIFICATE = r"/SimpleNotificationService-[0-9a-f]{8,64}\.pem"
MAX_MESSAGE_AGE = timedelta(hours=1)
_MAX_CLOCK_SKEW = timedelta(minutes=5)  # how far SNS's time may be ahead of ours

Fetch = Callable[[str], bytes]


class SnsKind(StrEnum):
    """The types of SNS's messages."""

    NOTIFICATION = "Notification"
    SUBSCRIPTION = "SubscriptionConfirmation"
    UNSUBSCRIBE = "UnsubscribeConfirmation"


_SIGNED = {
    SnsKind.NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SnsKind.SUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    SnsKind.UNSUBSCRIBE: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


@dataclass(frozen=True)
class SnsMessage:
    """A genuine message of our topic. ``body`` is what was published; ``subscribe_url`` is set for confirmations."""

    kind: SnsKind
    id: str
    body: str
    subscribe_url: str = ""


def parse_envelope(raw: bytes | str) -> dict[str, Any]:
    """Parse the JSON object that SNS posts. Raises BadInput if it is not one."""
    try:
        facts = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadInput("The message is not JSON: SNS posts a JSON object.") from error
    if not isinstance(facts, dict):
        raise BadInput("The message is JSON but no object: SNS posts a JSON object.")
    if "Type" not in facts and facts.keys() & {"eventType", "notificationType"}:
        raise BadInput(
            "The message has no envelope of SNS, so nobody can check who sent it: turn off raw message delivery for this"
            " subscription of the topic."
        )
    return facts


class SnsVerifier:
    """Trusts only ``topic`` (an ARN) and certificates that ``fetch`` gets from SNS's own host.

    ``host`` is a pattern for scheme and host; only tests give another one than AWS's. Certificates are kept.
    """

    def __init__(self, topic: str, fetch: Fetch, host: str = HOST) -> None:
        self.topic = topic
        self._fetch = fetch
        self._certificate = re.compile(host + CERTIFICATE)
        self._subscribe = re.compile(host + r"/\?[^\s#]+")
        self._keys: dict[str, RSAPublicKey] = {}
        self._lock = threading.Lock()

    def verify(self, raw: bytes | str) -> SnsMessage:
        """Verify and return the message in this body.

        Raises BadInput for what cannot be read, Refused for another topic, a false signature or an old message, and
        whatever ``fetch`` raises when the certificate cannot be had.
        """
        facts = parse_envelope(raw)
        kind = _read_kind(facts)
        if not self.topic:
            raise Refused("No topic is trusted here: set POSTMERGE_SNS_TOPIC to the ARN of the topic that SES writes to.")
        if _read_text(facts, "TopicArn") != self.topic:
            raise Refused("The message is from another topic than the one in POSTMERGE_SNS_TOPIC and is not taken.")
        _check_age(_read_text(facts, "Timestamp"))
        self._check_signature(kind, facts)
        url = facts.get("SubscribeURL")
        return SnsMessage(
            kind, _read_text(facts, "MessageId"), _read_text(facts, "Message"), url if isinstance(url, str) else ""
        )

    def confirm(self, message: SnsMessage) -> None:
        """Confirm a subscription to our topic. Raises Refused if its address is not SNS's own, or what ``fetch`` raises."""
        wanted = parse_qs(urlsplit(message.subscribe_url).query)
        ours = wanted.get("Action") == ["ConfirmSubscription"] and wanted.get("TopicArn") == [self.topic]
        if not ours or not self._subscribe.fullmatch(message.subscribe_url):
            raise Refused("The address that would confirm the subscription is not one of SNS for our topic: it is not fetched.")
        self._fetch(message.subscribe_url)

    def _check_signature(self, kind: SnsKind, facts: Mapping[str, Any]) -> None:
        if facts.get("SignatureVersion") != "2":
            raise Refused("The message is not signed with version 2: set SignatureVersion of the topic to 2.")
        key = self._key(_read_text(facts, "SigningCertURL"))
        try:
            signature = base64.b64decode(_read_text(facts, "Signature"), validate=True)
            key.verify(signature, signed_text(kind, facts), PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error) as error:
            raise Refused("The signature of the message is false: it is not from SNS, or was changed on the way.") from error

    def _key(self, url: str) -> RSAPublicKey:
        if not self._certificate.fullmatch(url):
            raise Refused("The certificate's address is not one of SNS: the message is not taken.")
        with self._lock:
            known = self._keys.get(url)
        if known:
            return known
        key = _public_key(self._fetch(url))
        with self._lock:
            self._keys = {**self._keys, url: key} if len(self._keys) < 20 else {url: key}
        return key


def signed_text(kind: SnsKind, facts: Mapping[str, Any]) -> bytes:
    """Return what SNS signs: each field's name and value on a line; ``Subject`` only if there is one. Raises BadInput."""
    names = [name for name in _SIGNED[kind] if name != "Subject" or facts.get("Subject") is not None]
    return "".join(f"{name}\n{_read_text(facts, name)}\n" for name in names).encode("utf-8", "surrogatepass")


def _public_key(pem: bytes) -> RSAPublicKey:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError as error:
        raise Refused("What lies at the certificate's address is no certificate: the message is not taken.") from error
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Refused("The certificate of the message is not valid today: the message is not taken.")
    if not isinstance(key, RSAPublicKey):
        raise Refused("The certificate of the message has no RSA key: the message is not taken.")
    return key


def _check_age(timestamp: str) -> None:
    try:
        sent = datetime.fromisoformat(timestamp)
    except ValueError as error:
        raise BadInput("The message has a Timestamp that cannot be read.") from error
    sent = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
    if not -_MAX_CLOCK_SKEW <= datetime.now(UTC) - sent <= MAX_MESSAGE_AGE:
        raise Refused("The message is more than an hour old, or from the future: a replay is not taken.")


def _read_kind(facts: Mapping[str, Any]) -> SnsKind:
    try:
        return SnsKind(_read_text(facts, "Type"))
    except ValueError as error:
        raise BadInput("The message has a Type that SNS does not have.") from error


def _read_text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    if not isinstance(value, str):
        raise BadInput(f"The message lacks {name}: it is not one of SNS.")
    return value
