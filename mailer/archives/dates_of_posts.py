"""Dates of posts, as the tools write them; None for what is no date."""

from __future__ import annotations

from datetime import UTC, datetime

from mailer.core.errors import BadInput
from mailer.exchange.dates import parse_date


def read_post_date(text: object) -> datetime | None:
    """Return a moment; one without a zone is in UTC, as these tools mean it."""
    try:
        read = parse_date(str(text or ""))
    except BadInput:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
