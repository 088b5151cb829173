"""The fake SES's account: what it accepts, refuses and loses, and its log. The HTTP and the SMTP server share it.

Faults: ``{"faults": [{"kind": K, "next": 5}]}`` (or ``"share": 0.1``). ``throttle``, ``error_before``, ``hang_before`` and
``reset_before`` do not accept the email; ``error_after``, ``hang_after`` and ``reset_after`` accept it and then misbehave;
``reject`` and ``paused`` refuse it as SES does.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import quopri
import random
import re
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from mailer.fakes.fake_events import AcceptedEmail, FakeEvents, FakeSns
from mailer.fakes.fake_smtp import smtp_reply

ACCESS_KEY = "AKIAFAKEFAKEFAKEFAKE"
SECRET_KEY = "fake-secret-of-the-fake-ses"
_HANG_SECONDS = 3600.0
_MAX_HEAD_CHARS = 8192  # characters of base64 that contain an email's headers


class ResetConnection(Exception):
    """Drop the connection without a response."""


class ServerError(Exception):
    """A 5xx before the email was accepted."""


@dataclass
class FakeBehaviour:
    """How the fake behaves; ``rate`` in emails a second and ``quota`` in emails a day (-1: none)."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    rate: float = -1
    quota: float = -1
    sending: bool = True
    production: bool = True  # False: the sandbox
    credential: str = ACCESS_KEY
    seed: int = 1
    faults: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, Any] = field(default_factory=dict)  # see ``fake_events.EventBehaviour``; empty: no events
    suppressed: dict[str, str] = field(default_factory=dict)  # the account's suppression list: BOUNCE or COMPLAINT by address
    identities: dict[str, str] | None = None  # "verified", "pending" or "denied" by name; None: everything is verified
    sns: dict[str, str] = field(default_factory=dict)  # url and topic: events are posted there, not queued
    setup: dict[str, Any] = field(default_factory=dict)  # how the account is set up: see ``fake_aws_setup``


