"""The doctor's round trip: an email to each address of SES's mailbox simulator, and the wait for its event.

Such emails count neither as bounces nor as complaints at AWS, and here they are test emails, which suppress nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailer.core.db import Database
from mailer.core.errors import PostmergeError, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.flows.events import email_events
from mailer.flows.operations.doctor.checkups import Checkup, fine, unknown, wrong
from mailer.flows.transactional.test_emails import TestText, build_message
from mailer.store.transactional import test_emails
from mailer.store.transactional.test_emails import TestEmail
from mailer.transports.base import Envelope, Outcome, Transport
from mailer.transports.ses_queue import make_queue
from mailer.transports.sqs import Queue

# The states that the event of each simulated mailbox proves ("Using the mailbox simulator" of AWS's SES guide).
SIMULATED = {
    "success": ("delivered",),
    "bounce": ("bounced",),
    "complaint": ("complained",),
    "ooto": ("delivered",),
    "suppressionlist": ("bounced", "skipped"),
}
_POLL_SECONDS = 1
_NO_EVENT = (
    "Compare the configuration set's event destination, the SNS subscription and the SQS policy above; see also: postmerge"
    " events --unread"
)


@dataclass
class SimulatedEmail:
    """An email that was accepted; ``seconds`` until its event came, None before that."""

    mailbox: str
    email_id: int
    state: str = "accepted"
    seconds: float | None = None
    sent_at: float = field(default_factory=time.monotonic)


def run_simulation(database: Database, settings: Settings, transport: Transport, wait: float) -> Iterator[Checkup]:
    """Send an email to each mailbox and wait at most ``wait`` seconds for the events, which are processed as usual."""
    sent = []
    for mailbox in SIMULATED:
        answer = _send(database, settings, transport, mailbox)
        if isinstance(answer, SimulatedEmail):
            sent.append(answer)
        else:
            yield answer
            if mailbox == "success":
                return  # the others would fail in the same way
    try:
        _wait_for_events(database, settings, sent, wait)
    except Unavailable as error:
        yield unknown("simulator", str(error), "Try again in a while.")
        return
    except PostmergeError as error:
        yield wrong("simulator", str(error), _NO_EVENT)
        return
    for email in sent:
        yield _judge(email, wait)


def _send(database: Database, settings: Settings, transport: Transport, mailbox: str) -> SimulatedEmail | Checkup:
    address = f"{mailbox}@{email_events.SIMULATOR_DOMAIN}"
    text = TestText(
        "doctor",
        number=1,
        variant="",
        subject=f"postmerge doctor: {mailbox}",
        html="<html lang='en'><body><p>A test of events by postmerge doctor.</p></body></html>",
        text="A test of events by postmerge doctor.\n",
        lang="en",
        url=settings.site_url or settings.api_url,
        digest="",
    )
    try:
        raw = build_message(settings, text, address)
    except PostmergeError as error:
        return wrong(f"simulator: {mailbox}", str(error), "Correct POSTMERGE_SENDER.")
    with database.transaction() as tx:
        email_id = test_emails.add(tx, TestEmail(address, "doctor", "doctor", 1, "", ""))
    answer = transport.send(Envelope(address, raw, {"test": str(email_id)}))
    accepted = answer.outcome is Outcome.ACCEPTED
    with database.transaction() as tx:
        state = "accepted" if accepted else "failed"
        if test_emails.get_states(tx, [email_id]).get(email_id) == "claimed":  # its event may be faster
            test_emails.record_outcome(tx, email_id, state, answer.message_id, answer.detail[:500])
    if accepted:
        return SimulatedEmail(mailbox, email_id)
    how = "Give the credentials ses:SendEmail for the identity and the configuration set: docs/how-to/ses.md."
    return wrong(f"simulator: {mailbox}", f"Not sent: {answer.detail or answer.outcome}", how)


def _wait_for_events(database: Database, settings: Settings, sent: list[SimulatedEmail], wait: float) -> None:
    """Process events beside ``postmerge events``, if it runs, until each email has its own. Raises Refused or Unavailable."""
    queue = make_queue(settings) if settings.sqs_queue_url else None
    deadline = time.monotonic() + wait
    while any(one.seconds is None for one in sent) and time.monotonic() < deadline:
        if queue:
            _process_events(database, settings, queue)
        else:
            time.sleep(_POLL_SECONDS)
        with database.transaction() as tx:
            states = test_emails.get_states(tx, [one.email_id for one in sent])
        for one in sent:
            one.state = states.get(one.email_id, one.state)
            if one.seconds is None and one.state in SIMULATED[one.mailbox]:
                one.seconds = time.monotonic() - one.sent_at


def _process_events(database: Database, settings: Settings, queue: Queue) -> None:
    try:
        messages = queue.receive(_POLL_SECONDS)
    except Unavailable:
        time.sleep(_POLL_SECONDS)
        return
    if messages:
        email_events.process_one_by_one(database, settings, [message.body for message in messages])
        try:
            queue.delete([message.receipt for message in messages])
        except Refused:
            raise
        except Unavailable:
            return  # they come again, which changes nothing


def _judge(email: SimulatedEmail, wait: float) -> Checkup:
    name = f"simulator: {email.mailbox}"
    if email.seconds is not None:
        return fine(name, f"{email.state} after {email.seconds:.0f} s")
    expected = " or ".join(SIMULATED[email.mailbox])
    return wrong(name, f"No event within {wait:.0f} s: still {email.state}, where {expected} was expected.", _NO_EVENT)
