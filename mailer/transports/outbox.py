"""The outbox: each email becomes a file, for development. The viewer reads them."""

from __future__ import annotations

import contextlib
import email
import email.policy
import itertools
import os
import re
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from mailer.core.errors import BadInput
from mailer.core.files import open_private
from mailer.transports.base import AccountLimits, Answer, Envelope, Outcome

_count = itertools.count()
_TAGS = b"X-Postmerge-Tags: "


class Outbox:
    """Writes each message as an ``.eml`` file, atomically."""

    name = "outbox"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, envelope: Envelope) -> Answer:
        """Write one file. A folder that cannot be written stops the send."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_count)}"
        tags = "; ".join(f"{key}={value}" for key, value in envelope.tags.items())
        part = self.folder / f".{name}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(part, "wb", opener=open_private) as file:
                file.write(_TAGS + tags.encode("ascii", "replace") + b"\r\n" + envelope.raw)
            part.replace(self.folder / f"{name}.eml")
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return Answer(Outcome.HALT, detail=f"The outbox {self.folder} cannot be written ({error.strerror}).")
        return Answer(Outcome.ACCEPTED, message_id=name)

    def account(self) -> AccountLimits | None:
        """Return None: there are no limits."""
        return None


@dataclass(frozen=True)
class OutboxEmail:
    """An email in the outbox."""

    id: str
    to: str
    subject: str
    date: str
    kind: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    html: str = ""
    text: str = ""
    raw: bytes = b""
    tags: dict[str, str] = field(default_factory=dict)


def list_emails(folder: Path, limit: int = 50, offset: int = 0) -> tuple[list[OutboxEmail], int]:
    """List the newest emails first, and return how many there are in all."""
    names = sorted((path.stem for path in folder.glob("*.eml")), reverse=True) if folder.is_dir() else []
    return [read_email(folder, name) for name in names[offset : offset + limit]], len(names)


def read_email(folder: Path, email_id: str) -> OutboxEmail:
    """Read one email. Raises BadInput if there is none of that id."""
    path = folder / f"{email_id}.eml"
    if not re.fullmatch(r"[0-9]+-[0-9]+-[0-9]+", email_id) or not path.is_file():
        raise BadInput("There is no such email in the outbox.")
    raw = path.read_bytes()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    tags = dict(pair.split("=", 1) for pair in str(message.get("X-Postmerge-Tags", "")).split("; ") if "=" in pair)
    return OutboxEmail(
        id=email_id,
        to=str(message.get("To", "")),
        subject=str(message.get("Subject", "")),
        date=str(message.get("Date", "")),
        kind=tags.get("kind", "issue"),
        headers=[(name, str(value)) for name, value in message.items()],
        html=_body(message, "html"),
        text=_body(message, "plain"),
        raw=raw,
        tags=tags,
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    payload = part.get_payload(decode=True) if part else b""
    return payload.decode("utf-8", "replace").replace("\r\n", "\n") if isinstance(payload, bytes) else ""
