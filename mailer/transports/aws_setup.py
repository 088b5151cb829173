"""Read how SES, SNS and SQS are set up, for ``postmerge doctor``. Nothing is changed."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import botocore.exceptions as aws
from botocore.config import Config

from mailer.core.errors import PostmergeError
from mailer.core.settings import aws_region
from mailer.transports.aws_client import make_client
from mailer.transports.base import Outcome
from mailer.transports.ses import CREDENTIALS, NO_PERMISSION, classify_error

_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
_MISSING = ("NotFound", "NonExistentQueue", "QueueDoesNotExist")


class AwsProblem(StrEnum):
    """Why AWS did not answer a question."""

    MISSING = "missing"  # there is no such thing
    DENIED = "denied"  # our credentials may not ask
    CREDENTIALS = "credentials"  # there are none, or AWS does not accept them
    UNREACHABLE = "unreachable"
    REFUSED = "refused"  # for another reason


class AwsRefusal(PostmergeError):
    """AWS did not answer; ``action`` is the permission that the question needs, such as ``ses:GetAccount``."""

    def __init__(self, problem: AwsProblem, action: str, sentence: str) -> None:
        super().__init__(sentence)
        self.problem, self.action = problem, action


class AwsSetup:
    """Questions to AWS in the region of the environment."""

    def __init__(self) -> None:
        self.region = aws_region() or ""
        self._clients: dict[str, Any] = {}

    def ask(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """Return AWS's answer to an operation (``get_account``) of a service (``sesv2``). Raises AwsRefusal."""
        try:
            if service not in self._clients:
                self._clients[service] = make_client(service, _CONFIG)
                self.region = self._clients[service].meta.region_name
            found: dict[str, Any] = getattr(self._clients[service], operation)(**request)
        except Exception as error:
            raise _explain(error, name_action(service, operation)) from error
        return found


def name_action(service: str, operation: str) -> str:
    """Return the permission for an operation; those on several messages have the name of the one on one."""
    return f"{service.removesuffix('v2')}:{''.join(word.title() for word in operation.removesuffix('_batch').split('_'))}"


def _explain(error: Exception, action: str) -> AwsRefusal:
    if not isinstance(error, aws.ClientError):
        answer = classify_error(error)
        problem = AwsProblem.CREDENTIALS if answer.outcome is Outcome.HALT else AwsProblem.UNREACHABLE
        return AwsRefusal(problem, action, answer.detail.replace("SES", "AWS"))
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    if code in (*NO_PERMISSION, "AuthorizationError", "AuthorizationErrorException"):
        return AwsRefusal(AwsProblem.DENIED, action, f"The AWS credentials lack the permission {action}.")
    if code in CREDENTIALS:
        return AwsRefusal(AwsProblem.CREDENTIALS, action, f"AWS does not accept the credentials ({code}).")
    if any(word in code for word in _MISSING):
        return AwsRefusal(AwsProblem.MISSING, action, f"AWS knows no such thing ({code}).")
    return AwsRefusal(AwsProblem.REFUSED, action, f"AWS answered {action} with {code}: {message[:200]}")
