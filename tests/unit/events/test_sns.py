from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.fakes.sns_signer import CERTIFICATE, SnsSigner
from mailer.webhooks.sns import HOST, SnsKind, SnsVerifier

TOPIC = "arn:aws:sns:eu-central-1:123456789012:events"
BASE = "https://sns.eu-central-1.amazonaws.com"


@pytest.fixture(scope="module")
def signer() -> SnsSigner:
    return SnsSigner(BASE)


class Net:
    """What lies at SNS's addresses, and what was fetched."""

    def __init__(self, signer: SnsSigner) -> None:
        self.signer = signer
        self.fetched: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.signer.certificate


@pytest.fixture
def net(signer: SnsSigner) -> Net:
    return Net(signer)


@pytest.fixture
def verifier(net: Net) -> SnsVerifier:
    return SnsVerifier(TOPIC, net)


def test_a_genuine_message_is_taken_and_its_certificate_fetched_once(
    signer: SnsSigner, net: Net, verifier: SnsVerifier
) -> None:
    first = verifier.verify(signer.message(TOPIC, "one"))
    second = verifier.verify(signer.message(TOPIC, "two", Subject="with a subject"))
    assert (first.kind, first.body, second.body) == (SnsKind.NOTIFICATION, "one", "two")
    assert first.id != second.id
    assert net.fetched == [BASE + CERTIFICATE]


def changed(name: str, value: object) -> Callable[[SnsSigner], bytes]:
    def make(signer: SnsSigner) -> bytes:
        facts = json.loads(signer.message(TOPIC, "body"))
        return json.dumps({**facts, name: value}).encode()

    return make


def signed(**changes: Any) -> Callable[[SnsSigner], bytes]:
    return lambda signer: signer.message(TOPIC, "body", **changes)


def dated(minutes: int) -> Callable[[SnsSigner], bytes]:
    return lambda signer: signer.message(TOPIC, "body", Timestamp=(datetime.now(UTC) + timedelta(minutes=minutes)).isoformat())


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (changed("Message", "another body"), "signature of the message is false"),
        (changed("MessageId", "another"), "signature of the message is false"),
        (changed("Subject", "added on the way"), "signature of the message is false"),
        (changed("Signature", "!!"), "signature of the message is false"),
        (changed("SignatureVersion", "1"), "not signed with version 2"),
        (changed("TopicArn", TOPIC + "x"), "another topic"),
        (signed(TopicArn="arn:aws:sns:eu-central-1:999:events"), "another topic"),
        (dated(-61), "more than an hour old"),
        (dated(10), "from the future"),
        (signed(Timestamp="yesterday"), "Timestamp that cannot be read"),
        (signed(SigningCertURL="https://evil.example" + CERTIFICATE), "not one of SNS"),
        (signed(SigningCertURL=BASE + ".evil.example" + CERTIFICATE), "not one of SNS"),
        (signed(SigningCertURL=BASE.replace("https", "http") + CERTIFICATE), "not one of SNS"),
        (signed(SigningCertURL="https://x@sns.eu-central-1.amazonaws.com" + CERTIFICATE), "not one of SNS"),
        (signed(SigningCertURL=BASE + "/evil.pem"), "not one of SNS"),
        (signed(SigningCertURL=BASE + CERTIFICATE + "?x=1"), "not one of SNS"),
        (signed(SigningCertURL=BASE + CERTIFICATE + "\n"), "not one of SNS"),
        (lambda _: b"not json", "not JSON"),
        (lambda _: b"[1]", "no object"),
        (lambda _: b"{}", "lacks Type"),
        (changed("Type", "Something"), "Type that SNS does not have"),
        (changed("Message", None), "lacks Message"),
    ],
)
def test_what_is_not_genuine_is_refused_with_one_sentence(
    message: Callable[[SnsSigner], bytes], sentence: str, signer: SnsSigner, net: Net, verifier: SnsVerifier
) -> None:
    raw = message(signer)
    with pytest.raises((BadInput, Refused), match=sentence):
        verifier.verify(raw)
    assert all(url == BASE + CERTIFICATE for url in net.fetched)


def test_without_a_topic_nothing_is_trusted(signer: SnsSigner, net: Net) -> None:
    with pytest.raises(Refused, match="POSTMERGE_SNS_TOPIC"):
        SnsVerifier("", net).verify(signer.message("", "body"))
    assert net.fetched == []


