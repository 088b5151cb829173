"""The edition: an issue rendered once. The email, the web page and the feed entry are all made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SendIntent(StrEnum):
    """When an issue's ``Send:`` line asks to send it."""

    NO = "no"
    YES = "yes"
    AT = "at"


MIN_TOLD = 50  # subscribers: a reviewer's key is not told a smaller number
PREMIUM = "premium"  # the variant for paid subscribers
LATEST_ISSUE = "latest-issue"  # the name of the step that sends the last issue
SEQUENCES_FOLDER = "sequences"  # below the content folder; the keys of steps begin with it


class Trigger(StrEnum):
    """What enrols a subscriber. None of them needs tracking."""

    CONFIRMED = "confirmed"
    TAGGED = "tagged"
    PAID = "paid"
    TRIAL_ENDS = "trial ends"
    PAUSE_OVER = "pause over"


@dataclass(frozen=True)
class SequenceRules:
    """What a ``sequence.toml`` says.

    ``audience`` is the rule for who is enrolled, ``stop`` the one for who gets no further step ("": nobody); ``hours`` are
    such as ``08:00-20:00`` in ``zone`` ("": at any time). ``backfill``: the existing subscribers are enrolled too, once.
    ``latest_issue``: the last issue follows the first step.
    """

    name: str
    trigger: Trigger
    tag: str = ""
    audience: str = "everyone"
    stop: str = ""
    stop_when_paid: bool = False
    hours: str = ""
    zone: str = "UTC"
    backfill: bool = False
    latest_issue: bool = False


@dataclass(frozen=True)
class SequenceStep:
    """The place of an edition in a sequence: ``name`` stays when it is renumbered; ``after`` is in seconds."""

    sequence: SequenceRules
    name: str
    position: int
    after: int

    @property
    def key(self) -> str:
        """The key of the step's editions and sends."""
        return f"{SEQUENCES_FOLDER}/{self.sequence.name}/{self.name}"


@dataclass(frozen=True)
class Variant:
    """Another text of an edition, for some of its subscribers, with its own digest.

    ``name`` says who gets it: ``premium``, ``de``, ``de premium``. A translation has its own language, title, subject,
    address and source file; where they are empty, the edition's apply.
    """

    name: str
    preheader: str
    html: str
    text: str
    body: str
    digest: str
    lang: str = ""
    title: str = ""
    subject: str = ""
    url: str = ""
    path: str = ""

    @property
    def premium(self) -> bool:
        """Is it for paid subscribers only?"""
        return is_premium(self.name)

    @property
    def spoken(self) -> str:
        """Return the language in its name; empty for the original."""
        return spoken_in(self.name)


@dataclass(frozen=True)
class Edition:
    """One issue, or one step of a sequence, rendered.

    ``source`` is the Markdown below the front matter, without paid text; ``image`` the address of its picture, if it has one.
    ``digest`` is the SHA-256 (64 hex digits) of ``body`` in UTF-8: the issue's HTML fragment with absolute links, before
    any template. ``html`` and ``text`` are the email's two parts, with the placeholders of ``mailer.core.message``
    where emails differ between subscribers. They are what everybody may read in the issue's language; ``variants`` are
    the paid text and the translations.
    """

    key: str
    number: int
    title: str
    subject: str
    preheader: str
    lang: str
    url: str
    html: str
    text: str
    body: str
    digest: str
    dated: datetime
    path: str
    send: SendIntent
    send_at: datetime | None
    audience: str
    variants: tuple[Variant, ...] = ()
    named: bool = False  # its key is an `Id:` of its own
    sender: str = ""  # `From:` and `Reply-To:`; empty: the newsletter's
    reply_to: str = ""
    step: SequenceStep | None = None  # its place in a sequence; None for an issue
    source: str = ""
    image: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """List the source files: the issue's own and those of its translations."""
        return (self.path, *dict.fromkeys(one.path for one in self.variants if one.path))


def list_issues(editions: Iterable[Edition]) -> list[Edition]:
    """List the editions that are issues, not steps of sequences."""
    return [edition for edition in editions if edition.step is None]


def list_digests(edition: Edition) -> tuple[str, ...]:
    """List the digests of an edition's texts."""
    return (edition.digest, *(one.digest for one in edition.variants))


def is_premium(name: str) -> bool:
    """Is the variant of this name for paid subscribers only?"""
    return name.split()[-1:] == [PREMIUM]


def spoken_in(name: str) -> str:
    """Return the language in a variant's name; empty for the original."""
    return name.removesuffix(PREMIUM).strip()


def by_text(texts: Mapping[str, int], lang: str) -> dict[str, int]:
    """Count the subscribers of each text of an edition; the original goes by its language."""
    return {name or lang: number for name, number in texts.items()}


def texts_said(texts: Mapping[str, int | None], lang: str) -> str:
    """Format the counts of ``by_text``: ``free 1,200, paid 12`` or ``en 1,200, de 300, de paid 12``; empty for one text.

    None is a number below ``MIN_TOLD`` that was not told.
    """
    is_split_by_access_only = set(texts) == {"", PREMIUM}
    names = {name: f"{spoken_in(name)} paid".strip() if is_premium(name) else name or lang for name in texts}
    names |= {"": "free"} if is_split_by_access_only else {}
    told = {name: f"under {MIN_TOLD}" if number is None else f"{number:,}" for name, number in texts.items()}
    return ", ".join(f"{names[name]} {number}" for name, number in told.items())


@dataclass(frozen=True)
class Finding:
    """A problem in a source file. An error in an issue that asks to be sent prevents ``publish`` from sending.

    ``asks`` is the number of the edition that the file's issue asks to send, 0 if it asks for nothing; ``issue`` is that
    issue's path, which differs from ``path`` in a translation, and is empty where two files have one key.
    """

    level: str
    path: str
    line: int
    message: str
    issue: str = ""
    asks: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.level}: {self.message}"
