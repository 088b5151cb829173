"""Check in DNS whether a domain accepts email.

Answers are cached, lookups have a time limit, and a DNS failure never rejects anybody.
"""

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
from mailer.store.subscribers import email_domains

events = log.get("dns")

DNS_TIMEOUT_SECONDS = 2.0  # for all lookups of one domain
MAX_YES_AGE, MAX_NO_AGE = timedelta(days=7), timedelta(hours=1)
_BACK_OFF_SECONDS = 60.0  # before the next lookup of a domain after a failed one
_MAX_BACKED_OFF_DOMAINS = 10_000
_backed_off: dict[str, float] = {}


def check_domain(database: Database, email_normal: str) -> None:
    """Raise Mistyped if DNS says definitely that the address's domain accepts no email."""
    domain = email_normal.rpartition("@")[2]
    if domain in COMMON:
        return
    with database.transaction() as tx:
        takes = email_domains.get_answer(tx, domain, MAX_YES_AGE, MAX_NO_AGE)
    if takes is None:
        takes = query_dns(domain)
        if takes is None:
            return
        with database.transaction() as tx:
            email_domains.save_answer(tx, domain, takes)
    if not takes:
        raise Mistyped("The domain %(domain)s doesn’t accept email. Check the part after the @.", domain=domain[:100])


def query_dns(domain: str, resolver: dns.resolver.Resolver | None = None) -> bool | None:
    """Return whether a domain accepts email according to DNS; None if unknown (a failure or a timeout)."""
    if time.monotonic() < _backed_off.get(domain, 0.0):
        return None
    try:
        if resolver is None:
            resolver = dns.resolver.Resolver()
            resolver.lifetime = DNS_TIMEOUT_SECONDS
        said = validate_email_deliverability(domain, domain, dns_resolver=resolver)
    except EmailUndeliverableError:
        return False
    except (dns.exception.DNSException, OSError) as error:
        said = {"unknown-deliverability": type(error).__name__}
    if trouble := said.get("unknown-deliverability"):
        events.warning("dns.trouble", trouble=str(trouble))
        if len(_backed_off) >= _MAX_BACKED_OFF_DOMAINS:
            _backed_off.clear()
        _backed_off[domain] = time.monotonic() + _BACK_OFF_SECONDS
        return None
    return True
