"""Does a domain take mail? DNS is asked once in a while, within a time limit; trouble with DNS never refuses anybody."""

from __future__ import annotations

import time
from datetime import timedelta

import dns.exception
import dns.resolver
from email_validator import EmailUndeliverableError
from email_validator.deliverability import validate_email_deliverability

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import Mistyped
from mailer.core.known_mail_domains import COMMON
from mailer.store.subscribers import mail_domains

events = log.get("dns")

PATIENCE = 2.0  # seconds for all questions about one domain
YES_HOLDS, NO_HOLDS = timedelta(days=7), timedelta(hours=1)
_REST = 60.0  # seconds without another question about a domain after one that was not answered
_MOST_RESTING = 10_000
_resting: dict[str, float] = {}


def need_mail(database: Database, email_normal: str) -> None:
    """Raise Mistyped when DNS says for sure that the address's domain takes no mail."""
    domain = email_normal.rpartition("@")[2]
    if domain in COMMON:
        return
    with database.transaction() as tx:
        takes = mail_domains.known(tx, domain, YES_HOLDS, NO_HOLDS)
    if takes is None:
        takes = ask(domain)
        if takes is None:
            return
        with database.transaction() as tx:
            mail_domains.remember(tx, domain, takes)
    if not takes:
        raise Mistyped("The domain %(domain)s takes no mail: check what is after the @.", domain=domain[:100])


def ask(domain: str, resolver: dns.resolver.Resolver | None = None) -> bool | None:
    """What DNS says about a domain: it takes mail, it does not, or nothing is known (trouble, or too slow)."""
    if time.monotonic() < _resting.get(domain, 0.0):
        return None
    try:
        if resolver is None:
            resolver = dns.resolver.Resolver()
            resolver.lifetime = PATIENCE
        said = validate_email_deliverability(domain, domain, dns_resolver=resolver)
    except EmailUndeliverableError:
        return False
    except (dns.exception.DNSException, OSError) as error:
        said = {"unknown-deliverability": type(error).__name__}
    if trouble := said.get("unknown-deliverability"):
        events.warning("dns.trouble", trouble=str(trouble))
        if len(_resting) >= _MOST_RESTING:
            _resting.clear()
        _resting[domain] = time.monotonic() + _REST
        return None
    return True
