"""The doctor: whether everything around a newsletter is set up so that its emails arrive, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mailer.core.settings import Settings
from mailer.flows.operations.doctor import aws_services, email_records, machine, public_urls
from mailer.flows.operations.doctor.checkups import Checkup
from mailer.flows.operations.doctor.dns_client import DnsClient
from mailer.flows.operations.doctor.simulator import run_simulation
from mailer.transports.aws_setup import AwsSetup

__all__ = ["ExamineOptions", "examine", "run_simulation"]


@dataclass(frozen=True)
class ExamineOptions:
    """Where to ask, and what may be reached. ``name_server`` is HOST or HOST:PORT; empty: the system's own."""

    name_server: str = ""
    allow_private: bool = False  # for tests: a server on this machine counts as reachable
    aws: AwsSetup = field(default_factory=AwsSetup)


def examine(settings: Settings, options: ExamineOptions) -> Iterator[Checkup]:
    """Examine everything that changes nothing, one line after the other. Raises BadInput for a wrong name server."""
    dns = DnsClient(options.name_server)
    yield from machine.examine_settings(settings)
    yield from machine.examine_services(settings)
    uses_ses = settings.transport == "ses"
    found = aws_services.SesFacts()
    if uses_ses:
        found = aws_services.read_ses_facts(options.aws, settings)
        yield from aws_services.examine_ses(settings, found)
        yield from aws_services.examine_events(options.aws, settings)
    yield from email_records.examine_records(dns, settings, found)
    yield from public_urls.examine_urls(dns, settings, options.allow_private)
