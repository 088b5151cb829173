"""A form's challenge: what its page shows, and the form field that carries the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.datastructures import FormData

from api.common.dependencies import AppContext
from api.common.language import PageLanguage
from mailer.core import tokens
from mailer.core.settings import Settings


@dataclass(frozen=True)
class Challenge:
    """What the page shows. ``sources`` are added to its Content-Security-Policy."""

    kind: str  # work, hook
    sources: Mapping[str, str]
    sum: str = ""
    bits: int = 0
    site_key: str = ""
    script: str = ""
    name: str = ""


def new_challenge(settings: Settings) -> Challenge | None:
    """A new challenge, or None when challenges are off."""
    if settings.challenge == "work":
        token = tokens.work_token(settings.need_secrets(), datetime.now(UTC), settings.challenge_bits)
        return Challenge("work", {"script_src": "'self'"}, sum=token, bits=settings.challenge_bits)
    if settings.challenge == "hook":
        origin = "/".join(settings.challenge_script.split("/")[:3])
        origin = origin if re.fullmatch(r"https?://[\w.:-]+", origin) else "'none'"
        sources = dict.fromkeys(("script_src", "frame_src", "connect_src"), origin)
        name, key, script = settings.challenge_name, settings.challenge_site_key, settings.challenge_script
        return Challenge("hook", sources, site_key=key, script=script, name=name)
    return None


def read_answer(settings: Settings, form: FormData) -> str:
    """The answer from the form; '' when there is none."""
    value = form.get(f"{settings.challenge_name}-response" if settings.challenge == "hook" else "work")
    return value if isinstance(value, str) else ""


def explain_failure(context: AppContext, language: PageLanguage) -> str:
    """The sentence for a missing, wrong or reused answer."""
    return language.say(
        "Please click the button again so we know you’re not a bot. This needs JavaScript; without it, write to %(address)s.",
        address=context.settings.mailbox,
    )
