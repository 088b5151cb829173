"""The fake SES's events about accepted emails: in a queue that speaks SQS's JSON protocol, or posted as SNS does.

``POST /_control`` with ``{"events": {"hard": 0.01, "late_s": 0.2, ...}}`` switches them on: see ``EventBehaviour``.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import json
import random
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mailer.fakes.sns_signer import SnsSigner

_POLL_SECONDS = 0.01  # seconds between two looks of a long poll
_MAX_POSTS = 5  # tries of SNS
Answer = tuple[int, str, Any]


class AcceptedEmail(NamedTuple):
    """An accepted mail; ``at`` in seconds since 1970."""

    message_id: str
    to: str
    tags: dict[str, str]
    subject: str
    at: float


@dataclass(frozen=True)
class EventBehaviour:
    """Which events come, and how. Shares are of all mails; what neither bounces nor is rejected is delivered."""

    send: bool = True  # an event that the mail was accepted
    hard: float = 0.0
    soft: float = 0.0
    complaint: float = 0.0  # of those delivered, and after that
    delay: float = 0.0  # before the outcome
    reject: float = 0.0
    late_s: float = 0.0  # seconds until an event can be had
    shuffle_s: float = 0.0  # and up to so many more, each event its own: they overtake each other
    double: float = 0.0  # this share comes twice
    wrapped: bool = False  # in SNS's envelope, instead of raw
    topic: str = "arn:aws:sns:eu-central-1:000000000000:events"
    visibility_s: float = 30.0  # a message not deleted by then comes again


class FakeEvent(NamedTuple):
    """One event; its JSON is made when somebody asks for it."""

    kind: str
    mail: AcceptedEmail
    at: float


class FakeEvents:
    """The queue. One event loop, no locks."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.behaviour = EventBehaviour()
        self._waiting: list[tuple[float, int, FakeEvent]] = []
        self._hidden: dict[str, tuple[float, FakeEvent]] = {}
        self._order: deque[str] = deque()
        self._count = itertools.count()

    def behave(self, behaviour: dict[str, Any]) -> None:
        """From now on so. Raises TypeError for a habit that is not known."""
        self.behaviour = EventBehaviour(**behaviour)

    def stats(self) -> dict[str, int]:
        """Messages that wait, and those handed out and not deleted yet."""
        return {"waiting": len(self._waiting), "hidden": len(self._hidden)}

    def about(self, mail: AcceptedEmail) -> None:
        """Events of a mail that was accepted just now."""
        behaviour, now = self.behaviour, time.monotonic() + self.behaviour.late_s
        for number, kind in enumerate(self._kinds()):
            event = FakeEvent(kind, mail, mail.at + 0.3 * number)
            times = 2 if behaviour.double and self.chance.random() < behaviour.double else 1
            for _ in range(times):
                self._put(now + (self.chance.random() * behaviour.shuffle_s if behaviour.shuffle_s else 0), event)

    def _kinds(self) -> list[str]:
        behaviour, dice = self.behaviour, self.chance.random()
        kinds = ["Send"] if behaviour.send else []
        if behaviour.delay and self.chance.random() < behaviour.delay:
            kinds.append("DeliveryDelay")
        for share, kind in ((behaviour.hard, "Permanent"), (behaviour.soft, "Transient"), (behaviour.reject, "Reject")):
            if dice < share:
                return [*kinds, kind]
            dice -= share
        complains = behaviour.complaint and self.chance.random() < behaviour.complaint
        return [*kinds, "Delivery", *(["Complaint"] if complains else [])]

    def _put(self, due: float, event: FakeEvent) -> None:
        heapq.heappush(self._waiting, (due, next(self._count), event))

    def _due(self, most: int) -> list[FakeEvent]:
        now, found = time.monotonic(), list[FakeEvent]()
        while self._waiting and len(found) < most and self._waiting[0][0] <= now:
            found.append(heapq.heappop(self._waiting)[2])
        return found

    def fill(self, send: str, mails: int) -> None:
        """Events of so many mails that were never sent, to readers 1, 2, and on."""
        for number in range(1, mails + 1):
            tags = {"send": send, "subscriber": str(number)}
            self.about(AcceptedEmail(uuid.uuid4().hex, f"reader-{number}@example.org", tags, "A backlog", time.time()))

    def release(self) -> None:
        """Everything is due now, in the order in which it would have come."""
        self._waiting = [(0.0, number, event) for number, (_, _, event) in enumerate(sorted(self._waiting))]

    def take(self, most: int) -> list[str]:
        """Bodies of events that are due, taken out for good."""
        return [json.dumps(event_json(one)) for one in self._due(most)]

    async def sqs(self, target: str, request: dict[str, Any]) -> Answer:
        """Answer an operation of SQS."""
        match target.removeprefix("AmazonSQS."):
            case "ReceiveMessage":
                return 200, "", await self._receive(request)
            case "DeleteMessage":
                self._hidden.pop(request["ReceiptHandle"], None)
                return 200, "", {}
            case "DeleteMessageBatch":
                for entry in request["Entries"]:
                    self._hidden.pop(entry["ReceiptHandle"], None)
                return 200, "", {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}
            case "GetQueueAttributes":
                visible, hidden = str(len(self._waiting)), str(len(self._hidden))
                numbers = {"ApproximateNumberOfMessages": visible, "ApproximateNumberOfMessagesNotVisible": hidden}
                return 200, "", {"Attributes": numbers}
        return 400, "InvalidAction", {"message": f"no such operation: {target}"}

    async def _receive(self, request: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + float(request.get("WaitTimeSeconds", 0))
        most = int(request.get("MaxNumberOfMessages", 1))
        while True:
            self._show_again()
            if found := self._due(most):
                return {"Messages": [self._message(one) for one in found]}
            if time.monotonic() >= deadline:
                return {}
            await asyncio.sleep(_POLL_SECONDS)

    def _show_again(self) -> None:
        now = time.monotonic()
        while self._order and (self._order[0] not in self._hidden or self._hidden[self._order[0]][0] <= now):
            if gone := self._hidden.pop(self._order.popleft(), None):
                self._put(now, gone[1])

    def _message(self, event: FakeEvent) -> dict[str, str]:
        receipt = f"{next(self._count)}-{self.chance.getrandbits(64):x}"
        self._hidden[receipt] = (time.monotonic() + self.behaviour.visibility_s, event)
        self._order.append(receipt)
        body = json.dumps(event_json(event))
        if self.behaviour.wrapped:
            body = json.dumps({"Type": "Notification", "MessageId": receipt, "TopicArn": self.behaviour.topic, "Message": body})
        digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": receipt, "ReceiptHandle": receipt, "MD5OfBody": digest, "Body": body}


def event_json(event: FakeEvent) -> dict[str, Any]:
    """The event as SES writes it (event publishing): only the parts that it always has."""
    mail, at = event.mail, _stamp(event.at)
    about = {
        "timestamp": _stamp(mail.at),
        "source": "letter@example.org",
        "sendingAccountId": "000000000000",
        "messageId": mail.message_id,
        "destination": [mail.to],
        "headersTruncated": False,
        "headers": [{"name": "To", "value": mail.to}, {"name": "Subject", "value": mail.subject}],
        "commonHeaders": {"to": [mail.to], "messageId": mail.message_id, "subject": mail.subject},
        "tags": {"ses:configuration-set": ["events"], **{name: [value] for name, value in mail.tags.items()}},
    }
    who = [{"emailAddress": mail.to}]
    match event.kind:
        case "Send":
            return {"eventType": "Send", "mail": about, "send": {}}
        case "Delivery":
            part = {"timestamp": at, "processingTimeMillis": 300, "recipients": [mail.to], "smtpResponse": "250 2.0.0 OK"}
            return {"eventType": "Delivery", "mail": about, "delivery": part}
        case "Complaint":
            part = {
                "timestamp": at,
                "complainedRecipients": who,
                "complaintFeedbackType": "abuse",
                "feedbackId": uuid.uuid4().hex,
            }
            return {"eventType": "Complaint", "mail": about, "complaint": part}
        case "DeliveryDelay":
            part = {"timestamp": at, "delayType": "MailboxFull", "delayedRecipients": who}
            return {"eventType": "DeliveryDelay", "mail": about, "deliveryDelay": part}
        case "Reject":
            return {"eventType": "Reject", "mail": about, "reject": {"reason": "Bad content"}}
    hard = event.kind == "Permanent"
    said = f"smtp; 550 5.1.1 <{mail.to}>: user unknown" if hard else f"smtp; 452 4.2.2 <{mail.to}>: mailbox full"
    part = {
        "bounceType": event.kind,
        "bounceSubType": "General" if hard else "MailboxFull",
        "bouncedRecipients": [{"emailAddress": mail.to, "action": "failed", "diagnosticCode": said}],
        "timestamp": at,
        "feedbackId": mail.message_id,
    }
    return {"eventType": "Bounce", "mail": about, "bounce": part}


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FakeSns:
    """The door of SNS: signs with a key of its own, serves its certificate, posts to an address."""

    def __init__(self) -> None:
        self.base = ""
        self._made: SnsSigner | None = None
        self._pool = asyncio.Semaphore(8)

    @property
    def signer(self) -> SnsSigner:
        """Made when first needed: the key takes a moment, and a fake without SNS needs none."""
        if self._made is None:
            from mailer.fakes.sns_signer import SnsSigner

            self._made = SnsSigner(self.base)
        return self._made

    def page(self, path: str) -> bytes | None:
        """The certificate, or the page that confirms a subscription; None for any other address."""
        if path.startswith("/SimpleNotificationService-"):
            return self.signer.certificate
        return b"{}" if path.startswith("/?Action=ConfirmSubscription&") else None

    async def publish(self, where: dict[str, str], body: str) -> None:
        """Post an event until it is taken, at most five times."""
        message = self.signer.message(where["topic"], body)
        for number in range(_MAX_POSTS):
            if await asyncio.to_thread(_post, where["url"], message) < 300:
                return
            await asyncio.sleep(0.2 * 2**number)

    async def post(self, where: dict[str, str], request: dict[str, Any]) -> dict[str, int]:
        """Post a confirmation; the status of the answer."""
        message = self.signer.message(where["topic"], "You have chosen to subscribe.", request["kind"])
        return {"status": await asyncio.to_thread(_post, where["url"], message)}


def _post(url: str, body: bytes) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain; charset=UTF-8"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 599
