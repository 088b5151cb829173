from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from mailer.transports.sigv4 import sign

NOW = datetime(2026, 11, 25, 9, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize(("service", "more"), [("ses", {}), ("sqs", {"x-amz-target": "AmazonSQS.ReceiveMessage"})])
@pytest.mark.parametrize("host", ["email.eu-central-1.amazonaws.com", "127.0.0.1:4579"])
def test_our_request_is_signed_as_botocore_signs_it(
    token: str | None, host: str, service: str, more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
    credentials = ReadOnlyCredentials("AKIAEXAMPLE", "a secret", token)
    body = b'{"Content": "\xc3\xa9"}' * 50
    path = "/v2/email/outbound-emails"
    headers = {"content-type": "application/json", **more}
    request = AWSRequest("POST", f"https://{host}{path}", headers=headers, data=body)
    SigV4Auth(credentials, service, "eu-central-1").add_auth(request)
    ours = sign(service, credentials, "eu-central-1", host, path, headers, body, NOW)
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")
