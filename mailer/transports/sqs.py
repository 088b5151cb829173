"""The protocol of event queues: received messages come again unless they are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message; ``receipt`` is for deleting it, and ``sent_at`` is when the queue got it, if it says so."""

    body: str
    receipt: str
    sent_at: datetime | None = None


class Queue(Protocol):
    """Both methods are thread-safe; both raise Refused (wrong configuration) or Unavailable."""

    def receive(self, seconds: int) -> list[QueueMessage]:
        """Receive up to ten messages; wait at most so many seconds for the first."""
        ...

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages; ignore those already deleted."""
        ...
