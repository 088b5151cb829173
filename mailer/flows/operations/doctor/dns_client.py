"""Lookups in DNS for the doctor, which tell apart what does not exist and what could not be asked."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket

import dns.exception
import dns.resolver

from mailer.core.errors import BadInput, Unavailable

LOOKUP_SECONDS = 5.0  # for one question
MAX_FAILURES = 3  # after which the name server is not asked again: each lookup would take all its time


class DnsClient:
    """Asks one name server, or those of the system. ``name`` is for people."""

    def __init__(self, name_server: str = "") -> None:
        try:
            self._resolver = dns.resolver.Resolver(configure=not name_server)
        except dns.resolver.NoResolverConfiguration as error:
            raise BadInput("This machine has no name server: name one with --name-server, such as 1.1.1.1.") from error
        self._resolver.lifetime = LOOKUP_SECONDS
        self._failures = 0
        if name_server:
            host, port = _split_address(name_server)
            self._resolver.nameservers, self._resolver.port = [host], port
        self.name = name_server or ", ".join(str(one) for one in self._resolver.nameservers)

    def lookup(self, name: str, kind: str) -> list[str]:
        """Return the records of a name as text, without quotes; none if there are none. Raises Unavailable."""
        if self._failures >= MAX_FAILURES:
            raise Unavailable(f"The name server {self.name} failed {MAX_FAILURES} times and was not asked again.")
        try:
            answer = self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.resolver.LifetimeTimeout as error:
            self._failures += 1
            why = f"The name server {self.name} did not answer within {LOOKUP_SECONDS:.0f} s about {name}."
            raise Unavailable(why) from error
        except (dns.exception.DNSException, OSError) as error:
            self._failures += 1
            raise Unavailable(f"The name server {self.name} gave no usable answer about {name}.") from error
        return sorted(_to_text(one) for one in answer)

    def find_invention(self) -> str:
        """Return what the name server answers for a name that cannot exist; '' for an honest one. Raises Unavailable."""
        name = f"{secrets.token_hex(8)}.invalid"  # RFC 6761: it never exists
        return next(iter(self.lookup(name, "A")), "")


def _split_address(text: str) -> tuple[str, int]:
    """Return the IP address and the port of a name server. Raises BadInput."""
    match = re.fullmatch(r"\[(?P<six>[^\]]+)\](?::(?P<port6>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?|(?P<bare>.+)", text)
    parts = match.groupdict() if match else {}
    host, port = parts.get("six") or parts.get("host") or parts.get("bare") or "", parts.get("port6") or parts.get("port")
    try:
        host = str(ipaddress.ip_address(host))
    except ValueError:
        try:
            host = socket.gethostbyname(host)
        except OSError as error:
            raise BadInput(f"There is no name server {text!r}: give an IP address, such as 1.1.1.1.") from error
    return host, int(port or 53)


def _to_text(record: object) -> str:
    """Return a record's value: strings of a TXT record joined, host names in lower case without the last dot."""
    strings = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    return str(record).lower().rstrip(".")
