"""The newsletter's repository, to which the API's drafts are pushed: a bare repository on this machine, or one at GitHub."""

from __future__ import annotations

from pathlib import Path

from mailer.core.characters import parse_sender
from mailer.core.settings import Settings
from mailer.forges.bare_repository import BareRepository
from mailer.forges.base import Forge
from mailer.forges.github import GitHub


def make_forge(settings: Settings) -> Forge | None:
    """The forge of POSTMERGE_REPOSITORY, None without one."""
    if not settings.repository:
        return None
    if settings.repository.startswith("https://"):
        name = settings.repository.removeprefix("https://github.com/")
        return GitHub(settings.repository_api, name, settings.repository_token)
    sender = parse_sender(settings.sender) if settings.sender else None
    name, address = (sender.name or sender.address, sender.address) if sender else ("Postmerge", "postmerge@localhost")
    return BareRepository(Path(settings.repository), name, address)
