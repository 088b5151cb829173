"""Limits on what makes us mail strangers: by domain, IP, network and overall; the limit by address is in ``signup``.

Over a limit, or while the firewall is up, a confirmation mail is held back for review instead of sent: nobody is lost. Taking
is a transaction of its own, so that its hot rows are locked for moments only; what is taken and not used does no harm.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput
from mailer.core.known_mail_domains import COMMON
from mailer.store.operations import notices
from mailer.store.subscribers import held_mails, signup_limits
from mailer.store.subscribers.held_mails import Held
from mailer.store.subscribers.signup_limits import Firewall

events = log.get("limits")

_HOUR = timedelta(hours=1)
# So many confirmation mails in each hour go out without review.
DOMAIN, IP, NETWORK, OVERALL = 50, 10, 30, 2000

# Where everybody has an address the limit by domain says nothing.
BIG = frozenset(COMMON)

# The firewall trips when ten minutes bring many sign-ups and far more than ten minutes did in the last two weeks.
WINDOW, PAST = timedelta(minutes=10), timedelta(days=14)
LEAST, TIMES = 60, 10.0


@dataclass(frozen=True)
class Source:
    """Where a sign-up comes from; ``ip`` is None when that is not known."""

    email_normal: str
    ip: str | None


def admit(database: Database, source: Source) -> str:
    """Take this sign-up from all limits; why its mail must be held, or '' when it may go."""
    with database.transaction() as tx:
        walled = _firewall(tx)
        wanted = _keys(source)
        taken = signup_limits.take_for_signup(tx, wanted, _HOUR)
    full = next((scope for scope, _, _ in wanted if scope not in taken), "")
    reason = walled or (f"too many sign-ups in an hour by {full}" if full else "")
    if reason:
        events.warning("signup.held", reason=reason)
    return reason


def _keys(source: Source) -> list[tuple[str, str, int]]:
    """Scope, key and number for each limit, always in the same order (so that two never wait for each other)."""
    domain = source.email_normal.rpartition("@")[2]
    found = [] if domain in BIG else [("domain", domain, DOMAIN)]
    if source.ip and (network := network_of(source.ip)):
        found += [("IP address", source.ip, IP), ("network", network, NETWORK)]
    return [*found, ("everybody", "", OVERALL)]


def network_of(ip: str) -> str:
    """The network an address belongs to (/24, or /48 of IPv6); '' for one that says nothing (our own proxy's)."""
    try:
        found = ipaddress.ip_address(ip)
    except ValueError:
        return ""
    if found.is_loopback or (found.is_private and not _is_documentation(found)):
        return ""
    return str(ipaddress.ip_network(f"{ip}/{24 if found.version == 4 else 48}", strict=False))


def _is_documentation(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Networks for examples count as private in Python; for us they are strangers."""
    blocks = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
    return any(ip in ipaddress.ip_network(block) for block in blocks)


def _firewall(tx: Tx) -> str:
    """Why everything is held just now, or ''; trips by itself."""
    wall, now = signup_limits.at_the_door(tx, WINDOW)
    if wall.up_since:
        return f"the firewall is up ({wall.reason})"
    if now < LEAST or now < TIMES * signup_limits.usual(tx, WINDOW, PAST):
        return ""
    reason = f"{now} sign-ups in {WINDOW.seconds // 60} minutes, far more than usual"
    if signup_limits.raise_firewall(tx, reason):
        notices.add(
            tx,
            f"The sign-up firewall is up: {reason}. Confirmation mails are held back and none is lost:"
            " look at them with `postmerge subscribers held`.",
        )
    return f"the firewall is up ({reason})"


def calm(database: Database) -> None:
    """Lower a firewall that tripped by itself when an hour was calm; forget what is free again."""
    with database.transaction() as tx:
        wall = signup_limits.firewall(tx)
        if (
            wall.up_since
            and not wall.by_hand
            and signup_limits.recent(tx, _HOUR) < LEAST
            and signup_limits.lower_firewall(tx, True)
        ):
            number = held_mails.count(tx)
            notices.add(
                tx, f"The sign-up firewall is down again; {number} mails are held: look with `postmerge subscribers held`."
            )
        signup_limits.purge(tx)


def look(database: Database, limit: int = 100) -> tuple[Firewall, list[Held], int]:
    """The firewall, the first held mails, and how many there are."""
    with database.transaction() as tx:
        return signup_limits.firewall(tx), held_mails.waiting(tx, limit), held_mails.count(tx)


def set_firewall(database: Database, up: bool) -> bool:
    """Put the firewall up or down by hand; whether that is a change."""
    with database.transaction() as tx:
        return (
            signup_limits.raise_firewall(tx, "an operator put it up", by_hand=True) if up else signup_limits.lower_firewall(tx)
        )


def release(database: Database, ids: list[int] | None) -> int:
    """Let held mails go (None: all); how many. Raises BadInput when none of the ids is held."""
    with database.transaction() as tx:
        return _some(held_mails.release(tx, ids), ids)


def drop(database: Database, ids: list[int] | None) -> int:
    """Do not send held mails (None: all); how many. Raises BadInput when none of the ids is held."""
    with database.transaction() as tx:
        return _some(held_mails.drop(tx, ids), ids)


def _some(number: int, ids: list[int] | None) -> int:
    if ids and not number:
        raise BadInput("None of these mails is held: `postmerge subscribers held` shows those that are.")
    return number
