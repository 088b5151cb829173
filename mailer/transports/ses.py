"""Amazon SES v2 through boto3: one attempt for each call, and what its response proves.

boto3's own retries would turn one lost response into two or three emails (measured; see FACTS), so they are off: retries
are up to the ledger. Endpoint, region and credentials come only from AWS's standard variables.
"""

from __future__ import annotations

import re
import threading
from typing import Any

import botocore.exceptions as aws
from botocore.config import Config

from mailer.core.characters import without_addresses
from mailer.core.errors import PostmergeError, Refused, Unavailable
from mailer.core.message import mailable
from mailer.transports.aws_client import make_client
from mailer.transports.base import AccountLimits, Answer, Envelope, Outcome, SuppressionRemoval

# Nothing was sent, or nothing arrived: safe to retry.
_NOT_SENT = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError)
# TLS errors of the handshake; any other may come after the request was sent.
_HANDSHAKE = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|HANDSHAKE|UNSUPPORTED_PROTOCOL|doesn't match", re.IGNORECASE
)
# The configuration is wrong: no email can be sent until it is corrected.
_SETUP = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.NoRegionError,
    aws.InvalidRegionError,
    aws.InvalidConfigError,
    aws.TokenRetrievalError,
    aws.SSOError,
)
_THROTTLED = {"TooManyRequestsException", "ThrottlingException", "Throttling", "LimitExceededException"}
CREDENTIALS = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "ExpiredToken",
    "ExpiredTokenException",
    "AccessDenied",
    "AccessDeniedException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "OptInRequired",
}
NO_PERMISSION = {"AccessDenied", "AccessDeniedException"}
_READING = Config(retries={"mode": "standard", "total_max_attempts": 6})  # reading twice does no harm
# Errors of the account or the sender: every other email of the send would fail in the same way.
_HALT = {"SendingPausedException", "AccountSuspendedException", "MailFromDomainNotVerifiedException", "NotFoundException"}


