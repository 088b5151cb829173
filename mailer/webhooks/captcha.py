"""Ask a captcha service such as Turnstile whether a form was submitted by a person. One POST, no redirect, 5 seconds."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from http.client import HTTPException

from mailer.core.errors import Unavailable
from mailer.webhooks.sns_fetch import opener

TIMEOUT_SECONDS = 5.0  # seconds
_MAX_VERDICT_BYTES = 65_536


def verify_answer(url: str, secret: str, answer: str, ip: str | None) -> bool:
    """Return the service's verdict about an answer. Raises Unavailable if its response is unreadable.

    The shape is that of Turnstile, hCaptcha and reCAPTCHA: a form with ``secret``, ``response`` and ``remoteip`` goes there,
    JSON with ``success`` comes back.
    """
    body = urllib.parse.urlencode({"secret": secret, "response": answer[:4096], **({"remoteip": ip} if ip else {})})
    try:
        request = urllib.request.Request(url, body.encode(), method="POST")  # noqa: S310
        with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
            said = json.loads(reply.read(_MAX_VERDICT_BYTES))
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"The challenge's service cannot be asked ({type(error).__name__}).") from error
    if not isinstance(said, dict) or not isinstance(said.get("success"), bool):
        raise Unavailable("The challenge's service answers something without `success`.")
    return bool(said["success"])