def test_another_key_than_that_of_the_certificate_is_refused(net: Net, verifier: SnsVerifier) -> None:
    with pytest.raises(Refused, match="false"):
        verifier.verify(SnsSigner(BASE).message(TOPIC, "body"))


def test_a_subscription_is_confirmed_for_our_topic_at_snss_own_address(
    signer: SnsSigner, net: Net, verifier: SnsVerifier
) -> None:
    message = verifier.verify(signer.message(TOPIC, "please", "SubscriptionConfirmation"))
    verifier.confirm(message)
    assert net.fetched[1:] == [message.subscribe_url]


@pytest.mark.parametrize(
    "url",
    [
        f"https://evil.example/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=x",
        f"{BASE}.evil.example/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=x",
        f"{BASE}/?Action=ConfirmSubscription&TopicArn={TOPIC}2&Token=x",
        f"{BASE}/?Action=Unsubscribe&TopicArn={TOPIC}&Token=x",
        f"{BASE}@evil.example/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=x",
    ],
)
def test_no_other_address_is_ever_fetched_to_confirm(url: str, signer: SnsSigner, net: Net, verifier: SnsVerifier) -> None:
    message = verifier.verify(signer.message(TOPIC, "please", "SubscriptionConfirmation", SubscribeURL=url))
    with pytest.raises(PostmergeError, match="not fetched"):
        verifier.confirm(message)
    assert url not in net.fetched


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "ap-southeast-2"])
def test_snss_own_addresses_are_known_in_every_region(region: str, signer: SnsSigner, net: Net) -> None:
    own = SnsSigner(f"https://sns.{region}.amazonaws.com")
    net.signer = own
    assert SnsVerifier(TOPIC, net).verify(own.message(TOPIC, "body")).body == "body"


def test_china_has_another_host() -> None:
    china = SnsSigner("https://sns.cn-north-1.amazonaws.com.cn")
    assert SnsVerifier(TOPIC, lambda _: china.certificate, HOST).verify(china.message(TOPIC, "body")).body == "body"


def certificate(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, first: timedelta, last: timedelta) -> bytes:
    """A certificate that is valid from ``first`` to ``last``, counted from now, as PEM."""
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(now + first).not_valid_after(now + last)
    return made.sign(key, SHA256() if isinstance(key, rsa.RSAPrivateKey) else None).public_bytes(Encoding.PEM)


DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("first", "last"), [(-DAY, -MINUTE), (-400 * DAY, -35 * DAY), (MINUTE, DAY)], ids=["just expired", "long expired", "early"]
)
def test_a_certificate_that_is_not_valid_today_is_refused(signer: SnsSigner, first: timedelta, last: timedelta) -> None:
    pem = certificate(signer.key, first, last)
    with pytest.raises(Refused, match="not valid today"):
        SnsVerifier(TOPIC, lambda _: pem).verify(signer.message(TOPIC, "body"))


def test_a_certificate_is_valid_from_its_first_minute_to_its_last(signer: SnsSigner) -> None:
    for first, last in ((-MINUTE, DAY), (-DAY, MINUTE)):
        pem = certificate(signer.key, first, last)
        assert SnsVerifier(TOPIC, lambda _, pem=pem: pem).verify(signer.message(TOPIC, "body")).body == "body"  # type: ignore[misc]


def test_what_is_no_certificate_with_an_rsa_key_is_refused(signer: SnsSigner) -> None:
    other = certificate(ed25519.Ed25519PrivateKey.generate(), -DAY, DAY)
    for pem, said in ((b"<html>", "no certificate"), (b"", "no certificate"), (other, "no RSA key")):
        with pytest.raises(Refused, match=said):
            SnsVerifier(TOPIC, lambda _, pem=pem: pem).verify(signer.message(TOPIC, "body"))  # type: ignore[misc]


def test_a_message_is_taken_up_to_an_hour_late_and_five_minutes_early(signer: SnsSigner, verifier: SnsVerifier) -> None:
    for minutes in (-59, 4):
        assert verifier.verify(dated(minutes)(signer)).body == "body"
    for minutes in (-61, 6):
        with pytest.raises(Refused, match="replay"):
            verifier.verify(dated(minutes)(signer))
