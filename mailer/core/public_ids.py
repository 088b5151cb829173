"""Public ids in the form of TypeIDs: a word for the kind, ``_``, and 26 letters, such as ``sub_2qv0h5...``.

The letters spell 128 bits: 64 that follow from kind and number, so that an id of one kind, or one with a typing error, is
never taken for another, and the row's number in 64 bits. They are no secret and stay the same whatever the settings say.
"""

from __future__ import annotations

import hashlib
import re
import uuid

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {letter: number for number, letter in enumerate(_LETTERS)}
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]  # 10 bits in one look
_SHIFTS = tuple(range(120, -1, -10))
MAX_ID = 2**63 - 1  # of a bigint in Postgres


def public(kind: str, number: int) -> str:
    """The public id of row ``number``; ``kind`` is the word before the ``_``."""
    whole = (_check(kind, number) << 64) | number
    return f"{kind}_" + "".join([_PAIRS[(whole >> shift) & 1023] for shift in _SHIFTS])


def number(kind: str, text: str) -> int | None:
    """The row's number: from a public id of this kind, from the same 128 bits as a UUID, or from plain digits; else None."""
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text) if int(text) <= MAX_ID else None
    whole = _bits(kind, text)
    found = (whole or 0) & (2**64 - 1)
    return found if whole is not None and found <= MAX_ID and whole >> 64 == _check(kind, found) else None


def _bits(kind: str, text: str) -> int | None:
    start, letters = text[: len(kind) + 1], text[len(kind) + 1 :]
    if start == f"{kind}_" and re.fullmatch(f"[0-7][{_LETTERS}]{{25}}", letters):
        whole = 0
        for letter in letters:
            whole = whole << 5 | _VALUE[letter]
        return whole
    if start == f"{kind}_":
        text = letters
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        return uuid.UUID(text).int
    return None


def _check(kind: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{kind}_{number}".encode()).digest()[:8], "big")
