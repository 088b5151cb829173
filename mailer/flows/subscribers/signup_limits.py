"""Limits on what makes us email strangers: per IP, network, inbox, domain and overall, asked in this order.

A refused request counts only against the limits that are asked before the one that refuses it, and not towards the firewall,
so that one client cannot use up what everybody shares. Over a limit, or while the firewall is up, a confirmation email is held
for review instead of sent; what may be held is limited in turn. Limits are counted in a transaction of their own, so that the
contended rows are locked only briefly; counting a sign-up that then fails does no harm.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, TooManyRequests
from mailer.core.known_mail_domains import COMMON
from mailer.core.net.ip_addresses import IPAddress, is_public, parse_ip, unwrap
from mailer.flows.subscribers import inbox_limit
from mailer.store.operations import notices
from mailer.store.subscribers import held_emails, inbox_emails, signup_limits
from mailer.store.subscribers.held_emails import HeldEmail
from mailer.store.subscribers.signup_limits import INBOX, Firewall, InboxUse

logger = log.get("limits")

_HOUR = timedelta(hours=1)
_HELD_INBOX = "held by inbox"
# Confirmation emails per hour that are sent without review.
MAX_HOURLY_BY_DOMAIN, MAX_HOURLY_BY_IP, MAX_HOURLY_BY_NETWORK, MAX_HOURLY_OVERALL = 50, 10, 30, 2000
MAX_HOURLY_CHECKOUTS = 500  # started by everybody together
# Posts per hour from our own pages that count although their form has no token, or one that is a second old.
MAX_HOURLY_UNPROVEN_BY_IP, MAX_HOURLY_UNPROVEN_BY_NETWORK, MAX_HOURLY_UNPROVEN = 3, 10, 300
# Emails per hour that are held because one of these limits is full; what is over these, too, is refused.
MAX_HOURLY_HELD_BY_INBOX, MAX_HOURLY_HELD_BY_IP, MAX_HOURLY_HELD_BY_NETWORK, MAX_HOURLY_HELD = 1, 100, 300, 2000

# Domains of large providers, where a limit per domain is meaningless.
COMMON_DOMAINS = frozenset(COMMON)

# The firewall is raised when ten minutes bring many sign-ups, and far more than the average of the last two weeks.
FIREWALL_WINDOW, FIREWALL_BASELINE = timedelta(minutes=10), timedelta(days=14)
MIN_FIREWALL_SIGNUPS, MIN_FIREWALL_FACTOR = 60, 10.0


@dataclass(frozen=True)
class SignupSource:
    """Where a sign-up comes from; ``ip`` is None if unknown."""

    email_normal: str
    ip: str | None


@dataclass(frozen=True)
class Admission:
    """What the limits say about a request: why its email must be held (''), and whether its inbox gets none at all.

    ``is_blocked``: whether its address may get no email, if that is known already.
    """

    held: str = ""
    inbox_full: bool = False
    is_blocked: bool | None = None


def admit_signup(database: Database, source: SignupSource) -> Admission:
    """Count this sign-up against the limits. Raises TooManyRequests if its email can be neither sent nor held."""
    inbox = InboxUse(inbox_limit.hash_inbox(source.email_normal), inbox_limit.INBOX_LIMITS)
    with database.glance() as tx:
        full, wall, recent = signup_limits.use_for_signup(tx, _list_limits(source), _HOUR, inbox, FIREWALL_WINDOW)
    walled = f"the firewall is up ({wall.reason})" if wall.active_since else _raise_firewall(database, recent)
    held_full = _use_held_limits(database, source, inbox) if full and full != INBOX else ""
    if full == INBOX or held_full == _HELD_INBOX:
        return Admission(inbox_full=True)
    if held_full:
        logger.warning("signup.refused", reason=f"too many held emails in an hour: {held_full}")
        raise TooManyRequests("Too many people on your network have tried this. Please try again in an hour.")
    reason = walled or (f"too many sign-ups in an hour by {full}" if full else "")
    if reason:
        logger.warning("signup.held", reason=reason)
    return Admission(reason)


def admit_checkout(database: Database, ip: str | None) -> None:
    """Count a checkout at Stripe; those of one IP or network share the limits on sign-ups. Raises TooManyRequests."""
    wanted = _list_ip_limits(SignupSource("", ip), "", MAX_HOURLY_BY_IP, MAX_HOURLY_BY_NETWORK)
    with database.transaction() as tx:
        full = signup_limits.use(tx, [*wanted, ("checkouts", "", MAX_HOURLY_CHECKOUTS)], _HOUR)
    if full:
        logger.warning("checkout.refused", reason=f"too many in an hour: {full}")
        raise TooManyRequests("Too many people on your network have tried this. Please try again in an hour.")


def admit_unproven(database: Database, ip: str | None) -> bool:
    """Count a form's post that its token does not show to be a person's; return whether it needs no other click.

    Without JavaScript a form on a static page has no token, and some people are faster than MIN_FORM_AGE.
    """
    source = SignupSource("", ip)
    wanted = _list_ip_limits(source, "unproven ", MAX_HOURLY_UNPROVEN_BY_IP, MAX_HOURLY_UNPROVEN_BY_NETWORK)
    with database.transaction() as tx:
        is_walled = signup_limits.get_firewall(tx).active_since is not None
        return not is_walled and not signup_limits.use(tx, [*wanted, ("unproven", "", MAX_HOURLY_UNPROVEN)], _HOUR)


def _use_held_limits(database: Database, source: SignupSource, inbox: InboxUse) -> str:
    """Count an email to hold; return the scope of the limit on held emails that is full, or ''."""
    wanted = [(_HELD_INBOX, inbox.hash.hex(), MAX_HOURLY_HELD_BY_INBOX)]
    wanted += _list_ip_limits(source, "held by ", MAX_HOURLY_HELD_BY_IP, MAX_HOURLY_HELD_BY_NETWORK)
    with database.glance() as tx:
        return signup_limits.use(tx, [*wanted, ("held", "", MAX_HOURLY_HELD)], _HOUR)


def _list_limits(source: SignupSource) -> list[tuple[str, str, int]]:
    """Return scope, key and number for each limit, in the order in which they are asked."""
    domain = source.email_normal.rpartition("@")[2]
    by_domain = [] if domain in COMMON_DOMAINS else [("domain", domain, MAX_HOURLY_BY_DOMAIN)]
    found = [*_list_ip_limits(source, "", MAX_HOURLY_BY_IP, MAX_HOURLY_BY_NETWORK), (INBOX, "", 0), *by_domain]
    return [*found, ("everybody", "", MAX_HOURLY_OVERALL)]


def _list_ip_limits(source: SignupSource, prefix: str, by_ip: int, by_network: int) -> list[tuple[str, str, int]]:
    """Return the limits by IP and network. A private address is a proxy's that is not trusted: its clients share a limit."""
    if not source.ip:
        return []
    network = get_network(source.ip)
    own = [(f"{prefix}IP address", source.ip, by_ip)] if network else []
    return [*own, (f"{prefix}network", network or source.ip, by_network)]


