"""Addresses: one check and one normal form."""

from __future__ import annotations

import contextlib
import unicodedata

from email_validator import EmailNotValidError, validate_email

from mailer.errors import BadInput


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
