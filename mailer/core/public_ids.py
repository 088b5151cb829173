"""Public ids in the form of TypeIDs: a word for the kind, ``_``, and 26 characters, such as ``sub_2qv0h5...``.

The characters encode 128 bits: 64 are derived from kind and number, so that an id of one kind, or one with a typo, is never
taken for another, and 64 are the row's number. They are not secret, and do not depend on the settings.
"""

from __future__ import annotations

import hashlib
import re
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {character: number for number, character in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # 10 bits in one lookup
_SHIFTS = tuple(range(120, -1, -10))
MAX_ID = 2**63 - 1  # of a bigint in Postgres


def public(kind: str, number: int) -> str:
    """Return the public id of row ``number``; ``kind`` is the word before the ``_``."""
    whole = (_check(kind, number) << 64) | number
    return f"{kind}_" + "".join([_PAIRS[(whole >> shift) & 1023] for shift in _SHIFTS])


def number(kind: str, text: str) -> int | None:
    """Return the row's number from a public id of this kind, the same 128 bits as a UUID, or plain digits; else None."""
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text) if int(text) <= MAX_ID else None
    whole = _bits(kind, text)
    found = (whole or 0) & (2**64 - 1)
    return found if whole is not None and found <= MAX_ID and whole >> 64 == _check(kind, found) else None


def _bits(kind: str, text: str) -> int | None:
    start, characters = text[: len(kind) + 1], text[len(kind) + 1 :]
    if start == f"{kind}_" and re.fullmatch(f"[0-7][{_ALPHABET}]{{25}}", characters):
        whole = 0
        for character in characters:
            whole = whole << 5 | _VALUE[character]
        return whole
    if start == f"{kind}_":
        text = characters
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        return uuid.UUID(text).int
    return None


def _check(kind: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{kind}_{number}".encode()).digest()[:8], "big")
