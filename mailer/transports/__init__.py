"""Transports: they send single messages."""

from __future__ import annotations

from urllib.request import getproxies

from mailer.core.settings import Settings
from mailer.transports.base import Transport
from mailer.transports.outbox import Outbox


def make_transport(settings: Settings) -> Transport:
    """Return the transport that is configured."""
    if settings.transport == "ses":
        from mailer.transports.ses import Ses
        from mailer.transports.ses_fast import FastSes

        made = Ses if settings.ses_client == "boto3" or "https" in getproxies() else FastSes
        return made(settings.ses_configuration_set, settings.connections)
    return Outbox(settings.outbox)
