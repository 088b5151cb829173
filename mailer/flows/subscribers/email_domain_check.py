"""Check in DNS whether a domain accepts email.

Answers are cached, and a DNS failure never rejects anybody. Few lookups run at once and each has a time limit, so that a slow
name server cannot occupy the threads that answer requests: a domain that finds no free lookup is accepted unchecked.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache

import dns.exception
import dns.resolver
from email_validator import EmailUndeliverableError
from email_validator.deliverability import validate_email_deliverability

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import Mistyped
from mailer.core.known_mail_domains import COMMON
from mailer.store.subscribers import email_domains

logger = log.get("dns")

DNS_TIMEOUT_SECONDS = 2.0  # for all lookups of one domain
MAX_YES_AGE, MAX_NO_AGE = timedelta(days=7), timedelta(hours=1)
MAX_CONCURRENT_LOOKUPS = 4  # in one process
_BACK_OFF_SECONDS = 60.0  # before the next lookup of a domain after a failed one
_MAX_BACKED_OFF_DOMAINS = 10_000
_backed_off: dict[str, float] = {}
_free_lookups = threading.BoundedSemaphore(MAX_CONCURRENT_LOOKUPS)


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


def query_dns(domain: str) -> bool | None:
    """Return whether a domain accepts email according to DNS; None if unknown (a failure, a timeout, or no free lookup)."""
    if time.monotonic() < _backed_off.get(domain, 0.0):
        return None
    if not _free_lookups.acquire(blocking=False):
        logger.warning("dns.busy")
        return None
    answer = _lookup_pool().submit(_look_up, domain)
    answer.add_done_callback(lambda _: _free_lookups.release())
    takes = None
    try:
        takes = answer.result(DNS_TIMEOUT_SECONDS)
    except TimeoutError:
        logger.warning("dns.trouble", trouble="too slow")
    if takes is None:
        if len(_backed_off) >= _MAX_BACKED_OFF_DOMAINS:
            _backed_off.clear()
        _backed_off[domain] = time.monotonic() + _BACK_OFF_SECONDS
    return takes


@cache
def _lookup_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_CONCURRENT_LOOKUPS, thread_name_prefix="dns")


def _look_up(domain: str) -> bool | None:
    try:
        resolver = dns.resolver.Resolver()
        resolver.lifetime = DNS_TIMEOUT_SECONDS
        said = validate_email_deliverability(domain, domain, dns_resolver=resolver)
    except EmailUndeliverableError:
        return False
    except (dns.exception.DNSException, OSError) as error:
        said = {"unknown-deliverability": type(error).__name__}
    if trouble := said.get("unknown-deliverability"):
        logger.warning("dns.trouble", trouble=str(trouble))
        return None
    return True
