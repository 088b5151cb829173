"""A receipt: a send's public manifest, signed; how it is written, and how it is read again.

It is one JSON object with sorted keys and an indent of two. The signature covers the object without its ``signature``, as
compact JSON with sorted keys. Only that spelling is accepted, so no byte can change unnoticed.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson

from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL, remove_canary
from mailer.exchange import signing

FORMAT = "postmerge-receipt-1"
_CHANGED = "The receipt was changed after it was signed: it is no proof of anything. Fetch it again from the newsletter."
_WRITTEN = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def sign_receipt(facts: dict[str, Any], keys: signing.SigningKeys) -> bytes:
    """Return the file of a receipt with these facts."""
    whole = {**facts, "format": FORMAT, "key": keys.public[0]}
    return orjson.dumps({**whole, "signature": keys.sign(_signed_part(whole))}, option=_WRITTEN)


def read_receipt(raw: bytes) -> dict[str, Any]:
    """Return the facts of a receipt whose signature is that of its own key. Raises BadInput."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadInput("This is not a receipt, or one of a newer version of Postmerge.")
    signature, key = str(found.get("signature")), str(found.get("key"))
    facts = {name: value for name, value in found.items() if name != "signature"}
    if orjson.dumps(found, option=_WRITTEN) != raw or not signing.is_signed(_signed_part(facts), signature, key):
        raise BadInput(_CHANGED)
    return facts


def hash_part(part: str, unsubscribe_url: str = "") -> str:
    """Return the SHA-256 of an email's HTML or text, with the subscriber's own link (as it is in there) taken out."""
    lines = re.sub(r"\r\n?", "\n", part)
    if unsubscribe_url:
        lines = remove_canary(lines.replace(unsubscribe_url, UNSUBSCRIBE_URL))
    return hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()


def _signed_part(facts: dict[str, Any]) -> bytes:
    return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
