"""Test emails: an edition's own message to a reviewer, outside of every send.

An address gets one after its owner has confirmed it once by a link, or if POSTMERGE_REVIEWERS names it. Each is written down
before it is sent, and is never sent again automatically.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape

from mailer.core import addresses, i18n, log, tokens
from mailer.core.db import Database, Tx
from mailer.core.edition import Edition
from mailer.core.errors import BadInput, Refused, ServiceUnavailable, TooManyRequests
from mailer.core.message import Template, list_id
from mailer.core.rate_limiter import NoRateLimit
from mailer.core.settings import Settings
from mailer.flows.sending.delivery_worker import STATE_AFTER
from mailer.flows.sending.send_rate import SendRate
from mailer.flows.subscribers import erasure, inbox_limit
from mailer.flows.transactional.subscription_emails import SubscriptionEmail
from mailer.flows.transactional.transactional_worker import render_subscription_email
from mailer.store.publishing import editions
from mailer.store.sending import sends
from mailer.store.transactional import test_emails
from mailer.store.transactional.test_emails import TestEmail
from mailer.transports.base import Answer, Envelope, Outcome, Transport
from mailer.webhooks.ses_events import LINK_TAGS

logger = log.get("test")

MAX_EMAILS_PER_HOUR = 100
MAX_EMAILS_PER_ADDRESS_AND_HOUR = 20
LINK_EXPIRY = timedelta(days=7)
UNSUBSCRIBE_TOKEN = "test"  # noqa: S105 - in place of a subscriber's token; its page changes nothing
_SHARED = ("number", "subject", "html", "text", "lang", "url", "digest", "sender", "reply_to")  # by edition and test
_BANNER = (
    '<div lang="en" dir="ltr" style="margin:0;padding:12px 16px;background-color:#fff4ce;color:#3b2f00;border-bottom:2px solid'
    ' #c79a00;font:14px/20px Arial,sans-serif;text-align:left">{}</div>'
)


@dataclass(frozen=True)
class TestText:
    """One text of an edition, as it is emailed."""

    issue_key: str
    number: int
    variant: str
    subject: str
    html: str
    text: str
    lang: str
    url: str
    digest: str
    sender: str = ""  # of this issue; empty: the newsletter's
    reply_to: str = ""


def choose_edition(found: Iterable[Edition], name: str) -> Edition:
    """Return the edition with this key or path. Raises BadInput that names similar ones."""
    every = list(found)
    for edition in every:
        if name in (edition.key, *edition.paths) or any(path.endswith(f"/{name}") for path in edition.paths):
            return edition
    latest = sorted(every, key=lambda edition: edition.dated, reverse=True)[:5]
    shown = ", ".join(edition.key for edition in latest)
    raise BadInput(f"No issue has the key or path {name!r}. The latest ones: {shown}." if every else "There is no issue yet.")


def choose_text(edition: Edition, variant: str) -> TestText:
    """Return a text of an edition: the free one in its own language, or a variant. Raises BadInput that names the variants."""
    own = {name: getattr(edition, name) for name in _SHARED}
    free = TestText(edition.key, variant="", **own)
    if variant in ("", "free", edition.lang):
        return free
    for one in edition.variants:
        if one.name == variant:
            translated = {name: value for name in ("subject", "lang", "url") if (value := getattr(one, name))}
            return replace(free, variant=one.name, html=one.html, text=one.text, digest=one.digest, **translated)
    names = ", ".join(f"`{one.name}`" for one in edition.variants) or "none"
    raise BadInput(f"{edition.path} has no variant {variant!r}. Its variants: {names}.")


def send_test_email(
    database: Database, settings: Settings, transport: Transport, site_name: str, text: TestText, email: str, source: str
) -> bool:
    """Send a text to a reviewer. Return False if the address is not proven yet: a link to confirm it was sent instead.

    ``source`` says where it was asked for. Raises BadInput for an invalid address, Refused if the address must not be emailed
    or the transport refuses, TooManyRequests at a limit, and ServiceUnavailable if nothing can be sent now or nobody knows
    whether it was sent.
    """
    address = addresses.check(email)
    normal = addresses.normal(address)
    if not (text.sender or settings.sender):
        raise BadInput('No sender is set: put POSTMERGE_SENDER="Name <address@your.domain>" into the environment.')
    if SendRate(transport, NoRateLimit()).quota_left(urgent=True) < 1:
        raise ServiceUnavailable("The 24-hour quota of the email service is used up: try again later.")
    with database.transaction() as tx:
        _refuse_blocked(tx, settings, normal)
        is_proven = is_reviewer(settings, normal) or test_emails.is_proven(tx, normal)
        link = "" if is_proven else _make_proof_link(tx, settings, address, normal)
    if link:
        proof = _build_proof(settings, site_name, text.lang, address, link)
        _require_sent(transport.send(Envelope(address, proof, LINK_TAGS)))
    else:
        _send(database, settings, transport, text, address, source)
    return not link


def _send(database: Database, settings: Settings, transport: Transport, text: TestText, address: str, source: str) -> None:
    normal = addresses.normal(address)
    raw = build_message(settings, text, address)
    with database.transaction() as tx:
        _require_limits(tx, normal)
        email = TestEmail(normal, source, text.issue_key, text.number, text.variant, text.digest)
        email_id = test_emails.add(tx, email)
    answer = transport.send(Envelope(address, raw, {"test": str(email_id)}))
    state = STATE_AFTER[answer.outcome]
    with database.transaction() as tx:
        test_emails.record_outcome(
            tx, email_id, "failed" if state == "pending" else state, answer.message_id, answer.detail[:500]
        )
    logger.info("test.sent", email=email_id, outcome=str(answer.outcome))
    _require_sent(answer)


def send_test_emails(
    database: Database,
    settings: Settings,
    transport: Transport,
    site_name: str,
    text: TestText,
    emails: Iterable[str],
    once: bool = False,
) -> int:
    """Send a text for a client of the API: to these addresses, or else to the reviewers; return to how many.

    ``once``: unless a reviewer was sent it before. Raises BadInput if there is nobody, Refused if one has not confirmed: then
    nobody is sent anything; and what ``send_test_email`` raises.
    """
    to = list(dict.fromkeys(emails)) or list(settings.reviewers)
    if not to:
        raise BadInput("Nobody to send it to: name an address, or set POSTMERGE_REVIEWERS on the server.")
    _require_proven(database, settings, to)
    if once:
        with database.transaction() as tx:
            if test_emails.list_reviewed(tx, [text.digest]):
                return 0
    for one in to:
        send_test_email(database, settings, transport, site_name, text, one, "api")
    return len(to)


def load_sent_text(database: Database, send_id: int) -> TestText:
    """Return the text of a send in its own language. Raises LookupError."""
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
        if send is None:
            raise LookupError(f"send {send_id}")
        stored = editions.get(tx, send.edition_id)
    own = {name: getattr(stored, name) for name in ("number", "subject", "html", "text", "lang", "url", "digest")}
    return TestText(send.issue_key, variant="", sender=send.sender, reply_to=send.reply_to or "", **own)


def _require_proven(database: Database, settings: Settings, emails: Iterable[str]) -> None:
    """Raise Refused if one of the addresses would have to confirm first: then nobody is sent anything."""
    with database.transaction() as tx:
        for email in emails:
            normal = addresses.normal(addresses.check(email))
            if not (is_reviewer(settings, normal) or test_emails.is_proven(tx, normal)):
                raise Refused(
                    "One of these addresses has not confirmed that it wants test emails: put it into POSTMERGE_REVIEWERS, or"
                    " run `postmerge test` on the server, which sends it a link."
                )


def is_reviewer(settings: Settings, email_normal: str) -> bool:
    """Return whether an address needs no proof: POSTMERGE_REVIEWERS names it, or no email leaves this machine."""
    return settings.transport == "outbox" or email_normal in {addresses.normal(one) for one in settings.reviewers}


def build_message(settings: Settings, text: TestText, to: str) -> bytes:
    """Build the message that subscribers would get, marked as a test. Its unsubscribe link changes nothing."""
    said = _describe(text)
    html, found = re.subn(r"<body[^>]*>", lambda match: match[0] + _BANNER.format(escape(said)), text.html, count=1)
    template = Template.prepare(
        subject=f"[Test] {text.subject}",
        html=html if found else _BANNER.format(escape(said)) + html,
        text=f"{said}\n\n{text.text}",
        sender=text.sender or settings.sender,
        reply_to=text.reply_to or settings.reply_to,
        digest=text.digest,
        lang=text.lang,
        list_id=list_id(settings.sender, text.url),
    )
    return template.fill(to=to, unsubscribe_url=f"{settings.api_url}/leave/{UNSUBSCRIBE_TOKEN}")


def find_reviewer(database: Database, settings: Settings, token: str) -> str:
    """Return the address that a link would prove; '' for a link that is not ours or is too old."""
    reviewer_id = tokens.read_reviewer(settings.need_secrets(), token, datetime.now(UTC), LINK_EXPIRY)
    if reviewer_id is None:
        return ""
    with database.transaction() as tx:
        return test_emails.get_reviewer(tx, reviewer_id)


def prove_reviewer(database: Database, settings: Settings, token: str) -> bool:
    """Record that the owner of an address wants test emails; return False for a link that is not ours or is too old."""
    reviewer_id = tokens.read_reviewer(settings.need_secrets(), token, datetime.now(UTC), LINK_EXPIRY)
    if reviewer_id is None:
        return False
    with database.transaction() as tx:
        return test_emails.prove(tx, reviewer_id)


def _describe(text: TestText) -> str:
    variant = f"variant {text.variant}" if text.variant else "the free text"
    return (
        f"Test email: {text.issue_key}, edition {text.number}, {variant}, digest {text.digest[:12]}."
        " It went to you alone; its unsubscribe link changes nothing."
    )


def _refuse_blocked(tx: Tx, settings: Settings, email_normal: str) -> None:
    if inbox_limit.has_complained(tx, email_normal) or erasure.list_blocked(tx, settings, [email_normal], False):
        raise Refused("This address bounced or must not be emailed: `postmerge subscribers show` says why. Use another one.")


def _require_limits(tx: Tx, email_normal: str) -> None:
    everybody, address = test_emails.count_recent(tx, email_normal)
    if address >= MAX_EMAILS_PER_ADDRESS_AND_HOUR:
        raise TooManyRequests(f"This address got {address} test emails within an hour: wait a while.")
    if everybody >= MAX_EMAILS_PER_HOUR:
        raise TooManyRequests(f"{everybody} test emails were sent within an hour: wait a while.")


def _make_proof_link(tx: Tx, settings: Settings, email: str, email_normal: str) -> str:
    if not inbox_limit.use(tx, email_normal):
        raise Refused(
            "A link was sent to this address already: open it and confirm there, or add the address to POSTMERGE_REVIEWERS."
        )
    token = tokens.reviewer_token(settings.need_secrets(), test_emails.add_reviewer(tx, email, email_normal), datetime.now(UTC))
    return f"{settings.api_url}/reviewers/{token}"


def _build_proof(settings: Settings, site_name: str, lang: str, email: str, link: str) -> bytes:
    lang = i18n.choose(lang)
    say = i18n.translator(lang)
    about = say(
        "Someone, hopefully you, wants issues of %(site)s sent to this address before they’re published.", site=site_name
    )
    text = SubscriptionEmail(
        lang=lang,
        subject=say("Confirm that you’d like test emails from %(site)s", site=site_name),
        preheader=say("Just one click, and issues reach you before they’re sent."),
        title=say("Test emails for you?"),
        before=(about,),
        link=link,
        label=say("Yes, send me test emails"),
        instead=say("To confirm, open this page and click the button:"),
        after=(say("If this wasn’t you, just ignore this email. You won’t get any."),),
    )
    return render_subscription_email(settings, site_name, text, email)


def _require_sent(answer: Answer) -> None:
    """Raise what a person can do about an email that was not sent."""
    if answer.outcome is Outcome.ACCEPTED:
        return
    detail = answer.detail or str(answer.outcome)
    if answer.outcome in (Outcome.REFUSED, Outcome.HALT):
        raise Refused(f"The email service refused the test email: {detail}.")
    if answer.outcome is Outcome.UNCERTAIN:
        raise ServiceUnavailable(
            f"Nobody knows whether the test email was sent ({detail}): look into the inbox before you try again."
        )
    raise ServiceUnavailable(f"The test email was not sent ({detail}): try again.")