class FakeAccount:
    """State and responses; one event loop, no locks."""

    def __init__(self, log: IO[str]) -> None:
        self.log = log
        self.sns = FakeSns()
        self.reset()

    def reset(self) -> None:
        self.behaviour = FakeBehaviour()
        self.chance = random.Random(1)
        self.events = FakeEvents(self.chance)
        self.requests = self.accepted = self.throttled = self.inflight = self.most_inflight = self.connections = self.lost = 0
        self.recent: deque[float] = deque()

    def control(self, change: dict[str, Any]) -> None:
        for name, value in change.items():
            if not hasattr(self.behaviour, name):
                raise ValueError(f"unknown control {name!r}")
            setattr(self.behaviour, name, value)
        if "seed" in change:
            self.chance = self.events.chance = random.Random(change["seed"])
        if "events" in change:
            self.events.behave(change["events"])
        self.events.queue_attributes = self.behaviour.setup.get("queue", {})

    def fault(self) -> str:
        """Return the fault that the next email meets, or ""."""
        for fault in self.behaviour.faults:
            if fault.get("next", 0) > 0:
                fault["next"] -= 1
                return str(fault["kind"])
            if self.chance.random() < fault.get("share", 0):
                return str(fault["kind"])
        return ""

    def over_rate(self) -> bool:
        if self.behaviour.rate <= 0:
            return False
        now = time.monotonic()
        while self.recent and now - self.recent[0] > 1:
            self.recent.popleft()
        if len(self.recent) >= self.behaviour.rate:
            return True
        self.recent.append(now)
        return False

    def accept(self, body: bytes) -> str:
        """Log the email of a call and return its id. Only the headers of an issue are decoded, for speed."""
        if b'"Simple"' in body:
            return self._accept_simple(json.loads(body))
        request, encoded = _without_data(body)
        start = binascii.a2b_base64(encoded[:_MAX_HEAD_CHARS])
        if b"\r\n\r\n" not in start or b"\r\nAuto-Submitted:" in start:
            start = binascii.a2b_base64(encoded)
        return self.log_email(request, start, len(encoded) // 4 * 3 - encoded[-2:].count(b"="))

    def _accept_simple(self, request: dict[str, Any]) -> str:
        """Accept an email that SES builds itself, from a subject, texts and headers."""
        simple = request["Content"]["Simple"]
        headers = [("Subject", simple["Subject"]["Data"]), *((one["Name"], one["Value"]) for one in simple.get("Headers", []))]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
        size = len(head) + sum(len(part["Data"].encode()) for part in simple["Body"].values())
        return self.log_email(request, head + b"\r\n", size)

    def log_email(self, request: dict[str, Any], start: bytes, size: int) -> str:
        """Log an email that begins with ``start`` and has ``size`` bytes in all; return its id."""
        message_id = uuid.uuid4().hex
        head, _, rest = start.partition(b"\r\n\r\n")
        to = ",".join(request["Destination"]["ToAddresses"])
        tags = {tag["Name"]: tag["Value"] for tag in request.get("EmailTags", [])}
        now = time.time()
        line = {
            "at": now,
            "to": to,
            "tags": tags,
            "message_id": message_id,
            "digest": _field(head, b"X-Postmerge-Digest"),
            "unsubscribe_url": _field(head, b"List-Unsubscribe").strip("<>"),
            "subject": _field(head, b"Subject"),
            "configuration_set": request.get("ConfigurationSetName", ""),
            "size": size,
            "links": _links(rest) if b"\r\nAuto-Submitted:" in head else [],
        }
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        self.accepted += 1
        if self.behaviour.events:
            self.events.about(AcceptedEmail(message_id, to, tags, line["subject"], now))
        return message_id

    async def take(self, accept: Callable[[], str]) -> tuple[int, str, Any]:
        """Return SES's response to one email, over HTTP or SMTP; raises ResetConnection or ServerError if there is none."""
        b = self.behaviour
        self.requests += 1
        fault = self.fault()
        if fault == "throttle" or self.over_rate():
            self.throttled += 1
            return 429, "TooManyRequestsException", {"message": "Maximum sending rate exceeded."}
        if 0 <= b.quota <= self.accepted:
            self.throttled += 1
            return 429, "LimitExceededException", {"message": "Daily message quota exceeded."}
        if not b.sending or fault == "paused":
            return 400, "SendingPausedException", {"message": "Email sending is disabled for this account."}
        if fault == "reject":
            return 400, "MessageRejected", {"message": "Email contains a virus."}
        await _misbehave(fault, "before")
        message_id = accept()
        self.lost += fault.endswith("_after")
        await _misbehave(fault, "after")
        if b.latency_s or b.jitter_s:
            await asyncio.sleep(b.latency_s + self.chance.random() * b.jitter_s)
        if fault.startswith("error"):
            return 500, "InternalServiceErrorException", {"message": "An internal error occurred."}
        return 200, "", {"MessageId": message_id}

    async def accept_smtp(self, recipients: list[str], message: bytes) -> str | None:
        """Return the response over SMTP; None drops the connection."""
        request = {"Destination": {"ToAddresses": recipients}}
        try:
            status, code, payload = await self.take(lambda: self.log_email(request, message, len(message)))
        except ResetConnection:
            return None
        except ServerError:
            status, code, payload = 500, "", {}
        return smtp_reply(status, code, payload.get("MessageId") or payload.get("message", ""))

    def answer_suppression(self, method: str, email: str) -> tuple[int, str, Any]:
        """Return SES's response to GetSuppressedDestination or DeleteSuppressedDestination; faults are as for an email."""
        fault, listed = self.fault(), self.behaviour.suppressed
        if fault == "throttle":
            return 429, "TooManyRequestsException", {"message": "Rate exceeded"}
        if fault.startswith("error"):
            raise ServerError
        if email not in listed:
            message = f"Email address {email} does not exist on your suppression list."
            return 404, "NotFoundException", {"message": message}
        if method == "DELETE":
            del listed[email]
            return 200, "", {}
        entry = {"EmailAddress": email, "Reason": listed[email], "LastUpdateTime": time.time()}
        return 200, "", {"SuppressedDestination": entry}

    def answer_identity(self, name: str) -> tuple[int, str, Any]:
        """Return SES's response to GetEmailIdentity."""
        known = self.behaviour.identities
        state = "verified" if known is None else known.get(name)
        if state == "denied":
            return 403, "AccessDeniedException", {"message": "not authorized to perform: ses:GetEmailIdentity"}
        if state is None:
            return 404, "NotFoundException", {"message": f"Email identity {name} does not exist."}
        facts = {"IdentityType": "DOMAIN", "VerifiedForSendingStatus": state == "verified"}
        return 200, "", {**facts, **self.behaviour.setup.get("identities", {}).get(name, {})}

    def facts(self) -> dict[str, Any]:
        """Return what SES reports about the account."""
        b = self.behaviour
        return {
            "SendQuota": {
                "MaxSendRate": b.rate if b.rate > 0 else 10_000,
                "Max24HourSend": b.quota,
                "SentLast24Hours": self.accepted,
            },
            "SendingEnabled": b.sending,
            "ProductionAccessEnabled": b.production,
            "EnforcementStatus": "HEALTHY",
            **b.setup.get("account", {}),
        }


def _without_data(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a request into the rest and the message in base64."""
    key = body.find(b'"Data"')
    start = body.find(b'"', key + 6) + 1
    end = body.find(b'"', start)
    if key >= 0 and body.find(b"\\", start, end) < 0:
        return json.loads(body[:start] + body[end:]), body[start:end]
    request = json.loads(body)
    return request, request["Content"]["Raw"]["Data"].encode()


def _field(head: bytes, name: bytes) -> str:
    """Return a header's value; of folded headers only the first line."""
    start = (b"\r\n" + head).find(b"\r\n" + name + b":")
    if start < 0:
        return ""
    value = head[start + len(name) + 1 :].partition(b"\r\n")[0]
    return value.strip().decode("utf-8", "replace")


def _links(body: bytes) -> list[str]:
    text = quopri.decodestring(body).decode("utf-8", "replace")
    return re.findall(r"https?://[^\s\"<>]+/confirm/[\w-]+", text)[:1]


async def _misbehave(fault: str, when: str) -> None:
    if fault == f"reset_{when}":
        raise ResetConnection
    if fault == f"hang_{when}":
        await asyncio.sleep(_HANG_SECONDS)
    if fault == f"error_{when}" and when == "before":
        raise ServerError
