"""The queue of SES's events: Amazon SQS through boto3, or with less work for each call.

``FastSqs`` is to ``Sqs`` what ``FastSes`` is to ``Ses``: botocore's signer over kept-alive connections, since a call of boto3
takes a millisecond of CPU and ten events need two of them. Endpoint, region and credentials come from AWS's standard variables.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.request import getproxies

import botocore.exceptions as aws
import orjson
from botocore.config import Config

from mailer.core import event_loop
from mailer.core.errors import BadInput, PostmergeError, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.transports.aws_client import AwsEndpoint, error_code, make_client
from mailer.transports.base import Outcome
from mailer.transports.http_connection import HttpResponse
from mailer.transports.ses import classify_error
from mailer.transports.sqs import Queue, QueueMessage

MAX_MESSAGES = 10  # messages for each call; SQS's limit
_MAX_WAIT_SECONDS = 20  # of one long poll; SQS's limit
_SENT, _MAX_MILLISECOND_DIGITS = "SentTimestamp", 15
_METHODS = {"ReceiveMessage": "receive_message", "DeleteMessageBatch": "delete_message_batch"}


def make_queue(settings: Settings) -> Queue:
    """Return the configured queue. Raises BadInput if there is none."""
    if not settings.sqs_queue_url:
        raise BadInput("POSTMERGE_SQS_QUEUE_URL is not set: give it the URL of the queue that SES's events go to.")
    made = Sqs if settings.ses_client == "boto3" or "https" in getproxies() else FastSqs
    return made(settings.sqs_queue_url)


class Sqs:
    """An SQS queue through boto3."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: Any = None
        self._lock = threading.Lock()

    def receive(self, seconds: int) -> list[QueueMessage]:
        """Receive up to ten messages; wait at most so many seconds for the first."""
        request_body = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": MAX_MESSAGES,
            "WaitTimeSeconds": min(_MAX_WAIT_SECONDS, seconds),
            "AttributeNames": [_SENT],
        }
        found = self._ask("ReceiveMessage", request_body).get("Messages") or []
        return [QueueMessage(one["Body"], one["ReceiptHandle"], _read_sent_at(one)) for one in found]

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages; ignore those already deleted. A message that SQS fails to delete comes again, which is safe."""
        for start in range(0, len(receipts), MAX_MESSAGES):
            some = receipts[start : start + MAX_MESSAGES]
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(some)]
            self._ask("DeleteMessageBatch", {"QueueUrl": self._url, "Entries": entries})

    def _ask(self, operation: str, request_body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = getattr(self.client(), _METHODS[operation])(**request_body)
        except Exception as error:
            raise _as_our_error(error) from error
        return dict(answer)

    def client(self) -> Any:
        """Return boto3's client, created once. Its retries may stay on: receiving and deleting again changes nothing."""
        with self._lock:
            if self._made is None:
                config = Config(connect_timeout=5, read_timeout=_MAX_WAIT_SECONDS + 10, max_pool_connections=50)
                self._made = make_client("sqs", config)
            return self._made


class FastSqs(Sqs):
    """The same queue with a quarter of the CPU."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._endpoint_client = AwsEndpoint("sqs", self.client, 5, _MAX_WAIT_SECONDS + 10)

    def _ask(self, operation: str, request_body: dict[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{operation}"}
        try:
            request = self._endpoint_client.request("/", headers, orjson.dumps(request_body))
            response = event_loop.wait(self._endpoint_client.ask(request))
        except Exception as error:
            raise _as_our_error(error) from error
        return _facts(response, operation)


def _read_sent_at(message: dict[str, Any]) -> datetime | None:
    text = str((message.get("Attributes") or {}).get(_SENT, ""))
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdecimal() and len(text) < _MAX_MILLISECOND_DIGITS else None


def _facts(response: HttpResponse, operation: str) -> dict[str, Any]:
    try:
        facts: Any = orjson.loads(response.body or b"{}")
    except ValueError:
        facts = {}
    if not 200 <= response.status < 300 or not isinstance(facts, dict):
        code = error_code(response, facts if isinstance(facts, dict) else {})
        said = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": response.status}}
        raise _as_our_error(aws.ClientError(said, operation))  # type: ignore[arg-type]
    return facts


def _as_our_error(error: Exception) -> PostmergeError:
    """Convert an error: Refused if the configuration is wrong, Unavailable if it may work again later."""
    if isinstance(error, aws.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if "NonExistentQueue" in code or "QueueDoesNotExist" in code:
            return Refused("There is no queue at POSTMERGE_SQS_QUEUE_URL: check the URL and AWS_REGION.")
    answer = classify_error(error)
    if answer.outcome in (Outcome.HALT, Outcome.REFUSED):
        return Refused(f"SQS does not give the events: {answer.detail.replace('SES', 'AWS')}")
    return Unavailable(f"SQS cannot be reached just now ({type(error).__name__}).")