def get_network(ip: str) -> str:
    """Return the network an address belongs to (/24, or /48 of IPv6); '' for a meaningless one (our own proxy's)."""
    try:
        found = unwrap(parse_ip(ip))
    except ValueError:
        return ""
    if not is_public(found) and not _is_documentation_range(found):
        return ""
    return str(ipaddress.ip_network(f"{found}/{24 if found.version == 4 else 48}", strict=False))


def _is_documentation_range(ip: IPAddress) -> bool:
    """Return whether an address is in a range for examples. Python calls them private; we treat them as public."""
    blocks = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
    return any(ip in ipaddress.ip_network(block) for block in blocks)


def _raise_firewall(database: Database, recent: int) -> str:
    """Raise the firewall if there were far more sign-ups than usual; return why everything is held, or ''."""
    if recent < MIN_FIREWALL_SIGNUPS:
        return ""
    with database.transaction() as tx:
        if recent < MIN_FIREWALL_FACTOR * signup_limits.average_count(tx, FIREWALL_WINDOW, FIREWALL_BASELINE):
            return ""
        reason = f"{recent} sign-ups in {FIREWALL_WINDOW.seconds // 60} minutes, far more than usual"
        if signup_limits.raise_firewall(tx, reason):
            notices.add(
                tx,
                f"The sign-up firewall is up: {reason}. Confirmation emails are held for review and none is lost:"
                " list them with `postmerge subscribers held`.",
            )
    return f"the firewall is up ({reason})"


def lower_calm_firewall(database: Database) -> None:
    """Lower a firewall that was raised automatically after an hour of normal traffic; purge unused limits."""
    with database.transaction() as tx:
        wall = signup_limits.get_firewall(tx)
        if (
            wall.active_since
            and not wall.is_manual
            and signup_limits.count_recent(tx, _HOUR) < MIN_FIREWALL_SIGNUPS
            and signup_limits.lower_firewall(tx, True)
        ):
            number = held_emails.count_held(tx)
            notices.add(
                tx,
                f"The sign-up firewall is down again; {number} emails are held: list them with `postmerge subscribers held`.",
            )
        signup_limits.purge(tx)
        inbox_emails.purge(tx)


def get_held_overview(database: Database, limit: int = 100) -> tuple[Firewall, list[HeldEmail], int]:
    """Return the firewall, the first held emails, and their total number."""
    with database.transaction() as tx:
        return signup_limits.get_firewall(tx), held_emails.list_held(tx, limit), held_emails.count_held(tx)


def set_firewall(database: Database, up: bool) -> bool:
    """Raise or lower the firewall manually; return whether that is a change."""
    with database.transaction() as tx:
        return (
            signup_limits.raise_firewall(tx, "raised by an operator", is_manual=True)
            if up
            else signup_limits.lower_firewall(tx)
        )


def release_held(database: Database, ids: list[int] | None) -> int:
    """Send held emails (None: all); return how many. Raises BadInput if none of the ids is held."""
    with database.transaction() as tx:
        return _require_some(held_emails.release(tx, ids), ids)


def drop_held(database: Database, ids: list[int] | None) -> int:
    """Discard held emails (None: all); return how many. Raises BadInput if none of the ids is held."""
    with database.transaction() as tx:
        return _require_some(held_emails.drop(tx, ids), ids)


def _require_some(number: int, ids: list[int] | None) -> int:
    if ids and not number:
        raise BadInput("None of these emails is held: `postmerge subscribers held` lists the held ones.")
    return number
