"""Addresses: one check and one normal form."""

from __future__ import annotations

import contextlib
import re
import unicodedata

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from mailer.errors import BadInput

_PLAIN = re.compile(r"(?P<name>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@(?P<domain>[A-Za-z0-9.-]+)")
_MOST_DOMAINS = 200_000  # remembered


def check(email: str) -> str:
    """The address as it will be mailed. Raises BadInput with one sentence when it cannot be one."""
    try:
        return str(validate_email(email.strip(), check_deliverability=False, allow_smtputf8=False).normalized)
    except EmailNotValidError as error:
        why = str(error).rstrip(".")
        raise BadInput(f"{email.strip()[:100]!r} is not a mail address ({why}): write it as name@example.org.") from error


def normal(email: str) -> str:
    """The form that decides whether two addresses are the same: lower case, NFC, the domain in ASCII. Plus-tags stay."""
    name, _, domain = unicodedata.normalize("NFC", email.strip()).lower().rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return f"{name}@{domain}"


class Bulk:
    """``check`` and ``normal`` for very many addresses: each domain is looked at once. The verdicts are the same."""

    def __init__(self) -> None:
        self._domains: dict[str, tuple[str, str]] = {}

    def check(self, email: str) -> tuple[str, str]:
        """The address as it will be mailed and its normal form. Raises BadInput as ``check`` does."""
        email = email.strip()
        plain = _PLAIN.fullmatch(email)
        if not plain or len(email) > 254 or len(plain["name"]) > 64 or plain["name"].lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
            address = check(email)
            return address, normal(address)
        shown, ascii_form = self._domain(plain["domain"], email)
        return f"{plain['name']}@{shown}", f"{plain['name'].lower()}@{ascii_form}"

    def _domain(self, domain: str, email: str) -> tuple[str, str]:
        known = self._domains.get(domain)
        if known is None:
            address = check(email)
            known = address.rpartition("@")[2], normal(address).rpartition("@")[2]
            if len(self._domains) < _MOST_DOMAINS:
                self._domains[domain] = known
        return known
