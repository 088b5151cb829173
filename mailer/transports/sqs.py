"""What a queue of events is: messages are handed out, and come again unless they are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message; ``receipt`` is what deletes it."""

    body: str
    receipt: str


class Queue(Protocol):
    """Both may be called from many threads at once; both raise Refused (wrong set-up) or Unavailable."""

    def receive(self, seconds: int) -> list[QueueMessage]:
        """Up to ten messages; waits at most so many seconds for the first."""
        ...

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages; one that is gone already is fine."""
        ...
