"""What every route needs to hand: the settings, the database, the doorbell."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from mailer.core.async_db import Asker
from mailer.core.db import Database
from mailer.core.settings import Settings


@dataclass(frozen=True)
class AppContext:
    """One app's surroundings. ``outbox`` is the folder of sent mails in development, else None."""

    settings: Settings
    database: Database
    asker: Asker
    wake_transactional: Callable[[], bool]
    site_name: str
    site_folder: Path
    outbox: Path | None
    wake_payments: Callable[[], bool] = lambda: False

    @property
    def home(self) -> str:
        """Where the archive's front page is."""
        return f"{self.settings.site_url}/"


async def _get_context(request: Request) -> AppContext:
    return cast(AppContext, request.app.state.context)


Context = Annotated[AppContext, Depends(_get_context)]


def client_ip(request: Request) -> str | None:
    """Where a request comes from; None when that is not known (a Unix socket).

    It is the address at the other end of the socket. When that is a proxy of ours (POSTMERGE_TRUSTED_PROXIES), it is what the
    proxy wrote last into X-Forwarded-For, and so on to the left for as long as the writer is trusted.
    """
    ours = _networks(request.app.state.context.settings.trusted_proxies)
    found = _ip(request.client.host if request.client else "")
    said = ",".join(request.headers.getlist("x-forwarded-for")).split(",") if ours else []
    while found and said and any(found in network for network in ours):
        before = _ip(said.pop())
        if before is None:
            break
        found = before
    return str(found) if found else None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as sockets and proxies write it: with a port, a zone, or an IPv4 address inside IPv6."""
    bare = text.strip().partition("%")[0]
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


@cache
def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
