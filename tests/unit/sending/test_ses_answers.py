"""What each answer of SES proves about one email: sent, not sent, uncertain, or that no email of the account can be sent."""

from __future__ import annotations

import orjson
import pytest

from mailer.transports import ses_fast
from mailer.transports.base import Outcome
from mailer.transports.http_connection import HttpResponse
from mailer.transports.ses import classify_response


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_an_answer_of_the_200s_is_an_accepted_email(status: int) -> None:
    answer = ses_fast._answer(HttpResponse(status, {}, bytearray(orjson.dumps({"MessageId": "m-1"}))))
    assert (answer.outcome, answer.message_id) == (Outcome.ACCEPTED, "m-1")


@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>", b"{}", b"[]", b'{"MessageId": ""}', b'{"MessageId": 7}'])
def test_an_answer_that_names_no_message_is_no_accepted_email(body: bytes) -> None:
    answer = ses_fast._answer(HttpResponse(200, {}, bytearray(body)))
    assert (answer.outcome, answer.message_id) == (Outcome.UNCERTAIN, "")


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>", b'{"MessageId": "m-1"}', b"[]"])
def test_a_redirect_or_a_captive_portal_is_no_accepted_email(status: int, body: bytes) -> None:
    answer = ses_fast._answer(HttpResponse(status, {"location": "https://portal.example/"}, bytearray(body)))
    assert (answer.outcome, answer.message_id) == (Outcome.UNCERTAIN, "")


@pytest.mark.parametrize(
    ("code", "status", "message", "outcome"),
    [
        ("TooManyRequestsException", 429, "Maximum sending rate exceeded.", Outcome.THROTTLED),
        ("ThrottlingException", 400, "Rate exceeded", Outcome.THROTTLED),
        ("Throttling", 400, "", Outcome.THROTTLED),
        ("LimitExceededException", 400, "", Outcome.THROTTLED),
        ("", 429, "", Outcome.THROTTLED),
        ("SomethingNew", 401, "", Outcome.HALT),
        ("SomethingNew", 403, "", Outcome.HALT),
        ("", 403, "<html>Forbidden by the proxy</html>", Outcome.HALT),
        ("AccessDeniedException", 400, "", Outcome.HALT),
        ("ExpiredToken", 400, "", Outcome.HALT),
        ("InvalidClientTokenId", 400, "", Outcome.HALT),
        ("SignatureDoesNotMatch", 400, "", Outcome.HALT),
        ("SendingPausedException", 400, "", Outcome.HALT),
        ("AccountSuspendedException", 400, "", Outcome.HALT),
        ("MailFromDomainNotVerifiedException", 400, "", Outcome.HALT),
        ("NotFoundException", 404, "Configuration set <x> does not exist.", Outcome.HALT),
        ("MessageRejected", 400, "Email address is not verified: letter@example.org", Outcome.HALT),
        ("MessageRejected", 400, "EMAIL ADDRESS IS NOT VERIFIED", Outcome.HALT),
        ("MessageRejected", 400, "The message is too large", Outcome.REFUSED),
        ("BadRequestException", 400, "", Outcome.REFUSED),
        ("", 404, "", Outcome.REFUSED),
        ("", 413, "", Outcome.REFUSED),
        ("", 499, "", Outcome.REFUSED),
        ("InternalServiceError", 500, "", Outcome.UNCERTAIN),
        ("", 502, "", Outcome.UNCERTAIN),
        ("", 503, "", Outcome.UNCERTAIN),
        ("", 399, "", Outcome.UNCERTAIN),
        ("", 0, "", Outcome.UNCERTAIN),
    ],
)
def test_what_ses_says_decides_about_this_email_and_about_all_others(
    code: str, status: int, message: str, outcome: Outcome
) -> None:
    assert classify_response(code, status, message).outcome is outcome


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("MessageRejected", "Email address is not verified. These identities failed: ada@example.org, <bob@example.org>"),
        ("MessageRejected", "Missing final '@domain' in ada@example.org"),
        ("SendingPausedException", "Sending paused for letter@example.org.\n\nSee ada@example.org"),
        ("BadRequestException", "x" * 400 + " ada@example.org"),
    ],
)
def test_no_address_that_ses_names_gets_into_the_ledger_or_the_logs(code: str, message: str) -> None:
    detail = classify_response(code, 400, message).detail
    assert "@" not in detail
    assert "example.org" not in detail
    assert code in detail
    assert "\n" not in detail
    assert len(detail) < 400


def test_what_ses_says_beside_an_address_stays_readable() -> None:
    assert (
        "not verified (address) in region eu-central-1"
        in classify_response("MessageRejected", 400, "not verified ada@example.org in region eu-central-1").detail
    )
