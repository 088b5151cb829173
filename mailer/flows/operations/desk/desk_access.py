"""Signing in to the desk by a link that works once, sessions that end, and the audit log.

Links and sessions are 256 random bits, stored as hashes. The settings give roles to addresses: who is taken out of them is out
at the next request. A GET never uses a link up, because scanners open every link.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from html import escape

from mailer.core import addresses, log
from mailer.core.characters import printable
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.message import plain_message
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, inbox_limit
from mailer.store.operations import desk_records
from mailer.store.operations.desk_records import DeskAct, DeskIdentity
from mailer.transports.base import Envelope, Transport
from mailer.webhooks.ses_events import LINK_TAGS

logger = log.get("desk")

LOGIN_EXPIRY = timedelta(minutes=15)
SESSION_LENGTH = timedelta(hours=12)
MAX_OPEN_LINKS = 3  # of an address: more requests send no email
_PURGE_AFTER = timedelta(days=30)


class DeskRole(StrEnum):
    """An owner changes things; a viewer looks."""

    OWNER = "owner"
    VIEWER = "viewer"


@dataclass(frozen=True)
class DeskSession:
    """A session that is valid now; ``form_token`` is in each form of its pages."""

    who: DeskIdentity
    hash: bytes
    form_token: str

    @property
    def may_change(self) -> bool:
        """Return whether this operator is an owner."""
        return self.who.role == DeskRole.OWNER


def create_link(database: Database, settings: Settings, operator: str, role: DeskRole) -> str:
    """Create a link for the command line's user. Raises Refused if the desk is off, BadInput for an odd name."""
    if not settings.desk:
        raise Refused("The desk is off: set POSTMERGE_DESK=on for `postmerge serve`, and here.")
    if not operator.strip() or len(operator) > 60 or not operator.isprintable():
        raise BadInput("Name whom the link is for, in at most 60 characters: the audit log shows it.")
    with database.transaction() as tx:
        return _add_link(tx, settings, DeskIdentity(operator.strip(), role, by_email=False))


def email_link(
    database: Database, settings: Settings, make_transport: Callable[[Settings], Transport], site_name: str, email: str
) -> None:
    """Send a link to an operator, at the address as the settings spell it.

    Nothing happens for any other address, for one that may not be emailed, or while enough links are open.
    """
    try:
        operator = addresses.normal(addresses.check(email))
    except BadInput:
        return
    role, to = find_role(settings, operator), _find_spelling(settings, operator)
    if role is None:
        return
    with database.transaction() as tx:
        if desk_records.count_open_links(tx, operator) >= MAX_OPEN_LINKS:
            logger.warning("desk.too_many_links")
            return
        if not (erasure.may_be_emailed(tx, settings, operator) and inbox_limit.use(tx, operator, subscriber=True)):
            logger.warning("desk.link_not_sent", fix="`postmerge desk link` prints a link")
            return
        desk_records.purge(tx, _PURGE_AFTER)
        link = _add_link(tx, settings, DeskIdentity(operator, role, by_email=True))
    answer = make_transport(settings).send(Envelope(to, _build_email(settings, site_name, to, link), LINK_TAGS))
    logger.info("desk.link_sent", outcome=str(answer.outcome))


def find_role(settings: Settings, email_normal: str) -> DeskRole | None:
    """Return the role that the settings give to an address."""
    for role, listed in ((DeskRole.OWNER, settings.desk_owners), (DeskRole.VIEWER, settings.desk_viewers)):
        if email_normal in map(addresses.normal, listed):
            return role
    return None


def _find_spelling(settings: Settings, email_normal: str) -> str:
    listed = (*settings.desk_owners, *settings.desk_viewers)
    return next((one for one in listed if addresses.normal(one) == email_normal), email_normal)


def is_link_open(database: Database, token: str) -> bool:
    """Return whether a link can still be used. Changes nothing."""
    with database.transaction() as tx:
        return desk_records.is_link_open(tx, _hash(token))


