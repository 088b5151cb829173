"""Which IP addresses are on the public internet: one answer for webhooks, link checks and sign-up limits."""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# RFC 6052. Its sibling 64:ff9b:1::/48 (RFC 8215) is for local use, so nobody can say where an address in it leads.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Not all Python versions that we support call these private: 6to4's relays, IPv4-compatible addresses, local NAT64, Teredo,
# site-local addresses.
_NEVER_PUBLIC = [ipaddress.ip_network(one) for one in ("192.88.99.0/24", "::/96", "64:ff9b:1::/48", "2001::/32", "fec0::/10")]


def parse_ip(text: str) -> IPAddress:
    """An address without its zone (`fe80::1%eth0`). Raises ValueError."""
    return ipaddress.ip_address(text.partition("%")[0])


def unwrap(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address leads to (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
    return ip.ipv4_mapped or ip.sixtofour or nat64 or ip


def is_public(ip: IPAddress) -> bool:
    """Return whether an address is on the public internet, whatever it is wrapped in."""
    inner = unwrap(ip)
    if any(inner.version == one.version and inner in one for one in _NEVER_PUBLIC):
        return False
    return inner.is_global and not inner.is_multicast and not inner.is_reserved
