"""A name server on a UDP socket that answers from a zone, or is silent, or lies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[tuple[str, str], Sequence[str]]  # by name and type


@dataclass
class FakeDns:
    """``behaviour``: honest, silent (no answer), garbage (no DNS), refuse (REFUSED), invent (an address for each name)."""

    zone: Zone
    behaviour: str = "honest"
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What ``--name-server`` takes."""
        return f"127.0.0.1:{self.port}"

    def answer(self, raw: bytes) -> bytes | None:
        """Return the response to a query."""
        query = dns.message.from_wire(raw)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if self.behaviour == "silent":
            return None
        if self.behaviour == "garbage":
            return raw[:2] + b"\x81\x80" + b"\xff" * 9
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = [*self.zone.get((name, kind), ())]
        if self.behaviour == "invent" and kind == "A" and not found:
            found = ["203.0.113.7"]
        if self.behaviour == "refuse":
            response.set_rcode(dns.rcode.REFUSED)
        elif found:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        elif not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextmanager
def fake_dns(zone: Zone) -> Iterator[FakeDns]:
    """A running name server on 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
        served.bind(("127.0.0.1", 0))
        served.settimeout(0.05)
        fake = FakeDns(zone, port=served.getsockname()[1])
        stopping = threading.Event()
        thread = threading.Thread(target=_serve, args=(fake, served, stopping), daemon=True)
        thread.start()
        yield fake
        stopping.set()
        thread.join(5)


def _serve(fake: FakeDns, served: socket.socket, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            raw, sender = served.recvfrom(4096)
            if (answer := fake.answer(raw)) is not None:
                served.sendto(answer, sender)
        except (TimeoutError, dns.exception.DNSException):
            continue
