"""What every route needs: the settings, the database, the wake-ups of workers."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from api.common.furniture import Furniture, read_furniture
from mailer.core import log
from mailer.core.async_db import Asker
from mailer.core.db import Database
from mailer.core.form_fields import FormField
from mailer.core.settings import Settings

logger = log.get("http")


@dataclass(frozen=True)
class AppContext:
    """What one app works with.

    ``outbox`` is the development folder of sent emails, else None; ``wake_…`` wake the workers; ``shared_folder`` is where all
    processes of this server keep what they count together.
    """

    settings: Settings
    database: Database
    asker: Asker
    wake_transactional: Callable[[], bool]
    site_name: str
    site_folder: Path
    outbox: Path | None
    wake_payments: Callable[[], bool] = lambda: False
    form_fields: tuple[FormField, ...] = ()
    shared_folder: Path | None = None

    @property
    def home(self) -> str:
        """The URL of the archive's front page."""
        return f"{self.settings.site_url}/"

    @property
    def furniture(self) -> Furniture | None:
        """The site's header and footer."""
        return read_furniture(self.site_folder)


async def _get_context(request: Request) -> AppContext:
    return cast(AppContext, request.app.state.context)


Context = Annotated[AppContext, Depends(_get_context)]


def client_ip(request: Request) -> str | None:
    """The client's IP address; None when it is unknown (a Unix socket).

    It is the peer's address. If the peer is a trusted proxy (POSTMERGE_TRUSTED_PROXIES), it is the last entry of
    X-Forwarded-For, and so on to the left as long as the entry's writer is trusted.
    """
    ours = list_trusted_proxies(request.app.state.context.settings)
    found = _ip(request.client.host if request.client else "")
    trusted = found and any(found in network for network in ours)
    if found and not trusted and found.is_private and _FORWARDED.intersection(request.headers.keys()):
        _warn_of_proxy(str(found))
    said = ",".join(request.headers.getlist("x-forwarded-for")).split(",") if ours else []
    while found and said and any(found in network for network in ours):
        before = _ip(said.pop())
        if before is None:
            break
        found = before
    return str(found) if found else None


UNTRUSTED_PROXY = (
    "Requests come through a proxy that POSTMERGE_TRUSTED_PROXIES does not name, so all its clients share the limits of one"
    " network: add the proxy's address."
)
_FORWARDED = frozenset({"x-forwarded-for", "x-real-ip", "forwarded"})


@cache
def _warn_of_proxy(peer: str) -> None:
    """Log that a proxy is not trusted, once for each proxy and process."""
    logger.warning("proxy.untrusted", peer=peer, fix=UNTRUSTED_PROXY)


def saw_untrusted_proxy() -> bool:
    """Whether this process got a request through a proxy that is not trusted."""
    return _warn_of_proxy.cache_info().currsize > 0


def warn_without_proxies(settings: Settings) -> None:
    """Log at the start that a site with https has no trusted proxy, although one must end its TLS connections."""
    if settings.api_url.startswith("https:") and not settings.trusted_proxies:
        logger.warning("proxy.none_trusted", fix="set POSTMERGE_TRUSTED_PROXIES to the address of the proxy that serves https")


def list_trusted_proxies(settings: Settings) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """The networks of our own proxies (POSTMERGE_TRUSTED_PROXIES)."""
    return _networks(settings.trusted_proxies)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address as sockets and proxies write it: with a port, a zone, or an IPv4 address mapped to IPv6."""
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