def sign_in(database: Database, settings: Settings, token: str) -> str | None:
    """Use a link up and begin a session; return the session's secret, or None for a link that is used, too old or not ours."""
    with database.transaction() as tx:
        who = desk_records.use_link(tx, _hash(token))
        who = _apply_settings(settings, who) if who else None
        if who is None:
            return None
        session = secrets.token_urlsafe(32)
        desk_records.add(tx, "desk_sessions", _hash(session), who, SESSION_LENGTH)
        desk_records.add_act(tx, who, "sign in", "", "")
    logger.info("desk.signed_in", role=who.role)
    return session


def find_session(database: Database, settings: Settings, secret: str) -> DeskSession | None:
    """Return the session of a cookie, or None if it has ended."""
    if not secret or len(secret) > 100:
        return None
    hash_ = _hash(secret)
    with database.transaction() as tx:
        who = desk_records.get_session(tx, hash_)
    who = _apply_settings(settings, who) if who else None
    form_token = hashlib.sha256(b"postmerge desk form\0" + secret.encode()).hexdigest()
    return DeskSession(who, hash_, form_token) if who else None


def sign_out(database: Database, session: DeskSession) -> None:
    """End a session."""
    with database.transaction() as tx:
        desk_records.end_sessions(tx, session.hash)
        desk_records.add_act(tx, session.who, "sign out", "", "")


def end_sessions(database: Database, operator: str = "") -> int:
    """End all sessions, or those of one operator; return how many."""
    with database.transaction() as tx:
        return desk_records.end_sessions(tx, operator=operator)


def perform(database: Database, session: DeskSession, act: str, target: str, do: Callable[[], str]) -> str:
    """Do something and write it down; ``do`` returns the sentence to show. Raises what it raises, and Refused for a viewer.

    What was refused is written down, too.
    """
    try:
        if not session.may_change:
            raise Refused("Viewers may look and change nothing: ask an owner.")
        said = do()
    except PostmergeError as error:
        _record(database, session, act, target, str(error))
        raise
    _record(database, session, act, target, "")
    return said


def refuse_form(database: Database, session: DeskSession, path: str) -> None:
    """Write down a form that did not come from the desk's own page."""
    _record(database, session, "forged form", path, "not from a page of the desk")
    logger.warning("desk.forged_form")


def list_acts(database: Database, limit: int = 200) -> list[DeskAct]:
    """Return what operators did, newest first."""
    with database.transaction() as tx:
        return desk_records.list_acts(tx, limit)


def _record(database: Database, session: DeskSession, act: str, target: str, outcome: str) -> None:
    with database.transaction() as tx:
        desk_records.add_act(tx, session.who, act, printable(target)[:200], outcome[:500])


def _apply_settings(settings: Settings, who: DeskIdentity) -> DeskIdentity | None:
    """Return who it is with the role of the settings as they are now; None for an address that is no longer in them."""
    if not who.by_email:
        return who
    role = find_role(settings, who.operator)
    return DeskIdentity(who.operator, role, by_email=True) if role else None


def _add_link(tx: Tx, settings: Settings, who: DeskIdentity) -> str:
    token = secrets.token_urlsafe(32)
    desk_records.add(tx, "desk_links", _hash(token), who, LOGIN_EXPIRY)
    return f"{settings.api_url}/desk/login/{token}"


def _build_email(settings: Settings, site_name: str, to: str, link: str) -> bytes:
    minutes = int(LOGIN_EXPIRY.total_seconds() // 60)
    text = (
        f"To sign in to the desk of {site_name}, open this page within {minutes} minutes and click the button:\n\n{link}\n\n"
        "The link works once. If you didn't ask for it, ignore this email.\n"
    )
    paragraphs = escape(text).replace(link, f'<a href="{link}">{link}</a>').split("\n\n")
    html = "".join(f"<p>{one}</p>" for one in paragraphs)
    return plain_message(
        to=to, subject=f"Sign in to the desk of {site_name}", html=f'<html lang="en"><body>{html}</body></html>', text=text,
        sender=settings.sender, lang="en", headers={},
    )  # fmt: skip


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
