"""Ask a captcha service such as Turnstile whether a form was submitted by a person. One POST, no redirect, 5 seconds."""

from __future__ import annotations

import json
import urllib.parse

from mailer.core.errors import Unavailable
from mailer.core.net import http_client

TIMEOUT_SECONDS = 5.0  # seconds
_MAX_VERDICT_BYTES = 65_536
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def verify_answer(url: str, secret: str, answer: str, ip: str | None) -> bool:
    """Return the service's verdict about an answer. Raises Unavailable if its response is unreadable.

    The shape is that of Turnstile, hCaptcha and reCAPTCHA: a form with ``secret``, ``response`` and ``remoteip`` goes there,
    JSON with ``success`` comes back.
    """
    body = urllib.parse.urlencode({"secret": secret, "response": answer[:4096], **({"remoteip": ip} if ip else {})}).encode()
    request = http_client.HttpRequest("POST", url, _FORM, body, seconds=TIMEOUT_SECONDS, max_bytes=_MAX_VERDICT_BYTES)
    try:
        response = http_client.send(request)
        said = json.loads(response.body)
    except http_client.NoResponse as error:
        raise Unavailable(f"The challenge's service cannot be asked ({error}).") from error
    except ValueError as error:
        raise Unavailable("The challenge's service answers something that is not JSON.") from error
    if not response.accepted or not isinstance(said, dict) or not isinstance(said.get("success"), bool):
        raise Unavailable("The challenge's service answers something without `success`.")
    return bool(said["success"])
