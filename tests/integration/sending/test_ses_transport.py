from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import SSLError

from mailer.core.errors import Refused, Unavailable
from mailer.transports.base import Envelope, Outcome, SuppressionRemoval
from mailer.transports.ses import Ses, classify_error
from mailer.transports.ses_fast import FastSes
from tests.fakes.ses import FakeSes
from tests.fakes.tls import certificate, proxy

ENVELOPE = Envelope(
    "ada@example.org", b"Subject: x\r\nX-Postmerge-Digest: d\r\n\r\nbody\r\n", {"send": "12", "odd name": "a@b"}
)


@pytest.fixture(autouse=True, params=[Ses, FastSes], ids=["boto3", "lean"])
def client(request: pytest.FixtureRequest) -> None:
    """Every test holds for both ways of calling SES."""
    global _client
    _client = request.param


_client: type[Ses] | type[FastSes] = Ses


def transport() -> Ses | FastSes:
    return _client(configuration_set="events", connections=4, connect_timeout=1, read_timeout=0.7)


def test_an_email_is_accepted_with_its_tags_and_configuration_set(ses: FakeSes) -> None:
    answer = transport().send(ENVELOPE)
    [email] = ses.accepted()
    assert answer.outcome is Outcome.ACCEPTED
    assert answer.message_id == email["message_id"]
    assert email["tags"] == {"send": "12", "odd_name": "a_b"}
    assert (email["to"], email["digest"], email["configuration_set"]) == ("ada@example.org", "d", "events")


def test_many_emails_share_one_connection(ses: FakeSes) -> None:
    one = transport()
    assert all(one.send(ENVELOPE).outcome is Outcome.ACCEPTED for _ in range(20))
    assert len(ses.accepted()) == 20
    assert ses.stats()["connections"] - 1 <= 2  # one of them asks for these figures


@pytest.mark.parametrize(
    ("fault", "outcome", "accepted"),
    [
        ("throttle", Outcome.THROTTLED, 0),
        ("error_before", Outcome.UNCERTAIN, 0),
        ("error_after", Outcome.UNCERTAIN, 1),
        ("hang_before", Outcome.UNCERTAIN, 0),
        ("hang_after", Outcome.UNCERTAIN, 1),
        ("reset_before", Outcome.UNCERTAIN, 0),
        ("reset_after", Outcome.UNCERTAIN, 1),
        ("reject", Outcome.REFUSED, 0),
        ("paused", Outcome.HALT, 0),
    ],
)
def test_each_fault_has_its_outcome_and_is_one_request(ses: FakeSes, fault: str, outcome: Outcome, accepted: int) -> None:
    ses.control(faults=[{"kind": fault, "next": 1}])
    answer = transport().send(ENVELOPE)
    assert answer.outcome is outcome
    assert ses.stats()["requests"] == 1
    assert len(ses.accepted()) == accepted
    assert "@" not in answer.detail


def test_nothing_listening_is_safe_to_try_again(ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:1")
    assert transport().send(ENVELOPE).outcome is Outcome.RETRY


def test_a_name_that_does_not_resolve_is_safe_to_try_again(ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://nowhere.invalid")
    assert transport().send(ENVELOPE).outcome is Outcome.RETRY


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", Outcome.RETRY),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", Outcome.RETRY),
        ("[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac", Outcome.UNCERTAIN),
    ],
)
def test_a_failed_handshake_can_be_retried_and_a_later_tls_error_is_uncertain(said: str, outcome: Outcome) -> None:
    assert classify_error(SSLError(endpoint_url="https://ses.example", error=OSError(said))).outcome is outcome


@pytest.mark.parametrize("change", ["wrong key", "no region", "no key"])
def test_a_wrong_set_up_halts_with_what_to_do(ses: FakeSes, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    if change == "wrong key":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    if change == "no region":
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    if change == "no key":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    answer = transport().send(ENVELOPE)
    assert answer.outcome is Outcome.HALT
    assert "AWS_" in answer.detail
    assert ses.accepted() == []
    with pytest.raises(Refused, match="AWS"):
        transport().account()


def test_the_limits_of_the_account_are_read(ses: FakeSes) -> None:
    ses.control(rate=14, quota=50_000)
    transport().send(ENVELOPE)
    account = transport().account()
    assert account
    assert (account.rate, account.quota, account.sent, account.left) == (14, 50_000, 1, 49_999)


def test_limits_that_cannot_be_read_are_one_sentence(ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="SES cannot be asked for its limits"):
        transport().account()


@pytest.mark.parametrize(
    ("reason", "complaints", "removal", "left"),
    [
        ("BOUNCE", False, SuppressionRemoval.REMOVED, 0),
        ("COMPLAINT", True, SuppressionRemoval.REMOVED, 0),
        ("COMPLAINT", False, SuppressionRemoval.COMPLAINT, 1),
    ],
)
def test_an_address_is_removed_from_the_accounts_suppression_list_but_a_complaint_only_on_request(
    ses: FakeSes, reason: str, complaints: bool, removal: SuppressionRemoval, left: int
) -> None:
    ses.control(suppressed={"ada+x@example.org": reason})
    assert transport().remove_suppression("ada+x@example.org", complaints) is removal
    assert ses.stats()["suppressed"] == left


def test_removing_an_address_that_is_not_on_the_list_changes_nothing(ses: FakeSes) -> None:
    ses.control(suppressed={"bob@example.org": "BOUNCE"})
    assert transport().remove_suppression("ada@example.org") is SuppressionRemoval.NOT_LISTED
    assert ses.stats()["suppressed"] == 1


@pytest.mark.parametrize("fault", ["throttle", "error_before"])
def test_a_removal_that_ses_cannot_do_now_can_be_tried_again(ses: FakeSes, fault: str) -> None:
    ses.control(suppressed={"ada@example.org": "BOUNCE"}, faults=[{"kind": fault, "next": 1}])
    with pytest.raises(Unavailable, match="suppression list"):
        transport().remove_suppression("ada@example.org")
    assert transport().remove_suppression("ada@example.org") is SuppressionRemoval.REMOVED


def test_a_removal_without_the_permission_is_refused(ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    with pytest.raises(Refused, match="AWS"):
        transport().remove_suppression("ada@example.org")


def test_a_connection_is_used_again(ses: FakeSes) -> None:
    sender = transport()
    assert [sender.send(ENVELOPE).outcome for _ in range(5)] == [Outcome.ACCEPTED] * 5
    assert ses.stats()["accepted"] == 5


def test_over_tls_a_trusted_certificate_carries_emails_and_another_is_refused_before_any_byte(
    ses: FakeSes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    with proxy(pem, int(ses.url.rpartition(":")[2])) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", url)
        stranger = transport().send(ENVELOPE)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
        sender = transport()
        known = [sender.send(ENVELOPE).outcome for _ in range(3)]
    assert (stranger.outcome, "reached" in stranger.detail) == (Outcome.RETRY, True)
    assert known == [Outcome.ACCEPTED] * 3
    assert len(ses.accepted()) == 3
