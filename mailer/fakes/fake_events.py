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

_POLL_SECONDS = 0.01  # between two checks of a long poll
_MAX_POSTS = 5  # attempts of SNS
_SIMULATED = {  # "Using the mailbox simulator" of AWS's SES guide
    "bounce@simulator.amazonses.com": ["Send", "Permanent"],
    "complaint@simulator.amazonses.com": ["Send", "Delivery", "Complaint"],
    "ooto@simulator.amazonses.com": ["Send", "Delivery", "AutomaticReply"],
    "suppressionlist@simulator.amazonses.com": ["Send", "Permanent/Suppressed"],
}
Answer = tuple[int, str, Any]


class AcceptedEmail(NamedTuple):
    """An accepted email; ``at`` in seconds since 1970."""

    message_id: str
    to: str
    tags: dict[str, str]
    subject: str
    at: float


@dataclass(frozen=True)
class EventBehaviour:
    """Which events are emitted, and how. Shares are of all emails; what neither bounces nor is rejected is delivered."""

    send: bool = True  # an event that the email was accepted
    hard: float = 0.0
    soft: float = 0.0
    automatic_reply: float = 0.0  # of those delivered, after the delivery
    complaint: float = 0.0  # of those delivered, after the delivery
    delay: float = 0.0  # before the outcome
    reject: float = 0.0
    late_s: float = 0.0  # seconds until an event is available
    shuffle_s: float = 0.0  # up to so many more, random for each event: they overtake each other
    double: float = 0.0  # this share is duplicated
    wrapped: bool = False  # in SNS's envelope instead of raw
    topic: str = "arn:aws:sns:eu-central-1:000000000000:events"
    visibility_s: float = 30.0  # a message that is not deleted by then comes again


class FakeEvent(NamedTuple):
    """One event; its JSON is created on demand.

    ``kind`` is the type of SES's event, or that of a bounce (``Permanent``), with a subtype after a slash; ``AutomaticReply``
    is the bounce that SES makes of an out-of-office answer.
    """

    kind: str
    email: AcceptedEmail
    at: float


