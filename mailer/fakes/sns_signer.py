"""A signer like Amazon SNS: a key and a certificate of its own, and messages signed with version 2."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

CERTIFICATE = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


class SnsSigner:
    """Signs as SNS does; ``base`` is the address of the certificate. The key is created on demand."""

    def __init__(self, base: str) -> None:
        self.base = base

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """The private key."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def certificate(self) -> bytes:
        """The certificate, as PEM, valid for a day around now."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, SHA256())
        )
        return made.public_bytes(Encoding.PEM)

    def message(self, topic: str, body: str, kind: str = "Notification", **changes: Any) -> bytes:
        """Return a signed message; ``changes`` are applied before it is signed."""
        facts: dict[str, Any] = {
            "Type": kind,
            "MessageId": str(uuid.uuid4()),
            "TopicArn": topic,
            "Message": body,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "2",
            "SigningCertURL": self.base + CERTIFICATE,
        }
        if kind != "Notification":
            token = uuid.uuid4().hex
            facts["Token"] = token
            facts["SubscribeURL"] = f"{self.base}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}"
        facts |= changes
        facts["Signature"] = base64.b64encode(self.key.sign(_to_sign(facts), padding.PKCS1v15(), SHA256())).decode()
        return json.dumps(facts).encode()


def _to_sign(facts: dict[str, Any]) -> bytes:
    """Return the signed text: in alphabetical order, which is the order in AWS's list."""
    wanted = {"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
    return "".join(f"{name}\n{facts[name]}\n" for name in sorted(wanted & set(facts))).encode()
