"""Amazon SES v2 with less work for each email: botocore's signer over kept-alive HTTP connections on one asyncio loop.

Outcomes are classified by ``ses.classify_response``. Measured with ``bench/send.py``; ``POSTMERGE_SES_CLIENT=boto3`` selects
the reference.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson

from mailer.core import event_loop
from mailer.core.message import mailable
from mailer.transports.aws_client import AwsEndpoint, error_code
from mailer.transports.base import AccountLimits, Answer, Envelope, Outcome, SuppressionRemoval
from mailer.transports.http_connection import HttpResponse, Unreachable
from mailer.transports.ses import Ses, accept_response, classify_error, classify_response, clean_tag

_PATH = "/v2/email/outbound-emails"
_HEADERS = {"content-type": "application/json"}


class FastSes:
    """The same protocol as ``Ses``. Thread-safe; timeouts are in seconds."""

    name = "ses"

    def __init__(
        self, configuration_set: str = "", connections: int = 32, connect_timeout: float = 5, read_timeout: float = 20
    ) -> None:
        self._reference = Ses(configuration_set, connections, connect_timeout, read_timeout)
        self._configuration_set = configuration_set
        self._endpoint_client = AwsEndpoint("ses", self._reference.client, connect_timeout, read_timeout)

    def send(self, envelope: Envelope) -> Answer:
        """Send at most one POST; return what its response proves."""
        return event_loop.wait(self.send_async(envelope))

    async def send_async(self, envelope: Envelope) -> Answer:
        """``send`` on the shared loop."""
        try:
            request = self._endpoint_client.request(_PATH, _HEADERS, self._body(envelope))
        except Exception as error:
            return classify_error(error)
        try:
            response = await self._endpoint_client.ask(request)
        except Unreachable as error:
            return Answer(Outcome.RETRY, detail=f"SES could not be reached ({error}).")
        except Exception as error:
            return Answer(Outcome.UNCERTAIN, detail=f"The answer of SES was lost ({type(error).__name__}).")
        return _answer(response)

    def account(self) -> AccountLimits | None:
        """Return the limits from ``GetAccount``, through boto3."""
        return self._reference.account()

    def is_verified(self, address: str) -> bool | None:
        """Is the address or a domain that it is in verified? Through boto3."""
        return self._reference.is_verified(address)

    def remove_suppression(self, email: str, complaints: bool = False) -> SuppressionRemoval:
        """Remove an address from the account's suppression list, through boto3."""
        return self._reference.remove_suppression(email, complaints)

    def _body(self, envelope: Envelope) -> bytes:
        request: dict[str, Any] = {
            "Destination": {"ToAddresses": [mailable(envelope.to)]},
            "EmailTags": [{"Name": clean_tag(name), "Value": clean_tag(value)} for name, value in envelope.tags.items()],
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        rest = orjson.dumps(request)[1:]
        return b"".join((b'{"Content": {"Raw": {"Data": "', base64.b64encode(envelope.raw), b'"}}, ', rest))


def _answer(response: HttpResponse) -> Answer:
    try:
        facts: Any = orjson.loads(response.body)
    except ValueError:
        facts = {}
    if not isinstance(facts, dict):
        facts = {}
    if 200 <= response.status < 300:
        return accept_response(facts.get("MessageId"))
    return classify_response(
        error_code(response, facts), response.status, str(facts.get("message") or facts.get("Message") or "")
    )