class FakeEvents:
    """The queue. One event loop, no locks."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.behaviour = EventBehaviour()
        self.queue_attributes: dict[str, str] = {}
        self._waiting: list[tuple[float, int, FakeEvent]] = []
        self._hidden: dict[str, tuple[float, FakeEvent]] = {}
        self._order: deque[str] = deque()
        self._count = itertools.count()

    def behave(self, behaviour: dict[str, Any]) -> None:
        """Change the behaviour. Raises TypeError for an unknown option."""
        self.behaviour = EventBehaviour(**behaviour)

    def stats(self) -> dict[str, int]:
        """Count the waiting messages, and those received and not deleted yet."""
        return {"waiting": len(self._waiting), "hidden": len(self._hidden)}

    def about(self, email: AcceptedEmail) -> None:
        """Emit the events of an email that was just accepted."""
        behaviour, now = self.behaviour, time.monotonic() + self.behaviour.late_s
        for number, kind in enumerate(_SIMULATED.get(email.to) or self._kinds()):
            event = FakeEvent(kind, email, email.at + 0.3 * number)
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
        replies = behaviour.automatic_reply and self.chance.random() < behaviour.automatic_reply
        return [*kinds, "Delivery", *(["AutomaticReply"] if replies else []), *(["Complaint"] if complains else [])]

    def _put(self, due: float, event: FakeEvent) -> None:
        heapq.heappush(self._waiting, (due, next(self._count), event))

    def _due(self, most: int) -> list[FakeEvent]:
        now, found = time.monotonic(), list[FakeEvent]()
        while self._waiting and len(found) < most and self._waiting[0][0] <= now:
            found.append(heapq.heappop(self._waiting)[2])
        return found

    def fill(self, send: str, emails: int) -> None:
        """Emit events of so many emails that were never sent, to subscribers 1, 2, and so on."""
        for number in range(1, emails + 1):
            tags = {"send": send, "subscriber": str(number)}
            self.about(AcceptedEmail(uuid.uuid4().hex, f"reader-{number}@example.org", tags, "A backlog", time.time()))

    def release(self) -> None:
        """Make every event due now, in the order in which it would have come."""
        self._waiting = [(0.0, number, event) for number, (_, _, event) in enumerate(sorted(self._waiting))]

    def take(self, most: int) -> list[str]:
        """Return the bodies of due events, and remove them."""
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
                return 200, "", {"Attributes": {**numbers, **self.queue_attributes}}
        return 400, "InvalidAction", {"message": f"no such operation: {target}"}

    async def _receive(self, request: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + float(request.get("WaitTimeSeconds", 0))
        most = int(request.get("MaxNumberOfMessages", 1))
        while True:
            self._show_again()
            if found := self._due(most):
                seconds = float(request.get("VisibilityTimeout", self.behaviour.visibility_s))
                return {"Messages": [self._message(one, seconds) for one in found]}
            if time.monotonic() >= deadline:
                return {}
            await asyncio.sleep(_POLL_SECONDS)

    def _show_again(self) -> None:
        now = time.monotonic()
        while self._order and (self._order[0] not in self._hidden or self._hidden[self._order[0]][0] <= now):
            if gone := self._hidden.pop(self._order.popleft(), None):
                self._put(now, gone[1])

    def _message(self, event: FakeEvent, visibility_s: float) -> dict[str, Any]:
        receipt = f"{next(self._count)}-{self.chance.getrandbits(64):x}"
        self._hidden[receipt] = (time.monotonic() + visibility_s, event)
        self._order.append(receipt)
        body = json.dumps(event_json(event))
        if self.behaviour.wrapped:
            body = json.dumps({"Type": "Notification", "MessageId": receipt, "TopicArn": self.behaviour.topic, "Message": body})
        digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        attributes = {"SentTimestamp": str(int(event.at * 1000))}
        return {"MessageId": receipt, "ReceiptHandle": receipt, "MD5OfBody": digest, "Body": body, "Attributes": attributes}


def event_json(event: FakeEvent) -> dict[str, Any]:
    """Return the event as SES writes it (event publishing), with only the parts that are always present."""
    email, at = event.email, _stamp(event.at)
    about = {
        "timestamp": _stamp(email.at),
        "source": "letter@example.org",
        "sendingAccountId": "000000000000",
        "messageId": email.message_id,
        "destination": [email.to],
        "headersTruncated": False,
        "headers": [{"name": "To", "value": email.to}, {"name": "Subject", "value": email.subject}],
        "commonHeaders": {"to": [email.to], "messageId": email.message_id, "subject": email.subject},
        "tags": {"ses:configuration-set": ["events"], **{name: [value] for name, value in email.tags.items()}},
    }
    who = [{"emailAddress": email.to}]
    kind, _, subtype = event.kind.partition("/")
    match kind:
        case "Send":
            return {"eventType": "Send", "mail": about, "send": {}}
        case "Delivery":
            answer = (
                "250 2.0.0 OK  1764507174 d9443c01a7336-29bf2a4a1bsi1234567ad.123 - gsmtp"  # as long as servers' usually are
            )
            part = {"timestamp": at, "processingTimeMillis": 300, "recipients": [email.to], "smtpResponse": answer}
            return {"eventType": "Delivery", "mail": about, "delivery": part}
        case "Complaint":
            part = {"timestamp": at, "complainedRecipients": who, "feedbackId": uuid.uuid4().hex}
            part |= {"complaintSubType": subtype} if subtype.startswith("On") else {"complaintFeedbackType": subtype or "abuse"}
            return {"eventType": "Complaint", "mail": about, "complaint": part}
        case "DeliveryDelay":
            part = {"timestamp": at, "delayType": "MailboxFull", "delayedRecipients": who}
            return {"eventType": "DeliveryDelay", "mail": about, "deliveryDelay": part}
        case "Reject":
            return {"eventType": "Reject", "mail": about, "reject": {"reason": "Bad content"}}
        case "AutomaticReply":
            part = {"bounceType": "Transient", "bounceSubType": "General", "bouncedRecipients": who, "timestamp": at}
            return {"eventType": "Bounce", "mail": about, "bounce": {**part, "feedbackId": email.message_id}}
    hard = kind == "Permanent"
    said = f"smtp; 550 5.1.1 <{email.to}>: user unknown" if hard else f"smtp; 452 4.2.2 <{email.to}>: mailbox full"
    part = {
        "bounceType": kind,
        "bounceSubType": subtype or ("General" if hard else "MailboxFull"),
        "bouncedRecipients": [{"emailAddress": email.to, "action": "failed", "diagnosticCode": said}],
        "timestamp": at,
        "feedbackId": email.message_id,
    }
    return {"eventType": "Bounce", "mail": about, "bounce": part}


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FakeSns:
    """The SNS endpoint: signs with a key of its own, serves its certificate, posts to an address."""

    def __init__(self) -> None:
        self.base = ""
        self._made: SnsSigner | None = None
        self._pool = asyncio.Semaphore(8)

    @property
    def signer(self) -> SnsSigner:
        """Created on demand: the key takes a moment, and a fake without SNS needs none."""
        if self._made is None:
            from mailer.fakes.sns_signer import SnsSigner

            self._made = SnsSigner(self.base)
        return self._made

    def page(self, path: str) -> bytes | None:
        """Return the certificate, or the page that confirms a subscription; None for any other address."""
        if path.startswith("/SimpleNotificationService-"):
            return self.signer.certificate
        return b"{}" if path.startswith("/?Action=ConfirmSubscription&") else None

    async def publish(self, where: dict[str, str], body: str) -> None:
        """Post an event until it is accepted, at most five times."""
        message = self.signer.message(where["topic"], body)
        for number in range(_MAX_POSTS):
            if await asyncio.to_thread(_post, where["url"], message) < 300:
                return
            await asyncio.sleep(0.2 * 2**number)

    async def post(self, where: dict[str, str], request: dict[str, Any]) -> dict[str, int]:
        """Post a confirmation; return the status of the response."""
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