class Ses:
    """Sends raw messages with ``SendEmail``. ``connections`` calls may run at once; timeouts are in seconds.

    A kept-alive connection that the other side closed just as we wrote looks like a lost answer and counts as uncertain.
    """

    name = "ses"

    def __init__(
        self, configuration_set: str = "", connections: int = 32, connect_timeout: float = 5, read_timeout: float = 20
    ) -> None:
        self._configuration_set = configuration_set
        self._config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=connections,
            tcp_keepalive=True,
            parameter_validation=False,
        )
        self._made: Any = None
        self._lock = threading.Lock()

    def send(self, envelope: Envelope) -> Answer:
        """Send at most one POST; return what its response proves."""
        request: dict[str, Any] = {
            "Destination": {"ToAddresses": [mailable(envelope.to)]},
            "Content": {"Raw": {"Data": envelope.raw}},
            "EmailTags": [{"Name": clean_tag(name), "Value": clean_tag(value)} for name, value in envelope.tags.items()],
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        try:
            answer = self.client().send_email(**request)
        except Exception as error:
            return classify_error(error)
        return accept_response(answer.get("MessageId"))

    def account(self) -> AccountLimits | None:
        """Return the limits from ``GetAccount``. Raises Refused (wrong configuration) or Unavailable."""
        try:
            facts = self.client().get_account()
        except Exception as error:
            raise _explain_failure(error, "SES cannot be asked for its limits") from error
        quota = facts.get("SendQuota", {})
        return AccountLimits(
            rate=float(quota.get("MaxSendRate", 1)),
            quota=float(quota.get("Max24HourSend", 200)),
            sent=float(quota.get("SentLast24Hours", 0)),
            sending=bool(facts.get("SendingEnabled", True)),
            production=bool(facts.get("ProductionAccessEnabled", True)),
        )

    def is_verified(self, address: str) -> bool | None:
        """Is the address, its domain or a parent domain verified for sending? None without ``ses:GetEmailIdentity``.

        SES counts a subdomain as verified with its domain. It answers about one call a second, so calls are retried.
        """
        domains = mailable(address).partition("@")[2].lower().split(".")
        parents = [".".join(domains[at:]) for at in range(len(domains) - 1)]
        try:
            client = make_client("sesv2", self._config.merge(_READING))
            return any(_is_identity_verified(client, name) for name in (parents[0], mailable(address), *parents[1:]))
        except Exception as error:
            if isinstance(error, aws.ClientError) and error.response.get("Error", {}).get("Code") in NO_PERMISSION:
                return None
            raise _explain_failure(error, "SES cannot be asked for verified addresses") from error

    def remove_suppression(self, email: str, complaints: bool = False) -> SuppressionRemoval:
        """Remove an address from the account's suppression list. Raises Refused or Unavailable."""
        try:
            listed = self._call_unless_missing("get_suppressed_destination", email)
            if listed is None:
                return SuppressionRemoval.NOT_LISTED
            if listed.get("SuppressedDestination", {}).get("Reason") == "COMPLAINT" and not complaints:
                return SuppressionRemoval.COMPLAINT
            self._call_unless_missing("delete_suppressed_destination", email)
        except Exception as error:
            raise _explain_failure(error, "The address could not be removed from SES's suppression list") from error
        return SuppressionRemoval.REMOVED

    def _call_unless_missing(self, operation: str, email: str) -> dict[str, Any] | None:
        """Call an operation on one address of the suppression list; None if SES does not list it."""
        try:
            found: dict[str, Any] = getattr(self.client(), operation)(EmailAddress=mailable(email))
        except aws.ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NotFoundException":
                return None
            raise
        return found

    def client(self) -> Any:
        """Return boto3's client, created once. Raises botocore's errors for an incomplete configuration."""
        with self._lock:
            if self._made is None:
                self._made = make_client("sesv2", self._config)
            return self._made


def _is_identity_verified(client: Any, name: str) -> bool:
    try:
        return bool(client.get_email_identity(EmailIdentity=name).get("VerifiedForSendingStatus"))
    except aws.ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NotFoundException":
            return False
        raise


def _explain_failure(error: Exception, what: str) -> PostmergeError:
    """Return Refused for a set-up that must be corrected, else Unavailable."""
    answer = classify_error(error)
    if answer.outcome in (Outcome.HALT, Outcome.REFUSED):
        return Refused(answer.detail)
    return Unavailable(f"{what} ({answer.detail}): try again in a while.")


def accept_response(message_id: object) -> Answer:
    """Classify a 2xx response: SES always returns a message id; without one, something else responded (a captive portal?)."""
    if message_id and isinstance(message_id, str):
        return Answer(Outcome.ACCEPTED, message_id=message_id)
    return Answer(Outcome.UNCERTAIN, detail="the answer names no message, so it may not be from SES")


def classify_error(error: Exception) -> Answer:
    """Classify an exception of boto3. The detail never contains an address."""
    if isinstance(error, _NOT_SENT) or (isinstance(error, aws.SSLError) and _HANDSHAKE.search(str(error))):
        return Answer(Outcome.RETRY, detail=f"SES could not be reached ({type(error).__name__}).")
    if isinstance(error, aws.NoRegionError):
        return Answer(
            Outcome.HALT, detail="AWS_REGION is not set: set it to the region of your SES account, such as eu-central-1."
        )
    if isinstance(error, _SETUP):
        return Answer(
            Outcome.HALT, detail=f"The AWS set-up is incomplete ({_clean(str(error))}): set credentials and AWS_REGION."
        )
    if isinstance(error, aws.ClientError):
        facts: Any = error.response
        said = facts.get("Error", {})
        status = int(facts.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return classify_response(str(said.get("Code", "")), status, str(said.get("Message", "")))
    return Answer(Outcome.UNCERTAIN, detail=f"The answer of SES was lost ({type(error).__name__}).")


def classify_response(code: str, status: int, message: str) -> Answer:
    """Classify a response that is not 2xx, by SES's error code, the HTTP status, and the message."""
    said = _clean(message)
    if code in _THROTTLED or status == 429:
        return Answer(Outcome.THROTTLED, detail=f"SES asked for less ({code}).")
    if code in CREDENTIALS or status in (401, 403):
        return Answer(
            Outcome.HALT, detail=f"SES does not accept the AWS credentials ({code}): check AWS_ACCESS_KEY_ID and its rights."
        )
    if code in _HALT or "not verified" in said.lower():
        return Answer(Outcome.HALT, detail=f"SES takes no mail from this account now ({code}: {said})")
    if 400 <= status < 500:
        return Answer(Outcome.REFUSED, detail=f"SES refused the message ({code}: {said})")
    return Answer(Outcome.UNCERTAIN, detail=f"SES answered with an error of its own ({status} {code}).")


def _clean(text: str) -> str:
    return without_addresses(" ".join(text.split()))[:300]


def clean_tag(text: str) -> str:
    """Return a tag's name or value with only the characters that SES allows."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:256]
