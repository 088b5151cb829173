"""Unsubscribe by an email to POSTMERGE_UNSUBSCRIBE_ADDRESS, in the sender's own words.

- A token in the subject or the recipient (the ``mailto:`` of List-Unsubscribe): unsubscribed.
- A plain request with proof of who the sender is, their own unsubscribe link in the quoted email or the receiving server's
  DMARC check: unsubscribed. The sender's address alone proves nothing.
- Anything else that a person sent: the address gets the link to its preferences, within the limits of ``/reader``. What asks
  for nothing that we recognize is kept for the operator too.
- Bounces and automatic replies are never answered, to prevent loops.
"""

from __future__ import annotations

import re
from enum import StrEnum

from mailer.core import addresses, log, tokens
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.subscribers import preferences, signup
from mailer.store.events import rejected_events
from mailer.store.subscribers import consent_log, subscribers
from mailer.webhooks import incoming_email, unsubscribe_requests
from mailer.webhooks.incoming_email import IncomingEmail

logger = log.get("unsubscribe")

MAX_KEPT_EMAILS = 1000  # of those that ask for nothing recognized; the oldest go first
_REPLY = re.compile(r"\s*(?:re|aw|sv|antw|tr|rv|r|fw|fwd|wg|答复|回复)\s*[:：]", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{48})(?![A-Za-z0-9_-])")


class UnsubscribeEmailOutcome(StrEnum):
    """What an email did; the value is the log message for whoever pipes in emails."""

    UNSUBSCRIBED = "The subscriber is unsubscribed."
    ALREADY = "The subscriber was already unsubscribed."
    OTHER_ADDRESS = "Ignored: the email with this link went to an address that gets no emails any more."
    LINK_SENT = "If a subscriber has this address, an email with the link to their preferences is on its way."
    AUTOMATIC = "Ignored: a bounce or an automatic reply."
    KEPT = "Kept for you: `postmerge events --unread` shows the email. If a subscriber has its address, they get a link."


def process_email(
    database: Database, settings: Settings, raw: bytes, is_sender_verified: bool = False
) -> UnsubscribeEmailOutcome:
    """Process one raw email. Repeating it has no effect. Raises Unavailable.

    ``is_sender_verified``: the receiving server checked that the sender's domain sent it (DMARC). It counts only if the email
    names one author, because the server may have read another one than we do.
    """
    email = incoming_email.read_email(raw)
    if email is None:
        _keep(database, raw, "An email to the unsubscribe address could not be read.")
        return _log_outcome(UnsubscribeEmailOutcome.KEPT)
    if email.answered_by_machine:
        return _log_outcome(UnsubscribeEmailOutcome.AUTOMATIC)
    if token := _find_token(settings, f"{email.subject} {email.recipients}"):
        return _unsubscribe_by_token(database, settings, token)
    if email.sent_by_machine:
        return _log_outcome(UnsubscribeEmailOutcome.AUTOMATIC)
    if not _is_plain_request(email):
        return _answer_and_keep(database, email, raw)
    if (token := _find_token(settings, email.everything)) and _is_token_of_sender(database, settings, token, email.sender):
        return _unsubscribe_by_token(database, settings, token)
    if is_sender_verified and email.names_one_author and (outcome := _unsubscribe_sender(database, email.sender)):
        return _log_outcome(outcome)
    if not _send_link(database, email.sender):
        return _answer_and_keep(database, email, raw)
    return _log_outcome(UnsubscribeEmailOutcome.LINK_SENT)


def _is_plain_request(email: IncomingEmail) -> bool:
    """Return whether the writer asks to unsubscribe; the subject of a reply is the issue's title and does not count."""
    is_reply = bool(_REPLY.match(email.subject))
    return unsubscribe_requests.is_plain_request(email.own_words) or (
        not is_reply and unsubscribe_requests.is_plain_request(email.subject)
    )


def _answer_and_keep(database: Database, email: IncomingEmail, raw: bytes) -> UnsubscribeEmailOutcome:
    _send_link(database, email.sender)
    _keep(database, raw, "An email to the unsubscribe address does not plainly ask to unsubscribe.")
    return _log_outcome(UnsubscribeEmailOutcome.KEPT)


def _send_link(database: Database, sender: str) -> bool:
    """Queue the link if a subscriber has this address and no limit is reached; return whether it is an address."""
    try:
        preferences.request_link(database, sender)
    except BadInput:
        return False
    return True


def _keep(database: Database, raw: bytes, reason: str) -> None:
    with database.transaction() as tx:
        rejected_events.add(tx, "email", reason, raw.decode("utf-8", "replace"))
        rejected_events.delete_oldest(tx, "email", MAX_KEPT_EMAILS)


def _unsubscribe_sender(database: Database, sender: str) -> UnsubscribeEmailOutcome | None:
    """Unsubscribe whoever has the verified address; None if nobody does."""
    with database.transaction() as tx:
        found = subscribers.find(tx, addresses.normal(sender))
        if found is None:
            return None
        if not subscribers.unsubscribe(tx, found.id):
            return UnsubscribeEmailOutcome.ALREADY
        consent_log.record(tx, found.id, "unsubscribed", "mail", None, {"sender": "verified"})
        signup.notify_still_paying(tx, found.id)
    logger.info("subscriber.left", subscriber=found.id)
    return UnsubscribeEmailOutcome.UNSUBSCRIBED


def _unsubscribe_by_token(database: Database, settings: Settings, token: str) -> UnsubscribeEmailOutcome:
    result = signup.unsubscribe(database, settings, token, source="mail")
    if result is signup.TokenResult.OTHER_ADDRESS:
        return _log_outcome(UnsubscribeEmailOutcome.OTHER_ADDRESS)
    done = result is signup.TokenResult.DONE
    return _log_outcome(UnsubscribeEmailOutcome.UNSUBSCRIBED if done else UnsubscribeEmailOutcome.ALREADY)


def _log_outcome(outcome: UnsubscribeEmailOutcome) -> UnsubscribeEmailOutcome:
    logger.info("unsubscribe.email", outcome=outcome.name.lower())
    return outcome


def _find_token(settings: Settings, text: str) -> str:
    """Return the first unsubscribe token that we signed, or ''."""
    secret = settings.need_secrets()
    return next((token for token in _TOKEN.findall(text)[:200] if tokens.read_unsubscribe(secret, token)), "")


def _is_token_of_sender(database: Database, settings: Settings, token: str, sender: str) -> bool:
    claim = tokens.read_unsubscribe(settings.need_secrets(), token)
    with database.transaction() as tx:
        subscriber = subscribers.find(tx, addresses.normal(sender))
    return claim is not None and subscriber is not None and subscriber.id == claim.subscriber_id
