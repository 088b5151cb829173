"""What every route needs to hand: the settings, the database, the doorbell."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from mailer.db import Database
from mailer.settings import Settings


@dataclass(frozen=True)
class Desk:
    """One app's surroundings. ``outbox`` is the folder of sent mails in development, else None."""

    settings: Settings
    database: Database
    ring: Callable[[], bool]
    site_name: str
    site_folder: Path
    outbox: Path | None
    ring_payments: Callable[[], bool] = lambda: False

    @property
    def home(self) -> str:
        """Where the archive's front page is."""
        return f"{self.settings.site_url}/"


async def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


Here = Annotated[Desk, Depends(_desk)]


def client_ip(request: Request) -> str | None:
    """The address at the other end of the socket; None when it is not an IP address (a Unix socket)."""
    host = request.client.host if request.client else ""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None
