"""Transports: they send single messages."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any
from urllib.request import getproxies

from mailer.core.errors import BadInput
from mailer.core.setting_values import TRANSPORT_GROUP
from mailer.core.settings import Settings
from mailer.transports.base import Transport
from mailer.transports.outbox import Outbox


def make_transport(settings: Settings) -> Transport:
    """Return the transport that is configured: ours, or that of an installed package.

    Raises BadInput if that one fails, or if none is configured although this is not one machine's development.
    """
    settings.need_transport()
    if settings.transport not in ("ses", "outbox"):
        return _load_transport(settings)
    if settings.transport == "ses":
        from mailer.transports.ses import Ses
        from mailer.transports.ses_fast import FastSes

        made = Ses if settings.ses_client == "boto3" or "https" in getproxies() else FastSes
        return made(settings.ses_configuration_set, settings.connections)
    return Outbox(settings.outbox)


def _load_transport(settings: Settings) -> Transport:
    """Load a package's transport: its entry point is called with the settings."""
    [found] = [one for one in entry_points(group=TRANSPORT_GROUP) if one.name == settings.transport]
    try:
        made: Any = found.load()(settings)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise BadInput(f"The transport {found.name!r} ({found.value}) cannot be used ({why}): correct or update it.") from error
    if not callable(getattr(made, "send", None)) or not callable(getattr(made, "account", None)) or not hasattr(made, "name"):
        raise BadInput(
            f"The transport {found.name!r} ({found.value}) lacks name, send or account: see docs/reference/transports.md."
        )
    return made  # type: ignore[no-any-return]
