"""Parse SES's notification about a received email: the whole email if included, else its headers.

The format is "Contents of notifications for Amazon SES email receiving" of AWS's SES guide. No database, no network.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReceivedEmail:
    """An email as received. ``is_sender_verified``: SES found that the domain in ``From:`` sent it (DMARC)."""

    raw: bytes
    is_sender_verified: bool


def read_email(body: str) -> ReceivedEmail | None:
    """Return the email as received, or None if the body is not a notification of one."""
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.get("notificationType") != "Received":
        return None
    content = facts.get("content")
    raw = _decode_content(content, facts) if isinstance(content, str) and content else _join_head(facts)
    return ReceivedEmail(raw, _is_sender_verified(facts))


def _is_sender_verified(facts: dict[str, Any]) -> bool:
    receipt = facts.get("receipt")
    verdict = receipt.get("dmarcVerdict") if isinstance(receipt, dict) else None
    return isinstance(verdict, dict) and verdict.get("status") == "PASS"


def _decode_content(content: str, facts: dict[str, Any]) -> bytes:
    try:
        action = facts["receipt"]["action"]
        if str(action.get("encoding", "")).upper() == "BASE64":
            return base64.b64decode(content, validate=True)
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    return content.encode("utf-8", "replace")


def _join_head(facts: dict[str, Any]) -> bytes:
    about = facts.get("mail")
    headers = about.get("headers") if isinstance(about, dict) else None
    lines = [_format_line(one) for one in headers if isinstance(one, dict)] if isinstance(headers, list) else []
    return ("".join(lines) + "\r\n").encode("utf-8", "replace")


def _format_line(header: dict[str, Any]) -> str:
    name, value = (re.sub(r"[\r\n\0]+", " ", str(header.get(part, ""))) for part in ("name", "value"))
    return f"{name}: {value}\r\n" if re.fullmatch(r"[!-9;-~]+", name) else ""
